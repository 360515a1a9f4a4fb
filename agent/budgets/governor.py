"""Holds calls to their budgets: who is let in, which model answers, and when a call is ended.

What a call spent is counted as each of its turns is over and once a second; before every turn
it is asked whether there is something left. So where budgets end calls, each call under way can
go over by the turn that it is in, and by no more.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from agent.admission import OverBudget
from agent.box import Box
from agent.budget_section import BudgetConfig
from agent.budgets.ledger import Ledger, Level, Standing
from agent.budgets.read_back import Found, ReadBack, count
from agent.budgets.spending import Party, Spending, party
from agent.budgets.webhook import Message, Webhooks
from agent.call import Call, Origin
from agent.menu import Choice
from agent.pipeline import CallRun, CannotDo
from agent.records.record import CallRecord, TurnRecord
from agent.records.schema import StoreError
from agent.turn import Turn
from models.errors import EngineError
from models.llm.base import LanguageModel
from telephony.transport import HangupCause

log = logging.getLogger(__name__)

WATCH_S = 1.0
"""How often calls are counted between their turns."""
READ_EVERY = 2
"""So many of these between two looks at what other processes recorded."""
KEPT = timedelta(days=2)
"""How long accounts of a period that is over are kept, for calls that began in it."""
QUIET_S = 1.0
"""Silence of both sides after which a call that is over its budget is told so."""
GOODBYES = 3
"""So often a caller may interrupt the sentence that ends the call."""


@dataclass(slots=True)
class _Live:
    """A call under way."""

    call: Call
    party: Party
    model: str = ""
    """The cheaper model that answers; empty: the box's own."""
    goodbyes: set[int] = field(default_factory=set)
    """Turns in which the sentence that ends the call is said."""
    was_told: bool = False
    """Whether something of that sentence was heard."""
    leaving: bool = False
    """Whether it is being said, or was heard whole and the line goes down."""
    telling: asyncio.Task[None] | None = None


class Governor:
    """The budgets of one box: gate and watcher of its calls. Lives on the box's loop."""

    def __init__(
        self,
        box: Box,
        ledger: Ledger,
        reader: ReadBack,
        webhooks: Webhooks,
        models: Mapping[str, LanguageModel],
        secrets: Mapping[str, str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``models``: the cheaper ones, by name; ``secrets``: the webhooks', by budget."""
        self._box = box
        self._ledger = ledger
        self._reader = reader
        self._webhooks = webhooks
        self._models = models
        self._secrets = secrets
        self._clock = clock
        self._live: dict[str, _Live] = {}
        self._reading = True

    def standings(self, now: datetime) -> list[Standing]:
        """Every account of the periods that ``now`` lies in; on any thread."""
        return self._ledger.all_standings(now)

    # -- the gate

    def gate(self, door: str, caller: str, origin: Origin) -> Origin:
        """Refuses a call that a spent budget counts, or gives it to a cheaper profile.

        Raises OverBudget.
        """
        now = self._clock()
        tried: set[str] = set()
        while True:
            tenant = self._box.config.for_profile(origin.profile).agent.tenant
            whose = party(origin.profile, caller, origin.trunk, tenant)
            spent = self._spent(whose, now)
            if refusing := [each for each in spent if each.budget.refuses]:
                raise _refusal(max(refusing, key=lambda each: each.ends_at), now)
            cheaper = [each for each in spent if each.budget.cheaper_profile]
            tried.add(whose.profile)
            profile = next((each.budget.cheaper_profile for each in cheaper), None)
            if profile is None or profile in tried:
                return origin
            log.info("a call for profile %s goes to %s: a budget is spent", whose.profile, profile)
            origin = replace(origin, profile=profile)

    # -- the watcher

    def began(self, call: Call) -> None:
        """Takes a call under its watch."""
        agent, origin = call.config.agent, call.origin
        live = _Live(call, party(origin.profile, call.caller, origin.trunk, agent.tenant))
        self._live[call.call_id] = live
        call.before_answer = partial(self._before_answer, live)
        self._count(live)
        self._economise(live, self._spent(live.party, call.started_at))

    def turn_over(self, call: Call, turn: TurnRecord) -> None:
        """Counts what a turn took."""
        if (live := self._live.get(call.call_id)) is not None:
            if turn.turn in live.goodbyes:
                live.was_told |= bool(turn.answer)
                live.leaving = not turn.interrupted
            self._count(live)

    def ended(self, call: Call, record: CallRecord) -> None:
        """Counts what the whole call took."""
        if (live := self._live.pop(call.call_id, None)) is None:
            return
        usd = record.owned_usd
        self._count(live, Spending.of(record.usage, usd), over=True)
        if live.telling is not None:
            live.telling.cancel()

    def _before_answer(self, live: _Live, turn: Turn) -> Choice | None:
        try:
            return self.judge(live, turn)
        except Exception:  # of whatever kind: the caller waits for an answer
            log.exception("call %s: its budgets could not be asked", live.call.call_id)
            return None

    def judge(self, live: _Live, turn: Turn) -> Choice | None:
        """Whether a turn may still be answered, and by which model; else what is said instead."""
        self._count(live)
        spent = self._spent(live.party, live.call.started_at)
        if ending := _ending(spent):
            return self._goodbye(live, ending, turn.number)
        self._economise(live, spent)
        return None

    # -- the clock

    async def watch(self) -> None:
        """Counts calls between their turns, and ends those that say nothing; runs until cancelled.

        Also takes in what other processes recorded.
        """
        rounds = 0
        while True:
            await asyncio.sleep(WATCH_S)
            for live in list(self._live.values()):
                self._count(live)
                self._end_if_quiet(live)
                # Dollars take a while to reckon; others' audio comes in between.
                await asyncio.sleep(0)
            rounds += 1
            if rounds % READ_EVERY == 0:
                await self.read_others()

    async def read_others(self) -> None:
        """Takes in what the records tell of calls of other processes."""
        now = self._clock()
        try:
            found = await asyncio.to_thread(self._reader.read, now)
        except StoreError as error:
            if self._reading:
                log.error("budgets: what other processes spend is not known: %s", error)
            self._reading = False
            return
        self._reading = True
        self._take(found)
        self._ledger.forget(self._reader.since, now - KEPT)

    def _take(self, found: Iterable[Found]) -> None:
        # One that began here while the records were read is counted here.
        others = [call for call in found if call.call_id not in self._live]
        for standing in count(self._ledger, others):
            # The process whose call it was has told.
            log.info("budgets: %s", describe(standing))

    def knows(self, call_id: str) -> bool:
        """Whether the call's spending is known without its record; of any thread."""
        return call_id in self._live or self._ledger.knows(call_id)

    # -- counting

    def _count(self, live: _Live, spending: Spending | None = None, *, over: bool = False) -> None:
        call = live.call
        if spending is None:
            usage = call.usage
            outbound = call.origin.direction == "outbound"
            spending = Spending.of(usage, call.bill.owned_usd(usage, outbound=outbound))
        risen = self._ledger.count(call.call_id, live.party, call.started_at, spending, over=over)
        for standing in risen:
            self._tell(standing)

    def _tell(self, standing: Standing) -> None:
        budget = standing.budget
        log.warning("budgets: %s", describe(standing))
        if budget.webhook is not None:
            secret = self._secrets.get(budget.name, "")
            agent = self._box.config.agent.name
            self._webhooks.tell(Message.of(standing, budget.webhook, secret, agent))

    def _spent(self, whose: Party, at: datetime) -> list[Standing]:
        return [s for s in self._ledger.standings(whose, at) if s.level is Level.SPENT]

    # -- acting

    def _economise(self, live: _Live, spent: list[Standing]) -> None:
        """Has a cheaper model answer from now on, where a budget says so."""
        cheaper = [each for each in spent if each.budget.cheaper_llm]
        if not cheaper or live.model:
            return
        model = cheaper[0].budget.cheaper_llm or ""
        try:
            live.call.change_model(self._models[model])
        except EngineError as error:
            log.warning("call %s: %s has no place for it: %s", live.call.call_id, model, error)
            return
        live.model = model
        log.info("call %s: %s answers from now on", live.call.call_id, model)
        _emit(live.call, cheaper[0], model=model)

    def _goodbye(self, live: _Live, standing: Standing, turn: int) -> Choice | None:
        """What ends the call; nothing more once it was said and interrupted often enough."""
        if not live.goodbyes:
            _emit(live.call, standing)
        if len(live.goodbyes) >= GOODBYES and live.was_told:
            log.info("call %s: ended; its caller was told", live.call.call_id)
            if (run := self._box.run_of(live.call.call_id)) is not None:
                run.hang_up(HangupCause.AGENT_HUNG_UP)
        live.goodbyes.add(turn)
        live.leaving = True
        return Choice(standing.budget.message, hang_up=True)

    def _end_if_quiet(self, live: _Live) -> None:
        """Tells a caller who says nothing, since no turn of his would."""
        call, run = live.call, self._box.run_of(live.call.call_id)
        busy = call.agent_busy or call.on_hold or call.caller_speaks or call.agent_left
        quiet_s = asyncio.get_running_loop().time() - call.caller_spoke_at_s
        if run is None or not run.is_connected or busy or quiet_s < QUIET_S:
            return
        if live.leaving:
            return
        if ending := _ending(self._spent(live.party, call.started_at)):
            if not live.goodbyes:
                _emit(call, ending)
            live.leaving = True
            work = self._say(live, run, ending.budget)
            live.telling = asyncio.create_task(work, name=f"budget-{call.call_id}")
            live.telling.add_done_callback(partial(_report, call.call_id))

    async def _say(self, live: _Live, run: CallRun, budget: BudgetConfig) -> None:
        try:
            live.goodbyes.add(await run.say(budget.message, hang_up=True))
        except CannotDo as error:
            live.leaving = False
            log.info("call %s: not told yet that its budget is spent: %s", live.call.call_id, error)


def describe(standing: Standing) -> str:
    """For the log. A caller's number stands in it."""
    budget = standing.budget
    return (
        f"{budget.name}: {standing.subject} has spent {standing.spent:.4f} of {budget.limit} "
        f"{budget.unit} of this {budget.period} ({standing.share:.0%}); at the limit: "
        f"{budget.action}"
    )


def _ending(spent: list[Standing]) -> Standing | None:
    return next((each for each in spent if each.budget.action == "end"), None)


def _refusal(standing: Standing, now: datetime) -> OverBudget:
    budget = standing.budget
    wait_s = max(1, round((standing.ends_at - now).total_seconds()))
    return OverBudget(
        f"the budget {budget.name} is spent until {standing.ends_at:%Y-%m-%d %H:%M} UTC; "
        "call again then",
        retry_after_s=wait_s,
        spoken=budget.message if budget.speak_refusal else "",
    )


def _report(call_id: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("call %s: could not be told of its budget", call_id, exc_info=error)


def _emit(call: Call, standing: Standing, **more: str) -> None:
    budget = standing.budget
    call.emit(
        {
            "type": "budget",
            "budget": budget.name,
            "share": round(standing.share, 4),
            "action": budget.action,
            **more,
        }
    )
