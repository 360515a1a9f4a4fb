"""How a carrier's webhook is signed and its answer read, and one call through both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

import numpy as np
import pytest
from test_caller_twilio import place
from twilio_agent import TwilioAgent, tone, twilio_server

from latency_bench.recording import CallFailed
from latency_bench.target import Target, TargetError, parse_target
from latency_bench.twilio.twilio_webhook import near, read_twiml, signature
from telephony.signatures import BadSignature, check_twilio

HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def test_the_signature_is_the_one_that_twilio_documents() -> None:
    """The example of twilio.com/docs/usage/webhooks/webhooks-security."""
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://example.com/myapp.php?foo=1&bar=2"
    found = signature("12345", url, fields)
    check_twilio("12345", url, list(fields.items()), found)
    with pytest.raises(BadSignature):
        check_twilio("12346", url, list(fields.items()), found)


def test_twiml_names_the_stream_and_its_parameters() -> None:
    found = read_twiml(
        "x",
        f"{HEAD}<Response><Say>Hello</Say><Connect><Stream url='wss://a.example/s?x=1&amp;y=2'>"
        "<Parameter name='who' value='me'/></Stream></Connect></Response>".encode(),
    )
    assert found.url == "wss://a.example/s?x=1&y=2" and found.parameters == {"who": "me"}


@pytest.mark.parametrize(
    ("twiml", "part", "outcome"),
    [
        (f"{HEAD}<Response><Reject reason='busy'/></Response>", "<Reject>", "refused"),
        ("<Response/>", "nothing", "refused"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><Response/>", "declarations", "refused"),
        ("not xml", "no TwiML", "unreachable"),
        ("<Response><Connect><Stream url='ftp://a'/></Connect></Response>", "ftp", "unreachable"),
    ],
)
def test_twiml_without_a_stream_is_no_call(twiml: str, part: str, outcome: str) -> None:
    with pytest.raises(CallFailed, match="the source") as failure:
        read_twiml("the source", twiml.encode())
    assert part in str(failure.value) and failure.value.outcome == outcome


def test_a_local_agents_stream_is_taken_where_its_webhook_is() -> None:
    local = "http://127.0.0.1:7860/carriers/twilio/answer"
    assert near("wss://phone.example/s/1?a=b", local) == "ws://127.0.0.1:7860/s/1?a=b"
    assert near("ws://127.0.0.1:9/s", local) == "ws://127.0.0.1:9/s"
    assert near("wss://phone.example/s", "https://phone.example/a") == "wss://phone.example/s"


def test_targets_are_read_and_written_the_same_way() -> None:
    for text in (
        "twilio:http://127.0.0.1:7860/carriers/twilio/answer",
        "ws+twilio://127.0.0.1:8765/ws",
        "wss+twilio://agent.example/ws",
        "webrtc:https://agent.example/api/offer",
        "sip:agent@127.0.0.1:5060",
    ):
        target = parse_target(text)
        assert isinstance(target, Target) and str(target) == text
    for text in (
        *("twilio:ws://x/", "twilio:http://", "webrtc:ftp://x", "http://x", "ws+twilio://"),
        *("webrtc:http://:80/x", "webrtc:http://x:99999/", "webrtc:http://[x/", "ws+twilio://x:0/"),
    ):
        with pytest.raises(TargetError, match="write sip:"):
            parse_target(text)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("sip:nohost@", "write sip:agent@127.0.0.1:5060"),
        ("sip:", "write sip:agent@127.0.0.1:5060"),
        ("sip:a b@c", "write sip:agent@127.0.0.1:5060"),
        ("sips:a@[::1", "write sip:agent@127.0.0.1:5060"),
        ("sip:a@b:70000", "the port must be 1 to 65535"),
        ("sip:a@b;transport=sctp", "use udp, tcp or tls"),
    ],
)
def test_a_sip_address_that_leads_nowhere_is_refused_at_once(text: str, remedy: str) -> None:
    with pytest.raises(TargetError, match=remedy):
        parse_target(text)


@asynccontextmanager
async def webhook(token: str, stream_url: str) -> AsyncIterator[str]:
    """Answers a webhook that ``token`` signed with the stream's address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        headers = dict(
            (name.lower(), value)
            for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
        )
        body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 5)
        fields = parse_qsl(body.decode(), keep_blank_values=True)
        try:
            check_twilio(token, url, fields, headers.get("x-twilio-signature", ""))
            status = "200 OK"
            text = (
                f"<Response><Connect><Stream url='{stream_url}'><Parameter name='call' "
                f"value='{dict(fields)['CallSid']}'/></Stream></Connect></Response>"
            )
        except BadSignature as error:
            status, text = "403 Forbidden", str(error)
        data = text.encode()
        reply = f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        writer.write(reply.encode() + data)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/answer"
        yield url


async def test_a_webhook_leads_to_the_stream_with_its_parameters() -> None:
    async def act(agent: TwilioAgent) -> None:
        await agent.say(tone(0.2))

    agent = TwilioAgent(act=act)
    async with twilio_server(agent) as stream, webhook("sesame", stream) as url:
        recording = await place(url, password="sesame", limit_s=1.2)
        assert recording.end == "limit" and np.any(recording.received.pcm)
        (start,) = agent.of("start")
        assert start["start"]["customParameters"] == {"call": start["start"]["callSid"]}
        with pytest.raises(CallFailed, match="refused the call: 403") as failure:
            await place(url, password="open")
    assert failure.value.outcome == "refused"
