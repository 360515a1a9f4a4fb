"""What baresip can do and its Python package has no word for, through the same library.

Every call here runs under the lock of the SIP thread, as baresip's own code does. The library
is pinned exactly; tests/telephony/test_sip_traps.py notices when one of these changes.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from baresip import _native

_ADDRESS_BYTES = 512
"""libre's ``struct sa`` holds any kind of socket address, of which UNIX ones take 110 bytes."""
_HOST_BYTES = 64


@dataclass(frozen=True, slots=True)
class Source:
    """Where a request came from, by the packet and not by what it says."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_native.__file__)
    for name, result, arguments in (
        ("baresip_vidcodecl", ctypes.c_void_p, ()),
        ("vidcodec_find", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)),
        ("vidcodec_unregister", None, (ctypes.c_void_p,)),
        ("uag_call_find", ctypes.c_void_p, (ctypes.c_char_p,)),
        ("call_get_ua", ctypes.c_void_p, (ctypes.c_void_p,)),
        ("call_msg_src", ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p)),
        ("sa_ntop", ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)),
        ("sa_port", ctypes.c_uint16, (ctypes.c_void_p,)),
        (
            "ua_hangup",
            None,
            (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint16, ctypes.c_char_p),
        ),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_lib = _library()


@contextmanager
def _sip_thread() -> Iterator[None]:
    _lib.re_thread_enter()
    try:
        yield
    finally:
        _lib.re_thread_leave()


def drop_video() -> None:
    """Unregisters the one video codec. With it, every answer is followed by a re-INVITE."""
    with _sip_thread():
        codec = _lib.vidcodec_find(_lib.baresip_vidcodecl(), b"VP8", None)
        if codec:
            _lib.vidcodec_unregister(codec)


def source_of(call_id: str) -> Source | None:
    """The address that sent a call's INVITE; None where the call is gone."""
    address = ctypes.create_string_buffer(_ADDRESS_BYTES)
    host = ctypes.create_string_buffer(_HOST_BYTES)
    with _sip_thread():
        call = _lib.uag_call_find(call_id.encode())
        if not call or _lib.call_msg_src(call, address) != 0:
            return None
        if _lib.sa_ntop(address, host, _HOST_BYTES) != 0:
            return None
        return Source(host.value.decode(), int(_lib.sa_port(address)))


def refuse(call_id: str, status: int, reason: str) -> bool:
    """Answers a waiting INVITE with ``status``; False where the call is gone."""
    with _sip_thread():
        call = _lib.uag_call_find(call_id.encode())
        if not call:
            return False
        _lib.ua_hangup(_lib.call_get_ua(call), call, status, reason.encode())
        return True
