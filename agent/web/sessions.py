"""Who has shown the token, and who has guessed at it too often. Pure; time is an argument."""

import hashlib
import ipaddress
import secrets

LIFETIME_S = 12 * 3600.0
"""A browser shows the token once a working day."""
SESSION_LIMIT = 1000
"""Sessions at once; the oldest is signed out for one more."""
GUESS_LIMIT = 10
"""Wrong tokens of one address in `GUESS_WINDOW_S`."""
GUESS_WINDOW_S = 60.0
ADDRESS_LIMIT = 10_000
"""Addresses whose guesses are remembered; the oldest is forgotten for one more."""


class Sessions:
    """Browsers that have shown the token. They end with the process."""

    def __init__(self) -> None:
        self._until_s: dict[bytes, float] = {}
        """Digest of a session's name -> when it ends."""

    def begin(self, now_s: float) -> str:
        """The name of a new session, which nobody can guess."""
        self._forget(now_s)
        while len(self._until_s) >= SESSION_LIMIT:
            del self._until_s[next(iter(self._until_s))]
        name = secrets.token_urlsafe(32)
        self._until_s[_digest(name)] = now_s + LIFETIME_S
        return name

    def knows(self, name: str, now_s: float) -> bool:
        """Whether ``name`` is a session that goes on."""
        # Looked up by its digest, so that the time it takes tells nothing of the names there are.
        return self._until_s.get(_digest(name), 0.0) > now_s

    def end(self, name: str) -> None:
        """Signs ``name`` out, if it is one."""
        self._until_s.pop(_digest(name), None)

    def _forget(self, now_s: float) -> None:
        for digest in [each for each, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[digest]


class Guesses:
    """Wrong tokens, by the address that they came from."""

    def __init__(self) -> None:
        self._at_s: dict[str, list[float]] = {}

    def wait_s(self, address: str, now_s: float) -> float:
        """How long ``address`` must wait before it may show a token again; 0: not at all."""
        recent = self._recent(address, now_s)
        return recent[-GUESS_LIMIT] + GUESS_WINDOW_S - now_s if len(recent) >= GUESS_LIMIT else 0.0

    def wrong(self, address: str, now_s: float) -> None:
        """``address`` showed a token that is not the box's."""
        recent = self._recent(address, now_s)
        self._at_s.pop(_network(address), None)
        while len(self._at_s) >= ADDRESS_LIMIT:
            del self._at_s[next(iter(self._at_s))]
        self._at_s[_network(address)] = [*recent, now_s][-GUESS_LIMIT:]

    def _recent(self, address: str, now_s: float) -> list[float]:
        known = self._at_s.get(_network(address), [])
        return [at_s for at_s in known if at_s > now_s - GUESS_WINDOW_S]


def _network(address: str) -> str:
    """Whoever has one IPv6 address has the /64 that it is of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False).network_address)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
