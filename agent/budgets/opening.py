"""Puts a box's calls under its budgets, and takes them out again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from agent.box import Box
from agent.budgets.governor import Governor, describe
from agent.budgets.ledger import Ledger, Level
from agent.budgets.read_back import ReadBack, count, earliest
from agent.budgets.spending import Reckon
from agent.budgets.webhook import Webhooks
from agent.capacity import places_of
from agent.config import Config
from agent.cost.bill import Bill
from agent.records.history import records_source
from agent.records.schema import StoreError
from agent.sections import ConfigError
from agent.usage import Usage
from models.llm.base import LanguageModel
from models.loading import load_llm

log = logging.getLogger(__name__)

PROBE = Usage(llm_busy_s=1.0, telephony_s=60.0, call_s=60.0)


@asynccontextmanager
async def budgeted(box: Box, environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Holds the box's calls to the budgets of its settings; does nothing where there are none.

    Reads first what was spent already. Raises ConfigError and ModelError.
    """
    budgets = box.config.budgets
    if not budgets:
        yield
        return
    reckon = reckoning(box.config, box.bill)
    now = datetime.now(UTC)
    ledger = Ledger(budgets)
    source = records_source(box.config.records, environ)
    reader = ReadBack(source, reckon, earliest(budgets, now), lambda call: governor.knows(call))
    models = await asyncio.to_thread(load_cheaper_models, box.config)
    secrets = {budget.name: budget.secret(environ) for budget in budgets}
    async with Webhooks() as webhooks:
        governor = Governor(box, ledger, reader, webhooks, models, secrets)
        try:
            await asyncio.to_thread(_read_back, reader, ledger, now)
            box.gates.append(governor.gate)
            box.watchers.append(governor)
            box.budgets = governor
            watching = asyncio.create_task(governor.watch(), name="budgets")
            watching.add_done_callback(_report)
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.wait([watching])
                box.budgets = None
                box.watchers.remove(governor)
                box.gates.remove(governor.gate)
        finally:
            for model in models.values():
                await asyncio.to_thread(model.close)


def reckoning(config: Config, bill: Bill) -> Reckon:
    """What puts dollars to a usage. Raises ConfigError where a budget is in dollars that nobody
    knows."""
    if any(budget.unit == "usd" for budget in config.budgets):
        for outbound in (False, True):
            if bill.owned_usd(PROBE, outbound=outbound) is None:
                key = "trunk_outbound" if outbound else "trunk"
                raise ConfigError(
                    "a budget in [[budgets]] is in usd, and what this box costs is not known: "
                    f"give `usd_per_hour` or `purchase_usd`, and a `{key}` with a price, in [cost]"
                )
    return lambda usage, outbound: bill.owned_usd(usage, outbound=outbound)


def load_cheaper_models(config: Config) -> dict[str, LanguageModel]:
    """The language models that budgets fall back on, by name. Blocks; raises ModelError."""
    models: dict[str, LanguageModel] = {}
    for name in dict.fromkeys(b.cheaper_llm for b in config.budgets if b.cheaper_llm):
        log.info("loading language model (%s) for calls that are over budget", name)
        models[name] = load_llm(
            name,
            device=config.models.device_of("llm"),
            threads=config.models.threads.llm,
            context_tokens=config.llm.context_tokens,
            max_conversations=places_of(config).calls,
            requantise=config.models.llm_requantise,
        )
    return models


def _read_back(reader: ReadBack, ledger: Ledger, now: datetime) -> None:
    try:
        count(ledger, reader.read(now))
    except StoreError as error:
        # It is read again as soon as it can be; until then calls are served.
        log.error("budgets: what was spent before is not known: %s", error)
    for standing in ledger.all_standings(now):
        if standing.level is not Level.FINE:
            log.warning("budgets: %s", describe(standing))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("budgets: calls are no longer counted between turns", exc_info=error)
