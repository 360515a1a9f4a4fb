"""Trunks: whose calls come in, which profile answers them, and what may be dialled. Pure.

Deny by default: a source that no trunk lists is nobody's, and a trunk that lists no
destinations dials nothing, since a leaked trunk is a bill.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal
from urllib.parse import quote

from telephony.destinations import ban_on
from telephony.numbers import dialled_key, normalise

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Fault(StrEnum):
    """Whose doing it is that a call is not placed."""

    BAD_REQUEST = "bad request"
    NOT_ALLOWED = "not allowed"
    TOO_MANY = "too many"


class DialRefused(Exception):
    """A call is not placed; the message names trunk, number and the setting to change."""

    def __init__(self, message: str, fault: Fault = Fault.NOT_ALLOWED) -> None:
        super().__init__(message)
        self.fault = fault


class CallRefused(Exception):
    """A call that came in is not taken; the message is for the log, not for the caller."""

    def __init__(self, message: str, status: int, phrase: str) -> None:
        super().__init__(message)
        self.status = status
        """A SIP status (RFC 3261, section 21)."""
        self.phrase = phrase


@dataclass(frozen=True, slots=True)
class Trunk:
    """A line to a carrier or a telephone system."""

    name: str
    host: str
    """A name or an address, with ``:port`` where it is not the usual one."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    srtp: Literal["off", "optional", "required"] = "optional"
    username: str = ""
    password: str = field(default="", repr=False)
    auth_user: str = ""
    """The name to authenticate as; empty: ``username``."""
    registers: bool = False
    allow: tuple[Network, ...] = ()
    """Where its calls come from."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """The dialled number (DID) and the profile that answers it."""
    profile: str = ""
    """The profile for any other number; empty: refused, unless ``numbers`` is empty too."""
    destinations: tuple[str, ...] = ()
    """Rules of `telephony.destinations`."""
    caller_id: str = ""
    max_calls: int = 2
    calls_per_minute: float = 6.0

    def profile_for(self, dialled: str) -> str | None:
        """Who answers ``dialled``; empty: the agent itself, None: nobody."""
        key = dialled_key(dialled)
        for number, profile in self.numbers.items():
            if dialled_key(number) == key:
                return profile
        return self.profile or (None if self.numbers else "")

    def check(self, number: str) -> None:
        """Raises DialRefused unless ``number``, normalised, may be dialled here."""
        ban = ban_on(number, self.destinations)
        if ban is not None:
            remedy = f"add {ban.missing_rule!r} to" if ban.missing_rule else "see"
            raise DialRefused(
                f"trunk `{self.name}` may not dial {number}: {ban.reason}; "
                f"{remedy} `destinations` in [trunks.{self.name}]"
            )

    def uri(self, number: str) -> str:
        """The SIP URI that dials ``number`` here (RFC 3261, section 19.1.1)."""
        user = quote(number, safe="+*")
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        return f"sip:{user}@{self.host}{suffix}"

    def admits(self, address: Address) -> bool:
        """Whether calls from ``address`` are this trunk's."""
        return any(address in network for network in self.allow)


@dataclass(frozen=True, slots=True)
class Inbound:
    """A call that may be taken."""

    trunk: Trunk | None
    """None: it came straight, without one."""
    profile: str
    """Empty: the agent itself."""


class Trunks:
    """All trunks of a box, and who may call it without one."""

    def __init__(
        self,
        trunks: Iterable[Trunk] = (),
        *,
        allow: Sequence[Network] = (),
        profiles: Iterable[str] = (),
    ) -> None:
        self._by_name = {trunk.name: trunk for trunk in trunks}
        self._allow = tuple(allow)
        self._profiles = frozenset(profiles)

    def __iter__(self) -> Iterator[Trunk]:
        return iter(self._by_name.values())

    def named(self, name: str) -> Trunk:
        """Raises DialRefused where there is no such trunk."""
        if (trunk := self._by_name.get(name)) is None:
            known = ", ".join(self._by_name) or "none yet: write [trunks.NAME]"
            raise DialRefused(f"there is no trunk `{name}`; trunks: {known}", Fault.BAD_REQUEST)
        return trunk

    def inbound(self, source: str, dialled: str, trunk: str = "") -> Inbound:
        """Who takes a call for ``dialled`` from ``source`` (``host:port``). Raises CallRefused.

        ``trunk``: the one it came over, where the stack knows; its source is judged all the same.
        Of several trunks at one address the one that has the number takes the call.
        """
        address = address_of(source)
        found = [t for t in self._by_name.values() if t.admits(address)]
        candidates = [t for t in found if t.name == trunk] or found
        for candidate in candidates:
            profile = candidate.profile_for(dialled)
            if profile is not None:
                return Inbound(candidate, profile)
        if candidates:
            names = ", ".join(f"`{candidate.name}`" for candidate in candidates)
            raise CallRefused(
                f"{dialled or 'no number'} is no number of trunk {names}; add it to `numbers`, "
                f"or set `profile` in [trunks.{candidates[0].name}] for any other number",
                404,
                "Not Found",
            )
        if any(address in network for network in self._allow):
            return Inbound(None, dialled if dialled in self._profiles else "")
        raise CallRefused(
            f"nobody may call from {address}; add it to `allow` in [trunks.NAME], "
            "or in [sip] for calls without a trunk",
            403,
            "Forbidden",
        )

    def outbound(self, number: str, name: str = "") -> Trunk:
        """The trunk for ``number``, normalised: ``name``, or the only one that allows it.

        Raises DialRefused.
        """
        if name:
            trunk = self.named(name)
            trunk.check(number)
            return trunk
        if not self._by_name:
            raise DialRefused(
                f"{number} needs a trunk, and there is none; write [trunks.NAME] with the "
                "carrier's `host` and the `destinations` that may be dialled"
            )
        allowed, refusals = [], []
        for trunk in self._by_name.values():
            try:
                trunk.check(number)
                allowed.append(trunk)
            except DialRefused as refusal:
                refusals.append(str(refusal))
        if not allowed:
            raise DialRefused("; ".join(refusals))
        if len(allowed) > 1:
            names = ", ".join(trunk.name for trunk in allowed)
            raise DialRefused(
                f"several trunks may dial {number}: {names}; name one", Fault.BAD_REQUEST
            )
        return allowed[0]


def number_to_dial(text: str) -> str:
    """``text`` normalised. Raises DialRefused."""
    try:
        return normalise(text)
    except ValueError as error:
        raise DialRefused(str(error), Fault.BAD_REQUEST) from None


def address_of(source: str) -> Address:
    """The address in ``host:port``, ``[host]:port`` or a bare address. Raises CallRefused."""
    host = source
    if source.startswith("["):
        host = source[1:].partition("]")[0]
    elif source.count(":") == 1:
        host = source.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise CallRefused(f"{source!r} is no source address", 403, "Forbidden") from None
    # A socket for both families shows IPv4 peers as ::ffff:192.0.2.7.
    return getattr(address, "ipv4_mapped", None) or address
