"""Calls placed over HTTP and really dialled: the SIP stack on one side, sipp on the other."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sipp_script
from sip_peers import LIMIT_S, free_port, need
from sipp_script import Callee, Caller, digest_is_right

NUMBER = "+15557654321"
PASSWORD = "correct horse"


class Subject:
    """The box in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", trunk_port: int) -> None:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        self.trunk_port, self.sip_port = trunk_port, ports["sip"]
        self.http = httpx2.Client(
            base_url=f"http://127.0.0.1:{ports['http']}", timeout=LIMIT_S, trust_env=False
        )

    def place(self, path: str = "/v1/calls", **fields: object) -> dict[str, Any]:
        response = self.http.post(path, json={"to": NUMBER, "trunk": "carrier", **fields})
        assert response.status_code == 201, response.text
        body: dict[str, Any] = response.json()
        return body

    def until(self, call: dict[str, Any], key: str, value: object) -> dict[str, Any]:
        until_s = time.monotonic() + LIMIT_S
        while call[key] != value:
            assert time.monotonic() < until_s, call
            time.sleep(0.05)
            call = self.http.get(f"/v1/calls/{call['call_id']}").json()
        return call

    def hang_up(self, call: dict[str, Any]) -> None:
        assert self.http.delete(f"/v1/calls/{call['call_id']}").status_code == 202


@contextmanager
def serving(folder: Path, trunk_port: int) -> Iterator[Subject]:
    need("sipp", "sip-tester")
    settings = folder / "offhook.toml"
    settings.write_text(
        f"""
        [server]
        port = 0
        [sip]
        port = 0
        codecs = ["pcmu"]
        [records]
        path = "{folder}/calls.sqlite3"
        [trunks.carrier]
        host = "127.0.0.1:{trunk_port}"
        username = "trunk-user"
        allow = ["127.0.0.1"]
        numbers = {{ "+15550002222" = "sales" }}
        caller_id = "+15550002222"
        destinations = ["+1"]
        calls_per_minute = 600
        [profiles.sales]
        name = "Ada"
        """
    )
    with (folder / "log").open("w") as log_file:
        process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("phone_subject.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "OFFHOOK_CONFIG": str(settings),
                "OFFHOOK_TRUNKS__CARRIER__PASSWORD": PASSWORD,
            },
        )
    try:
        subject = Subject(process, trunk_port)
        with subject.http:
            yield subject
        # Closes its input, which ends it.
        output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0 and json.loads(output) == {"box": 0}
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=LIMIT_S)
        log = (folder / "log").read_text()
        sys.stderr.write(log)
        assert PASSWORD not in log


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with serving(tmp_path_factory.mktemp("box"), free_port()) as subject:
        yield subject


def test_a_call_over_a_trunk_is_answered_and_hung_up(box: Subject) -> None:
    steps = Callee().expect("INVITE")
    steps.reply(
        "407 Proxy Authentication Required",
        'Proxy-Authenticate: Digest realm="trunk", nonce="4711abcd", algorithm=MD5',
    )
    steps.expect("ACK").accept()
    peer = sipp_script.run(steps.expect("BYE").ok(), port=box.trunk_port)
    call = box.until(box.place(), "state", "answered")
    assert (call["outcome"], call["status"], call["trunk"]) == ("answered", 200, "carrier")
    box.hang_up(call)
    peer.finish()
    assert box.until(call, "state", "ended")["cause"] == "agent hung up"
    _, invite = peer.received("INVITE")
    assert invite.startswith(f"INVITE sip:{NUMBER}@127.0.0.1:{box.trunk_port}")
    # The number to show is in From, which is what carriers read; the name is for the digest.
    assert re.search(r"^From: .*<sip:\+15550002222@", invite, re.M)
    assert re.search(r"^P-Preferred-Identity: <sip:\+15550002222@[^<>]*>\r?$", invite, re.M)
    assert 'username="trunk-user"' in invite and digest_is_right(invite, PASSWORD)


@pytest.mark.parametrize(
    ("status", "outcome"), [("486 Busy Here", "busy"), ("603 Decline", "rejected")]
)
def test_a_call_that_is_turned_down(box: Subject, status: str, outcome: str) -> None:
    peer = sipp_script.run(
        Callee().expect("INVITE").reply(status).expect("ACK"), port=box.trunk_port
    )
    call = box.place("/v1/calls?wait=true")
    peer.finish()
    assert (call["state"], call["outcome"]) == ("ended", outcome)
    assert call["status"] == int(status[:3]) and status in call["reason"]


def test_a_call_that_rings_is_given_up_with_a_cancel(box: Subject) -> None:
    steps = Callee().expect("INVITE").reply("180 Ringing").expect("CANCEL").ok()
    peer = sipp_script.run(steps, port=box.trunk_port)
    call = box.place()
    until_s = time.monotonic() + LIMIT_S
    while "180 Ringing" not in peer.messages():
        assert time.monotonic() < until_s
        time.sleep(0.02)
    box.hang_up(call)
    assert box.until(call, "state", "ended")["outcome"] == "no answer"
    peer.finish()


def test_a_straight_call_that_the_far_end_ends(box: Subject) -> None:
    steps = Callee().accept().pause(200)
    steps.request("BYE", 2).expect(200)
    peer = sipp_script.run(steps)
    call = box.place(to=f"sip:joe@127.0.0.1:{peer.port}", trunk="")
    call = box.until(call, "state", "ended")
    peer.finish()
    assert (call["outcome"], call["cause"]) == ("answered", "caller hung up")
    (invite,) = peer.received("INVITE")
    assert invite.startswith(f"INVITE sip:joe@127.0.0.1:{peer.port}")


def test_only_the_trunks_numbers_are_answered(box: Subject) -> None:
    own = Caller("+15550002222").call().bye()
    other = Caller("+15550009999").invite(sipp_script.sdp())
    other.expect(100, optional=True).expect(180, optional=True).expect(404).ack()
    for steps in (own, other):
        sipp_script.run(steps, box.sip_port).finish()
