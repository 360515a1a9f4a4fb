"""Who is called: ``sip:...``, ``webrtc:http://...``, ``ws+twilio://...``, ``twilio:http://...``
or ``self``.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from latency_bench.sip.uri import UriError, parse_uri

Door = Literal["sip", "webrtc", "twilio"]
DOORS: tuple[Door, ...] = ("webrtc", "sip", "twilio")
WAYS = (
    "sip:agent@127.0.0.1:5060, webrtc:http://127.0.0.1:7860/api/offer, "
    "ws+twilio://127.0.0.1:8765/ws, twilio:http://127.0.0.1:7860/carriers/twilio/answer, or self"
)


class TargetError(Exception):
    """What is to be called cannot be; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call, and by which door.

    ``address``: a SIP URI, the offer's HTTP address, or of ``twilio`` the WebSocket's (``ws://``,
    ``wss://``) or the webhook's (``http://``, ``https://``), whose TwiML names the WebSocket.
    """

    door: Door
    address: str
    token: str | None = None
    """Bearer token for the offer."""
    username: str | None = None
    """For a digest challenge of a SIP far end; so is the next."""
    password: str | None = None
    """Of a Twilio webhook: the account's token, which signs it."""
    codec: str | None = None
    """The one to offer over SIP: ``pcmu`` (by default), ``pcma``, ``g722`` or ``opus``."""
    caller: str | None = None
    """The number or name that a SIP call comes from; by default ``username``, or ``bench``."""
    ca_file: Path | None = None
    """PEM of the authorities that a SIP far end's certificate is checked against; the system's
    by default."""

    def __str__(self) -> str:
        match self.door:
            case "sip":
                return self.address
            case "twilio" if self.address.startswith("ws"):
                return self.address.replace("://", "+twilio://", 1)
            case _:
                return f"{self.door}:{self.address}"


def parse_target(text: str) -> Target | None:
    """Reads TARGET; None is ``self``. Raises TargetError."""
    if text == "self":
        return None
    if re.match(r"sips?:", text, re.IGNORECASE):
        try:
            parse_uri(text)
        except UriError as error:
            raise TargetError(str(error)) from None
        return Target("sip", text)
    webs: tuple[Door, ...] = ("webrtc", "twilio")
    for door in webs:
        url = text.removeprefix(f"{door}:")
        if url != text and _leads_somewhere(url, "http", "https"):
            return Target(door, url)
    for scheme in ("ws", "wss"):
        if _leads_somewhere(text, f"{scheme}+twilio"):
            return Target("twilio", text.replace("+twilio", "", 1))
    raise TargetError(f"{text!r} is nobody to call: write {WAYS}")


def _leads_somewhere(url: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
