"""Session descriptions for one line of audio: offers and answers (RFC 8866, RFC 3264). Pure."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Literal

from latency_bench.sip.codec import CodecFormat

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_MIRRORED: dict[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
EVENT_TYPE = 101
_STATIC = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000", 13: "CN/8000"}
"""Payload types that need no ``a=rtpmap`` (RFC 3551, table 4)."""
SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY_BYTES = 30
"""Key and salt of `SUITE` (RFC 4568, section 6.2)."""


@dataclass(frozen=True, slots=True)
class Media:
    """The first line of audio of a description, and what stands beside it."""

    host: str
    port: int
    """0: refused."""
    profile: str
    formats: tuple[int, ...]
    maps: dict[int, str]
    """``a=rtpmap`` by payload type, static ones filled in; upper case."""
    direction: Direction
    key: bytes | None
    """SRTP master key and salt of the far end, of `SUITE`."""
    crypto_tag: str
    refused: tuple[str, ...]
    """Answers to the other lines, which are not wanted; with their places among all lines."""
    place: int

    @property
    def held(self) -> bool:
        """The far end does not want to hear this side."""
        return self.direction in ("sendonly", "inactive") or self.host in ("0.0.0.0", "::")

    @property
    def secure(self) -> bool:
        """Whether the sound is encrypted."""
        return "SAVP" in self.profile


@dataclass(frozen=True, slots=True)
class Agreed:
    """Payload types that both sides know."""

    payload_type: int
    event_type: int | None
    """Of telephone events; None: the far end takes no keys."""
    event_clock_hz: int
    noise_types: frozenset[int]
    """Comfort noise, which is no sound of the agent."""


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """This side's end of the audio."""

    host: str
    port: int
    form: CodecFormat
    key: bytes | None = None
    """SRTP master key and salt; None: sound is sent in the clear."""

    def offer(self, version: int = 1) -> str:
        """Everything this side can do."""
        events = sorted({8000, self.form.clock_hz}, reverse=True)
        types = {EVENT_TYPE + place: clock for place, clock in enumerate(events)}
        return self._body(version, self.form.payload_type, types, "sendrecv", "1", (), 0)

    def answer(self, media: Media, agreed: Agreed, version: int) -> str:
        """The answer to a later offer of the far end, in its own payload types."""
        events = {} if agreed.event_type is None else {agreed.event_type: agreed.event_clock_hz}
        direction = _MIRRORED[media.direction]
        tag = media.crypto_tag or "1"
        return self._body(
            version, agreed.payload_type, events, direction, tag, media.refused, media.place
        )

    def _body(
        self,
        version: int,
        payload_type: int,
        events: dict[int, int],
        direction: Direction,
        crypto_tag: str,
        others: tuple[str, ...],
        place: int,
    ) -> str:
        family = "IP6" if ":" in self.host else "IP4"
        types = " ".join(str(number) for number in (payload_type, *events))
        profile = "RTP/AVP" if self.key is None else "RTP/SAVP"
        audio = [
            f"m=audio {self.port} {profile} {types}",
            f"a=rtpmap:{payload_type} {self.form.rtpmap}",
        ]
        if self.form.parameters:
            audio.append(f"a=fmtp:{payload_type} {self.form.parameters}")
        for number, clock in events.items():
            audio += [f"a=rtpmap:{number} telephone-event/{clock}", f"a=fmtp:{number} 0-15"]
        if self.key is not None:
            inline = base64.b64encode(self.key).decode()
            audio.append(f"a=crypto:{crypto_tag} {SUITE} inline:{inline}")
        audio += ["a=ptime:20", f"a={direction}"]
        lines = [
            "v=0",
            f"o=- 1 {version} IN {family} {self.host}",
            "s=-",
            f"c=IN {family} {self.host}",
            "t=0 0",
            *others[:place],
            *audio,
            *others[place:],
        ]
        return "\r\n".join(lines) + "\r\n"


def parse_media(body: str) -> Media | None:
    """The first line of audio; None without any that can be read."""
    sections = re.split(r"^(?=m=)", body.replace("\r\n", "\n"), flags=re.MULTILINE)
    session, lines = sections[0], sections[1:]
    for place, section in enumerate(lines):
        found = re.match(r"m=audio (\d{1,5})(?:/\d+)? (\S+)((?: \d{1,3})+)[ \t]*$", section, re.M)
        if not found:
            continue
        host = _host(section) or _host(session)
        if host is None or int(found[1]) > 65535:
            return None
        formats = tuple(int(number) for number in found[3].split())
        maps = {number: _STATIC[number] for number in formats if number in _STATIC}
        for number, encoding in re.findall(r"^a=rtpmap:(\d{1,3}) (\S+)", section, re.MULTILINE):
            maps[int(number)] = encoding.upper()
        key, tag = _key(section)
        return Media(
            host=host,
            port=int(found[1]),
            profile=found[2].upper(),
            formats=formats,
            maps=maps,
            direction=_direction(section) or _direction(session) or "sendrecv",
            key=key,
            crypto_tag=tag,
            refused=tuple(_refusal(other) for other in lines if other is not section),
            place=place,
        )
    return None


def agreed_types(media: Media, form: CodecFormat) -> Agreed | None:
    """What ``media`` has of this side's codec; None where it has no such codec."""
    wanted = f"{form.encoding}/{form.clock_hz}".upper()
    sound = [
        number
        for number in media.formats
        if f"{media.maps.get(number, '')}/".startswith(f"{wanted}/")
    ]
    if not sound:
        return None
    events = {
        number: int(clock)
        for number in media.formats
        if (clock := media.maps.get(number, "").removeprefix("TELEPHONE-EVENT/")).isdigit()
        and int(clock) <= 192_000
    }
    best = max(events, key=lambda number: events[number] == form.clock_hz, default=None)
    noise = frozenset(n for n in media.formats if media.maps.get(n, "").startswith("CN/"))
    return Agreed(sound[0], best, events[best] if best is not None else 8000, noise)


def _host(section: str) -> str | None:
    found = re.search(r"^c=IN IP[46] ([^\s/]+)", section, re.MULTILINE)
    return found[1] if found else None


def _direction(section: str) -> Direction | None:
    found = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", section, re.MULTILINE)
    return found[1] if found else None  # type: ignore[return-value]


def _key(section: str) -> tuple[bytes | None, str]:
    pattern = rf"^a=crypto:(\d{{1,9}}) {SUITE} inline:([A-Za-z0-9+/=]+)"
    found = re.search(pattern, section, re.MULTILINE)
    if not found:
        return None, ""
    try:
        key = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return None, found[1]
    return (key if len(key) == KEY_BYTES else None), found[1]


def _refusal(section: str) -> str:
    kind, _, rest = section.partition(" ")
    tail = rest.split("\n")[0].split(" ", 1)
    return f"{kind} 0 {tail[1] if len(tail) > 1 else 'RTP/AVP 0'}"
