"""Answers to a digest challenge (RFC 3261, section 22; RFC 7616; RFC 8760). Pure."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

_PAIR = re.compile(r'([A-Za-z-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s,"]+))')
_HASHES = {"SHA-256": "sha256", "MD5": "md5"}
"""In the order of preference; each also as ``-sess``."""


class DigestError(Exception):
    """A challenge that cannot be answered; the message says why."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One ``WWW-Authenticate`` or ``Proxy-Authenticate``."""

    realm: str
    nonce: str
    algorithm: str
    """``MD5`` or ``SHA-256``, or the same with ``-sess``."""
    qop: str
    """``auth`` where it is offered; empty for RFC 2069's way."""
    opaque: str | None
    stale: bool
    """The password was right, the nonce too old."""


def parse_challenge(values: Sequence[str]) -> Challenge:
    """The best of several headers of one response. Raises DigestError."""
    found: list[Challenge] = []
    seen: list[str] = []
    for value in values:
        scheme, _, rest = value.strip().partition(" ")
        if scheme.lower() != "digest":
            seen.append(scheme)
            continue
        pairs = {key.lower(): quoted or bare for key, quoted, bare in _PAIR.findall(rest)}
        algorithm = pairs.get("algorithm", "MD5").upper()
        offered = [word.strip().lower() for word in pairs.get("qop", "").split(",") if word.strip()]
        if algorithm.removesuffix("-SESS") not in _HASHES or "nonce" not in pairs:
            seen.append(algorithm)
            continue
        if offered and "auth" not in offered:
            seen.append(f"qop={pairs['qop']}")
            continue
        found.append(
            Challenge(
                realm=pairs.get("realm", ""),
                nonce=pairs["nonce"],
                algorithm=algorithm,
                qop="auth" if offered else "",
                opaque=pairs.get("opaque"),
                stale=pairs.get("stale", "").lower() == "true",
            )
        )
    if not found:
        raise DigestError(
            f"asks for a password in a way that is not known here ({', '.join(seen) or 'none'}): "
            "digest with MD5 or SHA-256 is"
        )
    order = list(_HASHES)
    return min(found, key=lambda one: order.index(one.algorithm.removesuffix("-SESS")))


def authorization(
    challenge: Challenge,
    *,
    username: str,
    password: str,
    method: str,
    uri: str,
    client_nonce: str,
    count: int = 1,
) -> str:
    """The value of ``Authorization`` or ``Proxy-Authorization``.

    ``client_nonce``: fresh random text; ``count``: how often this nonce has been used, with this.
    """

    def digest(text: str) -> str:
        name = _HASHES[challenge.algorithm.removesuffix("-SESS")]
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    secret = digest(f"{username}:{challenge.realm}:{password}")
    if challenge.algorithm.endswith("-SESS"):
        secret = digest(f"{secret}:{challenge.nonce}:{client_nonce}")
    asked = digest(f"{method}:{uri}")
    if challenge.qop:
        middle = f"{challenge.nonce}:{count:08x}:{client_nonce}:{challenge.qop}"
    else:
        middle = challenge.nonce
    fields = [
        f'username="{_quoted(username)}"',
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{uri}"',
        f'response="{digest(f"{secret}:{middle}:{asked}")}"',
        f"algorithm={challenge.algorithm}",
    ]
    if challenge.qop:
        fields += [f"qop={challenge.qop}", f"nc={count:08x}"]
    if challenge.qop or challenge.algorithm.endswith("-SESS"):
        fields.append(f'cnonce="{client_nonce}"')
    if challenge.opaque is not None:
        fields.append(f'opaque="{challenge.opaque}"')
    return "Digest " + ", ".join(fields)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
