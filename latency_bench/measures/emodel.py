"""Listening quality from codec, loss and delay: the E-model of ITU-T G.107, simplified. Pure.

R = 93.2 - Id - Ie,eff, with G.107's default values for all that is not measured (93.2 is its R0
less Is), and:

- Ie,eff = Ie + (95 - Ie) * Ppl / (Ppl / BurstR + Bpl), with BurstR = 1 (G.107, 7.5).
- Id = 0.024 d + 0.11 (d - 177.3) H(d - 177.3), d the one-way delay in ms: R. G. Cole and
  J. H. Rosenbluth, "Voice over IP performance monitoring", ACM SIGCOMM CCR 31(2), 2001, who fit it
  to G.107's own curve for a call without echo.
- MOS by G.107, Annex B.

The scale is that of narrowband telephony, on which nothing is better than clean G.711 (4.4). The
wideband E-model (G.107.1) has a longer scale, whose figures cannot be set beside these; so a
wideband codec is given Ie = 0 here, and the figure tells of loss and delay, not of bandwidth.
"""

from dataclasses import dataclass

R_DEFAULT = 93.2
BUFFER_RANGE_MS = (20.0, 200.0)
"""An adaptive player holds packets for at least, and at most, so long (G.107 assumes none)."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """A codec's own impairment, and how well it stands random loss."""

    ie: float
    bpl: float


IMPAIRMENTS = {
    # ITU-T G.113, Appendix I, with packet loss concealment.
    "PCMU": Impairment(0.0, 25.1),
    "PCMA": Impairment(0.0, 25.1),
    # Not among G.113's narrowband codecs; taken to conceal as G.711 does.
    "G722": Impairment(0.0, 25.1),
    # Not in G.113 at all: an assumption, that of a codec whose packets need the ones before.
    "OPUS": Impairment(0.0, 10.0),
}
UNKNOWN = Impairment(0.0, 10.0)


def impairment_of(codec: str) -> Impairment:
    """That of a codec as negotiated, such as ``PCMU/8000``."""
    return IMPAIRMENTS.get(codec.split("/")[0].upper(), UNKNOWN)


def delay_impairment(delay_ms: float) -> float:
    """Id for the one-way delay from mouth to ear."""
    return 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - 177.3)


def rating(codec: str, lost_share: float, delay_ms: float) -> float:
    """R; ``lost_share``: of the packets, by the network and by coming too late, 0 to 1."""
    codec_ = impairment_of(codec)
    lost_percent = 100 * lost_share
    loss = (95 - codec_.ie) * lost_percent / (lost_percent + codec_.bpl)
    return R_DEFAULT - delay_impairment(delay_ms) - codec_.ie - loss


def mos_of(r: float) -> float:
    """The mean opinion score that R stands for, 1 to 4.5."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # The cubic dips under 1 for the smallest ratings.
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def mos(codec: str, lost_share: float, delay_ms: float, network_ms: float = 0.0) -> float:
    """The score of one direction. ``delay_ms``: a packet's length and the player's buffer.

    The network's delay is not known from one end; 0 leaves it out.
    """
    return mos_of(rating(codec, lost_share, network_ms + delay_ms))
