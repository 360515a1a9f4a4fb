"""The sections of the settings that are about the telephone: SIP, and trunks to carriers."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, SecretStr

from agent.sections import Name, Section, is_loopback, unset
from telephony.destinations import rule_fault
from telephony.numbers import dialled_key, normalise

Transport = Literal["udp", "tcp", "tls"]
Srtp = Literal["off", "optional", "required"]
RtpFrom = Literal["negotiated", "any"]
Codec = Literal["opus", "g722", "pcmu", "pcma"]
Port = Annotated[int, Field(ge=0, le=65535)]

OWN_PROFILE = "agent"
"""What a trunk calls [agent] itself, where it names a profile."""
MIN_RTP_PORTS = 4
"""Audio and its control, for two calls."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?")


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(
            "must be an address or a network in numbers, such as 192.0.2.7 or 192.0.2.0/24 "
            f"({error})"
        ) from None
    return text


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("must be an address in numbers, such as 203.0.113.9") from None
    return text


def _one_address(text: str) -> str:
    if ipaddress.ip_address(text).is_unspecified:
        raise ValueError(
            "stands for all addresses, and SIP names one, for its audio too: write this machine's "
            "own, such as 192.168.1.5 (`ip address` shows it; 127.0.0.1 for calls on this machine)"
        )
    return text


def _host(text: str) -> str:
    port = text.rpartition(":")[2] if re.search(r":\d+$", text) and "]" not in text[-2:] else "1"
    if not _HOST.fullmatch(text) or not 1 <= int(port) <= 65535:
        raise ValueError(
            "must be a name or an address, and a port where it is not the usual one, such as "
            "sip.example.org or 192.0.2.7:5080"
        )
    return text


def _ports(text: str) -> str:
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1024 <= first < last <= 65535 or last - first + 1 < MIN_RTP_PORTS:
        raise ValueError(
            f'must be a range of at least {MIN_RTP_PORTS} ports from 1024 up, such as "20000-29999"'
        )
    return text


def _number(text: str) -> str:
    try:
        return normalise(text)
    except ValueError as error:
        raise ValueError(f"must be a telephone number: {error}") from None


def _rule(text: str) -> str:
    if fault := rule_fault(text):
        raise ValueError(fault)
    return text


Network = Annotated[str, AfterValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
HostPort = Annotated[str, AfterValidator(_host)]
Number = Annotated[str, AfterValidator(_number)]
File = Annotated[Path, AfterValidator(Path.expanduser)]
Rule = Annotated[str, AfterValidator(_rule)]


class SipConfig(Section):
    """The SIP door: where it listens, who may call it without a trunk, and what it speaks."""

    enabled: bool = True
    host: Annotated[Address, AfterValidator(_one_address)] = "127.0.0.1"
    """Address to listen on, for signalling and audio."""
    port: Port = 5060
    """UDP and TCP, and TLS on the port after it; 0 takes any free port."""
    tls_certificate: File | None = None
    """PEM file with the certificate and its key; without it TLS is not listened for."""
    tls_ca: File | None = None
    """PEM file of the authorities that carriers' certificates are verified against."""
    allow: tuple[Network, ...] = ()
    """Who may call without a trunk, off loopback."""
    destinations: tuple[HostPort, ...] = ()
    """Hosts that may be called straight, without a trunk, off loopback."""
    rtp_ports: Annotated[str, AfterValidator(_ports)] = "20000-29999"
    codecs: Annotated[tuple[Codec, ...], Field(min_length=1)] = ("opus", "g722", "pcmu", "pcma")
    """In order of preference."""
    srtp: Srtp = "off"
    """``optional`` takes both, but answers plain offers with keys, which some far ends refuse."""
    rtp_from: RtpFrom = "negotiated"
    """Whose audio a call takes: its far end's, from the address in the SDP, or anybody's."""
    jitter_ms: Annotated[int, Field(ge=0, le=200)] = 40
    """What received audio waits at least, so that packets that come late find their place."""
    rtp_timeout_s: Annotated[int, Field(ge=1, le=3600)] = 10
    """A call whose audio stays away this long is over."""

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Files must be there."""
        for key in ("tls_certificate", "tls_ca"):
            path: Path | None = getattr(self, key)
            if path is not None and not path.is_file():
                yield key, f"is {str(path)!r}, and there is no such file"


class TrunkConfig(Section):
    """A line to a carrier or a telephone system."""

    host: HostPort
    """Of the carrier, with a port where it is not 5060 (5061 for TLS)."""
    transport: Transport = "udp"
    srtp: Srtp | None = None
    """Over that of [sip]."""
    username: Name | None = None
    password: SecretStr | None = None
    password_env: Name | None = None
    """The environment variable that holds the password."""
    auth_user: Name | None = None
    """The name to authenticate as, where it is not ``username``."""
    registers: bool = Field(default=False, alias="register")
    """Tell the carrier where this box is (REGISTER)."""
    allow: tuple[Network, ...] = ()
    """Where its calls come from."""
    numbers: dict[Name, Name] = {}
    """Each dialled number (DID), and the profile that answers it."""
    profile: Name | None = None
    """The profile that answers any other number; without it those are refused."""
    destinations: tuple[Rule, ...] = ()
    """What may be dialled through it."""
    caller_id: Number | None = None
    """The number to show."""
    max_calls: Annotated[int, Field(ge=1, le=10000)] = 2
    """Calls at once, of both directions."""
    calls_per_minute: Annotated[float, Field(gt=0, le=6000, allow_inf_nan=False)] = 6
    """How many may be placed."""

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """A password goes with a name, and registering with both."""
        has_password = self.password is not None or self.password_env is not None
        if self.password is not None and self.password_env is not None:
            yield "password_env", "is given beside `password`; keep one of them"
        if self.password_env and not environ.get(self.password_env):
            yield "password_env", unset(self.password_env)
        if has_password and not self.username:
            yield "password" if self.password else "password_env", "needs `username`"
        keys = [dialled_key(number) for number in self.numbers]
        for number, key in zip(self.numbers, keys, strict=True):
            if keys.index(key) != len(keys) - 1 - keys[::-1].index(key):
                yield "numbers", f"names {number!r} more than once; keep one"
                break
        if self.registers and not (self.username and has_password):
            yield "register", "needs `username`, and `password` or `password_env`"

    def secret(self, environ: Mapping[str, str]) -> str:
        """The password; empty where there is none."""
        if self.password_env:
            return environ.get(self.password_env, "")
        return self.password.get_secret_value() if self.password else ""


def trunk_faults(
    sip: SipConfig, trunks: Mapping[str, TrunkConfig]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Where the SIP door cannot have a trunk: the table, the key, what is wrong."""
    for name in trunks:
        if name in get_args(Transport):
            yield (("trunks",), name, "is what a transport is called; choose another name for it")
    if not sip.enabled or not is_loopback(sip.host):
        return
    for name, trunk in trunks.items():
        if not is_loopback(_host_alone(trunk.host)):
            yield (
                ("trunks", name),
                "host",
                f"is {trunk.host!r}, which {sip.host}, the address of the SIP door, does not "
                "reach; set `host` in [sip] to this machine's own address",
            )


def _host_alone(host_port: str) -> str:
    if host_port.startswith("["):
        return host_port[1:].partition("]")[0]
    return host_port.partition(":")[0]


def profile_faults(
    trunks: Mapping[str, TrunkConfig],
    carriers_numbers: Mapping[str, str],
    profiles: tuple[str, ...],
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Where profiles are named that there are not: the table, the key, what is wrong."""
    if OWN_PROFILE in profiles:
        yield (
            ("profiles",),
            OWN_PROFILE,
            "is what [agent] itself is called; choose another name for the profile",
        )
    named: list[tuple[tuple[str, ...], str, str | None]] = [
        (("carriers",), "numbers", profile) for profile in carriers_numbers.values()
    ]
    for name, trunk in trunks.items():
        named.append((("trunks", name), "profile", trunk.profile))
        named += [(("trunks", name), "numbers", profile) for profile in trunk.numbers.values()]
    for table, key, profile in named:
        if profile not in (None, OWN_PROFILE, *profiles):
            yield (
                table,
                key,
                f"names the profile {profile!r}, which is none; write [profiles.{profile}], "
                f"or take one of: {', '.join((OWN_PROFILE, *profiles))}",
            )
