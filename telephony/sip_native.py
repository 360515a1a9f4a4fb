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
from typing import Any, Protocol, TypeVar

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


def bound(*functions: tuple[str, Any, tuple[Any, ...]]) -> ctypes.CDLL:
    """The library, with these functions: name, result, arguments."""
    library = ctypes.CDLL(_native.__file__)
    for name, result, arguments in functions:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_lib = bound(
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
    (
        "ua_hangupf",
        None,
        # The last is a printf format: what is written there must hold no percent sign.
        (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_uint16,
            ctypes.c_char_p,
            ctypes.c_char_p,
        ),
    ),
)


class OnSipThread(Protocol):
    """What begins and ends with the SIP thread, and on it."""

    def begin(self) -> None:
        """Called once the stack is there, before any call."""
        ...

    def end(self) -> None:
        """Called before the stack is taken down."""
        ...


class SipThread:
    """The way into the SIP thread of one runtime. Make it before the runtime is started."""

    def __init__(self, runtime: Runtime, companion: OnSipThread) -> None:
        self._runtime = runtime
        self._companion = companion
        self._queue = ctypes.c_void_p()
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._handler = _HANDLER(self._work)
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

    def refuse(
        self, call_id: str, status: int, reason: str, retry_after_s: int | None = None
    ) -> bool:
        """Answers a waiting INVITE with ``status``; False where the call is gone.

        ``retry_after_s``: when to try again, in whole seconds (RFC 3261, 20.33).
        """
        after = None if retry_after_s is None else b"Retry-After: %d\r\n" % retry_after_s
        return self._run(lambda: _refuse(_bytes(call_id), status, reason.encode(), after), False)

    def post(self, work: Callable[[bytes], object], call_id: str) -> None:
        """Does something for a call on the SIP thread, and waits for nothing."""
        done = self._push(lambda: work(_bytes(call_id)))
        if done is not None:
            done.add_done_callback(_report)

    def _push(self, work: Callable[[], T]) -> "Future[T] | None":
        """What ``work`` will have returned; None where the thread takes no more."""
        if not self._queue:
            return None
        done: Future[T] = Future()
        self._waiting.append((work, done))
        if _lib.mqueue_push(self._queue, 0, None) != 0:
            self._waiting.remove((work, done))
            return None
        return done

    def _run(self, work: Callable[[], T], otherwise: T) -> T:
        """What ``work`` returns on the SIP thread; ``otherwise`` where that is dead."""
        done = self._push(work)
        if done is None:
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
        self._companion.begin()

    def _work(self, _number: int, _data: int | None, _argument: int | None) -> None:
        work, done = self._waiting.popleft()
        try:
            done.set_result(work())
        except Exception as error:  # the library calls this and knows no exceptions
            done.set_exception(error)

    def _drop(self) -> None:
        self._companion.end()
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


def address_in(sockaddr: int | ctypes.Array[ctypes.c_char]) -> Source | None:
    """What a ``struct sa`` says; None where it is empty."""
    host = ctypes.create_string_buffer(_HOST_BYTES)
    if _lib.sa_ntop(sockaddr, host, _HOST_BYTES) != 0:
        return None
    return Source(host.value.decode(), int(_lib.sa_port(sockaddr)))


def _report(done: "Future[Any]") -> None:
    if (error := done.exception()) is not None:
        log.error("the SIP thread failed", exc_info=error)


def _bytes(call_id: str) -> bytes:
    """As it came: what is no UTF-8 was read with surrogates."""
    return call_id.encode("utf-8", "surrogateescape")


def _drop_video() -> None:
    codec = _lib.vidcodec_find(_lib.baresip_vidcodecl(), b"VP8", None)
    if codec:
        _lib.vidcodec_unregister(codec)


def _source_of(call_id: bytes) -> Source | None:
    address = ctypes.create_string_buffer(_ADDRESS_BYTES)
    call = _lib.uag_call_find(call_id)
    if not call or _lib.call_msg_src(call, address) != 0:
        return None
    return address_in(address)


def _refuse(call_id: bytes, status: int, reason: bytes, headers: bytes | None) -> bool:
    call = _lib.uag_call_find(call_id)
    if not call:
        return False
    _lib.ua_hangupf(_lib.call_get_ua(call), call, status, reason, headers)
    return True
