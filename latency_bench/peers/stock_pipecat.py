"""Stock Pipecat 1.14 as its documentation shows it, at its best: the peer of the box.

``python -m latency_bench.peers.stock_pipecat --port 0`` prints ``ready PORT`` once it is warm.
Its callers come over WebRTC (``POST /api/offer``), or with ``--door twilio`` over a WebSocket
that speaks Twilio's Media Streams (``/ws``). README.md beside this file gives the reason for
every choice. Nothing here is of Offhook but the models' files, the words and the limits.
"""

import argparse
import asyncio
import functools
import os
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from faster_whisper import WhisperModel
from loguru import logger
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.piper.tts import PiperTTSService
from pipecat.services.whisper import stt as whisper_stt
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.request_handler import (
    SmallWebRTCRequest,
    SmallWebRTCRequestHandler,
)
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)
from pipecat.utils.tracing.setup import setup_tracing
from pipecat.workers.runner import WorkerRunner
from piper import PiperVoice

from agent.config import Config, load_config
from agent.sections import ConfigError
from latency_bench.peers.llama_server import (
    ServerFailed,
    command_of,
    llama_server,
    warm_up,
    weights_of,
)
from models.device import choose_device
from models.errors import ModelError
from models.loading import locate

ALIAS = "local"
FLUSH_LIMIT_MS = 3000
TRANSCRIPT_LIMIT_S = 15.0
REST_S = 0.3
WARM_UP_SAMPLES = 16_000
TELEPHONE_RATE_HZ = 8000


@dataclass(frozen=True, slots=True)
class Parts:
    """What one call needs, loaded."""

    stt: WhisperSTTService
    llm: OpenAILLMService
    tts: PiperTTSService
    context: LLMContextAggregatorPair


def share_models() -> None:
    """Has every call's services use one recogniser and one voice, instead of loading their own.

    Theirs would take some 4 s of processor time a call, while others talk.
    """
    # Names that Pipecat's services look up at each call's start.
    whisper_stt.WhisperModel = functools.cache(WhisperModel)  # type: ignore[attr-defined]
    PiperVoice.load = staticmethod(functools.cache(PiperVoice.load))  # type: ignore[method-assign]


class StockPipecat:
    """Answers calls, each with a pipeline of its own, as `run_bot` of the quickstart does."""

    def __init__(self, config: Config, llm_url: str, *, traced: bool, ahead: int = 1) -> None:
        self._config = config
        self._llm_url = llm_url
        self._traced = traced
        self._ahead = ahead
        self._spare: deque[Parts] = deque()
        self._loading = asyncio.Lock()
        self._calls: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Makes the services of the next ``ahead`` calls."""
        async with self._loading:
            while len(self._spare) < self._ahead:
                # On a thread: on the loop it would hold up whoever talks.
                self._spare.append(await asyncio.to_thread(self._load))

    async def warm_up(self) -> None:
        """Has the recogniser work once."""
        async for _ in self._spare[0].stt.run_stt(bytes(2 * WARM_UP_SAMPLES)):
            pass

    def begin(self, call: Coroutine[Any, Any, None]) -> None:
        """Runs a call in a task of its own."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def close(self) -> None:
        """Ends the calls that are left."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def talk(
        self, transport: BaseTransport, params: PipelineParams, conversation_id: str
    ) -> None:
        """One call, from its connection to its end."""
        await self._run(transport, params, conversation_id)
        await asyncio.to_thread(_flush)
        # Loading holds up whoever ends the peer together with the call.
        await asyncio.sleep(REST_S)
        await self.prepare()

    async def _run(
        self, transport: BaseTransport, params: PipelineParams, conversation_id: str
    ) -> None:
        parts = self._spare.popleft() if self._spare else self._load()
        pipeline = Pipeline(
            [
                transport.input(),
                parts.stt,
                parts.context.user(),
                parts.llm,
                parts.tts,
                transport.output(),
                parts.context.assistant(),
            ]
        )
        worker = PipelineWorker(
            pipeline,
            params=params,
            enable_tracing=self._traced,
            conversation_id=conversation_id,
        )

        @transport.event_handler("on_client_connected")
        async def on_client_connected(transport: BaseTransport, client: object) -> None:
            if self._config.agent.greeting:
                await worker.queue_frames([TTSSpeakFrame(self._config.agent.greeting)])

        @transport.event_handler("on_client_disconnected")
        async def on_client_disconnected(transport: BaseTransport, client: object) -> None:
            await worker.cancel()

        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()

    def _load(self) -> Parts:
        config, models = self._config, self._config.models
        voice = locate(models.tts, "tts")
        device = choose_device("stt", models.device_of("stt")).device
        stt = WhisperSTTService(
            device=device,
            compute_type="int8" if device == "cpu" else "float16",
            # How long a transcript may take and still be timed; nothing waits for it.
            stt_ttfb_timeout=TRANSCRIPT_LIMIT_S,
            settings=WhisperSTTService.Settings(model=str(locate(models.stt, "stt"))),
        )
        llm = OpenAILLMService(
            base_url=self._llm_url,
            api_key="none",
            settings=OpenAILLMService.Settings(
                model=ALIAS,
                system_instruction=config.agent.persona,
                max_tokens=config.llm.max_tokens,
                temperature=config.llm.temperature,
                top_p=config.llm.top_p,
                extra={"extra_body": {"repeat_penalty": config.llm.repeat_penalty}},
            ),
        )
        tts = PiperTTSService(
            download_dir=voice.parent,
            use_cuda=choose_device("tts", models.device_of("tts")).device == "cuda",
            settings=PiperTTSService.Settings(voice=voice.stem),
        )
        context = LLMContextAggregatorPair(
            LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
        )
        return Parts(stt, llm, tts, context)


def webrtc_app(peer: StockPipecat) -> FastAPI:
    """``POST /api/offer``, as Pipecat's development runner serves it."""
    handler = SmallWebRTCRequestHandler()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await handler.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/api/offer")
    async def offer(request: SmallWebRTCRequest) -> dict[str, str] | None:
        async def connected(connection: SmallWebRTCConnection) -> None:
            transport = SmallWebRTCTransport(
                webrtc_connection=connection,
                params=TransportParams(audio_in_enabled=True, audio_out_enabled=True),
            )
            params = PipelineParams(enable_metrics=True, enable_usage_metrics=True)
            peer.begin(peer.talk(transport, params, connection.pc_id))

        return await handler.handle_web_request(
            request=request, webrtc_connection_callback=connected
        )

    return app


def twilio_app(peer: StockPipecat) -> FastAPI:
    """``/ws``, as the quickstart for Twilio has it."""
    app = FastAPI()

    @app.websocket("/ws")
    async def media(websocket: WebSocket) -> None:
        await websocket.accept()
        _, call = await parse_telephony_websocket(websocket)
        serializer = TwilioFrameSerializer(
            stream_sid=call["stream_id"],
            call_sid=call["call_id"],
            # To hang up by itself it would ask Twilio's API, with an account.
            params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
        )
        transport = FastAPIWebsocketTransport(
            websocket=websocket,
            params=FastAPIWebsocketParams(
                audio_in_enabled=True,
                audio_out_enabled=True,
                add_wav_header=False,
                serializer=serializer,
            ),
        )
        params = PipelineParams(
            # The recogniser takes whatever it gets for 16 kHz: the serializer has to resample.
            audio_out_sample_rate=TELEPHONE_RATE_HZ,
            enable_metrics=True,
            enable_usage_metrics=True,
        )
        await peer.talk(transport, params, call["call_id"])

    return app


APPS: dict[str, Callable[[StockPipecat], FastAPI]] = {"webrtc": webrtc_app, "twilio": twilio_app}


async def serve(config: Config, port: int, door: str, otlp: str | None, calls: int) -> None:
    """Serves until a signal comes. ``calls``: how many at once are expected."""
    if otlp is not None:
        setup_tracing("stock-pipecat", exporter=OTLPSpanExporter(endpoint=otlp))
    share_models()
    weights = await asyncio.to_thread(weights_of, config)
    command = command_of(weights, ALIAS, config.models.threads.llm, config.llm.context_tokens)
    async with llama_server(command) as llm_url:
        await warm_up(llm_url, ALIAS, config.agent.persona)
        peer = StockPipecat(config, llm_url, traced=otlp is not None, ahead=calls)
        await peer.prepare()
        await peer.warm_up()
        with socket.create_server(("127.0.0.1", port)) as listening:
            settings = uvicorn.Config(APPS[door](peer), log_config=None, access_log=False)
            server = uvicorn.Server(settings)
            # It listens already: who calls before uvicorn is up waits for it.
            print(f"ready {listening.getsockname()[1]}", flush=True)
            try:
                await server.serve(sockets=[listening])
            finally:
                await peer.close()


def _flush() -> None:
    """Sends what spans are left now: the receiver asks as soon as the call is over."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.force_flush(FLUSH_LIMIT_MS)


def main(argv: list[str] | None = None) -> int:
    """Serves until a signal; 1 where something is missing."""
    parser = argparse.ArgumentParser(prog="latency_bench.peers.stock_pipecat", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--door", choices=sorted(APPS), default="webrtc")
    parser.add_argument("--otlp", metavar="URL", help="send spans there (OTLP over HTTP)")
    parser.add_argument(
        "--calls",
        type=int,
        default=1,
        metavar="N",
        help="load the services of so many calls ahead (default: 1)",
    )
    parser.add_argument("--config", type=Path, help="the box's settings, for models and words")
    args = parser.parse_args(argv)
    logger.remove()
    logger.add(sys.stderr, level=os.environ.get("LOGURU_LEVEL", "WARNING"))
    try:
        config = load_config(args.config, os.environ)
        asyncio.run(serve(config, args.port, args.door, args.otlp, args.calls))
    except (ConfigError, ModelError, ServerFailed, OSError) as error:
        print(f"stock-pipecat: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
