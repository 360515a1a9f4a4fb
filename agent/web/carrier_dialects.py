"""The carriers' dialects: what each signs, answers to and calls things."""

import json
from collections.abc import Mapping
from typing import Any, Protocol
from xml.sax.saxutils import escape, quoteattr

from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.serializers.vonage import VonageFrameSerializer

from agent.carrier_section import CarriersConfig
from agent.web.carrier_messages import BadStream
from agent.web.carrier_tickets import CarrierCall
from agent.web.carrier_webhook import BadWebhook, Markup, Webhook
from telephony.signatures import check_plivo, check_telnyx, check_twilio, check_vonage

NUMBER_LIMIT = 64
"""Characters of a telephone number or a SIP address that are kept."""
XML = '<?xml version="1.0" encoding="UTF-8"?>'

KEYS = {
    "twilio": "twilio_auth_token",
    "telnyx": "telnyx_public_key",
    "plivo": "plivo_auth_token",
    "vonage": "vonage_signature_secret",
}
"""Every carrier, and the key in [carriers] without which it is not let in."""


class Carrier(Protocol):
    """One carrier's dialect."""

    rate_hz: int
    """Of the audio it streams, both ways."""
    binary: bool
    """Whether it sends audio as it is, and not in JSON."""

    def check(self, webhook: Webhook, now_s: float) -> None:
        """Raises BadSignature unless the carrier signed it; ``now_s`` is Unix time."""
        ...

    def call(self, webhook: Webhook) -> CarrierCall:
        """The call that it announces. Raises BadWebhook."""
        ...

    def connect(self, call: CarrierCall, stream_url: str) -> Markup:
        """Makes the carrier answer and stream the call to ``stream_url``."""
        ...

    def busy(self) -> Markup:
        """Makes the carrier refuse the call."""
        ...

    def begin(self, message: Mapping[str, Any], call: CarrierCall) -> FrameSerializer | None:
        """What reads and writes the stream that ``message`` begins; None where it begins none.

        Raises BadStream.
        """
        ...


def open_carriers(config: CarriersConfig) -> dict[str, Carrier]:
    """Those whose key is set."""
    opened: dict[str, Carrier] = {}
    if config.twilio_auth_token is not None:
        opened["twilio"] = Twilio(config.twilio_auth_token.get_secret_value())
    if config.telnyx_public_key is not None:
        api_key = config.telnyx_api_key
        opened["telnyx"] = Telnyx(
            config.telnyx_public_key, api_key.get_secret_value() if api_key else None
        )
    if config.plivo_auth_token is not None:
        opened["plivo"] = Plivo(config.plivo_auth_token.get_secret_value(), config.plivo_auth_id)
    if config.vonage_signature_secret is not None:
        opened["vonage"] = Vonage(config.vonage_signature_secret.get_secret_value())
    return opened


class Twilio:
    """Media Streams, begun by TwiML; the call ends when its stream is closed."""

    rate_hz = 8000
    binary = False

    def __init__(self, auth_token: str) -> None:
        self._auth_token = auth_token

    def check(self, webhook: Webhook, now_s: float) -> None:
        signature = webhook.header("X-Twilio-Signature")
        check_twilio(self._auth_token, webhook.url, webhook.fields, signature)

    def call(self, webhook: Webhook) -> CarrierCall:
        return _form_call("twilio", webhook, "CallSid")

    def connect(self, call: CarrierCall, stream_url: str) -> Markup:
        return _response(f"<Connect><Stream url={quoteattr(stream_url)}/></Connect>")

    def busy(self) -> Markup:
        return _response('<Reject reason="busy"/>')

    def begin(self, message: Mapping[str, Any], call: CarrierCall) -> FrameSerializer | None:
        if message.get("event") != "start":
            return None
        params = TwilioFrameSerializer.InputParams(sample_rate=self.rate_hz, auto_hang_up=False)
        return TwilioFrameSerializer(_text(message, "streamSid"), params=params)


class Telnyx:
    """Media streaming, begun by TeXML."""

    rate_hz = 8000
    binary = False

    def __init__(self, public_key: str, api_key: str | None) -> None:
        self._public_key = public_key
        self._api_key = api_key

    def check(self, webhook: Webhook, now_s: float) -> None:
        check_telnyx(
            self._public_key,
            webhook.body,
            webhook.header("telnyx-timestamp"),
            webhook.header("telnyx-signature-ed25519"),
            now_s,
        )

    def call(self, webhook: Webhook) -> CarrierCall:
        return _form_call("telnyx", webhook, "CallSid")

    def connect(self, call: CarrierCall, stream_url: str) -> Markup:
        return _response(
            f"<Connect><Stream url={quoteattr(stream_url)} "
            'track="inbound_track" codec="PCMU" bidirectionalMode="rtp" '
            'bidirectionalCodec="PCMU" bidirectionalSamplingRate="8000"/></Connect>'
        )

    def busy(self) -> Markup:
        return _response('<Reject reason="busy"/>')

    def begin(self, message: Mapping[str, Any], call: CarrierCall) -> FrameSerializer | None:
        if message.get("event") != "start":
            return None
        # The call's own codec, where Telnyx cannot convert it into the one asked for.
        media = message.get("start", {}).get("media_format")
        encoding = media.get("encoding", "PCMU") if isinstance(media, dict) else "PCMU"
        if encoding not in ("PCMU", "PCMA"):
            raise BadStream("the stream is neither PCMU nor PCMA")
        return TelnyxFrameSerializer(
            _text(message, "stream_id"),
            outbound_encoding=encoding,
            inbound_encoding="PCMU",
            call_control_id=call.call_id,
            api_key=self._api_key,
            params=TelnyxFrameSerializer.InputParams(
                sample_rate=self.rate_hz, auto_hang_up=self._api_key is not None
            ),
        )


class Plivo:
    """Audio streaming, begun by Plivo XML."""

    rate_hz = 8000
    binary = False

    def __init__(self, auth_token: str, auth_id: str | None) -> None:
        self._auth_token = auth_token
        self._auth_id = auth_id

    def check(self, webhook: Webhook, now_s: float) -> None:
        check_plivo(
            self._auth_token,
            webhook.url,
            webhook.fields,
            webhook.header("X-Plivo-Signature-V3-Nonce"),
            webhook.header("X-Plivo-Signature-V3"),
        )

    def call(self, webhook: Webhook) -> CarrierCall:
        return _form_call("plivo", webhook, "CallUUID")

    def connect(self, call: CarrierCall, stream_url: str) -> Markup:
        # Without keepCallAlive Plivo runs off the end of the document and hangs up.
        return _response(
            '<Stream bidirectional="true" keepCallAlive="true" '
            f'contentType="audio/x-mulaw;rate=8000">{escape(stream_url)}</Stream>'
        )

    def busy(self) -> Markup:
        return _response('<Hangup reason="busy"/>')

    def begin(self, message: Mapping[str, Any], call: CarrierCall) -> FrameSerializer | None:
        if message.get("event") != "start":
            return None
        return PlivoFrameSerializer(
            _text(message.get("start", {}), "streamId"),
            call_id=call.call_id,
            auth_id=self._auth_id,
            auth_token=self._auth_token,
            params=PlivoFrameSerializer.InputParams(
                sample_rate=self.rate_hz, auto_hang_up=self._auth_id is not None
            ),
        )


class Vonage:
    """A call joined to a WebSocket by an NCCO; it ends when the socket is closed."""

    rate_hz = 16000
    binary = True

    def __init__(self, signature_secret: str) -> None:
        self._secret = signature_secret

    def check(self, webhook: Webhook, now_s: float) -> None:
        check_vonage(self._secret, webhook.header("Authorization"), webhook.body, now_s)

    def call(self, webhook: Webhook) -> CarrierCall:
        try:
            said = json.loads(webhook.body)
        except (ValueError, RecursionError):
            raise BadWebhook("the body is not JSON") from None
        return _call("vonage", said if isinstance(said, dict) else {}, "uuid", "from", "to")

    def connect(self, call: CarrierCall, stream_url: str) -> Markup:
        endpoint = {
            "type": "websocket",
            "uri": stream_url,
            "content-type": f"audio/l16;rate={self.rate_hz}",
        }
        return _ncco({"action": "connect", "from": call.dialled, "endpoint": [endpoint]})

    def busy(self) -> Markup:
        # An NCCO cannot refuse a call: Vonage answers it, and this is what the caller hears.
        return _ncco(
            {"action": "talk", "text": "All our lines are busy. Please call again in a minute."}
        )

    def begin(self, message: Mapping[str, Any], call: CarrierCall) -> FrameSerializer | None:
        if message.get("event") != "websocket:connected":
            return None
        params = VonageFrameSerializer.InputParams(
            vonage_sample_rate=self.rate_hz, sample_rate=self.rate_hz
        )
        return VonageFrameSerializer(params)


def _form_call(carrier: str, webhook: Webhook, call_id: str) -> CarrierCall:
    return _call(carrier, dict(webhook.fields), call_id, "From", "To")


def _call(
    carrier: str, said: Mapping[str, object], call_id: str, caller: str, dialled: str
) -> CarrierCall:
    named = said.get(call_id)
    if not isinstance(named, str) or not 0 < len(named) <= 256:
        raise BadWebhook(f"there is no `{call_id}`")
    return CarrierCall(carrier, named, _number(said.get(caller)), _number(said.get(dialled)))


def _number(given: object) -> str:
    text = given if isinstance(given, str) else ""
    return "".join(character for character in text if character.isprintable())[:NUMBER_LIMIT]


def _text(message: Mapping[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not value:
        raise BadStream(f"the start of the stream has no `{key}`")
    return value


def _response(verbs: str) -> Markup:
    return Markup(f"{XML}<Response>{verbs}</Response>")


def _ncco(action: Mapping[str, object]) -> Markup:
    return Markup(json.dumps([action]), "application/json")
