"""How a reference agent behaves: after an exact delay, or badly in one exact way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Signalling = Literal["answers", "refuses", "rings", "no_sdp"]
Media = Literal["sound", "none", "wrong_codec"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What an agent does in a call. Delays are exact, to the sample that leaves it."""

    greeting_s: float | None = 0.2
    """From the answer to its first sound; None: it waits to be spoken to."""
    greeting_length_s: float = 0.3
    delay_s: float | None = 0.3
    """From the caller's last voiced sample to the answer's first; None: it never answers."""
    speech_s: float | None = None
    """The length of what callers say, for an agent that answers before it could have heard their
    end; None: it waits for the silence."""
    answer_s: float = 0.5
    """The answer's length."""
    filler_s: float | None = None
    """It says something short so long after the caller's last voiced sample."""
    cut_in_s: float | None = None
    """It answers so long after the caller's first voiced sample, over the caller."""
    stop_s: float | None = 0.4
    """It falls silent so long after the first voiced sample over it; None: it goes on."""
    stop_min_s: float = 0.25
    """It does not stop for shorter sounds."""
    echo_s: float | None = None
    """It sends back what it hears so much later."""
    echo_db: float = -6.0
    gain: float = 1.0
    """Over 1: the voice is clipped."""
    dropout_s: float = 0.0
    """So much of every 100 ms of its voice is missing."""
    jitter_s: float = 0.0
    """Packets are held up by anything up to this on their way out."""
    hang_up_s: float | None = None
    """It hangs up so long after the answer."""
    vanish_s: float | None = None
    """So long after the answer it neither sends nor reacts any more."""
    exit_s: float | None = None
    """So long after the answer its process ends at once."""
    signalling: Signalling = "answers"
    media: Media = "sound"


CALIBRATION_SPEECH_S = 0.4
"""How long each sound of a calibration call is."""


def _answering(delay_ms: int, jitter_ms: int = 0) -> Behaviour:
    return Behaviour(
        speech_s=CALIBRATION_SPEECH_S,
        delay_s=delay_ms / 1000,
        jitter_s=jitter_ms / 1000,
        stop_s=None,
        answer_s=0.3,
    )


def _stopping(after_ms: int) -> Behaviour:
    return Behaviour(
        greeting_s=None,
        speech_s=CALIBRATION_SPEECH_S,
        delay_s=0.6,
        stop_s=after_ms / 1000,
        stop_min_s=0.0,
        answer_s=1.5,
    )


BEHAVIOURS: Mapping[str, Behaviour] = {
    "good": Behaviour(),
    "delay-0": _answering(0),
    "delay-50": _answering(50),
    "delay-200": _answering(200),
    "delay-800": _answering(800),
    "jitter": _answering(200, jitter_ms=40),
    "stop-200": _stopping(200),
    "stop-500": _stopping(500),
    "late": Behaviour(delay_s=2.5),
    "cut-in": Behaviour(cut_in_s=0.3, answer_s=1.0),
    "deaf": Behaviour(delay_s=None),
    "echoing": Behaviour(echo_s=0.2),
    "silent": Behaviour(greeting_s=None, delay_s=None),
    "disconnecting": Behaviour(hang_up_s=2.6),
    "robotic": Behaviour(dropout_s=0.02),
    "clipping": Behaviour(gain=12.0),
    "talkative": Behaviour(delay_s=0.6, stop_s=0.3, answer_s=2.5),
    "unstoppable": Behaviour(delay_s=0.6, stop_s=None, answer_s=2.5),
    "skittish": Behaviour(delay_s=0.6, stop_s=0.1, stop_min_s=0.0, answer_s=2.5),
    "filler": Behaviour(filler_s=0.3, delay_s=1.1),
    "refusing": Behaviour(signalling="refuses"),
    "ringing": Behaviour(signalling="rings"),
    "soundless": Behaviour(media="none"),
    "wrong-codec": Behaviour(media="wrong_codec"),
    "no-sdp": Behaviour(signalling="no_sdp"),
    "vanishing": Behaviour(vanish_s=1.2),
    "dying": Behaviour(exit_s=1.2),
}
"""By name, as an address gives it: ``sip:late@...``, ``http://.../api/offer?agent=late``."""


def behaviour_of(name: str, otherwise: str = "good") -> Behaviour:
    """The behaviour that an address names; what follows a full stop only tells calls apart."""
    return BEHAVIOURS.get(name.partition(".")[0], BEHAVIOURS[otherwise])
