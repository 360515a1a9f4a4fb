"""Who is called: ``sip:...``, ``webrtc:http://...``, ``ws+twilio://...`` or ``self``."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Door = Literal["sip", "webrtc", "twilio"]
DOORS: tuple[Door, ...] = ("webrtc", "sip", "twilio")
WAYS = (
    "sip:agent@127.0.0.1:5060, webrtc:http://127.0.0.1:7860/api/offer, "
    "ws+twilio://127.0.0.1:8765/ws, or self"
)


class TargetError(Exception):
    """What is to be called cannot be; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call, and by which door.

    ``address``: a SIP URI, the offer's HTTP address, or the WebSocket's (``ws://``, ``wss://``).
    """

    door: Door
    address: str
    token: str | None = None
    """Bearer token for the offer."""
    username: str | None = None
    """For a digest challenge of a SIP far end; so is the next."""
    password: str | None = None
    codec: str | None = None
    """The one to offer over SIP: ``pcmu`` (by default), ``pcma``, ``g722`` or ``opus``."""

    def __str__(self) -> str:
        return self.address if self.door != "webrtc" else f"webrtc:{self.address}"


def parse_target(text: str) -> Target | None:
    """Reads TARGET; None is ``self``. Raises TargetError."""
    if text == "self":
        return None
    if re.match(r"sips?:[^\s]+$", text):
        return Target("sip", text)
    if text.startswith("webrtc:"):
        url = text.removeprefix("webrtc:")
        if urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc:
            return Target("webrtc", url)
    for scheme in ("ws", "wss"):
        if text.startswith(f"{scheme}+twilio://") and urlsplit(text).netloc:
            return Target("twilio", text.replace("+twilio", "", 1))
    raise TargetError(f"{text!r} is nobody to call: write {WAYS}")
