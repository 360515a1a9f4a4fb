"""What the far end asks for in a call, and the answers to it (RFC 3261, section 12.2.2)."""

from collections.abc import Callable
from typing import Protocol

from latency_bench.sip.dialog import ALLOW, Dialog
from latency_bench.sip.message import Request, reason_text
from latency_bench.sip.sdp import Agreed, LocalMedia, Media, agreed_types, parse_media
from latency_bench.sip.uri import uri_in

KEPT_ANSWERS = 32
LONGEST_URI = 500


class CallEvents(Protocol):
    """What the far end does in a call; all from the event loop's thread."""

    def changed(self, media: Media, agreed: Agreed) -> None:
        """It wants the sound elsewhere, or none."""

    def hung_up(self, at_s: float, reason: str) -> None:
        """It ended the call."""

    def referred(self, to: str) -> None:
        """It asks the caller to go to ``to``."""

    def noted(self, text: str) -> None:
        """Something unusual."""


class FarRequests:
    """Answers every request; one that is repeated gets the same answer again.

    ``media``: what was offered, once the call is answered. ``transferred`` is called after a
    REFER, to tell that it worked.
    """

    def __init__(self, dialog: Dialog, events: CallEvents, transferred: Callable[[], None]) -> None:
        self.media: LocalMedia | None = None
        self.hung_up = False
        self._dialog = dialog
        self._events = events
        self._transferred = transferred
        self._version = 1
        self._answers: dict[tuple[str, int, str], bytes] = {}

    def answer(self, request: Request, at_s: float) -> bytes:
        """Acts on a request, and answers it; empty where there is no answer."""
        headers, method = request.headers, request.method
        if method == "ACK":
            return b""
        if not self._dialog.owns(request):
            # Of somebody else's call, or a new one; this side takes none.
            status = (200, "OK") if method == "OPTIONS" else (481, "Call Does Not Exist")
            return request.answer(*status, tag=self._dialog.tag)
        key = (headers.branch, headers.sequence, method)
        if key not in self._answers:
            self._answers[key] = self._take(request, at_s)
            if len(self._answers) > KEPT_ANSWERS:
                del self._answers[next(iter(self._answers))]
        return self._answers[key]

    def _take(self, request: Request, at_s: float) -> bytes:
        match request.method:
            case "INVITE" | "UPDATE":
                return self._renegotiate(request)
            case "BYE":
                self.hung_up = True
                self._events.hung_up(at_s, reason_text(request.headers))
            case "REFER":
                return self._refer(request)
            case "OPTIONS":
                return request.answer(200, "OK", extra=(f"Allow: {ALLOW}",))
            case "INFO" | "NOTIFY" | "MESSAGE" | "CANCEL":
                pass
            case _:
                return request.answer(405, "Method Not Allowed", extra=(f"Allow: {ALLOW}",))
        return request.answer(200, "OK")

    def _renegotiate(self, request: Request) -> bytes:
        """Hold, another port, or a sign of life (RFC 3261, 14.2; RFC 3311)."""
        own = self.media
        if own is None:
            return request.answer(491, "Request Pending")
        self._dialog.refresh(request.headers)
        extra = (self._dialog.own_contact, f"Allow: {ALLOW}")
        if not request.body.strip():
            body = own.offer(self._version) if request.method == "INVITE" else ""
            return request.answer(200, "OK", extra=extra, body=body)
        media = parse_media(request.body)
        agreed = agreed_types(media, own.form) if media is not None else None
        if media is None or agreed is None or media.secure != (own.key is not None):
            self._events.noted("the agent asked for other audio in mid-call, and was refused")
            return request.answer(488, "Not Acceptable Here")
        self._version += 1
        self._events.changed(media, agreed)
        body = own.answer(media, agreed, self._version)
        return request.answer(200, "OK", extra=extra, body=body)

    def _refer(self, request: Request) -> bytes:
        """Accepts (RFC 3515): nobody else is really called."""
        to = uri_in(request.headers.one("refer-to"))
        if not to:
            return request.answer(400, "No Refer-To")
        self._events.referred(to[:LONGEST_URI])
        self._transferred()
        return request.answer(202, "Accepted", extra=(self._dialog.own_contact,))
