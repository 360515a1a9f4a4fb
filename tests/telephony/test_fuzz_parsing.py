"""What hypothesis finds in our own reading of addresses, sources and audio."""

import ipaddress
from types import SimpleNamespace

import numpy as np
import pytest
from baresip import AudioNotActive, AudioRestarted
from baresip.audio import AudioInfo
from baresip.call import CallState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telephony.destinations import ban_on, rule_fault
from telephony.numbers import user_part
from telephony.sip_address import address_of, transport_of, user_of
from telephony.sip_line import SipLine
from telephony.sip_target import SipTarget, check_target
from telephony.transport import frame_bytes
from telephony.trunk import CallRefused, DialRefused
from telephony.trunk import address_of as source_address_of

PIECES = st.sampled_from(
    ["sip:", "sips:", "tel:", "<", ">", '"', "@", ";", ":", "?", "=", "%", "[", "]", "::1", "\0",
     "\r\n", "a", "0", "9" * 300, "127.0.0.1", "tag=", ";transport=", "tcp", "é", "\ud800", "[]"]
)  # fmt: skip
ADDRESSY = st.lists(PIECES, max_size=30).map("".join)
USERS = st.from_regex(r"\A[a-z0-9+*#._-]{1,20}\Z")
HOSTS = st.from_regex(r"\A[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?\Z") | st.ip_addresses(v=4).map(str)


@given(ADDRESSY | st.text())
def test_any_text_is_read_or_is_nothing(text: str) -> None:
    for read in (address_of, user_of):
        found = read(text)
        assert len(found) <= len(text)
        assert not set(found) & set(";>?")
    assert transport_of(text) in ("udp", "tcp", "tls")
    assert len(user_part(text)) <= len(text)
    assert rule_fault(text) == "" or "prefix" in rule_fault(text)


@given(USERS, HOSTS, st.sampled_from(["sip", "sips"]), st.sampled_from(["", ";x=1", ";tag=ab"]))
def test_an_address_is_found_in_any_dress(user: str, host: str, scheme: str, more: str) -> None:
    for text in (f"{scheme}:{user}@{host}", f"<{scheme}:{user}@{host}{more}>", f"<{scheme}:{user}"
                 f"@{host}>{more}", f'"Bell, A." <{scheme}:{user}@{host}>{more}'):  # fmt: skip
        assert address_of(text) == f"{user}@{host}"
        assert user_of(text) == user


@given(ADDRESSY | st.text())
def test_a_target_is_read_back_as_it_was_or_is_refused(text: str) -> None:
    try:
        target = SipTarget.parse(text)
    except DialRefused as refused:
        assert len(str(refused)) < 1000
        return
    assert SipTarget.parse(str(target)) == target
    assert "\r" not in str(target) and "\n" not in str(target) and "?" not in str(target)
    with pytest.raises(DialRefused):
        check_target(SipTarget(target.user, "elsewhere.example", target.port, "udp"), [])


@given(ADDRESSY | st.text() | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_a_source_is_an_address_or_nobody(text: str) -> None:
    try:
        found = source_address_of(text)
    except CallRefused as refused:
        assert refused.status == 403
        return
    assert ipaddress.ip_address(str(found)) == found


@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_source_is_itself_with_and_without_a_port(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    joined = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    wanted = getattr(address, "ipv4_mapped", None) or address
    assert source_address_of(joined) == source_address_of(str(address)) == wanted


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=20))
def test_no_rule_that_is_refused_opens_a_number(rules: list[str], number: str) -> None:
    sound = [rule for rule in rules if not rule_fault(rule)]
    ban = ban_on(number, sound)
    assert ban is None or ban.reason


# -- audio of any size, from a call that is not there


class Audio:
    """What the line sees of the stack's audio."""

    def __init__(self, info: AudioInfo, chunks: list[bytes | type[Exception]]) -> None:
        self._info = info
        self._chunks = chunks
        self.written = bytearray()

    def info(self) -> AudioInfo:
        return self._info

    def read(self, limit: int) -> bytes:
        chunk = self._chunks.pop(0) if self._chunks else b""
        if isinstance(chunk, type):
            raise chunk("changed")
        assert len(chunk) <= limit
        return chunk

    def write(self, pcm: bytes) -> int:
        self.written += pcm
        return len(pcm)

    def flush_tx(self) -> None:
        self.written.clear()


def line_with(rate_hz: int, channels: int, chunks: list[bytes | type[Exception]]) -> SipLine:
    fields = {name: 0 for name in AudioInfo.__dataclass_fields__}
    info = AudioInfo(
        **{
            **fields,
            "rx_ready": True,
            "tx_ready": True,
            "rx_sample_rate": rate_hz,
            "tx_sample_rate": rate_hz,
            "rx_channels": channels,
            "tx_channels": channels,
        }
    )
    call = SimpleNamespace(
        audio=Audio(info, chunks),
        call_id="x",
        state=CallState.ESTABLISHED,
        remote_on_hold=False,
        on=lambda _: None,
        on_rtcp=lambda _: None,
    )
    return SipLine(call, "", "")


ODD_CHUNKS = st.lists(
    st.integers(0, 4000).map(bytes)
    | st.sampled_from([AudioRestarted, AudioNotActive, b"\x01", b"\xff" * 65535]),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([8000, 16000, 48000]), st.sampled_from([1, 2]), ODD_CHUNKS)
async def test_received_audio_of_any_size_comes_in_whole_frames(
    rate_hz: int, channels: int, chunks: list[bytes | type[Exception]]
) -> None:
    line = line_with(rate_hz, channels, chunks)
    for step in range(len(chunks) + 2):
        line.poll(step * 0.02)
    while not line._frames.empty():
        frame = await line.receive()
        assert isinstance(frame, bytes)
        assert len(frame) == frame_bytes(line.sample_rate_hz)
    assert len(line._pending) < frame_bytes(line.sample_rate_hz)


@settings(deadline=None)
@given(
    st.sampled_from([8000, 16000, 48000]),
    st.sampled_from([1, 2]),
    st.lists(st.integers(0, 2000), max_size=6),
)
async def test_sent_audio_of_any_size_is_whole_samples(
    rate_hz: int, channels: int, sizes: list[int]
) -> None:
    line = line_with(rate_hz, channels, [])
    for size in sizes:
        await line.send(np.ones(size, np.int16).tobytes())
    assert len(line._call.audio.written) % (2 * channels) == 0
