"""sipp scenarios, written as steps: sipp's XML has no way to share a message.

``Caller`` is sipp as the calling side, ``Callee`` as the called one; ``run`` starts sipp.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sip_peers import LIMIT_S, free_port, need


def sdp(
    port: int | str = "[media_port]",
    *,
    payloads: str = "0 101",
    maps: tuple[str, ...] = ("0 PCMU/8000", "101 telephone-event/8000"),
    direction: str = "sendrecv",
    version: int = 1,
    host: str = "127.0.0.1",
) -> str:
    """An audio offer or answer."""
    lines = [
        "v=0",
        f"o=sipp 5365 {version} IN IP4 127.0.0.1",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {payloads}",
        *(f"a=rtpmap:{line}" for line in maps),
        f"a={direction}",
    ]
    return "\n".join(lines) + "\n"


class _Steps:
    def __init__(self) -> None:
        self.steps: list[str] = []

    def pause(self, milliseconds: int) -> Self:
        self.steps.append(f'<pause milliseconds="{milliseconds}"/>')
        return self

    def expect(
        self,
        what: int | str,
        *,
        optional: bool = False,
        rrs: bool = False,
        auth: bool = False,
        timeout_ms: int = 0,
        actions: str = "",
    ) -> Self:
        """Waits for a status (a number) or a request (a word)."""
        kind = "response" if isinstance(what, int) else "request"
        extra = f' timeout="{timeout_ms}"' if timeout_ms else ""
        extra += ' optional="true"' if optional else ""
        extra += ' rrs="true"' if rrs else ""
        extra += ' auth="true"' if auth else ""
        inner = f"<action>{actions}</action>" if actions else ""
        self.steps.append(f'<recv {kind}="{what}"{extra}>{inner}</recv>')
        return self

    def ok(self, status: str = "200 OK", body: str = "", *headers: str) -> Self:
        """Answers the last request of a dialog."""
        self._send(
            f"SIP/2.0 {status}",
            [
                *("[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]"),
                "Contact: <sip:sipp@[local_ip]:[local_port]>",
                *headers,
            ],
            body,
            retransmit=False,
        )
        return self

    def _send(self, first: str, headers: list[str], body: str, retransmit: bool) -> None:
        if body:
            kind = "application/sdp" if body.startswith("v=0") else "application/dtmf-relay"
            if body.startswith("SIP/2.0"):
                kind = "message/sipfrag;version=2.0"
            headers = [*headers, f"Content-Type: {kind}"]
        message = "\n".join([first, *headers, "Content-Length: [len]", "", body])
        extra = ' retrans="500"' if retransmit else ""
        self.steps.append(f"<send{extra}><![CDATA[\n{message}\n]]></send>")

    def xml(self) -> str:
        """The scenario."""
        return (
            '<?xml version="1.0"?>\n<scenario name="test">\n'
            + "\n".join(self.steps)
            + ("\n</scenario>\n")
        )


class Caller(_Steps):
    """sipp calls ``dialled``."""

    def __init__(self, dialled: str) -> None:
        super().__init__()
        self.dialled = dialled
        self._cseq = 0
        self._branches = 0

    def request(
        self,
        method: str,
        *,
        body: str = "",
        headers: tuple[str, ...] = (),
        cseq: int | None = None,
        again: bool = False,
        retransmit: bool = True,
        to_tag: bool = True,
        routes: bool = False,
    ) -> Self:
        """One request, in the dialog where ``to_tag``; ``again``: in the last one's transaction."""
        if cseq is None:
            self._cseq += not again
            cseq = self._cseq
        if not again:
            self._branches += 1
        branch = f"z9hG4bK-[pid]-[call_number]-{self._branches}"
        to = f"To: <sip:{self.dialled}@[remote_ip]:[remote_port]>" + ("[peer_tag_param]" * to_tag)
        lines = [
            f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}",
            "From: sipp <sip:+15550001111@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]",
            to,
            "Call-ID: [call_id]",
            f"CSeq: {cseq} {method}",
            "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
            "Max-Forwards: 70",
            *(("[routes]",) if routes else ()),
            *headers,
        ]
        first = f"{method} sip:{self.dialled}@[remote_ip]:[remote_port] SIP/2.0"
        self._send(first, lines, body, retransmit and method != "ACK")
        return self

    def invite(
        self, body: str, *headers: str, again: bool = False, retransmit: bool = True
    ) -> Self:
        """The first INVITE."""
        return self.request(
            "INVITE", body=body, headers=headers, to_tag=False, again=again, retransmit=retransmit
        )

    def ack(self, body: str = "", **options: object) -> Self:
        """The ACK of a 200."""
        return self.request("ACK", body=body, cseq=self._cseq, **options)  # type: ignore[arg-type]

    def answered(self, body: str = "") -> Self:
        """Up to the ACK."""
        self.expect(100, optional=True)
        self.expect(180, optional=True)
        self.expect(200)
        return self.ack(body)

    def call(self, port: int | str = "[media_port]", **options: object) -> Self:
        """A whole plain beginning, INVITE to ACK."""
        self.invite(sdp(port, **options))  # type: ignore[arg-type]
        return self.answered()

    def reinvite(self, body: str) -> Self:
        """A re-INVITE and its ACK."""
        self.request("INVITE", body=body)
        self.expect(100, optional=True)
        self.expect(200)
        return self.ack()

    def bye(self) -> Self:
        """Hangs up."""
        self.request("BYE")
        self.expect(200)
        return self


KEEP_DIALOG = (
    '<ereg regexp="sip:[^;>]*" search_in="hdr" header="Contact:" assign_to="peer_uri"/>'
    '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="peer"/>'
    '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="own"/>'
)


class Callee(_Steps):
    """sipp is called."""

    def reply(self, status: str, *headers: str, body: str = "", tag: bool = True) -> Self:
        """Answers the last request."""
        to = "[last_To:];tag=[pid]SIPp[call_number]" if tag else "[last_To:]"
        lines = [
            "[last_Via:]",
            "[last_From:]",
            to,
            "[last_Call-ID:]",
            "[last_CSeq:]",
            "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
            *headers,
        ]
        self._send(f"SIP/2.0 {status}", lines, body, False)
        return self

    def request(
        self, method: str, cseq: int, *, body: str = "", headers: tuple[str, ...] = ()
    ) -> Self:
        """A request to the caller, in the dialog that an INVITE with KEEP_DIALOG began."""
        lines = [
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
            "From:[$own];tag=[pid]SIPp[call_number]",
            "To:[$peer]",
            "Call-ID: [call_id]",
            f"CSeq: {cseq} {method}",
            "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
            "Max-Forwards: 70",
            *headers,
        ]
        self._send(f"{method} [$peer_uri] SIP/2.0", lines, body, method != "ACK")
        return self

    def accept(self, port: int | str = "[media_port]") -> Self:
        """Answers an INVITE, up to its ACK."""
        self.expect("INVITE", actions=KEEP_DIALOG)
        self.reply("180 Ringing")
        self.reply("200 OK", body=sdp(port))
        self.expect("ACK")
        # sipp wants every variable used.
        self.steps.append('<Reference variables="peer_uri,peer,own"/>')
        return self


@dataclass
class Sipp:
    """A sipp that runs."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    def finish(self, limit_s: float = LIMIT_S) -> "Sipp":
        """Waits for its end, which must be a good one."""
        status = self.end(limit_s)
        assert status == 0, f"sipp ended with {status}: {self.errors()}\n{self.messages()[-6000:]}"
        return self

    def end(self, limit_s: float = LIMIT_S) -> int:
        """Waits for its end; the exit status."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"sipp still runs: {self.messages()[-6000:]}") from None

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait(LIMIT_S)

    def errors(self) -> str:
        """What it complained about."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("errors*"))

    def messages(self) -> str:
        """Every message, as sipp logs them."""
        path = self.folder / "messages.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def received(self, first: str) -> list[str]:
        """The messages that came in and begin so."""
        parts = re.split(r"-{20,} [^\n]*\n", self.messages())
        return [
            part.split("\n\n", 1)[1].lstrip()
            for part in parts
            if re.match(r"\w+ message received", part)
            and part.split("\n\n", 1)[1].lstrip().startswith(first)
        ]


def run(
    steps: _Steps | str,
    target_port: int = 0,
    *,
    port: int = 0,
    calls: int = 1,
    together: int = 1,
    rate: float = 10,
    transport: str = "u1",
    trace: bool = True,
    options: tuple[str, ...] = (),
) -> Sipp:
    """Starts sipp: towards ``127.0.0.1:target_port``, or as a server where that is 0."""
    folder = Path(tempfile.mkdtemp(prefix="sipp-"))
    scenario = folder / "scenario.xml"
    scenario.write_text(steps if isinstance(steps, str) else steps.xml())
    port = port or free_port()
    command = [
        need("sipp", "sip-tester"),
        *([f"127.0.0.1:{target_port}"] if target_port else []),
        *("-sf", str(scenario), "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(port)),
        *("-m", str(calls), "-l", str(together), "-r", str(rate), "-t", transport, "-nostdin"),
        *("-trace_err", "-error_file", str(folder / "errors.log")),
        *(("-trace_msg", "-message_file", str(folder / "messages.log")) if trace else ()),
        *("-recv_timeout", "12000", "-timeout", "60s", "-timeout_error"),
        *options,
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    sipp = Sipp(process, port, folder)
    weakref.finalize(sipp, _reap, process, folder)
    if not target_port:
        _wait_bound(process, port)
    return sipp


def _wait_bound(process: "subprocess.Popen[bytes]", port: int) -> None:
    until_s = time.monotonic() + LIMIT_S
    while f":{port:04X} " not in Path("/proc/net/udp").read_text():
        assert process.poll() is None, f"sipp ended with {process.returncode}"
        assert time.monotonic() < until_s, f"sipp does not listen on {port}"
        time.sleep(0.01)


def digest_is_right(message: str, password: str) -> bool:
    """Whether a request's digest was made with ``password`` (RFC 2617, without or with qop)."""
    (header,) = re.findall(r"^(?:Proxy-)?Authorization: Digest (.*?)\r?$", message, re.MULTILINE)
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', header))
    method = message.split(" ", 1)[0]

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    secret = md5(f"{given['username']}:{given['realm']}:{password}")
    parts = [secret, given["nonce"], md5(f"{method}:{given['uri']}")]
    if "qop" in given:
        parts[2:2] = [given["nc"], given["cnonce"], given["qop"]]
    return md5(":".join(parts)) == given["response"]


def _reap(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    if process.poll() is None:
        process.kill()
        process.wait(LIMIT_S)
    shutil.rmtree(folder, ignore_errors=True)
