"""Offers and answers of audio, without a network."""

import base64

import pytest

from latency_bench.sip.codec import FORMATS
from latency_bench.sip.sdp import SUITE, LocalMedia, agreed_types, parse_media

HEAD = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"


def test_an_offer_is_read_back_as_it_was_meant() -> None:
    offer = LocalMedia("127.0.0.1", 4010, FORMATS["opus"]).offer()
    media = parse_media(offer)
    assert media is not None
    assert (media.host, media.port, media.held, media.secure) == ("127.0.0.1", 4010, False, False)
    assert media.maps[96] == "OPUS/48000/2"
    agreed = agreed_types(media, FORMATS["opus"])
    assert agreed is not None
    assert (agreed.payload_type, agreed.event_clock_hz) == (96, 48_000)
    assert agreed_types(media, FORMATS["pcmu"]) is None


@pytest.mark.parametrize("name", FORMATS)
def test_each_codec_is_offered_alone(name: str) -> None:
    media = parse_media(LocalMedia("127.0.0.1", 4010, FORMATS[name]).offer())
    assert media is not None
    assert [n for n in FORMATS if agreed_types(media, FORMATS[n])] == [name]


def test_static_types_need_no_map_and_the_media_lines_own_address_counts() -> None:
    body = HEAD + "m=audio 4000 RTP/AVP 8 13\r\nc=IN IP4 10.0.0.2\r\n"
    media = parse_media(body)
    assert media is not None and media.host == "10.0.0.2"
    agreed = agreed_types(media, FORMATS["pcma"])
    assert agreed is not None
    assert (agreed.payload_type, agreed.event_type, agreed.noise_types) == (8, None, {13})


def test_the_far_ends_own_numbers_are_used() -> None:
    body = HEAD + (
        "m=audio 4000 RTP/AVP 111 110\r\na=rtpmap:111 OPUS/48000/2\r\n"
        "a=rtpmap:110 telephone-event/8000\r\n"
    )
    media = parse_media(body)
    assert media is not None
    agreed = agreed_types(media, FORMATS["opus"])
    assert agreed is not None
    assert (agreed.payload_type, agreed.event_type, agreed.event_clock_hz) == (111, 110, 8000)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("sendonly", "recvonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")],
)
def test_hold_is_mirrored_and_other_lines_are_refused_in_their_places(
    theirs: str, ours: str
) -> None:
    body = HEAD + (
        f"m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0\r\na={theirs}\r\n"
        "m=image 6000 udptl t38\r\n"
    )
    media = parse_media(body)
    assert media is not None
    assert media.held == (theirs != "sendrecv")
    own = LocalMedia("127.0.0.1", 4010, FORMATS["pcmu"])
    agreed = agreed_types(media, own.form)
    assert agreed is not None
    answer = own.answer(media, agreed, 2)
    lines = [line for line in answer.split("\r\n") if line.startswith("m=")]
    assert lines == ["m=video 0 RTP/AVP 31", "m=audio 4010 RTP/AVP 0", "m=image 0 udptl t38"]
    assert f"a={ours}\r\n" in answer
    assert "o=- 1 2 " in answer


def test_the_old_way_of_holding() -> None:
    media = parse_media(
        HEAD.replace("c=IN IP4 10.0.0.1", "c=IN IP4 0.0.0.0") + "m=audio 1 RTP/AVP 0\r\n"
    )
    assert media is not None and media.held


def test_keys_go_both_ways() -> None:
    key = bytes(range(30))
    media = parse_media(LocalMedia("127.0.0.1", 4010, FORMATS["pcmu"], key).offer())
    assert media is not None
    assert (media.secure, media.key, media.crypto_tag) == (True, key, "1")
    short = base64.b64encode(b"short").decode()
    body = HEAD + f"m=audio 1 RTP/SAVP 0\r\na=crypto:1 {SUITE} inline:{short}\r\n"
    media = parse_media(body)
    assert media is not None and media.key is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "v=0",
        HEAD,
        HEAD + "m=video 1 RTP/AVP 31\r\n",
        "m=audio 4000 RTP/AVP 0\r\n",
        HEAD + "m=audio 99999 RTP/AVP 0\r\n",
        HEAD + "m=audio x RTP/AVP 0\r\n",
    ],
)
def test_a_description_without_audio_is_none(body: str) -> None:
    assert parse_media(body) is None
