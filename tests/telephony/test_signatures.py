"""Carriers' signatures: their published examples, results of their own SDKs, and forgeries.

The vectors that no document gives were made with twilio 9.13, plivo 4.63, telnyx 4.189 (PyNaCl)
and vonage-jwt 1.1.5 (PyJWT), and are checked here against our own reading of the documents.
"""

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.signatures import (
    TOLERANCE_S,
    BadSignature,
    check_plivo,
    check_telnyx,
    check_twilio,
    check_vonage,
    telnyx_key,
)

NOW_S = 1767225600.0

TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FIELDS = [
    ("To", "+18005551212"),
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+12349013030"),
    ("Caller", "+12349013030"),
]
TWILIO_SIGNATURE = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
"""The example of Twilio's page on the security of webhooks."""
NAMES = [
    ("CallSid", "CA0123456789abcdef0123456789abcdef"),
    ("From", "+15005550006"),
    ("To", "+15005550001"),
    ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
    ("CallerName", "Jörg Müller"),
    ("Direction", "inbound"),
]
TWILIO_ANSWER = "https://phone.example.com/carriers/twilio/answer"


def test_twilio_documented_example() -> None:
    check_twilio("12345", TWILIO_URL, TWILIO_FIELDS, TWILIO_SIGNATURE)


def test_twilio_older_documented_example() -> None:
    caller = [("From", "+14158675309"), ("Caller", "+14158675309")]
    fields = [field for field in TWILIO_FIELDS if field[0] not in ("From", "Caller")] + caller
    check_twilio("12345", TWILIO_URL, fields, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")


@pytest.mark.parametrize(
    "signature", ["wREeU0awtIRQkPijTyDXbSFATS8=", "FO1964I+BIq1f68RUDuWxQ3bHgI="]
)
@pytest.mark.parametrize(
    "url", [TWILIO_ANSWER, "https://phone.example.com:443/carriers/twilio/answer"]
)
def test_twilio_may_sign_the_url_with_or_without_its_port(url: str, signature: str) -> None:
    check_twilio("12345", url, NAMES, signature)


@pytest.mark.parametrize(
    ("token", "url", "fields", "signature", "reason"),
    [
        ("12346", TWILIO_URL, TWILIO_FIELDS, TWILIO_SIGNATURE, "does not match"),
        ("12345", TWILIO_URL + "&x=1", TWILIO_FIELDS, TWILIO_SIGNATURE, "does not match"),
        ("12345", TWILIO_URL, TWILIO_FIELDS[1:], TWILIO_SIGNATURE, "does not match"),
        ("12345", TWILIO_URL, [*TWILIO_FIELDS, ("x", "")], TWILIO_SIGNATURE, "does not match"),
        ("12345", TWILIO_URL, TWILIO_FIELDS, TWILIO_SIGNATURE[:-2] + "R=", "does not match"),
        ("12345", TWILIO_URL, TWILIO_FIELDS, "not base64 é", "does not match"),
        ("12345", TWILIO_URL, TWILIO_FIELDS, "", "there is no X-Twilio-Signature"),
    ],
)
def test_twilio_forgeries(
    token: str, url: str, fields: list[tuple[str, str]], signature: str, reason: str
) -> None:
    with pytest.raises(BadSignature, match=reason):
        check_twilio(token, url, fields, signature)


PLIVO_URL = "https://phone.example.com/carriers/plivo/answer"
PLIVO_TOKEN = "plivo-auth-token"
PLIVO_NONCE = "12345678901234567890"
PLIVO_FIELDS = [
    ("From", "15005550006"),
    ("To", "15005550001"),
    ("CallUUID", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ("Direction", "inbound"),
    ("Event", "StartApp"),
    ("CallerName", "Jörg Müller"),
]
PLIVO_SIGNATURE = "3mgb7cxhporRb4tq0zTzCkE8ewBbfL/QaW3ifsJHovc="


@pytest.mark.parametrize(
    ("url", "fields", "nonce", "signature"),
    [
        (PLIVO_URL, PLIVO_FIELDS, PLIVO_NONCE, PLIVO_SIGNATURE),
        (
            PLIVO_URL + "?b=2&a=one%20two",
            PLIVO_FIELDS,
            PLIVO_NONCE,
            "XzIXb1XZtpkU2xpa/ZmrG4LwFWbTXm55QLlZXZBkL9E=",
        ),
        (PLIVO_URL, [], PLIVO_NONCE, "oVvjn+mP821yKRPivcyjC5TI3dQy1e8rYY2wBO+8XVM="),
        (
            PLIVO_URL + "?b=2&a=one%20two",
            [],
            PLIVO_NONCE,
            "X2WaN7uBWJpSmDHg7HDqlUFqke3H0ZS9zg1nVwbU/SQ=",
        ),
        (
            PLIVO_URL,
            [("From", "1"), ("Tag", "b"), ("Tag", "a")],
            "777",
            "4YuPxuEgS6DLcJPvjUoXnQwaCD7VD0kbNFa6IxBxnLw=",
        ),
        (PLIVO_URL, PLIVO_FIELDS, PLIVO_NONCE, f"b3RoZXI=, {PLIVO_SIGNATURE}"),
    ],
)
def test_plivo_signs_as_its_sdk_does(
    url: str, fields: list[tuple[str, str]], nonce: str, signature: str
) -> None:
    check_plivo(PLIVO_TOKEN, url, fields, nonce, signature)


@pytest.mark.parametrize(
    ("token", "url", "fields", "nonce", "signature", "reason"),
    [
        ("plivo", PLIVO_URL, PLIVO_FIELDS, PLIVO_NONCE, PLIVO_SIGNATURE, "does not match"),
        (PLIVO_TOKEN, PLIVO_URL + "2", PLIVO_FIELDS, PLIVO_NONCE, PLIVO_SIGNATURE, "not match"),
        (PLIVO_TOKEN, PLIVO_URL, PLIVO_FIELDS[1:], PLIVO_NONCE, PLIVO_SIGNATURE, "not match"),
        (PLIVO_TOKEN, PLIVO_URL, PLIVO_FIELDS, "1" + PLIVO_NONCE, PLIVO_SIGNATURE, "not match"),
        (PLIVO_TOKEN, PLIVO_URL, PLIVO_FIELDS, "", PLIVO_SIGNATURE, "no X-Plivo-Signature-V3-N"),
        (PLIVO_TOKEN, PLIVO_URL, PLIVO_FIELDS, PLIVO_NONCE, "", "there is no X-Plivo-Sig"),
        (PLIVO_TOKEN, PLIVO_URL, PLIVO_FIELDS, PLIVO_NONCE, ",,", "does not match"),
    ],
)
def test_plivo_forgeries(
    token: str,
    url: str,
    fields: list[tuple[str, str]],
    nonce: str,
    signature: str,
    reason: str,
) -> None:
    with pytest.raises(BadSignature, match=reason):
        check_plivo(token, url, fields, nonce, signature)


TELNYX_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
TELNYX_BODY = b"CallSid=v3%3Aabc&From=%2B15005550006&To=%2B15005550001"
TELNYX_TIME = "1767225600"
TELNYX_SIGNATURE = (
    "e3GQyNSHYwu7SCfuNQP+q7533sS3qQfI0KeRo4HggVUkGrSwTYTSoIyBZ8M3qBkVac0RixZzBhYv848eAeU0DQ=="
)
OTHER_KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize("skew_s", [0.0, TOLERANCE_S, -TOLERANCE_S])
def test_telnyx_signs_as_its_sdk_does(skew_s: float) -> None:
    check_telnyx(TELNYX_KEY, TELNYX_BODY, TELNYX_TIME, TELNYX_SIGNATURE, NOW_S + skew_s)


@pytest.mark.parametrize(
    ("key", "body", "time", "signature", "now_s", "reason"),
    [
        (OTHER_KEY, TELNYX_BODY, TELNYX_TIME, TELNYX_SIGNATURE, NOW_S, "does not match"),
        (TELNYX_KEY, TELNYX_BODY + b"&", TELNYX_TIME, TELNYX_SIGNATURE, NOW_S, "does not match"),
        (TELNYX_KEY, TELNYX_BODY, "1767225601", TELNYX_SIGNATURE, NOW_S, "does not match"),
        (TELNYX_KEY, TELNYX_BODY, TELNYX_TIME, "e3GQ", NOW_S, "does not match"),
        (TELNYX_KEY, TELNYX_BODY, TELNYX_TIME, "é", NOW_S, "does not match"),
        (TELNYX_KEY, TELNYX_BODY, TELNYX_TIME, TELNYX_SIGNATURE, NOW_S + 301, "more than 300 s"),
        (TELNYX_KEY, TELNYX_BODY, TELNYX_TIME, TELNYX_SIGNATURE, NOW_S - 301, "more than 300 s"),
        (TELNYX_KEY, TELNYX_BODY, "", TELNYX_SIGNATURE, NOW_S, "there is no telnyx-timestamp"),
        (TELNYX_KEY, TELNYX_BODY, TELNYX_TIME, "", NOW_S, "there is no telnyx-signature"),
        (TELNYX_KEY, TELNYX_BODY, "nan", TELNYX_SIGNATURE, NOW_S, "not a number of seconds"),
        (TELNYX_KEY, TELNYX_BODY, "9" * 400, TELNYX_SIGNATURE, NOW_S, "not a number of seconds"),
    ],
)
def test_telnyx_forgeries(
    key: str, body: bytes, time: str, signature: str, now_s: float, reason: str
) -> None:
    with pytest.raises(BadSignature, match=reason):
        check_telnyx(key, body, time, signature, now_s)


@pytest.mark.parametrize("key", ["", "AAAA", "not base64", "é" * 44])
def test_a_telnyx_key_that_is_none_is_named(key: str) -> None:
    with pytest.raises(ValueError, match="Ed25519 public key of 32 bytes"):
        telnyx_key(key)


VONAGE_SECRET = "vonage-signature-secret-of-32-bytes!"
VONAGE_BODY = (
    b'{"from":"15005550006","to":"15005550001","uuid":"aaaaaaaa-bbbb-cccc-dddd-0123456789ab",'
    b'"conversation_uuid":"CON-aaaaaaaa-bbbb-cccc-dddd-0123456789ab"}'
)
VONAGE_TOKEN = (
    "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJpYXQiOjE3NjcyMjU2MDAsImp0aSI6ImM1YmE4ZjI0LTFhMTQtNGMxMC1iZmRmLTNmYmU4Y2U1MTFiNSIsImlzcy"
    "I6IlZvbmFnZSIsInBheWxvYWRfaGFzaCI6IjllZWQ2YWRhYjVkOGQ0OGZiNTlhNmRiMmRlMjdjODMwMWNlM2IyZjFi"
    "ZWI4ZWFkODliNDYxMjk5NWRlOTE2NjMiLCJhcGlfa2V5IjoiYTFiMmMzZCIsImFwcGxpY2F0aW9uX2lkIjoiYWFhYW"
    "FhYWEtYmJiYi1jY2NjLWRkZGQtMDEyMzQ1Njc4OWFiIn0."
    "6eeytvpQBcPlJYPjd2gwvYgYZzKRmNNiP9P-uiebkho"
)


def vonage_token(secret: str = VONAGE_SECRET, alg: str = "HS256", **claims: object) -> str:
    """A token of our own making; a claim of None is left out."""
    said: dict[str, object] = {
        "iat": NOW_S,
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(VONAGE_BODY).hexdigest(),
        **claims,
    }
    kept = {name: value for name, value in said.items() if value is not None}

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    signed = f"{part(json.dumps({'alg': alg}).encode())}.{part(json.dumps(kept).encode())}"
    return f"Bearer {signed}.{part(hmac.digest(secret.encode(), signed.encode(), 'sha256'))}"


def test_vonage_signs_as_its_sdk_verifies() -> None:
    check_vonage(VONAGE_SECRET, VONAGE_TOKEN, VONAGE_BODY, NOW_S + TOLERANCE_S)
    check_vonage(VONAGE_SECRET, vonage_token(), VONAGE_BODY, NOW_S)


@pytest.mark.parametrize(
    ("secret", "authorization", "body", "now_s", "reason"),
    [
        ("another", VONAGE_TOKEN, VONAGE_BODY, NOW_S, "signature does not match"),
        (VONAGE_SECRET, VONAGE_TOKEN[:-4] + "AAAA", VONAGE_BODY, NOW_S, "signature does not match"),
        (VONAGE_SECRET, VONAGE_TOKEN, VONAGE_BODY + b" ", NOW_S, "the body is not the one"),
        (VONAGE_SECRET, VONAGE_TOKEN, VONAGE_BODY, NOW_S + 301, "more than 300 s"),
        (VONAGE_SECRET, VONAGE_TOKEN, VONAGE_BODY, NOW_S - 301, "more than 300 s"),
        (VONAGE_SECRET, "", VONAGE_BODY, NOW_S, "there is no signed token"),
        (VONAGE_SECRET, VONAGE_TOKEN[7:], VONAGE_BODY, NOW_S, "there is no signed token"),
        (VONAGE_SECRET, "Basic YTpi", VONAGE_BODY, NOW_S, "there is no signed token"),
        (VONAGE_SECRET, "Bearer a.b", VONAGE_BODY, NOW_S, "there is no signed token"),
        (VONAGE_SECRET, "Bearer a.b.é", VONAGE_BODY, NOW_S, "no JSON Web Token"),
        (VONAGE_SECRET, vonage_token(alg="none"), VONAGE_BODY, NOW_S, "not signed with HS256"),
        (VONAGE_SECRET, vonage_token(iss="Other"), VONAGE_BODY, NOW_S, "not issued by Vonage"),
        (VONAGE_SECRET, vonage_token(iat=None), VONAGE_BODY, NOW_S, "when it was issued"),
        (VONAGE_SECRET, vonage_token(iat=True), VONAGE_BODY, NOW_S, "when it was issued"),
        (VONAGE_SECRET, vonage_token(iat=float("nan")), VONAGE_BODY, NOW_S, "more than 300 s"),
        (VONAGE_SECRET, vonage_token(payload_hash=None), VONAGE_BODY, NOW_S, "bind the body"),
    ],
)
def test_vonage_forgeries(
    secret: str, authorization: str, body: bytes, now_s: float, reason: str
) -> None:
    with pytest.raises(BadSignature, match=reason):
        check_vonage(secret, authorization, body, now_s)


def test_a_vonage_token_without_a_signature_is_refused() -> None:
    header, claims, _ = vonage_token(alg="none").split(".")
    with pytest.raises(BadSignature):
        check_vonage(VONAGE_SECRET, f"{header}.{claims}.", VONAGE_BODY, NOW_S)


@given(st.text(max_size=80), st.text(max_size=80), st.binary(max_size=80))
def test_whatever_is_sent_is_refused_in_words(one: str, other: str, body: bytes) -> None:
    fields = [(one, other)]
    for check in (
        lambda: check_twilio("token", TWILIO_URL, fields, one),
        lambda: check_plivo("token", TWILIO_URL, fields, one, other),
        lambda: check_telnyx(TELNYX_KEY, body, one, other, NOW_S),
        lambda: check_vonage("secret", f"Bearer {one}.{other}.x", body, NOW_S),
    ):
        with pytest.raises(BadSignature):
            check()
