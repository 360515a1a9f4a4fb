"""The webhook by which Twilio announces a call, and the stream that its answer names.

Signed with the account's token as Twilio does (twilio.com/docs/usage/webhooks/webhooks-security);
of the TwiML that comes back only <Connect><Stream> is played.
"""

import base64
import hmac
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from latency_bench.http_post import is_loopback, post
from latency_bench.recording import CallFailed

CALLER, DIALLED = "+15005550006", "+15005550001"
"""Twilio's own numbers for tests."""
_WEBSOCKET = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class MediaStream:
    """Where a call's audio goes."""

    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Custom ones, which the stream's start repeats."""


async def announce(
    url: str, auth_token: str | None, account_id: str, call_id: str, limit_s: float
) -> MediaStream:
    """Posts the webhook of a call that comes in; the stream it is answered with.

    Raises CallFailed, also where the answer is <Reject>.
    """
    fields = {
        "AccountSid": account_id,
        "ApiVersion": "2010-04-01",
        "CallSid": call_id,
        "CallStatus": "ringing",
        "Called": DIALLED,
        "Caller": CALLER,
        "Direction": "inbound",
        "From": CALLER,
        "To": DIALLED,
    }
    headers = {"X-Twilio-Signature": signature(auth_token, url, fields)} if auth_token else {}
    reply = await post(url, limit_s=limit_s, headers=headers, form=fields)
    stream = read_twiml(url, reply)
    return MediaStream(near(stream.url, url), stream.parameters)


def signature(auth_token: str, url: str, fields: Mapping[str, str]) -> str:
    """``X-Twilio-Signature`` of a form posted to ``url``: HMAC-SHA1 in base64."""
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    digest = hmac.digest(auth_token.encode(), signed.encode(), "sha1")
    return base64.b64encode(digest).decode()


def read_twiml(source: str, text: bytes) -> MediaStream:
    """The stream that TwiML connects a call to. Raises CallFailed, naming ``source``."""
    # TwiML needs no declarations, and those of XML can be made to swell.
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise CallFailed(f"{source} gave TwiML with declarations in it", "refused")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CallFailed(f"{source} gave no TwiML, but {text[:40]!r}: {error}") from error
    stream = root.find("./Connect/Stream")
    address = stream.get("url") if stream is not None else None
    if stream is None or not address:
        verbs = ", ".join(f"<{child.tag}>" for child in root) or "nothing"
        raise CallFailed(
            f"{source} refused the call: its TwiML holds {verbs}, and no <Connect><Stream>",
            "refused",
        )
    if urlsplit(address).scheme not in _WEBSOCKET.values():
        raise CallFailed(f"{source} names {address!r} as a stream, which is no wss:// address")
    parameters = {p.get("name", ""): p.get("value", "") for p in stream.findall("Parameter")}
    return MediaStream(address, parameters)


def near(stream_url: str, webhook_url: str) -> str:
    """The stream's address, as it can be reached from where the webhook was.

    An agent on this machine names its public address, which leads through a proxy or a tunnel
    that is no part of it, or to nowhere: its stream is taken where its webhook is.
    """
    stream, webhook = urlsplit(stream_url), urlsplit(webhook_url)
    if not is_loopback(webhook.hostname) or is_loopback(stream.hostname):
        return stream_url
    return urlunsplit((_WEBSOCKET[webhook.scheme], webhook.netloc, stream.path, stream.query, ""))
