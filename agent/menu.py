"""Press or say: what keys of the caller's telephone, and words in their place, do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from agent.sections import MenuEntry

CONNECTING = "One moment, I am connecting you."
GOODBYE = "Thank you for calling. Goodbye."
NOT_REACHED = "I am sorry, nobody could be reached there. How else can I help you?"
PHRASES = (CONNECTING, GOODBYE, NOT_REACHED)
"""Spoken by the box itself, and made at start."""

KEYS_PAUSE_S = 1.5
"""After this long without a key, the keys pressed so far are complete."""
KEYS_LIMIT = 32
"""A longer row of keys is taken as complete."""
END_KEY = "#"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the caller chose: something to say, and what to do once it was heard."""

    spoken: str
    transfer: str | None = None
    introduce: bool = False
    """Whether the person is told of the caller first."""
    hang_up: bool = False
    outcome: str = ""
    """What comes of the call by it; empty: nothing is said of that. A transfer's counts once the
    person has taken the call, any other as soon as it was chosen."""
    outcome_value_usd: Decimal | None = None


class Menu:
    """The entries of one agent."""

    def __init__(self, entries: Sequence[MenuEntry]) -> None:
        self._by_key = {entry.key: _choice(entry) for entry in entries}
        self._by_words = [
            (_pattern(words), _choice(entry)) for entry in entries for words in entry.say
        ]

    def for_key(self, key: str) -> Choice | None:
        """What this key does; None where it has no entry."""
        return self._by_key.get(key)

    def for_words(self, text: str) -> Choice | None:
        """What these words ask for: the entry whose words stand in them, whole."""
        return next((choice for words, choice in self._by_words if words.search(text)), None)


class Keypad:
    """Gathers the keys of a number, such as an account's, until it is complete."""

    def __init__(self) -> None:
        self._keys = ""

    @property
    def pending(self) -> bool:
        """Whether a row has begun."""
        return bool(self._keys)

    def press(self, key: str) -> bool:
        """Takes one key; True where that completes the row."""
        if key == END_KEY and self._keys:
            return True
        self._keys += key
        return len(self._keys) >= KEYS_LIMIT

    def take(self) -> str:
        """The keys so far; the next begins a new row."""
        keys, self._keys = self._keys, ""
        return keys


def said_with_keys(keys: str) -> str:
    """What pressing ``keys`` says, as the model reads it."""
    return f"I pressed {' '.join(keys)} on my telephone."


def _choice(entry: MenuEntry) -> Choice:
    does = _does(entry)
    return replace(does, outcome=entry.outcome, outcome_value_usd=entry.outcome_value_usd)


def _does(entry: MenuEntry) -> Choice:
    if entry.transfer is not None:
        return Choice(CONNECTING, transfer=entry.transfer, introduce=entry.introduce)
    if entry.hang_up:
        return Choice(GOODBYE, hang_up=True)
    return Choice(entry.answer or "")


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(words)}\b", re.IGNORECASE)
