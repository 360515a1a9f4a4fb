"""Published voice-to-voice latencies, to hold a measured one against."""

from dataclasses import dataclass
from typing import Literal

How = Literal["recording", "server", "quoted"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A figure and where it is from. ``to_ms``: the far end of a range."""

    name: str
    at_ms: float
    about: str
    how: How
    """``recording``: from recorded sound, as here; ``server``: the system's own clock, which
    flatters; ``quoted``: said by somebody else, or without its method."""
    source: str
    to_ms: float | None = None


ANCHORS = (
    Anchor(
        "people",
        200,
        "between turns of people in ten languages, about",
        "recording",
        "Stivers et al., PNAS 106(26), 2009",
    ),
    Anchor(
        "Nemotron, RTX 5090",
        508,
        "Nemotron ASR + LLM + Magpie on one RTX 5090, P50",
        "server",
        "Daily, 2026-01-05",
    ),
    Anchor("Retell", 680, "median", "quoted", "quoted by Telnyx, unverified"),
    Anchor("Vapi", 720, "median", "quoted", "quoted by Telnyx, unverified"),
    Anchor("Modal, open stack", 1000, "median, about", "recording", "modal.com, 2025-11-04"),
    Anchor(
        "gpt-realtime-1.5",
        1152,
        "median, end of speech to start of speech",
        "recording",
        "kwindla/aiewf-eval, 2026-08",
    ),
    Anchor(
        "production",
        1400,
        "P50 of many vendors' agents in production, silence to audio",
        "quoted",
        "Hamming, 2026",
        to_ms=1700,
    ),
)

HOW_WORDS = {
    "recording": "from recorded sound, as here",
    "server": "by the system's own clock, which flatters",
    "quoted": "not checked, or its method not told",
}
