"""Places calls: through a trunk or straight, within the limits, and never without a record."""

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agent.admission import BoxFull
from agent.box import Box
from agent.call import Origin
from agent.phone_sections import OWN_PROFILE
from agent.placed_call import CallRequest, CallState, PlacedCall
from agent.records.record import CallRecord
from agent.usage import Usage
from telephony.numbers import dialled_key
from telephony.sip_target import SipTarget, check_target
from telephony.transport import CallOutcome, CallTransport, Dial, Dialled, HangupCause
from telephony.trunk import DialRefused, Fault, Trunk, Trunks, number_to_dial
from telephony.trunk_load import TrunkLoad

log = logging.getLogger(__name__)

KEPT = 1000
"""So many placed calls are remembered; the records have all of them."""
MAX_ANSWER_LIMIT_S = 180.0
DIAL_MARGIN_S = 10.0
"""A door that says nothing for so long after the call should have been answered has failed."""
GIVE_UP_LIMIT_S = 5.0
GIVEN_UP = "given up before an answer"


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request that was found to be allowed."""

    dial: Dial
    to: str
    trunk: Trunk | None
    profile: str


@dataclass(slots=True)
class _Dialling:
    """What belongs to a placed call until it is known whether it is answered."""

    plan: _Plan
    task: asyncio.Task[Dialled]
    place: ExitStack
    """The place in the box that is kept for it."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: bool = False


class Outbound:
    """Calls that the box places over one door. Lives on the box's event loop."""

    def __init__(
        self,
        box: Box,
        door: CallTransport,
        trunks: Trunks,
        load: TrunkLoad,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._box = box
        self._door = door
        self._trunks = trunks
        self._load = load
        self._clock = clock
        self._calls: OrderedDict[str, PlacedCall] = OrderedDict()
        self._dialling: dict[str, _Dialling] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def place(self, request: CallRequest) -> PlacedCall:
        """Begins a call; `settled` waits for its outcome. Raises DialRefused or BoxFull."""
        plan = self._plan(request)
        if self._closing:
            raise BoxFull("the box is stopping; call again in a minute")
        trunk = plan.trunk.name if plan.trunk else ""
        # Before anybody's telephone rings.
        self._box.judged("sip", plan.to, Origin("outbound", plan.to, trunk, plan.profile))
        with ExitStack() as admission:
            place = admission.enter_context(ExitStack())
            place.enter_context(self._box.reserve())
            if plan.trunk is not None:
                self._load.begin_outbound(plan.trunk, plan.to, self._clock())
                admission.callback(self._load.end, plan.trunk)
            held = admission.pop_all()
        call = PlacedCall(uuid.uuid4().hex[:12], plan.to, trunk, plan.profile)
        log.info("call %s: dialling %s", call.call_id, plan.dial.target)
        self._remember(call)
        self._box.store.start_call(self._record(call))
        dialling = asyncio.create_task(self._dial(plan.dial), name=f"dial-{call.call_id}")
        work = self._dialling[call.call_id] = _Dialling(plan, dialling, place)
        task = asyncio.create_task(self._run(call, work), name=f"placed-{call.call_id}")
        self._tasks.add(task)

        def over(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("call %s: failed", call.call_id, exc_info=error)
            self._dialling.pop(call.call_id, None)
            dialling.cancel()
            held.close()
            work.settled.set()

        task.add_done_callback(over)
        return call

    async def settled(self, call: PlacedCall) -> None:
        """Returns once it is known whether the call is answered."""
        if (work := self._dialling.get(call.call_id)) is not None:
            await work.settled.wait()

    def recent(self, limit: int) -> list[PlacedCall]:
        """The latest placed calls, latest first."""
        return list(reversed(self._calls.values()))[:limit]

    def find(self, call_id: str) -> PlacedCall | None:
        """One of the placed calls that are remembered."""
        return self._calls.get(call_id)

    def hang_up(self, call: PlacedCall) -> bool:
        """Gives up or ends a call; False where it is over."""
        if (work := self._dialling.get(call.call_id)) is not None:
            work.given_up = True
            work.task.cancel()
            return True
        run = self._box.run_of(call.call_id)
        if run is None:
            return False
        run.hang_up(HangupCause.AGENT_HUNG_UP)
        return True

    def refer(self, number: str, trunk: str = "") -> str:
        """The SIP address of ``number``, for a far end that is to call it in our name.

        ``trunk``: the one that the caller came over, preferred. It counts against the trunk's
        calls a minute, as a call that is placed does. Raises DialRefused.
        """
        plan = self._plan(CallRequest(to=number, trunk=self._usable(number, trunk)))
        if plan.trunk is not None:
            self._load.begin_outbound(plan.trunk, plan.to, self._clock())
            self._load.end(plan.trunk)
        return plan.dial.target

    def refusal(self, target: str, trunk: str = "") -> str:
        """Why ``target`` may not be called for a caller who came over ``trunk``; empty: it may."""
        try:
            self._plan(CallRequest(to=target, trunk=self._usable(target, trunk)))
        except DialRefused as refused:
            return str(refused)
        return ""

    @asynccontextmanager
    async def reach(self, target: str, trunk: str = "") -> AsyncIterator[Dialled]:
        """Calls a person for a caller who waits, under the same limits; hangs up at the end.

        ``trunk``: the one that the caller came over, preferred. Raises DialRefused.
        """
        plan = self._plan(CallRequest(to=target, trunk=self._usable(target, trunk)))
        if self._closing:
            raise BoxFull("the box is stopping; call again in a minute")
        with ExitStack() as admission:
            admission.enter_context(self._box.reserve())
            if plan.trunk is not None:
                self._load.begin_outbound(plan.trunk, plan.to, self._clock())
                admission.callback(self._load.end, plan.trunk)
            call = PlacedCall(uuid.uuid4().hex[:12], plan.to, plan.trunk.name if plan.trunk else "")
            log.info("call %s: dialling %s for a caller who waits", call.call_id, plan.dial.target)
            self._remember(call)
            self._box.store.start_call(self._record(call))
            dialled = Dialled(CallOutcome.NO_ANSWER, reason=GIVEN_UP)
            try:
                dialled = await self._dial(plan.dial)
                call.settle(dialled)
                yield dialled
            finally:
                if dialled.line is not None:
                    await dialled.line.hang_up()
                    call.end(dialled.line.cause.value)
                elif call.outcome is None:
                    call.settle(dialled)
                self._box.store.end_call(self._record(call))

    def _usable(self, target: str, trunk: str) -> str:
        """``trunk``, where it is one that may dial ``target``."""
        if not trunk or target.lower().startswith(("sip:", "sips:")):
            return ""
        try:
            self._trunks.outbound(number_to_dial(target), trunk)
        except DialRefused:
            return ""
        return trunk

    async def close(self) -> None:
        """Places no more calls, and gives up those that nobody has answered yet.

        Answered calls are the box's, and end as it drains.
        """
        self._closing = True
        waiting = list(self._dialling.values())
        for work in waiting:
            work.given_up = True
            work.task.cancel()
        try:
            async with asyncio.timeout(GIVE_UP_LIMIT_S):
                await asyncio.gather(*(work.settled.wait() for work in waiting))
        except TimeoutError:
            log.error("calls that could not be given up: %d", len(self._dialling))

    # -- what may be placed

    def _plan(self, request: CallRequest) -> _Plan:
        profile = "" if request.profile == OWN_PROFILE else request.profile
        profiles = self._box.config.profiles
        if profile and profile not in profiles:
            known = ", ".join((OWN_PROFILE, *profiles))
            raise DialRefused(
                f"there is no profile `{profile}`; profiles: {known}", Fault.BAD_REQUEST
            )
        if not 0 < request.answer_limit_s <= MAX_ANSWER_LIMIT_S:
            raise DialRefused(
                f"`answer_limit_s` must be over 0 and at most {MAX_ANSWER_LIMIT_S:g}",
                Fault.BAD_REQUEST,
            )
        if request.to.lower().startswith(("sip:", "sips:")):
            return self._straight(request, profile)
        number = number_to_dial(request.to)
        trunk = self._trunks.outbound(number, request.trunk)
        caller_id = _caller_id(trunk, request.caller_id)
        dial = Dial(trunk.uri(number), trunk.name, caller_id, request.answer_limit_s)
        return _Plan(dial, number, trunk, profile)

    def _straight(self, request: CallRequest, profile: str) -> _Plan:
        if request.trunk or request.caller_id:
            raise DialRefused(
                "a SIP address is called straight, without a trunk or a number to show; "
                "give a number to dial through a trunk",
                Fault.BAD_REQUEST,
            )
        target = SipTarget.parse(request.to)
        check_target(target, self._box.config.sip.destinations)
        dial = Dial(str(target), answer_limit_s=request.answer_limit_s)
        return _Plan(dial, str(target), None, profile)

    # -- one call

    async def _dial(self, dial: Dial) -> Dialled:
        try:
            async with asyncio.timeout(dial.answer_limit_s + DIAL_MARGIN_S):
                return await self._door.dial(dial)
        except TimeoutError:
            return Dialled(CallOutcome.FAILED, reason="the telephone door did not reply in time")

    async def _run(self, call: PlacedCall, work: _Dialling) -> None:
        """Waits for an answer, hands the call to the box, and sees it through to its end."""
        dialled = await self._outcome(call, work)
        # From here on the call has a place of its own, or needs none.
        work.place.close()
        cause: list[str] = []

        def on_event(event: dict[str, Any]) -> None:
            if event["type"] == "call.ended":
                cause.append(event["cause"])

        run = None
        if dialled.line is not None:
            plan = work.plan
            origin = Origin("outbound", plan.to, call.trunk, plan.profile, call.call_id)
            try:
                run = await self._box.answer(dialled.line, on_event, origin, waited=True)
            except Exception as error:  # the far end must not be left on a dead line
                if not isinstance(error, BoxFull):
                    log.exception("call %s: could not be taken", call.call_id)
                await dialled.line.hang_up()
                dialled = Dialled(
                    CallOutcome.FAILED, reason=f"answered, but the box could not talk: {error}"
                )
        call.settle(dialled)
        if run is None:
            self._box.store.end_call(self._record(call))
        log.info("call %s: %s (%s)", call.call_id, dialled.outcome.value, call.reason)
        del self._dialling[call.call_id]
        work.settled.set()
        if run is not None:
            if work.given_up:
                run.hang_up(HangupCause.AGENT_HUNG_UP)
            await run.over.wait()
            call.end(cause[0] if cause else HangupCause.FAILED.value)

    async def _outcome(self, call: PlacedCall, work: _Dialling) -> Dialled:
        await asyncio.wait([work.task])
        if work.task.cancelled():
            return Dialled(CallOutcome.NO_ANSWER, reason=GIVEN_UP)
        if (error := work.task.exception()) is not None:
            log.error("call %s: dialling failed", call.call_id, exc_info=error)
            return Dialled(CallOutcome.FAILED, reason=f"the telephone door failed: {error}")
        dialled = work.task.result()
        if work.given_up and dialled.line is not None:
            # Answered in the moment in which it was given up.
            await dialled.line.hang_up()
            return Dialled(CallOutcome.NO_ANSWER, reason=GIVEN_UP)
        return dialled

    # -- what is known

    def _remember(self, call: PlacedCall) -> None:
        self._calls[call.call_id] = call
        ended = [key for key, kept in self._calls.items() if kept.state is CallState.ENDED]
        for key in ended[: max(0, len(self._calls) - KEPT)]:
            del self._calls[key]

    def _record(self, call: PlacedCall) -> CallRecord:
        """A call that nobody has answered."""
        config = self._box.config.for_profile(call.profile)
        outcome = call.outcome.value if call.outcome else None
        return CallRecord(
            call.call_id,
            call.placed_at,
            "sip",
            call.to,
            config.agent.name,
            ended_at=call.ended_at,
            cause=call.cause or outcome,
            usage=Usage(call_s=call.talked_s),
            direction="outbound",
            dialled=call.to,
            trunk=call.trunk,
            profile=call.profile,
        )


def _caller_id(trunk: Trunk, asked: str) -> str:
    """The SIP URI to show (RFC 3325); a number that is not the trunk's is not lent out."""
    if not asked:
        return _as_uri(trunk, trunk.caller_id) if trunk.caller_id else ""
    number = number_to_dial(asked)
    if dialled_key(number) not in map(dialled_key, (trunk.caller_id, *trunk.numbers)):
        raise DialRefused(
            f"trunk `{trunk.name}` may not show {number}: it is neither `caller_id` nor one of "
            f"`numbers` in [trunks.{trunk.name}]"
        )
    return _as_uri(trunk, number)


def _as_uri(trunk: Trunk, number: str) -> str:
    return f"sip:{number}@{trunk.host}"
