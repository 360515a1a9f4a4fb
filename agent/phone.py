"""The telephone door: who may call in over SIP, who answers, and where the stack is held."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from agent.admission import BoxFull, OverBudget
from agent.box import Box
from agent.budgets.announcement import announce
from agent.call import Origin
from agent.capacity import places_of
from agent.config import Config
from agent.outbound import Outbound
from agent.phone_sections import TrunkConfig
from telephony.sip import AGENT_USER, SipStack
from telephony.sip_settings import SipAccount, SipSettings
from telephony.transport import CallGone, Ringing
from telephony.trunk import Address, CallRefused, Inbound, Network, Trunk, Trunks
from telephony.trunk import address_of as source_address
from telephony.trunk_load import TrunkLoad

log = logging.getLogger(__name__)

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
SPARE_CALLS = 8
"""Beyond the box's places the stack still lets a caller in, to be told that all are taken."""
RESOLVE_LIMIT_S = 5.0


class Phone:
    """The SIP door of one box. Use as an async context manager; raises SipError on the way in."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._trunks = {
            name: trunk_of(name, trunk, config, environ) for name, trunk in config.trunks.items()
        }
        self._networks: tuple[Network, ...] = ()
        self.trunks = self._judge()
        self.load = TrunkLoad()
        self.stack = SipStack(settings_of(config, self._trunks), self.admits)
        self._box: Box | None = None

    @property
    def address(self) -> str:
        """What to dial from a softphone."""
        host = self._config.sip.host
        shown = f"[{host}]" if ":" in host else host
        port = "" if self.stack.port == 5060 else f":{self.stack.port}"
        return f"sip:{AGENT_USER}@{shown}{port}"

    async def open(self, box: Box) -> None:
        """Listens, and answers calls for ``box``. Raises SipError."""
        self._box = box
        for name, trunk in self._trunks.items():
            if trunk.registers:
                # Its calls come from where it is registered, without being listed.
                found = await _addresses_of(trunk.host)
                allow = (*trunk.allow, *(ipaddress.ip_network(address) for address in found))
                self._trunks[name] = replace(trunk, allow=allow)
        self.trunks = self._judge()
        await self.stack.open(self._on_call)
        box.outbound = Outbound(box, self.stack, self.trunks, self.load)

    async def close(self) -> None:
        """Hangs up what is left and stops listening."""
        await self.stack.close()

    def admits(self, host: str) -> bool:
        """Whether anybody at an address is heard at all; nothing else is answered.

        Asked on the SIP thread, for every request.
        """
        address = source_address(host)
        return any(address in network for network in self._networks)

    def _judge(self) -> Trunks:
        sip = self._config.sip
        # From the address that the door listens on, only this machine itself can call.
        own = ipaddress.ip_network(sip.host)
        allow = (*LOOPBACK, own, *(ipaddress.ip_network(network) for network in sip.allow))
        trunks = (network for trunk in self._trunks.values() for network in trunk.allow)
        self._networks = (*allow, *trunks)
        return Trunks(self._trunks.values(), allow=allow, profiles=self._config.profiles)

    async def _on_call(self, ringing: Ringing) -> None:
        try:
            inbound = self.trunks.inbound(ringing.source, ringing.dialled, ringing.trunk)
            if inbound.trunk is not None:
                self.load.begin_inbound(inbound.trunk)
        except CallRefused as refused:
            log.warning("call from %s (%s) refused: %s", ringing.caller, ringing.source, refused)
            await ringing.reject(refused.status, refused.phrase)
            return
        try:
            await self._take(ringing, inbound)
        except BoxFull as full:
            log.warning("call from %s refused: %s", ringing.caller, full)
            if self._box is not None:
                self._box.refusals["sip"] += 1
            await ringing.reject(full.sip_status, full.sip_phrase, full.retry_after_s)
        except CallGone as gone:
            log.info("call from %s: %s", ringing.caller, gone)
        finally:
            if inbound.trunk is not None:
                self.load.end(inbound.trunk)

    async def _take(self, ringing: Ringing, inbound: Inbound) -> None:
        assert self._box is not None
        origin = Origin(
            dialled=ringing.dialled,
            trunk=inbound.trunk.name if inbound.trunk else "",
            profile=inbound.profile,
        )
        try:
            # Before it is answered: from then on it costs money.
            self._box.judged("sip", ringing.caller, origin)
        except OverBudget as over:
            if not over.spoken:
                raise
            log.warning("call from %s refused, and told so: %s", ringing.caller, over)
            self._box.refusals["sip"] += 1
            await announce(await ringing.answer(), self._box.engines, over.spoken)
            return
        reserved = True
        with ExitStack() as place:
            try:
                place.enter_context(self._box.reserve())
            except BoxFull:
                reserved = False
                if not self._box.takes_calls:
                    raise
            line = await ringing.answer()
        try:
            run = await self._box.take(line, origin, reserved=reserved)
        except BoxFull:
            # It waited in vain, or the language model alone was full; a 503 comes too late.
            await line.hang_up()
            raise
        await run.over.wait()


def settings_of(config: Config, trunks: Mapping[str, Trunk]) -> SipSettings:
    """The stack's settings."""
    sip = config.sip
    return SipSettings(
        host=sip.host,
        port=sip.port,
        tls_certificate=sip.tls_certificate,
        tls_ca=sip.tls_ca,
        rtp_ports=sip.rtp_ports,
        codecs=sip.codecs,
        srtp=sip.srtp,
        rtp_from=sip.rtp_from,
        jitter_ms=sip.jitter_ms,
        rtp_timeout_s=round(sip.rtp_timeout_s),
        max_calls=places_of(config).calls + config.calls.queue + SPARE_CALLS,
        accounts=tuple(map(account_of, trunks.values())),
    )


def account_of(trunk: Trunk) -> SipAccount:
    """A trunk as the stack must know it.

    Carriers read the caller's number from From, which is the account's own name. Where the box
    registers, that is the name it registers; each call then shows the number besides.
    """
    name = trunk.username or AGENT_USER
    return SipAccount(
        name=trunk.name,
        host=trunk.host,
        user=name if trunk.registers else trunk.caller_id or name,
        password=trunk.password,
        auth_user=trunk.auth_user or trunk.username,
        transport=trunk.transport,
        register=trunk.registers,
        srtp=trunk.srtp,
    )


def trunk_of(name: str, section: TrunkConfig, config: Config, environ: Mapping[str, str]) -> Trunk:
    """One trunk of the settings, as `telephony.trunk` has it."""
    return Trunk(
        name=name,
        host=section.host,
        transport=section.transport,
        srtp=section.srtp or config.sip.srtp,
        username=section.username or "",
        password=section.secret(environ),
        auth_user=section.auth_user or "",
        registers=section.registers,
        allow=tuple(ipaddress.ip_network(network) for network in section.allow),
        numbers=section.numbers,
        profile=section.profile or "",
        destinations=section.destinations,
        caller_id=section.caller_id or "",
        max_calls=section.max_calls,
        calls_per_minute=section.calls_per_minute,
    )


async def _addresses_of(host: str) -> list[Address]:
    """The addresses behind ``host[:port]``; none, and a line in the log, where it has none."""
    name = host.strip("[]") if host.count(":") != 1 else host.partition(":")[0]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_LIMIT_S):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError) as error:
        log.error(
            "%s has no address now (%s): its calls are refused; list them in `allow`", host, error
        )
        return []
    return sorted({ipaddress.ip_address(address[0]) for *_, address in found}, key=str)
