"""Audio through a telephone's codec: real encoders and decoders, packet by packet."""

from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

PACKET_S = 0.02


@dataclass(frozen=True, slots=True)
class LineCodec:
    """``codec_hz``: the rate it works at; ``line_hz``: the rate at which the box hears it."""

    name: str
    title: str
    codec_hz: int
    line_hz: int
    encoder: str | None = None
    """FFmpeg's name of it; None passes the samples on as they are."""
    bits_per_s: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    delay: int = 0
    """Samples at ``codec_hz`` by which decoded audio is late; taken off again."""


NONE = LineCodec("none", "none, 16 kHz", 16_000, 16_000)
PCMU = LineCodec("g711u", "G.711 mu-law", 8_000, 8_000, "pcm_mulaw")
CODECS = (
    NONE,
    PCMU,
    LineCodec("g711a", "G.711 A-law", 8_000, 8_000, "pcm_alaw"),
    # Its filter banks take 22 samples (ITU-T G.722, 1.4.4).
    LineCodec("g722", "G.722", 16_000, 16_000, "g722", delay=22),
    LineCodec(
        "opus24",
        "Opus 24k",
        48_000,
        16_000,
        "libopus",
        bits_per_s=24_000,
        options=(("application", "voip"), ("frame_duration", "20")),
        # 6.5 ms (RFC 6716, 2.1.4 and libopus' own lookahead for "voip").
        delay=312,
    ),
)


def packets(pcm: NDArray[np.int16], rate_hz: int, codec: LineCodec) -> list[bytes]:
    """``pcm``, shape (samples,), as encoded packets of 20 ms; the last is filled with silence."""
    samples: NDArray[np.int16] = pcm
    if rate_hz != codec.codec_hz:
        samples = soxr.resample(pcm, rate_hz, codec.codec_hz)
    size = round(PACKET_S * codec.codec_hz)
    samples = np.pad(samples, (0, codec.delay))
    samples = np.pad(samples, (0, -len(samples) % size))
    frames = samples.reshape(-1, size)
    if codec.encoder is None:
        return [frame.tobytes() for frame in frames]
    encoder = av.CodecContext.create(codec.encoder, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate = codec.codec_hz
    encoder.format = av.AudioFormat("s16")
    encoder.layout = "mono"
    encoder.options = dict(codec.options)
    if codec.bits_per_s is not None:
        encoder.bit_rate = codec.bits_per_s
    made: list[bytes] = []
    for number, frame in enumerate(frames):
        part = AudioFrame.from_ndarray(frame[np.newaxis], format="s16", layout="mono")
        part.sample_rate, part.pts = codec.codec_hz, number * size
        made += [bytes(packet) for packet in encoder.encode(part)]
    # What the encoder still holds belongs to no packet of ours.
    encoder.encode(None)
    return made


def decoded(kept: Sequence[bytes], codec: LineCodec) -> NDArray[np.int16]:
    """The packets' audio at ``codec.codec_hz``, end to end, shape (samples,).

    Packets that are missing from ``kept`` leave no gap: whoever knows of them puts one in.
    """
    if codec.encoder is None:
        return np.frombuffer(b"".join(kept), np.int16)
    decoder = av.CodecContext.create(codec.encoder, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate = codec.codec_hz
    decoder.layout = "mono"
    pieces = [
        frame.to_ndarray().reshape(-1) for data in kept for frame in decoder.decode(av.Packet(data))
    ]
    return np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, np.int16)


def at_line(pcm: NDArray[np.int16], codec: LineCodec) -> NDArray[np.int16]:
    """Decoded audio as the box hears it: in time with what was said, at ``codec.line_hz``."""
    pcm = pcm[codec.delay :]
    if codec.codec_hz == codec.line_hz:
        return pcm
    heard: NDArray[np.int16] = soxr.resample(pcm, codec.codec_hz, codec.line_hz)
    return heard


def through(pcm: NDArray[np.int16], rate_hz: int, codec: LineCodec) -> NDArray[np.int16]:
    """``pcm`` encoded and decoded again, at ``codec.line_hz``, as long as it was."""
    heard = at_line(decoded(packets(pcm, rate_hz, codec), codec), codec)
    return heard[: round(len(pcm) * codec.line_hz / rate_hz)]
