"""The telephone settings as the telephony package takes them."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Mapping, Sequence

from agent.config import Config
from agent.phone_sections import TrunkConfig
from agent.sections import is_loopback
from telephony.sip import AGENT_USER, SipAccount, SipSettings
from telephony.trunk import Network, Trunk, Trunks

log = logging.getLogger(__name__)

RESOLVE_LIMIT_S = 5.0
LOOPBACK = ("127.0.0.0/8", "::1/128")


def make_trunks(
    config: Config,
    environ: Mapping[str, str],
    addresses: Mapping[str, Sequence[str]] | None = None,
) -> Trunks:
    """The trunks of the settings.

    ``addresses``: what `registrar_addresses` found, from where calls of those trunks may come.
    """
    known = addresses or {}
    trunks = [
        _trunk(config, name, section, environ, known.get(name, ()))
        for name, section in config.trunks.items()
    ]
    own = LOOPBACK if is_loopback(config.sip.host) else ()
    return Trunks(
        trunks, allow=_networks((*own, *config.sip.allow)), profiles=tuple(config.profiles)
    )


def sip_settings(config: Config, environ: Mapping[str, str]) -> SipSettings:
    """How the SIP stack listens, and the accounts that it has with carriers."""
    sip = config.sip
    return SipSettings(
        host=sip.host,
        port=sip.port,
        tls_certificate=sip.tls_certificate,
        tls_ca=sip.tls_ca,
        rtp_ports=sip.rtp_ports,
        codecs=sip.codecs,
        srtp=sip.srtp,
        rtp_timeout_s=sip.rtp_timeout_s,
        accounts=tuple(_account(trunk) for trunk in make_trunks(config, environ)),
    )


async def registrar_addresses(config: Config) -> dict[str, tuple[str, ...]]:
    """Where the hosts of the trunks that register are; calls come from there.

    A name that cannot be resolved is logged, and its trunk takes calls from `allow` alone.
    """
    names = [name for name, trunk in config.trunks.items() if trunk.registers]
    found = await asyncio.gather(*(_resolve(name, config.trunks[name].host) for name in names))
    return dict(zip(names, found, strict=True))


async def _resolve(trunk: str, host_port: str) -> tuple[str, ...]:
    host = _host(host_port)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_LIMIT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError) as error:
        log.warning(
            "trunk %s: the address of %s is not known (%s), so calls come in from the networks "
            "in `allow` of [trunks.%s] alone",
            trunk,
            host,
            error or "no reply",
            trunk,
        )
        return ()
    return tuple(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))


def _trunk(
    config: Config,
    name: str,
    section: TrunkConfig,
    environ: Mapping[str, str],
    addresses: Sequence[str],
) -> Trunk:
    return Trunk(
        name=name,
        host=section.host,
        transport=section.transport,
        srtp=section.srtp or config.sip.srtp,
        username=section.username or "",
        password=section.secret(environ),
        auth_user=section.auth_user or "",
        registers=section.registers,
        allow=_networks((*section.allow, *addresses)),
        numbers=section.numbers,
        profile=section.profile or "",
        destinations=section.destinations,
        caller_id=section.caller_id or "",
        max_calls=section.max_calls,
        calls_per_minute=section.calls_per_minute,
    )


def _account(trunk: Trunk) -> SipAccount:
    """Carriers read the caller's number from From, which names the account.

    Where the box registers, From is the registered name, and the number goes into
    P-Preferred-Identity (RFC 3325) with each call.
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


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def _host(host_port: str) -> str:
    if host_port.startswith("["):
        return host_port[1:].partition("]")[0]
    return host_port.partition(":")[0]
