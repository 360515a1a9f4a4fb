"""Speech as bad rooms and bad networks deliver it: noise at a ratio, packets lost. Pure."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from latency_bench.quality.line_codecs import PACKET_S, LineCodec, at_line, decoded, packets
from latency_bench.wire import voiced_segments
from telephony.continuity import Continuity

LossKind = Literal["random", "bursty"]
Concealment = Literal["door", "zero"]
"""``door``: what the box's SIP door does, which is given no word of a loss and puts silence in
once the stream has run late for a while; ``zero``: silence in each lost packet's place."""

BURST_PACKETS = 4.0
"""Mean length of a burst: 80 ms, the order of what Wi-Fi and busy routers lose at once."""
POLL_S = 0.01
"""How often the SIP door looks for audio."""


def speech_power(pcm: NDArray[np.int16], rate_hz: int) -> float:
    """Mean square of the voiced stretches alone; of everything where there are none."""
    segments = voiced_segments(pcm, rate_hz)
    voiced = [pcm[segment.first : segment.last + 1] for segment in segments] or [pcm]
    return _power(np.concatenate(voiced)) if len(pcm) else 0.0


def with_noise(
    pcm: NDArray[np.int16], noise: NDArray[np.int16], rate_hz: int, snr_db: float
) -> NDArray[np.int16]:
    """``pcm`` with ``noise`` under it, both shape (samples,), repeated where too short.

    The ratio is that of the power of the voiced stretches to that of the noise as mixed in.
    Where the sum would clip, all of it is lowered, which keeps the ratio.
    """
    under = np.resize(noise, len(pcm)).astype(np.float64)
    noise_power, wanted = _power(under), speech_power(pcm, rate_hz)
    if not noise_power or not wanted:
        return pcm.copy()
    under *= np.sqrt(wanted / noise_power) * 10 ** (-snr_db / 20)
    mixed = pcm + under
    peak = float(np.abs(mixed).max())
    if peak > 32767:
        mixed *= 32767 / peak
    return np.rint(mixed).astype(np.int16)


def lost_packets(count: int, rate: float, kind: LossKind, seed: int) -> NDArray[np.bool_]:
    """Which of ``count`` packets do not arrive, shape (count,); ``rate``: 0..1 of them, on average.

    ``bursty``: a Gilbert channel (two states, all lost in the bad one), bursts of
    ``BURST_PACKETS`` on average.
    """
    draw = np.random.default_rng(seed)
    if not 0 < rate < 1:
        return np.full(count, rate >= 1)
    if kind == "random":
        return np.asarray(draw.random(count) < rate)
    leave = 1 / BURST_PACKETS
    enter = min(1.0, leave * rate / (1 - rate))
    lost = np.zeros(count, bool)
    bad = bool(draw.random() < rate)
    for packet, chance in enumerate(draw.random(count)):
        lost[packet] = bad
        bad = chance >= leave if bad else chance < enter
    return lost


def with_loss(
    pcm: NDArray[np.int16],
    rate_hz: int,
    codec: LineCodec,
    lost: NDArray[np.bool_],
    concealment: Concealment,
) -> NDArray[np.int16]:
    """``pcm`` through ``codec`` without its ``lost`` packets, at ``codec.line_hz``.

    ``lost``: shape (packets,) or longer.
    """
    sent = packets(pcm, rate_hz, codec)
    kept = [data for data, gone in zip(sent, lost, strict=False) if not gone]
    size = round(PACKET_S * codec.codec_hz)
    heard = decoded(kept, codec)
    frames = iter([heard[at : at + size] for at in range(0, len(heard), size)])
    arrived = [None if gone else next(frames, None) for gone in lost[: len(sent)]]
    if concealment == "door":
        return at_line(_continued(arrived, codec.codec_hz), codec)
    silent = np.zeros(size, np.int16)
    whole = [silent if frame is None else frame for frame in arrived]
    return at_line(np.concatenate(whole) if whole else silent[:0], codec)


def echo_of(
    agent: NDArray[np.int16], rate_hz: int, codec: LineCodec, return_db: float, delay_s: float
) -> NDArray[np.int16]:
    """The agent's voice as it comes back from a telephone, at ``codec.line_hz``.

    It passes ``codec`` on its way there, comes back ``delay_s`` later and ``return_db`` louder
    (negative: quieter), and passes it again.
    """
    there = at_line(decoded(packets(agent, rate_hz, codec), codec), codec)
    late = np.zeros(round(delay_s * codec.line_hz), np.int16)
    faint = np.rint(there * 10 ** (return_db / 20))
    back = np.concatenate([late, np.clip(faint, -32768, 32767).astype(np.int16)])
    return at_line(decoded(packets(back, codec.line_hz, codec), codec), codec)


def with_pause(
    pcm: NDArray[np.int16], rate_hz: int, at_s: float, pause_s: float, fade_s: float = 0.005
) -> NDArray[np.int16]:
    """``pcm`` with a silence of its own room put in at ``at_s``; the edges fade."""
    cut, fade = round(at_s * rate_hz), round(fade_s * rate_hz)
    before, after = pcm[:cut].astype(np.float64), pcm[cut:].astype(np.float64)
    fade = min(fade, len(before), len(after))
    if fade:
        before[-fade:] *= np.linspace(1, 0, fade)
        after[:fade] *= np.linspace(0, 1, fade)
    silence = room_tone(pcm, rate_hz, pause_s)
    return np.concatenate([np.rint(before), silence, np.rint(after)]).astype(np.int16)


def room_tone(pcm: NDArray[np.int16], rate_hz: int, seconds: float) -> NDArray[np.int16]:
    """Noise as quiet as the quietest 50 ms of ``pcm`` (-90 to -55 dBFS), shape (samples,)."""
    window = round(0.05 * rate_hz)
    count = len(pcm) // window
    powers = [_power(piece) for piece in pcm[: count * window].reshape(count, window)]
    quietest = np.sqrt(min(powers)) if powers else 0.0
    level = np.clip(quietest, 32768 * 10 ** (-90 / 20), 32768 * 10 ** (-55 / 20))
    tone = np.random.default_rng(0).standard_normal(round(seconds * rate_hz)) * level
    quiet: NDArray[np.int16] = np.rint(tone).astype(np.int16)
    return quiet


def resampled(pcm: NDArray[np.int16], rate_hz: int, wanted_hz: int) -> NDArray[np.int16]:
    """``pcm``, shape (samples,), at another rate, in one piece."""
    if rate_hz == wanted_hz:
        return pcm
    made: NDArray[np.int16] = soxr.resample(pcm, rate_hz, wanted_hz)
    return made


def _continued(arrived: Sequence[NDArray[np.int16] | None], rate_hz: int) -> NDArray[np.int16]:
    """What the SIP door makes of 20 ms frames of which some (None) never came."""
    continuity = Continuity(rate_hz)
    pieces: list[NDArray[np.int16]] = []
    for number, frame in enumerate(arrived):
        at_s = (number + 1) * PACKET_S
        for now_s, pcm in ((at_s, frame), (at_s + POLL_S, None)):
            piece = np.zeros(0, np.int16) if pcm is None else pcm
            correction = continuity.take(len(piece), now_s)
            if correction > 0:
                pieces.append(np.zeros(correction, np.int16))
            pieces.append(piece[max(0, -correction) :])
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def _power(samples: NDArray[np.int16] | NDArray[np.float64]) -> float:
    return float(np.mean(np.square(samples.astype(np.float64)))) if len(samples) else 0.0
