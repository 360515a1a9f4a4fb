"""sipp as the called side, one scenario a call, and RTP on a plain socket beside it."""

import asyncio
import contextlib
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

LIMIT_S = 15.0
_ECHOED = "[last_Via:]\n[last_From:]\n[last_To:];tag=far\n[last_Call-ID:]\n[last_CSeq:]\n"
_IN_DIALOG = "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n"
_CONTACT = "Contact: <sip:far@[local_ip]:[local_port];transport=[transport]>\n"


def need(binary: str, package: str) -> str:
    """The path of a program; skips where its Debian package is not installed."""
    found = shutil.which(binary)
    if found is None:
        pytest.skip(f"{binary} is not here: apt-get install {package}")
    return found


def sdp(port: int, *, types: str = "0 101", direction: str = "sendrecv") -> str:
    """An audio description of the far end."""
    return (
        "v=0\no=far 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {port} RTP/AVP {types}\na=rtpmap:101 telephone-event/8000\na={direction}\n"
    )


def expect(method: str, action: str = "", *, optional: bool = False) -> str:
    """Waits for a request."""
    inner = f"<action>{action}</action>" if action else ""
    return f'<recv request="{method}" optional="{str(optional).lower()}">{inner}</recv>'


def expect_status(status: int) -> str:
    """Waits for a response."""
    return f'<recv response="{status}"/>'


def answer(status: str, *headers: str, body: str = "", first: bool = True) -> str:
    """Answers the last request; ``first``: the INVITE, whose To has no tag yet."""
    echoed = _ECHOED if first else _IN_DIALOG
    return _send(f"SIP/2.0 {status}\n{echoed}{_CONTACT}", headers, body, "application/sdp")


def request(method: str, number: int, *headers: str, body: str = "") -> str:
    """A request of the far end inside the call."""
    lines = (
        f"{method} sip:bench@[remote_ip]:[remote_port] SIP/2.0\n"
        f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK-far-{number}\n"
        "From: <sip:agent@127.0.0.1>;tag=far\nTo: [$caller]\n[last_Call-ID:]\n"
        f"CSeq: {number} {method}\nMax-Forwards: 70\n{_CONTACT}"
    )
    return _send(lines, headers, body, "application/sdp")


def invited() -> str:
    """Waits for the INVITE, and keeps who calls."""
    keep = '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="caller"/>'
    return expect("INVITE", keep)


def pause(milliseconds: int) -> str:
    """Waits."""
    return f'<pause milliseconds="{milliseconds}"/>'


def _send(head: str, headers: tuple[str, ...], body: str, kind: str) -> str:
    extra = "".join(f"{line}\n" for line in headers)
    content = f"Content-Type: {kind}\n" if body else ""
    message = f"{head}{extra}{content}Content-Length: [len]\n\n{body}"
    return f"<send><![CDATA[\n{message}\n]]></send>"


@contextlib.asynccontextmanager
async def far_end(*steps: str, transport: str = "udp") -> AsyncIterator[str]:
    """sipp, playing ``steps`` to one caller; yields its address.

    Leaving waits for its end, and fails where the caller did not do what the steps expect.
    """
    program = need("sipp", "sip-tester")
    text = '<?xml version="1.0"?>\n<scenario name="far end">\n' + "\n".join(steps)
    text += '\n<Reference variables="caller"/>\n</scenario>\n'
    if "$caller" not in text and 'assign_to="caller"' not in text:
        text = text.replace('<Reference variables="caller"/>\n', "")
    with tempfile.TemporaryDirectory(prefix="bench-sipp-") as folder:
        script = Path(folder) / "far.xml"
        script.write_text(text)
        port = _free_port()
        errors = Path(folder) / "errors.log"
        child = await asyncio.create_subprocess_exec(
            *(program, "127.0.0.1", "-sf", str(script), "-i", "127.0.0.1", "-p", str(port)),
            *("-t", "t1" if transport == "tcp" else "u1", "-m", "1", "-nostdin"),
            *("-timeout", f"{LIMIT_S:g}s", "-timeout_error", "-trace_err"),
            *("-error_file", str(errors)),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                while not _taken(port, transport):
                    assert child.returncode is None, "sipp did not start"
                    await asyncio.sleep(0.02)
                yield f"sip:agent@127.0.0.1:{port}" + (
                    ";transport=tcp" if transport == "tcp" else ""
                )
            async with asyncio.timeout(LIMIT_S):
                status = await child.wait()
            said = errors.read_text(errors="replace") if errors.exists() else ""
            assert status == 0, f"sipp: {status} {said[-3000:]}"
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _taken(port: int, transport: str) -> bool:
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


@dataclass
class RtpFarEnd:
    """Keeps what arrives, and answers each packet with one of its own."""

    payload_type: int = 0
    port: int = 0
    packets: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def rtp_far_end(payload_type: int = 0, payload: bytes = b"\xff" * 160) -> Iterator[RtpFarEnd]:
    """RTP beside sipp: as many packets back as come, with this payload."""
    found = RtpFarEnd(payload_type)
    stopped = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        line.settimeout(0.1)
        found.port = line.getsockname()[1]

        def serve() -> None:
            count = 0
            while not stopped.is_set():
                try:
                    data, source = line.recvfrom(2048)
                except (TimeoutError, ConnectionRefusedError):
                    continue
                found.packets.append(data)
                head = struct.pack("!BBHII", 0x80, payload_type, count & 0xFFFF, count * 160, 7)
                line.sendto(head + payload, source)
                count += 1

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            stopped.set()
            thread.join(5)
