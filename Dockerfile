# syntax=docker/dockerfile:1
# One box in a container. The GPU image is the same file on NVIDIA's base images:
#   docker compose --profile gpu build
ARG BUILD_IMAGE=debian:bookworm-slim
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# An image moves between machines, so llama.cpp is compiled for any x86-64 with AVX2 (or any
# arm64). For an image that stays on this machine's kind of processor, PORTABLE= (empty)
# compiles for exactly that: up to twice as fast, and an illegal instruction elsewhere.
ARG PORTABLE=--portable
# 1 compiles llama.cpp for CUDA as well; the build image must hold nvcc then.
ARG OFFHOOK_CUDA=0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/cache \
    OFFHOOK_CUDA=${OFFHOOK_CUDA} UV_CACHE_DIR=/cache UV_LINK_MODE=copy \
    python3 scripts/setup.py --into /opt/offhook --runtime ${PORTABLE}

FROM ${RUN_IMAGE}
# libgomp1: llama.cpp's and CTranslate2's threads.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /data offhook
COPY --from=build /opt/offhook /opt/offhook
# Models and call records live under /data and nowhere else, so that the root file system can
# be read-only.
ENV PATH=/opt/offhook/bin:$PATH \
    OFFHOOK_HOME=/data/offhook \
    HF_HOME=/data/huggingface \
    OFFHOOK_RECORDS__PATH=/data/records/calls.sqlite3 \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN install -d -o offhook -g offhook /data/offhook /data/huggingface /data/records
USER offhook
WORKDIR /data
VOLUME ["/data/offhook", "/data/huggingface", "/data/records"]
EXPOSE 7860
CMD ["offhook", "serve"]
