"""Whose RTP a call takes: the kernel lets packets from the negotiated address pass, and no others.

The stack reads whatever reaches a call's port, and five packets are a pressed key (RFC 4733).
Only the address is compared: some gateways send from another port than the one they name.
"""

import ctypes
import ipaddress
import logging
import socket
import struct
import sys

from telephony.sip_native import Source, address_in, bound

log = logging.getLogger(__name__)

SO_ATTACH_FILTER = 26
"""asm-generic/socket.h; Python's socket module does not name it."""
_PASS_BYTES = 0xFFFF
_NETWORK_HEADER = 0xFFF00000
"""``SKF_NET_OFF``: the offset that means the IP header (linux/filter.h)."""
_LOAD_WORD, _LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x30, 0x54, 0x15, 0x06
_SOURCE_AT = {4: 12, 6: 8}
"""Where the IP header has the source's address, by its version."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_lib = bound(
    ("uag_call_find", ctypes.c_void_p, (ctypes.c_char_p,)),
    ("call_audio", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("audio_strm", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("stream_raddr", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("stream_rtp_sock", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("rtp_sock", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("rtcp_sock", ctypes.c_void_p, (ctypes.c_void_p,)),
    (
        "udp_setsockopt",
        ctypes.c_int,
        (
            *(ctypes.c_void_p, ctypes.c_int, ctypes.c_int),
            *(ctypes.c_void_p, ctypes.c_uint32),
        ),
    ),
)


def program(address: Address) -> bytes:
    """The classic BPF program (``struct sock_filter``, 8 bytes each) that passes ``address``."""
    packed = address.packed
    words = [int.from_bytes(packed[at : at + 4], "big") for at in range(0, len(packed), 4)]
    tests = [
        (_LOAD_BYTE, _NETWORK_HEADER, None),
        (_AND, 0xF0, None),
        (_JUMP_IF_EQUAL, address.version << 4, "else drop"),
    ]
    for number, word in enumerate(words):
        tests.append((_LOAD_WORD, _NETWORK_HEADER + _SOURCE_AT[address.version] + 4 * number, None))
        tests.append((_JUMP_IF_EQUAL, word, "else drop"))
    lines = []
    for at, (code, operand, drops) in enumerate(tests):
        # Past the other tests and the line that passes.
        otherwise = len(tests) - at if drops else 0
        lines.append(struct.pack("=HBBI", code, 0, otherwise, operand))
    lines.append(struct.pack("=HBBI", _RETURN, 0, 0, _PASS_BYTES))
    lines.append(struct.pack("=HBBI", _RETURN, 0, 0, 0))
    return b"".join(lines)


def is_possible() -> bool:
    """Whether this system has such filters; a line in the log where it has none."""
    if sys.platform == "linux":
        return True
    log.warning("RTP is taken from any address: %s has no socket filters", sys.platform)
    return False


def bind_source(call_id: bytes) -> Source | None:
    """Lets only the negotiated far end reach a call's audio; who that is. On the SIP thread.

    None where there is no such call, or none was negotiated: an address of zeros is an old way to
    hold a call (RFC 2543), and what passed before passes on.
    """
    call = _lib.uag_call_find(call_id)
    stream = _lib.audio_strm(_lib.call_audio(call)) if call else None
    rtp = _lib.stream_rtp_sock(stream) if stream else None
    remote = address_in(_lib.stream_raddr(stream)) if rtp else None
    if remote is None:
        return None
    address = ipaddress.ip_address(remote.host.partition("%")[0])
    if address.is_unspecified:
        return None
    lines = program(address)
    # struct sock_fprog: the number of lines, and where they are.
    kept = ctypes.create_string_buffer(lines, len(lines))
    filter_ = struct.pack("@HP", len(lines) // 8, ctypes.addressof(kept))
    for udp in (_lib.rtp_sock(rtp), _lib.rtcp_sock(rtp)):
        if not udp:
            continue
        error = _lib.udp_setsockopt(udp, socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_, len(filter_))
        if error:
            log.error("sip: the audio of a call is taken from any address (error %d)", error)
    return remote
