"""Whether a webhook comes from the carrier that it claims to come from. Pure: time is an argument.

What each carrier signs is in its own documents; the carriers' SDKs agree with the results here.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_S = 300.0
"""How old a signed time may be, or how far ahead of this clock."""

Fields = Sequence[tuple[str, str]]
"""A form's fields, decoded; a name may stand more than once."""


class BadSignature(Exception):
    """The request is not the carrier's, or not of now; the message says what is wrong."""


def check_twilio(auth_token: str, url: str, fields: Fields, signature: str) -> None:
    """Checks ``X-Twilio-Signature``: HMAC-SHA1 of the URL and the sorted fields.

    ``url`` is the one that Twilio was told; it may have signed it with or without its port.
    Raises BadSignature. Nothing in what is signed tells when it was.
    """
    _must_be_given(signature, "X-Twilio-Signature")
    signed = "".join(name + value for name, value in sorted(set(fields)))
    allowed = [
        _base64_hmac(auth_token, form + signed, "sha1")
        for form in (url, *_with_and_without_port(url))
    ]
    if not _any_equal(allowed, [signature]):
        raise BadSignature("X-Twilio-Signature does not match")


def check_plivo(auth_token: str, url: str, fields: Fields, nonce: str, signatures: str) -> None:
    """Checks ``X-Plivo-Signature-V3`` of a POST: HMAC-SHA256 of URL, sorted fields and nonce.

    ``signatures`` may hold several, between commas. Raises BadSignature. Nothing in what is
    signed tells when it was.
    """
    _must_be_given(signatures, "X-Plivo-Signature-V3")
    _must_be_given(nonce, "X-Plivo-Signature-V3-Nonce")
    parts = urlsplit(url)
    query = "&".join(f"{name}={value}" for name, value in sorted(_query(parts.query)))
    signed = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    if query or fields:
        signed += "?" + query
    if query and fields:
        signed += "."
    signed += "".join(name + value for name, value in sorted(fields))
    allowed = _base64_hmac(auth_token, f"{signed}.{nonce}", "sha256")
    if not _any_equal([allowed], signatures.split(",")):
        raise BadSignature("X-Plivo-Signature-V3 does not match")


def check_telnyx(
    public_key: str, body: bytes, timestamp: str, signature: str, now_s: float
) -> None:
    """Checks ``telnyx-signature-ed25519`` over ``timestamp|body``; ``now_s`` is Unix time.

    ``public_key`` is the account's, in base64. Raises BadSignature; ValueError where the key
    is none.
    """
    _must_be_given(timestamp, "telnyx-timestamp")
    _must_be_given(signature, "telnyx-signature-ed25519")
    key = telnyx_key(public_key)
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise BadSignature("telnyx-timestamp is not a number of seconds")
    try:
        key.verify(_base64(signature), timestamp.encode() + b"|" + body)
    except (InvalidSignature, binascii.Error, ValueError):
        raise BadSignature("telnyx-signature-ed25519 does not match") from None
    _must_be_recent(float(timestamp), now_s)


def telnyx_key(public_key: str) -> Ed25519PublicKey:
    """Reads an Ed25519 key of 32 bytes in base64. Raises ValueError."""
    try:
        return Ed25519PublicKey.from_public_bytes(_base64(public_key))
    except (binascii.Error, ValueError):
        raise ValueError("is no Ed25519 public key of 32 bytes in base64") from None


def check_vonage(secret: str, authorization: str, body: bytes, now_s: float) -> None:
    """Checks the JSON Web Token (RFC 7519) of a signed webhook; ``now_s`` is Unix time.

    It must be HS256 under ``secret``, issued by Vonage within the tolerance, and hold the
    SHA-256 of ``body``. Raises BadSignature.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or token.count(".") != 2:
        raise BadSignature("there is no signed token (Authorization: Bearer ...)")
    signed, _, signature = token.rpartition(".")
    header, _, claims = signed.partition(".")
    expected = hmac.digest(secret.encode(), signed.encode(), "sha256")
    if not hmac.compare_digest(_base64url(signature), expected):
        raise BadSignature("the token's signature does not match")
    if _json_object(header).get("alg") != "HS256":
        raise BadSignature("the token is not signed with HS256")
    said = _json_object(claims)
    if said.get("iss") != "Vonage":
        raise BadSignature("the token was not issued by Vonage")
    issued_s = said.get("iat")
    if isinstance(issued_s, bool) or not isinstance(issued_s, int | float):
        raise BadSignature("the token does not say when it was issued")
    _must_be_recent(issued_s, now_s)
    payload_hash = said.get("payload_hash")
    if not isinstance(payload_hash, str):
        raise BadSignature("the token does not bind the body (payload_hash)")
    if not _any_equal([hashlib.sha256(body).hexdigest()], [payload_hash.lower()]):
        raise BadSignature("the body is not the one that was signed (payload_hash)")


def _must_be_given(value: str, header: str) -> None:
    if not value:
        raise BadSignature(f"there is no {header}")


def _must_be_recent(signed_s: float, now_s: float) -> None:
    # Not written as "over the limit", which is false of NaN.
    if not abs(now_s - signed_s) <= TOLERANCE_S:
        raise BadSignature(f"it was signed more than {TOLERANCE_S:.0f} s from this box's time")


def _with_and_without_port(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition(":")[0] if parts.port else parts.netloc
    port = parts.port or (443 if parts.scheme == "https" else 80)
    bare = parts._replace(netloc=host).geturl()
    return bare, parts._replace(netloc=f"{host}:{port}").geturl()


def _query(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _base64_hmac(key: str, text: str, digest: str) -> str:
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), digest)).decode()


def _any_equal(allowed: Iterable[str], given: Iterable[str]) -> bool:
    """Whether one of them is, in a time that does not tell how nearly."""
    pairs = [(a.encode(), g.strip().encode()) for a in allowed for g in given]
    return any([hmac.compare_digest(a, g) for a, g in pairs])


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _base64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadSignature("the token is no JSON Web Token") from None


def _json_object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(_base64url(part))
    except (ValueError, RecursionError):
        raise BadSignature("the token is no JSON Web Token") from None
    if not isinstance(found, dict):
        raise BadSignature("the token is no JSON Web Token")
    return found
