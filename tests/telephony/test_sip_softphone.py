"""A real softphone against the SIP door: codecs, SRTP, transports, certificates."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import softphone
from sip_certificates import make_authority, make_certificate
from sip_peers import LIMIT_S, SubjectProcess, loudest_hz, running, tone_ratio_db
from softphone import SPOKEN_HZ, Softphone

RATES = {"pcmu": 8000, "pcma": 8000, "g722": 16000, "opus": 16000}
SECONDS = 2


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    ours = make_authority(folder, "ours")
    theirs = make_authority(folder, "theirs")
    make_certificate(folder, ours, "good", "DNS:localhost")
    make_certificate(folder, theirs, "foreign", "DNS:localhost")
    make_certificate(folder, ours, "other-host", "DNS:example.com")
    return folder


@pytest.fixture(scope="module")
def door(papers: Path) -> Iterator[SubjectProcess]:
    secure = {
        "name": "secure",
        "host": "127.0.0.1",
        "user": "offhook",
        "transport": "tls",
        "srtp": "required",
    }
    with running(
        tls_certificate=str(papers / "good.pem"),
        tls_ca=str(papers / "ours.pem"),
        accounts=[secure],
    ) as subject:
        yield subject


def assert_both_hear(
    door: SubjectProcess, call: str, phone: Softphone, rate_hz: int, *, least_db: float = 12
) -> None:
    """The softphone heard the door's tone, and the door what the softphone played."""
    phone.finish()
    answered = door.wait("answered", call=call)
    over = door.wait("over", call=call)
    assert answered["rate_hz"] == rate_hz
    assert over["hz"] == pytest.approx(SPOKEN_HZ, abs=5), phone.log()
    assert over["frames"] >= (SECONDS - 0.7) / 0.02
    pcm, recorded_hz = phone.recorded()
    pcm = pcm[-recorded_hz:]
    assert loudest_hz(pcm, recorded_hz) == pytest.approx(440, abs=3)
    assert tone_ratio_db(pcm, recorded_hz, 440) > least_db


def test_every_codec_both_ways_and_with_srtp(door: SubjectProcess) -> None:
    phones = {
        codec: softphone.start(codec, SECONDS, dial=f"sip:{codec}@127.0.0.1:{door.port}")
        for codec in RATES
    }
    phones["srtp"] = softphone.start(
        "pcmu",
        SECONDS,
        dial=f"sip:srtp@127.0.0.1:{door.port}",
        parameters="|;mediaenc=srtp-mand",
    )
    for call, phone in phones.items():
        assert_both_hear(door, call, phone, RATES.get(call, 8000))
    assert "SRTP" in phones["srtp"].log() or "srtp" in phones["srtp"].log()


def test_a_call_over_each_transport(door: SubjectProcess) -> None:
    # A user agent for UDP answers 404 to what comes over TLS: there is one for each transport.
    phones = {}
    for transport in ("udp", "tcp", "tls"):
        port = door.port + (transport == "tls")
        phones[transport] = softphone.start(
            "pcma",
            SECONDS,
            dial=f"sip:over-{transport}@127.0.0.1:{port};transport={transport}",
            parameters=f";transport={transport}",
        )
    for transport, phone in phones.items():
        assert_both_hear(door, f"over-{transport}", phone, 8000)


def test_srtp_required_refuses_plain_audio_and_off_refuses_encrypted() -> None:
    with running(srtp="required") as required, running(srtp="off") as off:
        phones = {
            (subject, call): softphone.start(
                "pcmu",
                SECONDS,
                dial=f"sip:{call}@127.0.0.1:{subject.port}",
                parameters=f"|;mediaenc={encryption}" if encryption else "",
            )
            for subject in (required, off)
            for call, encryption in (("plain", ""), ("encrypted", "srtp-mand"))
        }
        for subject, works, refused in (
            (required, "encrypted", "plain"),
            (off, "plain", "encrypted"),
        ):
            assert_both_hear(subject, works, phones[subject, works], 8000)
            log = phones[subject, refused].finish().log()
            assert "488" in log, log
            assert not subject.find("answered", call=refused)


def tls_phone(papers: Path, certificate: str) -> Softphone:
    """A softphone that takes calls over TLS, with SRTP only."""
    phone = softphone.start(
        "g722",
        SECONDS + 1,
        parameters=";transport=tls|;mediaenc=srtp-mand",
        config=f"sip_certificate {papers / certificate}\n",
    )
    until_s = time.monotonic() + LIMIT_S
    while time.monotonic() < until_s and phone.process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", phone.port + 1)) == 0:
                return phone
        time.sleep(0.02)
    raise AssertionError(phone.log())


def test_a_call_out_over_tls_verifies_the_certificate(door: SubjectProcess, papers: Path) -> None:
    phones = {name: tls_phone(papers, f"{name}.pem") for name in ("good", "foreign", "other-host")}
    for name, phone in phones.items():
        target = f"sip:bob@localhost:{phone.port + 1};transport=tls"
        door.do("dial", call=f"tls-{name}", target=target, trunk="secure")
    assert door.wait("dialled", call="tls-good")["outcome"] == "answered"
    for name in ("foreign", "other-host"):
        dialled = door.wait("dialled", call=f"tls-{name}")
        assert dialled["outcome"] == "failed", name
        assert "call established" not in phones[name].log().lower()
    assert_both_hear(door, "tls-good", phones["good"], 16000)


def test_a_trunk_over_tls_needs_no_certificate_but_a_name() -> None:
    trunk = {"name": "carrier", "host": "localhost", "user": "us", "transport": "tls"}
    with running(accounts=[trunk]) as subject, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        # Whoever answers there has no certificate of a known authority: nothing is said to it.
        subject.do(
            "dial", call="x", target=f"sip:x@localhost:{port};transport=tls", trunk="carrier"
        )
        connection, _ = server.accept()
        with connection:
            connection.settimeout(LIMIT_S)
            assert connection.recv(3)[:1] == b"\x16"
        assert subject.wait("dialled", call="x")["outcome"] in ("failed", "no answer")
        literal = f"sip:x@127.0.0.1:{port};transport=tls"
        subject.do("dial", call="literal", target=literal, trunk="carrier")
        assert "tls_ca" in subject.wait("dialled", call="literal")["reason"]
    unnamed = SubjectProcess(accounts=[trunk | {"host": "127.0.0.1:5061"}])
    assert "`carrier`" in unnamed.wait("error")["error"]
    assert unnamed.stop() == 0
