"""What far ends reply to the requests of calls, where the package says nothing of it.

It does not tell of a 100 (Trying), without which nobody may be there at all, nor of a REFER that
was accepted. So this listens ahead of the stack, on the SIP thread, and lets everything pass.
"""

import ctypes
import logging
from collections import OrderedDict

from telephony.sip_native import OnSipThread, bound

log = logging.getLogger(__name__)

MAX_KEPT = 1024
"""Replies remembered, the last one to each method of each call: four times the stack's calls."""
METHODS = frozenset({"INVITE", "REFER"})

_LISTENER = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)
"""``sip_msg_h``: message, argument; True: nobody else is asked."""

# Where ``struct sip_msg`` has these: a 16-bit number, and two ``struct pl``, pointer and length.
_STATUS_AT = 384
_METHOD_AT = 992
_CALL_ID_AT = 1096
_LIST_AT = 16
"""Where ``struct le``, with which a listener begins, has its list."""

_lib = bound(
    ("uag_sip", ctypes.c_void_p, ()),
    ("uag_call_find_pl", ctypes.c_void_p, (ctypes.c_void_p,)),
    (
        "sip_listen",
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_bool, _LISTENER, ctypes.c_void_p),
    ),
    ("list_unlink", None, (ctypes.c_void_p,)),
    ("list_prepend", None, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)),
    ("mem_deref", ctypes.c_void_p, (ctypes.c_void_p,)),
)


class Replies:
    """The last reply to each method of each call. ``note`` is called on the SIP thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], int] = OrderedDict()
        # The library keeps pointers to both.
        self._listener = ctypes.c_void_p()
        self._listening = _LISTENER(self._look)

    def status(self, call_id: str, method: str) -> int | None:
        """The status that came last; None where none did."""
        return self._kept.get((call_id, method))

    def forget(self, call_id: str, method: str) -> None:
        """A request is about to be sent: what came before is no reply to it."""
        self._kept.pop((call_id, method), None)

    def note(self, call_id: str, method: str, status: int) -> None:
        """A reply came."""
        self._kept.pop((call_id, method), None)
        self._kept[call_id, method] = status
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    # -- on the SIP thread

    def begin(self) -> None:
        """Listens ahead of the stack."""
        listener = ctypes.byref(self._listener)
        if _lib.sip_listen(listener, _lib.uag_sip(), False, self._listening, None) != 0:
            log.error("the SIP thread does not show its replies")
            return
        at = self._listener.value
        assert at is not None
        listeners = ctypes.c_void_p.from_address(at + _LIST_AT).value
        _lib.list_unlink(at)
        _lib.list_prepend(listeners, at, at)

    def end(self) -> None:
        """Listens no more."""
        if self._listener:
            _lib.mem_deref(self._listener)

    def _look(self, message: int, _argument: int | None) -> bool:
        try:
            method = _text(message + _METHOD_AT)
            # Those of calls alone: a stranger's replies push nothing out.
            if method in METHODS and _lib.uag_call_find_pl(message + _CALL_ID_AT):
                status = ctypes.c_uint16.from_address(message + _STATUS_AT).value
                self.note(_text(message + _CALL_ID_AT), method, status)
        except Exception:  # the library calls this and knows no exceptions
            log.exception("a reply was not looked at")
        return False


class Together:
    """What begins and ends with the SIP thread, in this order."""

    def __init__(self, *parts: OnSipThread) -> None:
        self._parts = parts

    def begin(self) -> None:
        """Begins all."""
        for part in self._parts:
            part.begin()

    def end(self) -> None:
        """Ends all, the last one first."""
        for part in reversed(self._parts):
            part.end()


def _text(at: int) -> str:
    text, length = (ctypes.c_size_t * 2).from_address(at)
    return ctypes.string_at(text, length).decode("utf-8", "surrogateescape") if length else ""
