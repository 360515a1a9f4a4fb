"""Who is heard at all: requests are judged by where they come from before the stack sees them.

The stack acts on a request before anybody is asked: it rings, it answers OPTIONS, and it ends a
call that an INVITE says it replaces (RFC 3891). So the gate listens ahead of it. Its functions
run on the SIP thread, where an exception would be lost: what fails is not let in.
"""

import ctypes
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from telephony.sip_native import bound

log = logging.getLogger(__name__)

Admits = Callable[[str], bool]
"""Whether a host, an address in numbers, may send requests. Asked on the SIP thread."""

SAY_AGAIN_S = 1.0
LINES_A_SECOND = 5
"""For all sources together: those of UDP can be made up."""
MAX_SOURCES = 256

_HOST_BYTES = 64
_LISTENER = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)
"""``sip_msg_h``: message, argument; True: nobody else is asked."""

# Where ``struct sip_msg`` has these as ``struct pl``, pointer and length. It begins with the
# source's address.
_METHOD_AT = 248
_TO_TAG_AT = 776
_CALL_ID_AT = 1096
_REPLACES = 2534
"""``SIP_HDR_REPLACES``."""

# ``struct sip_lsnr`` begins with ``struct le``.
_NEXT_AT = 8
_LIST_AT = 16
_IS_FOR_REQUESTS_AT = 56

_lib = bound(
    ("uag_sip", ctypes.c_void_p, ()),
    ("uag_sipsess_sock", ctypes.c_void_p, ()),
    ("uag_call_find_pl", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("call_is_outgoing", ctypes.c_bool, (ctypes.c_void_p,)),
    ("sipsess_find", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p)),
    ("sip_dialog_accept", ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p)),
    ("sip_msg_hdr", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int)),
    ("sa_ntop", ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)),
    (
        "sip_listen",
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_bool, _LISTENER, ctypes.c_void_p),
    ),
    (
        "sip_treply",
        ctypes.c_int,
        (
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
            *(ctypes.c_uint16, ctypes.c_char_p),
        ),
    ),
    ("list_unlink", None, (ctypes.c_void_p,)),
    ("list_prepend", None, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)),
    (
        "list_insert_after",
        None,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    ),
    ("mem_deref", ctypes.c_void_p, (ctypes.c_void_p,)),
)


def everybody(_host: str) -> bool:
    """Admits whoever asks."""
    return True


class Refusals:
    """How often each source was turned away, and when that is worth a line. Pure."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """By host: when it was last written of, and how often it was turned away since."""
        self._second_s = float("-inf")
        self._lines = 0

    def count(self, host: str, now_s: float) -> int:
        """One more from ``host``: how many are to be told of now; 0: none."""
        said_s, unsaid = self._sources.pop(host, (float("-inf"), 0))
        unsaid += 1
        says = now_s - said_s >= SAY_AGAIN_S and self._may_say(now_s)
        self._sources[host] = (now_s, 0) if says else (said_s, unsaid)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        return unsaid if says else 0

    def _may_say(self, now_s: float) -> bool:
        if now_s - self._second_s >= 1.0:
            self._second_s, self._lines = now_s, 0
        self._lines += 1
        return self._lines <= LINES_A_SECOND


class Gate:
    """The gate of one runtime. ``begin`` and ``end`` are called on its SIP thread."""

    def __init__(self, admits: Admits) -> None:
        self.stands = False
        """Whether it is asked."""
        self._admits = admits
        self._refusals = Refusals()
        # The library keeps pointers to all four.
        self._outer, self._inner = ctypes.c_void_p(), ctypes.c_void_p()
        self._judging = _LISTENER(self._judge)
        self._screening = _LISTENER(self._screen)

    def begin(self) -> None:
        """Listens ahead of the stack."""
        sip = _lib.uag_sip()
        for listener, handler in ((self._outer, self._judging), (self._inner, self._screening)):
            if _lib.sip_listen(ctypes.byref(listener), sip, True, handler, None) != 0:
                log.error("the SIP thread does not show its requests")
                return
        outer, inner = self._outer.value, self._inner.value
        assert outer is not None and inner is not None
        listeners = _pointer(outer + _LIST_AT)
        _lib.list_unlink(outer)
        _lib.list_unlink(inner)
        # The first is that of the server transactions: it knows what is said again, and answers
        # it as before. So does the second look come after it.
        transactions = _pointer(listeners)
        while not ctypes.c_bool.from_address(transactions + _IS_FOR_REQUESTS_AT).value:
            transactions = _pointer(transactions + _NEXT_AT)
        _lib.list_insert_after(listeners, transactions, inner, inner)
        _lib.list_prepend(listeners, outer, outer)
        self.stands = True

    def end(self) -> None:
        """Listens no more."""
        for listener in (self._outer, self._inner):
            if listener:
                _lib.mem_deref(listener)

    # -- True: the request goes no further

    def _judge(self, message: int, _argument: int | None) -> bool:
        try:
            host = _source(message)
            if self._admits(host) or _is_ours(message):
                return False
            if count := self._refusals.count(host, time.monotonic()):
                log.info(
                    "sip: %d unanswered from %s: nobody may call from there; add it to `allow` "
                    "in [trunks.NAME], or in [sip] for calls without a trunk",
                    count,
                    host,
                )
        except Exception:  # the library calls this and knows no exceptions
            log.exception("a request was not judged")
        return True

    def _screen(self, message: int, _argument: int | None) -> bool:
        try:
            fault = _fault(message)
        except Exception:  # the library calls this and knows no exceptions
            log.exception("a request was not looked at")
            return True
        if fault is None:
            return False
        _lib.sip_treply(None, _lib.uag_sip(), message, *fault)
        return True


def _pointer(address: int) -> int:
    return ctypes.c_void_p.from_address(address).value or 0


def _source(message: int) -> str:
    host = ctypes.create_string_buffer(_HOST_BYTES)
    if _lib.sa_ntop(message, host, _HOST_BYTES) != 0:
        raise ValueError("a request from no address")
    return host.value.decode("ascii")


def _is_ours(message: int) -> bool:
    """Whether it belongs to a call that was placed from here.

    Its far end is whoever the trunk's name led to, and may be another host of theirs from one
    request to the next. The tag of this side says that it is them: 64 bits that only the two
    ends, and who carries their words, ever saw.
    """
    if not _lib.sipsess_find(_lib.uag_sipsess_sock(), message):
        return False
    call = _lib.uag_call_find_pl(message + _CALL_ID_AT)
    return bool(call and _lib.call_is_outgoing(call))


def _fault(message: int) -> tuple[int, bytes] | None:
    """How an INVITE is to be answered that the stack must not see; None: it may."""
    method, length = (ctypes.c_size_t * 2).from_address(message + _METHOD_AT)
    if length != len(b"INVITE") or ctypes.string_at(method, length) != b"INVITE":
        return None
    if _lib.sip_msg_hdr(message, _REPLACES):
        # It would end the call it names without a question; nobody here has a use for that.
        return 403, b"Forbidden"
    _, tag_length = (ctypes.c_size_t * 2).from_address(message + _TO_TAG_AT)
    if not tag_length and _lib.uag_call_find_pl(message + _CALL_ID_AT):
        # Calls are found by their Call-ID, so that a second one would be taken for the first.
        return 482, b"Merged Request"
    dialog = ctypes.c_void_p()
    if _lib.sip_dialog_accept(ctypes.byref(dialog), message) != 0:
        # Without Contact, say. The stack finds out too late: it keeps the half-made call and its
        # sockets for good, and falls over them when it stops.
        return 400, b"Bad Request"
    _lib.mem_deref(dialog)
    return None
