"""The caller's password, where a SIP far end asks for one."""

import secrets

from latency_bench.sip.dialog import Outgoing
from latency_bench.sip.digest import DigestError, authorization, parse_challenge
from latency_bench.sip.message import Response
from latency_bench.target import Target

CHALLENGES = (401, 407)


class CredentialsRefused(Exception):
    """There is no password, or not the right one; the message says which."""


class Credentials:
    """Header lines for one call's requests; each proxy on the way may want its own."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lines: dict[tuple[str, str], str] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """What to send with the next attempt."""
        return tuple(self._lines.values())

    def challenged(self, response: Response, outgoing: Outgoing) -> None:
        """Takes a 401 or 407 to ``outgoing``. Raises CredentialsRefused."""
        target = self._target
        asked, name = (
            ("www-authenticate", "Authorization")
            if response.status == 401
            else ("proxy-authenticate", "Proxy-Authorization")
        )
        if target.username is None or target.password is None:
            raise CredentialsRefused(
                f"{target} asks for a password ({response}): give a user name and a password"
            )
        try:
            challenge = parse_challenge(response.headers.lines(asked))
        except DigestError as error:
            raise CredentialsRefused(f"{target} {error}") from None
        key = (name, challenge.realm)
        # An answer that was sent along already was a wrong one, unless its nonce was too old.
        if self._lines.get(key, "\0").encode() in outgoing.raw and not challenge.stale:
            raise CredentialsRefused(
                f"{target} does not take the password of {target.username!r} ({response})"
            )
        value = authorization(
            challenge,
            username=target.username,
            password=target.password,
            method=outgoing.method,
            uri=outgoing.uri,
            client_nonce=secrets.token_hex(8),
        )
        self._lines[key] = f"{name}: {value}"
