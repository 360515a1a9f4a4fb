"""What a call that was placed came to, by the SIP status that decided it. Pure."""

from dataclasses import dataclass

from telephony.transport import CallOutcome


@dataclass(frozen=True, slots=True)
class Cause:
    """A final status: what became of the call, in a person's words, and who says so."""

    outcome: CallOutcome
    meaning: str
    source: str
    """The specification and section that defines the status."""


_BUSY, _NO_ANSWER = CallOutcome.BUSY, CallOutcome.NO_ANSWER
_REJECTED, _FAILED = CallOutcome.REJECTED, CallOutcome.FAILED

CAUSES: dict[int, Cause] = {
    200: Cause(CallOutcome.ANSWERED, "answered", "RFC 3261, 21.2.1"),
    202: Cause(CallOutcome.ANSWERED, "accepted", "RFC 6665, 8.3.1"),
    204: Cause(CallOutcome.ANSWERED, "answered", "RFC 5839, 7.1"),
    300: Cause(
        _REJECTED, "several other addresses; redirects are not followed", "RFC 3261, 21.3.1"
    ),
    301: Cause(_REJECTED, "moved for good; redirects are not followed", "RFC 3261, 21.3.2"),
    302: Cause(_REJECTED, "moved for now; redirects are not followed", "RFC 3261, 21.3.3"),
    305: Cause(_REJECTED, "asks for a proxy; redirects are not followed", "RFC 3261, 21.3.4"),
    380: Cause(_REJECTED, "offers another service instead", "RFC 3261, 21.3.5"),
    400: Cause(_FAILED, "did not understand the call", "RFC 3261, 21.4.1"),
    401: Cause(_REJECTED, "refuses the username or password", "RFC 3261, 21.4.2"),
    402: Cause(_REJECTED, "asks for payment", "RFC 3261, 21.4.3"),
    403: Cause(_REJECTED, "forbids the call", "RFC 3261, 21.4.4"),
    404: Cause(_REJECTED, "knows no such number", "RFC 3261, 21.4.5"),
    405: Cause(_REJECTED, "takes no calls at this address", "RFC 3261, 21.4.6"),
    406: Cause(_REJECTED, "has no answer of an acceptable kind", "RFC 3261, 21.4.7"),
    407: Cause(_REJECTED, "refuses the username or password", "RFC 3261, 21.4.8"),
    408: Cause(_NO_ANSWER, "nobody answered in time", "RFC 3261, 21.4.9"),
    410: Cause(_REJECTED, "the number is no longer in use", "RFC 3261, 21.4.10"),
    413: Cause(_FAILED, "the request is too large", "RFC 3261, 21.4.11"),
    414: Cause(_FAILED, "the address is too long", "RFC 3261, 21.4.12"),
    415: Cause(_REJECTED, "takes no such session description", "RFC 3261, 21.4.13"),
    416: Cause(_REJECTED, "takes no addresses of this scheme", "RFC 3261, 21.4.14"),
    417: Cause(_FAILED, "does not know the resource priority", "RFC 4412, 4.6.2"),
    420: Cause(_FAILED, "lacks an extension that was required", "RFC 3261, 21.4.15"),
    421: Cause(_FAILED, "requires an extension that this box lacks", "RFC 3261, 21.4.16"),
    422: Cause(_FAILED, "asks for a longer session interval", "RFC 4028, 6"),
    423: Cause(_FAILED, "asks for a longer expiry", "RFC 3261, 21.4.17"),
    424: Cause(_FAILED, "refuses the location given", "RFC 6442, 4.3"),
    425: Cause(_FAILED, "refuses the alert given", "RFC 8876, 4.1"),
    428: Cause(_REJECTED, "asks for a signed identity", "RFC 8224, 6.2.2"),
    429: Cause(_FAILED, "asks for the referrer's identity", "RFC 3892, 5"),
    430: Cause(_FAILED, "a flow on the way failed", "RFC 5626, 11.5"),
    433: Cause(_REJECTED, "takes no anonymous calls", "RFC 5079, 5"),
    436: Cause(_FAILED, "cannot read the identity's certificate", "RFC 8224, 6.2.2"),
    437: Cause(_REJECTED, "does not trust the identity's certificate", "RFC 8224, 6.2.2"),
    438: Cause(_REJECTED, "refuses the identity's signature", "RFC 8224, 6.2.2"),
    439: Cause(_FAILED, "the first hop lacks outbound support", "RFC 5626, 11.6"),
    440: Cause(_FAILED, "the call may branch no further", "RFC 5393, 5"),
    469: Cause(_FAILED, "refuses an INFO package", "RFC 6086, 4.2.2"),
    470: Cause(_REJECTED, "its owner's consent is needed", "RFC 5360, 5.9.2"),
    480: Cause(_NO_ANSWER, "is not there at present", "RFC 3261, 21.4.18"),
    481: Cause(_FAILED, "does not know the call", "RFC 3261, 21.4.19"),
    482: Cause(_FAILED, "the call went round in a loop", "RFC 3261, 21.4.20"),
    483: Cause(_FAILED, "the call passed too many servers", "RFC 3261, 21.4.21"),
    484: Cause(_REJECTED, "the number is not complete", "RFC 3261, 21.4.22"),
    485: Cause(_REJECTED, "the number stands for several", "RFC 3261, 21.4.23"),
    486: Cause(_BUSY, "busy", "RFC 3261, 21.4.24"),
    487: Cause(_NO_ANSWER, "given up before an answer", "RFC 3261, 21.4.25"),
    488: Cause(
        _REJECTED, "takes none of the codecs, or wants other encryption", "RFC 3261, 21.4.26"
    ),
    489: Cause(_FAILED, "does not know the event", "RFC 6665, 8.3.2"),
    491: Cause(_FAILED, "was in the middle of another change", "RFC 3261, 21.4.27"),
    493: Cause(_FAILED, "cannot decipher the request", "RFC 3261, 21.4.28"),
    494: Cause(_FAILED, "asks for a security agreement", "RFC 3329, 2.3.1"),
    500: Cause(_FAILED, "the server failed", "RFC 3261, 21.5.1"),
    501: Cause(_FAILED, "the server cannot place calls", "RFC 3261, 21.5.2"),
    502: Cause(_FAILED, "a gateway failed", "RFC 3261, 21.5.3"),
    503: Cause(_FAILED, "the server is overloaded or out of service", "RFC 3261, 21.5.4"),
    504: Cause(_FAILED, "a server on the way did not reply", "RFC 3261, 21.5.5"),
    505: Cause(_FAILED, "the server speaks another version of SIP", "RFC 3261, 21.5.6"),
    513: Cause(_FAILED, "the message is too large", "RFC 3261, 21.5.7"),
    555: Cause(_FAILED, "the push service is not supported", "RFC 8599, 9"),
    580: Cause(_FAILED, "a precondition was not met", "RFC 3312, 8"),
    600: Cause(_BUSY, "busy everywhere", "RFC 3261, 21.6.1"),
    603: Cause(_REJECTED, "declined", "RFC 3261, 21.6.2"),
    604: Cause(_REJECTED, "the number does not exist anywhere", "RFC 3261, 21.6.3"),
    606: Cause(
        _REJECTED, "takes none of the codecs, or wants other encryption", "RFC 3261, 21.6.4"
    ),
    607: Cause(_REJECTED, "the callee does not want this call", "RFC 8197, 3"),
    608: Cause(_REJECTED, "taken for unwanted on the callee's behalf", "RFC 8688, 3"),
}
"""Every final status that a call can get (the IANA registry of SIP response codes)."""

_CLASSES = {2: 200, 3: 300, 4: 400, 5: 500, 6: 600}


def cause_of(status: int) -> Cause:
    """What ``status`` says; one that is not known counts as the first of its class.

    (RFC 3261, section 8.1.3.2.) Below 200 and above 699 is no final status: the call failed.
    """
    known = CAUSES.get(status) or CAUSES.get(_CLASSES.get(status // 100, 0))
    return known or Cause(_FAILED, "not a final SIP status", "RFC 3261, 7.2")


def outcome_of(status: int) -> CallOutcome:
    """What became of a call that ended with ``status``."""
    return cause_of(status).outcome
