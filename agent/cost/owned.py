"""Usage x the box's rates -> what a call cost here. Pure.

The box costs the same whether it works or waits, so a call pays for its share of the box
while it is connected: ``usd per second / concurrent calls``. Of that share, each stage bears
the engine-seconds that it used, and what is left is idle time, a line of its own. Energy is
what the work added to the idle draw; the idle draw itself is part of the box.

Engine-seconds are wall time on one of the box's lanes: a stage that runs on several threads
at once is undercounted, and its difference stands in the idle line.
"""

from decimal import Decimal

from agent.cost.breakdown import CostBreakdown, exact
from agent.cost.rates import Rates
from agent.usage import Usage

SECONDS_PER_HOUR = Decimal(3600)
WATTS_PER_KILOWATT = Decimal(1000)


def owned_cost(usage: Usage, rates: Rates, concurrent_calls: int = 1) -> CostBreakdown:
    """What ``usage`` cost on this box, shared by ``concurrent_calls``.

    Lines: ``turn_taking``, ``stt``, ``llm``, ``tts``, ``idle``, ``energy``. A usage without
    connected time (one turn) pays for its work alone. A call that worked more than its
    share pays for the work. Raises ValueError for fewer than one call.
    """
    if concurrent_calls < 1:
        raise ValueError(f"concurrent_calls is {concurrent_calls}; at least 1")
    busy_s = {
        "turn_taking": exact(usage.vad_busy_s) + exact(usage.turn_busy_s),
        "stt": exact(usage.stt_busy_s),
        "llm": exact(usage.llm_busy_s),
        "tts": exact(usage.tts_busy_s),
    }
    box_usd_per_s = _box_usd_per_s(rates)
    lines: dict[str, Decimal | None] = dict.fromkeys([*busy_s, "idle"])
    if box_usd_per_s is not None:
        work = {stage: box_usd_per_s / rates.hardware.lanes * s for stage, s in busy_s.items()}
        share = box_usd_per_s * exact(usage.call_s) / concurrent_calls
        lines = {**work, "idle": max(Decimal(0), share - sum(work.values()))}
    lines["energy"] = _extra_usd_per_lane_s(rates) * sum(busy_s.values())
    return CostBreakdown(lines, _view(concurrent_calls))


def _box_usd_per_s(rates: Rates) -> Decimal | None:
    per_hour = rates.hardware.box_usd_per_hour
    if per_hour is None:
        return None
    idle_kw = rates.hardware.watts_idle / WATTS_PER_KILOWATT
    return (per_hour + idle_kw * rates.electricity.usd_per_kwh) / SECONDS_PER_HOUR


def _extra_usd_per_lane_s(rates: Rates) -> Decimal:
    """The draw above idle, spread over the lanes."""
    hardware = rates.hardware
    extra_kw = max(Decimal(0), hardware.watts_busy - hardware.watts_idle) / WATTS_PER_KILOWATT
    return extra_kw / hardware.lanes * rates.electricity.usd_per_kwh / SECONDS_PER_HOUR


def _view(concurrent_calls: int) -> str:
    if concurrent_calls == 1:
        return "this call pays for the whole box while it is connected"
    return f"the box is shared by {concurrent_calls} calls"
