"""What each carrier is answered, and what its settings ask for."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agent.config import Config, ConfigError, load_config
from agent.web.carrier_dialects import KEYS, Carrier, open_carriers
from agent.web.carrier_tickets import CarrierCall
from agent.web.carrier_webhook import FIELDS_LIMIT, BadWebhook, Webhook

TELNYX_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
FILE = f"""
[carriers]
public_url = "https://phone.example.com"
twilio_auth_token = "twilio-token"
telnyx_public_key = "{TELNYX_KEY}"
plivo_auth_token = "plivo-token"
vonage_signature_secret = "vonage-secret"
"""
STREAM = "wss://phone.example.com/carriers/x/stream/a&b"


def config_of(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "offhook.toml"
    path.write_text(text)
    return load_config(path, {})


@pytest.fixture
def carriers(tmp_path: Path) -> dict[str, Carrier]:
    return open_carriers(config_of(tmp_path, FILE).carriers)


def call(carrier: str) -> CarrierCall:
    return CarrierCall(carrier, "C1", "15005550006", "15005550001")


def test_a_carrier_is_open_once_its_key_is_set(tmp_path: Path) -> None:
    assert open_carriers(Config().carriers) == {}
    lines = FILE.strip().splitlines()
    for carrier, key in KEYS.items():
        kept = [line for line in lines if line.startswith((key, "[", "public_url"))]
        config = config_of(tmp_path, "\n".join(kept))
        assert list(open_carriers(config.carriers)) == [carrier]


def test_answers_are_the_documents_that_the_carriers_sdks_write(
    carriers: dict[str, Carrier],
) -> None:
    """Compared as trees with what twilio 9.13 and plivo 4.63 write."""
    told = {
        name: carriers[name].connect(call(name), STREAM).text
        for name in ("twilio", "telnyx", "plivo")
    }
    address = STREAM.replace("&", "&amp;")
    assert tree(told["twilio"]) == tree(
        f'<Response><Connect><Stream url="{address}" /></Connect></Response>'
    )
    assert tree(told["telnyx"]) == tree(
        f'<Response><Connect><Stream url="{address}" track="inbound_track" codec="PCMU" '
        'bidirectionalMode="rtp" bidirectionalCodec="PCMU" bidirectionalSamplingRate="8000"/>'
        "</Connect></Response>"
    )
    assert tree(told["plivo"]) == tree(
        '<Response><Stream bidirectional="true" contentType="audio/x-mulaw;rate=8000" '
        f'keepCallAlive="true">{address}</Stream></Response>'
    )
    for name, busy in (
        ("twilio", '<Response><Reject reason="busy"/></Response>'),
        ("telnyx", '<Response><Reject reason="busy"/></Response>'),
        ("plivo", '<Response><Hangup reason="busy"/></Response>'),
    ):
        assert tree(carriers[name].busy().text) == tree(busy)
        assert carriers[name].busy().media_type == "application/xml"


def tree(text: str) -> str:
    """The document without what does not count in it."""
    return ET.canonicalize(text, strip_text=True)


def test_vonage_is_answered_in_json(carriers: dict[str, Carrier]) -> None:
    vonage = carriers["vonage"]
    markup = vonage.connect(call("vonage"), STREAM)
    assert markup.media_type == "application/json"
    endpoint = {"type": "websocket", "uri": STREAM, "content-type": "audio/l16;rate=16000"}
    assert json.loads(markup.text) == [
        {"action": "connect", "from": "15005550001", "endpoint": [endpoint]}
    ]
    (talk,) = json.loads(vonage.busy().text)
    assert talk["action"] == "talk"


@pytest.mark.parametrize(
    ("carrier", "body", "reason"),
    [
        ("twilio", b"", "there is no `CallSid`"),
        ("twilio", b"CallSid=&From=1", "there is no `CallSid`"),
        ("twilio", b"CallSid=" + b"x" * 257, "there is no `CallSid`"),
        ("twilio", b"&".join([b"a=1"] * (FIELDS_LIMIT + 1)), "the form cannot be read"),
        ("plivo", b"CallSid=C1", "there is no `CallUUID`"),
        ("vonage", b"{", "the body is not JSON"),
        ("vonage", b"[" * 100_000, "the body is not JSON"),
        ("vonage", b"[]", "there is no `uuid`"),
        ("vonage", b'{"uuid": 5}', "there is no `uuid`"),
    ],
)
def test_a_webhook_that_announces_no_call(
    carriers: dict[str, Carrier], carrier: str, body: bytes, reason: str
) -> None:
    with pytest.raises(BadWebhook, match=reason):
        carriers[carrier].call(Webhook("https://x", {}, body))


def test_numbers_are_kept_clean_and_short(carriers: dict[str, Carrier]) -> None:
    body = b"CallSid=C1&From=%2B1%00%0A500&To=" + b"9" * 500
    got = carriers["telnyx"].call(Webhook("https://x", {}, body))
    assert got == CarrierCall("telnyx", "C1", "+1500", "9" * 64)
    missing = carriers["vonage"].call(Webhook("https://x", {}, b'{"uuid": "C1", "from": 5}'))
    assert missing == CarrierCall("vonage", "C1", "", "")


def test_the_api_is_used_where_its_key_is_set(tmp_path: Path, carriers: dict[str, Carrier]) -> None:
    more = FILE + 'telnyx_api_key = "telnyx-key"\nplivo_auth_id = "MAXXXX"\n'
    with_keys = open_carriers(config_of(tmp_path, more).carriers)
    for name, start in (
        ("telnyx", {"event": "start", "stream_id": "S"}),
        ("plivo", {"event": "start", "start": {"streamId": "S"}}),
    ):
        for opened, hangs_up in ((carriers, False), (with_keys, True)):
            serializer = opened[name].begin(start, call(name))
            assert serializer is not None
            assert serializer._params.auto_hang_up is hangs_up  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'twilio_auth_token = "twilio-token"',
            "`public_url` in [carriers] is not set, and a carrier's key is",
        ),
        ('public_url = "phone.example.com"', "`public_url` in [carriers] must be like"),
        ('public_url = "https://phone.example.com/?x=1"', "`public_url` in [carriers] must be"),
        ('twilio_auth_token = ""', "`twilio_auth_token` in [carriers]"),
        ('twilio_auth_token = "short"', "`twilio_auth_token` in [carriers]"),
        (
            'public_url = "https://x.example"\ntelnyx_public_key = "AAAA"',
            "`telnyx_public_key` in [carriers] is no Ed25519 public key of 32 bytes in base64; "
            "copy it from Telnyx's portal",
        ),
        (
            'numbers = { "+15005550001" = "sales" }',
            "`numbers` in [carriers] names the profile 'sales', which is none",
        ),
        ('telnyx_api_key = "telnyx-key"', "`telnyx_api_key` in [carriers] does nothing without"),
        ('plivo_auth_id = "MAXXXX"', "`plivo_auth_id` in [carriers] does nothing without"),
    ],
)
def test_settings_that_cannot_work_are_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, f"[carriers]\n{text}")
    assert message in str(caught.value)
    assert "twilio-token" not in str(caught.value)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    config = config_of(tmp_path, FILE)
    for secret in ("twilio-token", "plivo-token", "vonage-secret"):
        assert secret not in repr(config.carriers)
