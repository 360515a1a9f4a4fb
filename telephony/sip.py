"""The SIP door: calls in and out over UDP, TCP and TLS, on baresip through its Python package.

This file, sip_line.py (one call's audio), sip_registration.py, and sip_native.py with sip_gate.py,
sip_replies.py and rtp_source.py (what the package cannot say) are all that know the stack; the rest
of the house sees `telephony.transport`. One stack a process, since baresip keeps its state in
globals; when its thread dies the process must be replaced.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from baresip import (
    Account,
    BaresipError,
    CallFailed,
    CallTimeout,
    Config,
    Event,
    Runtime,
    RuntimeDead,
    StackEvent,
    StaleHandleError,
    UserAgent,
)
from baresip.call import Call, CallState

from telephony import rtp_source
from telephony.causes import outcome_of
from telephony.sip_address import (
    Transport,
    address_of,
    is_literal,
    target_fault,
    transport_of,
    user_of,
)
from telephony.sip_error import SipError
from telephony.sip_gate import Admits, Gate, everybody
from telephony.sip_line import Lines, SipLine
from telephony.sip_native import SipThread
from telephony.sip_registration import REGISTERED, Registration
from telephony.sip_replies import Replies, Together
from telephony.sip_settings import (
    CODECS,
    MAX_CALLS,
    SipAccount,
    SipSettings,
    Srtp,
    check_files,
    take_port,
)
from telephony.sip_text import shown
from telephony.transport import (
    CallGone,
    CallOutcome,
    CallTransport,
    Dial,
    Dialled,
    Line,
    Ringing,
)

log = logging.getLogger(__name__)

OnCall = Callable[[Ringing], Awaitable[None]]

AGENT_USER = "agent"
MEDIA_TRIES = 200
MEDIA_PAUSE_S = 0.005
"""How often it is asked whether the audio of an answered call is there, and how often at most."""
JITTER_SPAN_MS = 160
ANSWER_LIMIT_S = 10.0
"""Without its ACK, an answered call is no call: 64 * T1 would be 32 s (RFC 3261, 13.3.1.4)."""
NEGOTIATING = frozenset(
    (
        *(Event.CALL_LOCAL_SDP, Event.CALL_REMOTE_SDP, Event.CALL_PROGRESS),
        *(Event.CALL_ANSWERED, Event.CALL_ESTABLISHED, Event.CALL_RTPESTAB),
    )
)
"""With these the far end's address for audio may have become another."""


class SipRinging:
    """An INVITE that waits for its answer."""

    def __init__(self, stack: "SipStack", call: Call, trunk: str) -> None:
        self.caller = shown(address_of(call.peer or "")) or "unknown"
        self.dialled = shown(user_of(call.headers.get("To", "")))
        self.trunk = trunk
        self.sip_call_id = shown(call.call_id or "")
        self._call_id = call.call_id or ""
        source = stack.thread.source_of(self._call_id) if stack.thread else None
        self.source = str(source) if source else ""
        self._stack = stack
        self._call = call

    async def answer(self) -> Line:
        """Sends 200 and waits for the ACK and the audio. Raises CallGone."""
        established = asyncio.get_running_loop().create_future()

        def on_event(event: StackEvent) -> None:
            if not established.done() and event.event is Event.CALL_ESTABLISHED:
                established.set_result(True)
            elif not established.done() and event.event is Event.CALL_CLOSED:
                established.set_result(False)

        self._call.on(on_event)
        try:
            await self._call.answer()
            async with asyncio.timeout(ANSWER_LIMIT_S):
                if not await established:
                    raise CallGone("the caller gave up before the call was answered")
        except StaleHandleError as error:
            raise CallGone("the caller gave up before the call was answered") from error
        except TimeoutError as error:
            await _hang_up(self._call)
            raise CallGone("the caller never confirmed the answer (no ACK)") from error
        except BaresipError as error:
            raise CallGone(f"the call could not be answered: {error}") from error
        finally:
            self._call.off(on_event)
        return await self._stack.line(self._call, self.caller, self.dialled)

    async def reject(self, status: int, reason: str, retry_after_s: int | None = None) -> None:
        """Refuses the call. Harmless when it is over."""
        if not 300 <= status <= 699:
            raise ValueError(f"a call is refused with a status of 300 to 699, not {status}")
        thread = self._stack.thread
        if thread is None or not thread.refuse(self._call_id, status, reason, retry_after_s):
            # Over, or its Call-ID is none to look it up by: 486 is all that is left.
            await _hang_up(self._call)


class SipStack(CallTransport):
    """The process's SIP stack. Open it once; after `close` it may be opened again.

    ``admits``: who is answered at all, beside the far ends of calls that were placed from here.
    """

    def __init__(self, settings: SipSettings, admits: Admits = everybody) -> None:
        self.settings = settings
        self._admits = admits
        self.port = settings.port
        self.dead = asyncio.Event()
        """Set when the stack's thread died: no call will come any more."""
        self.thread: SipThread | None = None
        """What the package has no word for."""
        self._runtime: Runtime | None = None
        self._agents: dict[str, UserAgent] = {}
        """By transport for calls without an account, by name for those with one."""
        self._replies = Replies()
        self._registrations: dict[str, Registration] = {}
        self._lines = Lines()
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_call: OnCall | None = None

    @property
    def transports(self) -> tuple[Transport, ...]:
        """What it listens on."""
        return ("udp", "tcp", "tls") if self.settings.tls_certificate else ("udp", "tcp")

    @property
    def _speaks_tls(self) -> bool:
        """Whether TLS is used at all: a trunk may be reached by it without a certificate here."""
        trunks = any(account.transport == "tls" for account in self.settings.accounts)
        return trunks or "tls" in self.transports

    @property
    def active_calls(self) -> int:
        """Calls with audio."""
        return len(self._lines)

    @property
    def registrations(self) -> Mapping[str, str]:
        """Of each trunk that registers: ``registered``, or ``not registered`` and why."""
        if self.dead.is_set():
            return dict.fromkeys(self._registrations, "not registered: the SIP stack died")
        return {name: registration.state for name, registration in self._registrations.items()}

    def check(self) -> None:
        """Looks at files and ports, and chooses a port where any will do. Raises SipError."""
        settings = self.settings
        if ipaddress.ip_address(settings.host).is_unspecified:
            # The stack would listen on each address of its own but loopback.
            raise SipError(f"SIP cannot listen on {settings.host}: name one address")
        check_files(settings)
        self.port = take_port(settings.host, settings.port, tls=self._speaks_tls)

    async def open(self, on_call: OnCall) -> None:
        """Listens, and registers the accounts that want it. Raises SipError."""
        settings = self.settings
        self.check()
        self._on_call = on_call
        runtime = Runtime()
        runtime.on_dead = self._died
        gate = Gate(self._admits)
        self._replies = Replies()
        thread = SipThread(runtime, Together(gate, self._replies))
        try:
            await runtime.start(self._config())
        except (BaresipError, ValueError) as error:
            raise SipError(f"the SIP stack does not start: {error}") from error
        self._runtime, self.thread = runtime, thread
        if settings.rtp_from == "negotiated" and rtp_source.is_possible():
            runtime.subscribe(self._bind_source)
        try:
            if not gate.stands:
                raise SipError("the SIP stack lets nobody judge who may call")
            thread.drop_video()
            for transport in self.transports:
                await self._add_agent(transport, self._direct_account(transport))
            for account in settings.accounts:
                if fault := self._tls_fault(f"sip:{account.host}", account.transport):
                    raise SipError(f"trunk `{account.name}`: {fault}")
                agent = await self._add_agent(account.name, self._account(account))
                if account.register:
                    self._own(self._register(account.name, agent), f"register-{account.name}")
        except SipError:
            await self.close()
            raise
        except (BaresipError, ValueError) as error:
            await self.close()
            raise SipError(f"the SIP stack refuses its settings: {error}") from error
        self._own(self._lines.service(), "sip-audio")

    async def dial(self, dial: Dial) -> Dialled:
        """Places a call and waits until it is answered or is not."""
        runtime, agent = self._runtime, self._agents.get(dial.trunk or transport_of(dial.target))
        if fault := target_fault(dial.target):
            reason = f"{dial.target!r} cannot be called: {fault}"
            return Dialled(CallOutcome.FAILED, reason=reason)
        if runtime is None or self.dead.is_set():
            return Dialled(CallOutcome.FAILED, reason="SIP is closed")
        if agent is None:
            reason = f"no trunk `{dial.trunk}` in the SIP stack"
            if not dial.trunk:
                reason = "no TLS here: `tls_certificate` in [sip] is not set"
            return Dialled(CallOutcome.FAILED, reason=reason)
        if fault := self._tls_fault(dial.target, transport_of(dial.target)):
            return Dialled(CallOutcome.FAILED, reason=fault)
        headers = {"P-Preferred-Identity": f"<{dial.caller_id}>"} if dial.caller_id else None
        try:
            call = await _place(runtime, agent, dial.target, headers)
        except (BaresipError, ValueError) as error:
            return Dialled(CallOutcome.FAILED, reason=str(error))
        try:
            await call.wait_established(dial.answer_limit_s)
        except CallTimeout:
            if self._is_silent(call):
                return _no_reply(dial.target)
            return Dialled(
                CallOutcome.NO_ANSWER, reason=f"not answered within {dial.answer_limit_s:g} s"
            )
        except CallFailed as error:
            if error.status is None and "timed out" in error.reason and self._is_silent(call):
                return _no_reply(dial.target)
            if error.status is None:
                return Dialled(CallOutcome.FAILED, reason=error.reason or str(error))
            return Dialled(outcome_of(error.status), None, error.status, error.reason)
        except asyncio.CancelledError:
            await _hang_up(call)
            raise
        line = await self.line(call, shown(address_of(dial.target)), shown(user_of(dial.target)))
        return Dialled(CallOutcome.ANSWERED, line, 200, "OK")

    async def line(self, call: Call, caller: str, dialled: str) -> SipLine:
        """The audio of an established call, serviced from here on."""
        for _ in range(MEDIA_TRIES):
            if _has_audio(call) or call.state is CallState.CLOSED:
                break
            await asyncio.sleep(MEDIA_PAUSE_S)
        else:
            # Answered on hold: the line begins when audio does.
            log.info("sip call %s: answered without audio so far", shown(call.call_id or ""))
        line = SipLine(call, caller, dialled, self._replies)
        self._lines.add(line)
        return line

    async def drain(self) -> None:
        """Refuses new calls with 486 from here on; those under way go on."""
        if self._runtime is not None and not self._runtime.draining and not self.dead.is_set():
            draining = asyncio.create_task(self._runtime.drain(), name="sip-drain")
            # The command is sent at once; what is left of the task only waits for calls.
            self._tasks.add(draining)
            draining.add_done_callback(self._forget)
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Hangs up what is left and stops the stack."""
        runtime, self._runtime = self._runtime, None
        if runtime is None:
            return
        for line in self._lines:
            await line.hang_up()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self.dead.is_set():
            for account in self.settings.accounts:
                await self._unregister(account)
            if self.thread is not None:
                self.thread.close()
            try:
                await runtime.close()
            except RuntimeDead as error:
                log.error("the SIP stack did not stop: %s", error)
        self.thread = None
        self._agents.clear()
        self._registrations.clear()

    # -- own affairs

    def _bind_source(self, event: StackEvent) -> None:
        if event.event in NEGOTIATING and event.call_id and self.thread is not None:
            self.thread.post(rtp_source.bind_source, event.call_id)

    def _config(self) -> Config:
        settings = self.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        lines = [
            f"sip_listen {host}:{self.port}",
            f"sip_transports {'udp,tcp,tls' if self._speaks_tls else 'udp,tcp'}",
            f"rtp_ports {settings.rtp_ports}",
            "sip_verify_server yes",
            # It grows with the jitter it sees, and never below what it begins with.
            "audio_jitter_buffer_type adaptive",
            f"audio_jitter_buffer_ms {settings.jitter_ms}-{settings.jitter_ms + JITTER_SPAN_MS}",
            "call_hold_other_calls no",
            # Names of the hosts file too, such as localhost and those of containers.
            "dns_getaddrinfo yes",
            "opus_stereo no",
            "opus_sprop_stereo no",
        ]
        if settings.tls_certificate:
            lines.append(f"sip_certificate {settings.tls_certificate}")
        if settings.tls_ca:
            lines.append(f"sip_cafile {settings.tls_ca}")
        else:
            lines.append("sip_capath /etc/ssl/certs")
        return Config(
            net_interface=settings.host,
            max_concurrent_calls=min(settings.max_calls, MAX_CALLS),
            rtp_timeout=settings.rtp_timeout_s,
            expose_headers=("To",),
            sip_trace=settings.trace,
            extra_config_text="\n".join(lines) + "\n",
        )

    def _tls_fault(self, target: str, transport: Transport) -> str:
        """Why a peer's certificate would prove nothing; empty where it does.

        The stack compares it with a host name, and never with an address.
        """
        if transport != "tls" or self.settings.tls_ca or not is_literal(target):
            return ""
        return (
            f"{target}: a certificate cannot be checked against an IP address; name the host, or "
            "set `tls_ca` in [sip] to an authority that vouches for nobody else"
        )

    def _direct_account(self, transport: Transport) -> Account:
        return Account(
            user=AGENT_USER,
            domain=self.settings.host if ":" not in self.settings.host else "localhost",
            password="",
            reg_interval=0,
            transport=transport,
            audio_codecs=self._codecs(),
            dtmf_mode="auto",
            extra_params=("catchall=yes", *_srtp_params(self.settings.srtp)),
        )

    def _account(self, account: SipAccount) -> Account:
        return Account(
            user=account.user,
            domain=account.host,
            password=account.password,
            reg_interval=300 if account.register else 0,
            transport=account.transport,
            audio_codecs=self._codecs(),
            dtmf_mode="auto",
            auth_user=account.auth_user or None,
            extra_params=_srtp_params(account.srtp),
        )

    def _codecs(self) -> tuple[str, ...]:
        return tuple(CODECS[name] for name in self.settings.codecs)

    async def _add_agent(self, name: str, account: Account) -> UserAgent:
        assert self._runtime is not None
        agent = await UserAgent.create(self._runtime, account, transfer_policy="reject")
        trunk = name if name not in ("udp", "tcp", "tls") else ""

        def on_incoming(call: Call) -> None:
            self._own(self._incoming(call, trunk), f"sip-{shown(call.call_id or '')}")

        agent.on_incoming(on_incoming)
        self._agents[name] = agent
        return agent

    async def _incoming(self, call: Call, trunk: str) -> None:
        ringing = SipRinging(self, call, trunk)
        assert self._on_call is not None
        try:
            await self._on_call(ringing)
        except CallGone as error:
            log.info("sip call %s: %s", ringing.sip_call_id, error)
        except Exception:  # one call fails, the others go on
            log.exception("sip call %s: failed", ringing.sip_call_id)
            await ringing.reject(500, "Server Internal Error")

    def _is_silent(self, call: Call) -> bool:
        """Whether nobody has replied to an INVITE, or to the one with the password after it."""
        status = self._replies.status(call.call_id or "", "INVITE")
        return status is None or status >= 300

    async def _register(self, name: str, agent: UserAgent) -> None:
        registration = self._registrations[name] = Registration(name, agent)
        await registration.keep()

    async def _unregister(self, account: SipAccount) -> None:
        agent = self._agents.get(account.name)
        if agent is None or self.registrations.get(account.name) != REGISTERED:
            # There is nothing to take back; and to stop while a registrar that is gone has not
            # replied ends the whole process (SIGABRT in the library).
            return
        try:
            await agent.unregister(timeout=2.0)
        except BaresipError as error:
            log.warning("trunk %s: not unregistered: %s", account.name, error)

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    def _died(self) -> None:
        log.critical("the SIP stack died; this process takes no more telephone calls")
        self.dead.set()
        for line in self._lines:
            line.fail()


def _srtp_params(srtp: Srtp) -> tuple[str, ...]:
    return {"off": (), "optional": ("mediaenc=srtp",), "required": ("mediaenc=srtp-mand",)}[srtp]


def _no_reply(target: str) -> Dialled:
    host = address_of(target).rpartition("@")[2]
    return Dialled(CallOutcome.FAILED, reason=f"{host} does not reply")


async def _place(
    runtime: Runtime, agent: UserAgent, target: str, headers: dict[str, str] | None
) -> Call:
    """Sends the INVITE. What came of it before the package listened is told to the call."""
    early: list[StackEvent] = []
    runtime.subscribe(early.append)
    try:
        call: Call = await agent.dial(target, headers)
    finally:
        runtime.unsubscribe(early.append)
    for event in early:
        # It listens from now on, so that it gets every event once.
        call._on_stack_event(event)
    return call


def _has_audio(call: Call) -> bool:
    try:
        info = call.audio.info()
    except BaresipError:
        return False
    return bool(info.rx_ready and info.tx_ready)


async def _hang_up(call: Call) -> None:
    try:
        await call.hangup()
    except BaresipError as error:
        log.debug("sip call %s: not hung up: %s", shown(call.call_id or ""), error)
