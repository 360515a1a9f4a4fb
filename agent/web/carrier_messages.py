"""What comes over a carrier's WebSocket, before anything is made of it: its form and its flow."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

MESSAGE_LIMIT_BYTES = 64 * 1024
"""A message holds 20 ms of audio, some hundred bytes; the server refuses longer ones."""
AHEAD_LIMIT_S = 5.0
"""Audio may run this far ahead of the clock; what was held up by the network catches up."""
MESSAGES_PER_S = 250
"""Fifty a second carry the audio."""


class BadStream(Exception):
    """The far end breaks its own protocol; the message says how, and fits a close frame."""


def read_event(event: Mapping[str, Any], binary: bool) -> dict[str, Any] | bytes:
    """What an ASGI ``websocket.receive`` brings: a JSON message, or audio as PCM16.

    ``binary`` tells whether the carrier sends audio so. Raises BadStream.
    """
    text: str | None = event.get("text")
    if text is not None:
        return read_message(text)
    audio: bytes = event["bytes"]
    if not binary:
        raise BadStream("a message is not text")
    if len(audio) % 2:
        raise BadStream("audio of 16 bits comes in an odd number of bytes")
    return audio


def read_message(text: str) -> dict[str, Any]:
    """One JSON message, its audio known to be sound. Raises BadStream."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadStream("a message is not JSON") from None
    if not isinstance(message, dict):
        raise BadStream("a message is not a JSON object")
    for part in ("start", "media", "dtmf"):
        if part in message and not isinstance(message[part], dict):
            raise BadStream(f"`{part}` is not a JSON object")
    payload = message.get("media", {}).get("payload")
    if payload is not None:
        _must_be_base64(payload)
    return message


def _must_be_base64(payload: object) -> None:
    try:
        if not isinstance(payload, str):
            raise ValueError
        base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise BadStream("`payload` is not base64") from None


class Flow:
    """Keeps a far end from sending more than a telephone can. Times are in seconds."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._messages = 0
        self._audio_s = 0.0

    def message(self, now_s: float) -> None:
        """Counts a message. Raises BadStream where they are too many."""
        self._messages += 1
        if self._messages > MESSAGES_PER_S * (now_s - self._began_s + AHEAD_LIMIT_S):
            raise BadStream("messages come too fast")

    def audio(self, audio_s: float, now_s: float) -> None:
        """Counts audio. Raises BadStream where it is more than time has passed."""
        self._audio_s += audio_s
        if self._audio_s > now_s - self._began_s + AHEAD_LIMIT_S:
            raise BadStream("audio comes faster than it was spoken")
