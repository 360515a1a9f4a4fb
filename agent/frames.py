"""The frames that our stages pass to each other through Pipecat's pipeline."""

from dataclasses import dataclass

from pipecat.frames.frames import ControlFrame, DataFrame

from agent.clause_voice import ClauseVoice
from agent.turn import Turn


@dataclass
class KeyFrame(DataFrame):
    """The caller pressed a key of the telephone."""

    key: str


@dataclass
class HoldFrame(DataFrame):
    """The caller's side put the call on hold, or took it back."""

    on: bool


@dataclass
class CallerTurnFrame(DataFrame):
    """The caller has finished and was understood; ``turn.heard`` holds the words."""

    turn: Turn


@dataclass
class ClauseFrame(DataFrame):
    """A clause of the answer, ready to be spoken."""

    turn: Turn
    text: str
    voice: ClauseVoice | None = None
    """Its audio, where that was begun already."""
    filler: bool = False
    """Said so that the caller knows that somebody is there; no part of the answer."""


@dataclass
class AnswerEndFrame(ControlFrame):
    """Nothing more follows for this turn; reaches the end once its audio has been played."""

    turn: Turn
