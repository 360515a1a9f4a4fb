"""What baresip can do and its Python package has no word for, through the same library.

Every call here runs on the SIP thread itself, handed over through a queue of the library: another
thread has timers, sockets and a lock of its own there, and would change calls under the SIP
thread's hands. The library is pinned exactly; tests/telephony/test_sip_traps.py notices when one
of these changes.
"""

import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from baresip import Runtime, _native

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_LIMIT_S = 1.0
"""The SIP thread answers in well under a millisecond, or is dead."""
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


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
"""``mqueue_h``: number, data, argument."""
_LISTENER = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)
"""``sip_msg_h``: message, argument; True: nobody else is asked."""
_METHOD_AT = 248
"""Where ``struct sip_msg`` has its method, as ``struct pl``: pointer and length."""
_LIST_AT = 16
"""Where ``struct le``, with which a listener begins, has its list."""


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
        ("mqueue_alloc", ctypes.c_int, (ctypes.c_void_p, _HANDLER, ctypes.c_void_p)),
        ("mqueue_push", ctypes.c_int, (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)),
        ("mem_deref", ctypes.c_void_p, (ctypes.c_void_p,)),
        ("uag_sip", ctypes.c_void_p, ()),
        (
            "sip_listen",
            ctypes.c_int,
            (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_bool, _LISTENER, ctypes.c_void_p),
        ),
        ("list_unlink", None, (ctypes.c_void_p,)),
        ("list_prepend", None, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)),
        ("sip_dialog_accept", ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p)),
        (
            "sip_treply",
            ctypes.c_int,
            (
                *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
                *(ctypes.c_uint16, ctypes.c_char_p),
            ),
        ),
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


class SipThread:
    """The way into the SIP thread of one runtime. Make it before the runtime is started."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue = ctypes.c_void_p()
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._handler = _HANDLER(self._work)
        self._listener = ctypes.c_void_p()
        self._listening = _LISTENER(self._turn_away)
        # The package sets this event on the SIP thread, once its loop is ready to run. A queue
        # belongs to the thread that makes it.
        runtime._ready = _Ready(self._open)

    def close(self) -> None:
        """Takes the queue down; to be called before the runtime is closed."""
        self._run(self._drop, None)

    def drop_video(self) -> None:
        """Unregisters the one video codec. With it, every answer is followed by a re-INVITE."""
        self._run(_drop_video, None)

    def source_of(self, call_id: str) -> Source | None:
        """The address that sent a call's INVITE; None where the call is gone."""
        return self._run(lambda: _source_of(_bytes(call_id)), None)

    def refuse(self, call_id: str, status: int, reason: str) -> bool:
        """Answers a waiting INVITE with ``status``; False where the call is gone."""
        return self._run(lambda: _refuse(_bytes(call_id), status, reason.encode()), False)

    def _run(self, work: Callable[[], T], otherwise: T) -> T:
        """What ``work`` returns on the SIP thread; ``otherwise`` where that is dead."""
        if not self._queue:
            return otherwise
        done: Future[T] = Future()
        self._waiting.append((work, done))
        if _lib.mqueue_push(self._queue, 0, None) != 0:
            self._waiting.remove((work, done))
            return otherwise
        try:
            return done.result(ANSWER_LIMIT_S)
        except TimeoutError:
            log.error("the SIP thread does not answer")
            return otherwise

    # -- on the SIP thread

    def _open(self) -> None:
        if self._runtime._init_err:
            return  # It has no loop; the runtime says why.
        if _lib.mqueue_alloc(ctypes.byref(self._queue), self._handler, None) != 0:
            log.error("the SIP thread has no queue; calls are refused without their reason")
        own = ctypes.byref(self._listener)
        if _lib.sip_listen(own, _lib.uag_sip(), True, self._listening, None) != 0:
            log.error("the SIP thread does not show its requests; some leave sockets behind")
            return
        # Before the stack's own listeners, which were there first.
        at = self._listener.value
        assert at is not None
        requests = ctypes.c_void_p.from_address(at + _LIST_AT).value
        _lib.list_unlink(at)
        _lib.list_prepend(requests, at, at)

    def _turn_away(self, message: int, _argument: int | None) -> bool:
        """Whether an INVITE can make no dialog, such as one without Contact, and was answered 400.

        The stack finds that out too late: it keeps the half-made call and its sockets for good,
        and falls over them when it stops.
        """
        method, length = (ctypes.c_size_t * 2).from_address(message + _METHOD_AT)
        if length != len(b"INVITE") or ctypes.string_at(method, length) != b"INVITE":
            return False
        dialog = ctypes.c_void_p()
        if _lib.sip_dialog_accept(ctypes.byref(dialog), message) == 0:
            _lib.mem_deref(dialog)
            return False
        _lib.sip_treply(None, _lib.uag_sip(), message, 400, b"Bad Request")
        return True

    def _work(self, _number: int, _data: int | None, _argument: int | None) -> None:
        work, done = self._waiting.popleft()
        try:
            done.set_result(work())
        except Exception as error:  # the library calls this and knows no exceptions
            done.set_exception(error)

    def _drop(self) -> None:
        if self._listener:
            _lib.mem_deref(self._listener)
        _lib.mem_deref(self._queue)
        self._queue = ctypes.c_void_p()


class _Ready(threading.Event):
    """Does something before it is set."""

    def __init__(self, first: Callable[[], None]) -> None:
        super().__init__()
        self._first = first

    def set(self) -> None:
        self._first()
        super().set()


def _bytes(call_id: str) -> bytes:
    """As it came: what is no UTF-8 was read with surrogates."""
    return call_id.encode("utf-8", "surrogateescape")


def _drop_video() -> None:
    codec = _lib.vidcodec_find(_lib.baresip_vidcodecl(), b"VP8", None)
    if codec:
        _lib.vidcodec_unregister(codec)


def _source_of(call_id: bytes) -> Source | None:
    address = ctypes.create_string_buffer(_ADDRESS_BYTES)
    host = ctypes.create_string_buffer(_HOST_BYTES)
    call = _lib.uag_call_find(call_id)
    if not call or _lib.call_msg_src(call, address) != 0:
        return None
    if _lib.sa_ntop(address, host, _HOST_BYTES) != 0:
        return None
    return Source(host.value.decode(), int(_lib.sa_port(address)))


def _refuse(call_id: bytes, status: int, reason: bytes) -> bool:
    call = _lib.uag_call_find(call_id)
    if not call:
        return False
    _lib.ua_hangup(_lib.call_get_ua(call), call, status, reason)
    return True
