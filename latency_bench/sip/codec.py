"""The codecs that a SIP call may carry, one RTP payload at a time (RFC 3551, RFC 7587)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError
from numpy.typing import NDArray

from latency_bench.sip import g711

OPUS_BIT_RATE = 64_000


class CodecError(Exception):
    """No such codec, or a payload that it cannot decode."""


@dataclass(frozen=True, slots=True)
class CodecFormat:
    """A codec as it is offered."""

    name: str
    """As in ``Target.codec``."""
    encoding: str
    """As in ``a=rtpmap``, without the clock."""
    payload_type: int
    rate_hz: int
    """Of its samples."""
    clock_hz: int
    """Of its RTP timestamps: RFC 3551 gives G.722 half its rate, by an old mistake."""
    channels: int = 1
    """As in ``a=rtpmap``; Opus always says two, and carries one (RFC 7587, section 7)."""
    parameters: str = ""
    """For ``a=fmtp``."""

    @property
    def rtpmap(self) -> str:
        """Such as ``opus/48000/2``."""
        channels = f"/{self.channels}" if self.channels > 1 else ""
        return f"{self.encoding}/{self.clock_hz}{channels}"


FORMATS = {
    "pcmu": CodecFormat("pcmu", "PCMU", g711.PCMU, 8000, 8000),
    "pcma": CodecFormat("pcma", "PCMA", g711.PCMA, 8000, 8000),
    "g722": CodecFormat("g722", "G722", 9, 16_000, 8000),
    "opus": CodecFormat("opus", "opus", 96, 48_000, 48_000, 2, "useinbandfec=1;stereo=0"),
}


class Codec(Protocol):
    """Both directions of one call; each keeps the state of its stream."""

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """One payload of 20 ms: int16 mono, shape (samples,), at the format's rate."""
        ...

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """The sound of one payload, shape (samples,). Raises CodecError."""
        ...


def codec_format(name: str | None) -> CodecFormat:
    """The format called ``name``; mu-law for None. Raises CodecError."""
    found = FORMATS.get((name or "pcmu").lower())
    if found is None:
        raise CodecError(f"codec {name!r} is unknown: use {', '.join(FORMATS)}")
    return found


def open_codec(form: CodecFormat) -> Codec:
    """A codec for one call."""
    match form.name:
        case "pcmu":
            return _MuLaw()
        case "pcma":
            return _ALaw()
        case "g722":
            return _Native("g722", form.rate_hz)
        case _:
            # The shorter look-ahead: 2.5 ms instead of 6.5 ms, which are the caller's own.
            return _Native(
                "libopus", form.rate_hz, {"application": "lowdelay", "fec": "1"}, OPUS_BIT_RATE
            )


class _MuLaw:
    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        return g711.encode(pcm)

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        return g711.decode(payload)


class _ALaw:
    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        return g711.encode_a_law(pcm)

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        return g711.decode_a_law(payload)


class _Native:
    """A codec of FFmpeg's that gives one packet for each frame of 20 ms."""

    def __init__(
        self, name: str, rate_hz: int, options: dict[str, str] | None = None, bit_rate: int = 0
    ) -> None:
        self._rate_hz = rate_hz
        self._encoder = _context(name, "w", rate_hz)
        self._decoder = _context(name, "r", rate_hz)
        self._encoder.time_base = Fraction(1, rate_hz)
        self._encoder.options = options or {}
        if bit_rate:
            self._encoder.bit_rate = bit_rate
        self._pts = 0

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = self._rate_hz, self._pts
        frame.time_base = Fraction(1, self._rate_hz)
        self._pts += len(pcm)
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        try:
            frames = self._decoder.decode(av.Packet(payload))
        except FFmpegError as error:
            raise CodecError(f"{len(payload)} bytes cannot be decoded: {error}") from error
        pieces = [frame.to_ndarray().reshape(-1).astype(np.int16) for frame in frames]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def _context(name: str, mode: str, rate_hz: int) -> AudioCodecContext:
    context = av.CodecContext.create(name, mode)  # type: ignore[call-overload]
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout, context.format = rate_hz, "mono", "s16"
    return context
