"""The edge's services in docker-compose.yml: what they run works outside Docker."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EDGE = ROOT / "telephony" / "edge"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
LIMIT_S = 30
GIVEN = {
    "EDGE_ADDRESS": "127.0.0.1",
    "EDGE_MEDIA": "127.0.0.1!203.0.113.9",
    "TURN_SECRET": "a secret for this test alone",
    "TURN_ADDRESS": "127.0.0.1",
}


def need(program: str, package: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install {package}")


def filled_in(text: str, folder: Path) -> str:
    """Compose's variables given, and the container's folders replaced by this machine's."""

    def value(found: re.Match[str]) -> str:
        if found[1] in GIVEN:
            return GIVEN[found[1]]
        assert found[2] == "-", f"{found[1]} must be given"
        return found[3]

    own = VARIABLE.sub(value, text).replace("/opt/edge/", f"{EDGE}/")
    return re.sub(r"^((?:unix:)?)/edge(?=/|$)", rf"\g<1>{folder}", own)


def free_port() -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[Path]:
    log = folder.parent / f"{Path(command[0]).name}.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, env={**os.environ, **environ}, cwd=folder, stdout=out, stderr=out
        )
    try:
        yield log
        assert child.poll() is None, log.read_text()[-3000:]
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)


def asked(port: int, request: bytes) -> bytes:
    """The first answer to ``request``, asked until there is one."""
    with socket.socket(type=socket.SOCK_DGRAM) as line:
        line.settimeout(0.25)
        line.bind(("127.0.0.1", 0))
        for _ in range(LIMIT_S * 4):
            line.sendto(
                request.replace(b"PORT", b"%d" % line.getsockname()[1]), ("127.0.0.1", port)
            )
            try:
                return line.recv(4000)
            except OSError:
                continue
    raise AssertionError(f"no answer on port {port} within {LIMIT_S} s")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The volume as the image's Dockerfile fills it."""
    assert "COPY --chown=offhook:offhook telephony/edge/folder /edge" in dockerfile()
    return Path(shutil.copytree(EDGE / "folder", tmp_path / "edge"))


def dockerfile() -> str:
    return (EDGE / "Dockerfile").read_text()


def test_the_edge_comes_up_with_the_services_own_commands(folder: Path) -> None:
    need("kamailio", "kamailio kamailio-tls-modules")
    need("rtpengine", "rtpengine-daemon")
    ng_port, port = free_port(), free_port()
    signalling, media = SERVICES["edge-signalling"], SERVICES["edge-media"]
    environ = {
        **{name: filled_in(value, folder) for name, value in signalling["environment"].items()},
        "EDGE_PORT": str(port),
        "EDGE_INTERNAL_PORT": str(free_port()),
        "EDGE_RTPENGINE": f"udp:127.0.0.1:{ng_port}",
    }
    with ExitStack() as stack:
        of_media = [filled_in(word, folder) for word in media["command"]]
        stack.enter_context(running([*of_media, f"--listen-ng=127.0.0.1:{ng_port}"], {}, folder))
        assert b"pong" in asked(ng_port, b"1 d7:command4:pinge")
        of_signalling = [filled_in(word, folder) for word in signalling["command"]]
        stack.enter_context(running(of_signalling, environ, folder))
        request = (
            b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bK1\r\n"
            b"From: <sip:a@b>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
            b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        assert asked(port, request).startswith(b"SIP/2.0 200 OK")
        kind, *check = signalling["healthcheck"]["test"]
        assert kind == "CMD"
        words = [filled_in(word, folder) for word in check]
        healthy = subprocess.run(words, capture_output=True, timeout=LIMIT_S)
        assert healthy.returncode == 0, healthy.stderr
    assert subprocess.run(words, capture_output=True, timeout=LIMIT_S).returncode != 0


def test_the_relay_comes_up_with_the_services_own_command(folder: Path) -> None:
    need("turnserver", "coturn")
    port = free_port()
    command = [filled_in(word, folder) for word in SERVICES["turn"]["command"]]
    command = [
        f"--listening-port={port}" if word.startswith("--listening-port=") else word
        for word in command
    ]
    own = ["--listening-ip=127.0.0.1", f"--userdb={folder / 'turn.db'}", f"--pidfile={folder}/pid"]
    with running([*command, *own], {}, folder):
        # A STUN binding request (RFC 5389) and its success response.
        answer = asked(port, bytes.fromhex("000100002112a442") + b"twelve bytes")
        assert answer[:2] == b"\x01\x01" and answer[8:20] == b"twelve bytes"


def test_the_image_holds_what_the_commands_name() -> None:
    copied = re.sub(r"\\\n\s*", "", dockerfile())
    for name in ("kamailio.cfg", "admission.cfg", "calls.cfg", "rtpengine.conf"):
        assert f"telephony/edge/{name}" in copied
        assert (EDGE / name).is_file()
    assert "USER offhook" in copied.splitlines()


def test_the_workers_are_watched_and_given_time_to_finish() -> None:
    workers = SERVICES["edge-workers"]
    assert workers["command"][:3] == ["offhook", "serve", "--workers"]
    assert workers["environment"]["OFFHOOK_WORKERS__EDGE"] == "/edge"
    drain_s = float(workers["environment"]["OFFHOOK_CALLS__DRAIN_S"])
    assert float(workers["stop_grace_period"].removesuffix("s")) > drain_s + 15
    (mounted,) = {v for v in workers["volumes"] if v.endswith(":/edge")}
    assert mounted in SERVICES["edge-signalling"]["volumes"]


def test_the_workers_health_check_reads_the_status_file(tmp_path: Path) -> None:
    kind, *check = SERVICES["edge-workers"]["healthcheck"]["test"]
    assert kind == "CMD"
    environ = {**os.environ, "OFFHOOK_RECORDS__PATH": str(tmp_path / "calls.sqlite3")}
    for content, healthy in (('{"serving": 2}', True), ('{"serving": 0}', False), ("", False)):
        (tmp_path / "workers.json").write_text(content)
        done = subprocess.run(check, env=environ, capture_output=True, timeout=LIMIT_S)
        assert (done.returncode == 0) is healthy
