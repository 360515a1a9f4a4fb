"""The break-even as a picture: dollars a minute against minutes a month."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cost.break_even import OwnedBox, break_even, curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 400
BEFORE = Decimal(5)
"""The line begins at so small a part of the first break-even."""
BOXES = 3
"""The line goes on until so many boxes are full."""
WIDTH_IN, HEIGHT_IN, DPI = 11.0, 6.0, 130
FONT_PT, TITLE_PT = 8.5, 11.0
OWN_COLOUR, GRID_COLOUR = "#111111", "#888888"
COLOURS = (
    *("#0b62a4", "#c0392b", "#1e8449", "#8e44ad", "#b9770e", "#117a8b"),
    *("#7b241c", "#566573", "#1a237e", "#ad1457", "#558b2f", "#4e342e"),
)
LABEL_AT = 1.03
"""Of the axes' width, where the stacks' names begin."""
ROOM = 0.045
"""Of the axes' height, from one name to the next."""


def draw(path: Path, box: OwnedBox, rates: Mapping[str, Decimal | None]) -> None:
    """Writes the chart as PNG. Raises OSError; ValueError where the box's costs are not known.

    A dot stands where the box's line crosses a stack's; a stack without a dot is never beaten.
    Stacks whose price is not known are named below.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    most = box.most_minutes
    if most is None or box.fixed_usd_per_month is None or box.marginal_usd_per_min is None:
        raise ValueError(
            f"{box.name}: what it costs, or how many calls it carries, is not known; "
            "give --carries N, or prices in [cost]"
        )
    top = float(most) * BOXES
    known = sorted((rate, stack) for stack, rate in rates.items() if rate is not None)
    crossings = (break_even(box, stack, rate).minutes_per_month for rate, stack in known)
    begins = float(min((each for each in crossings if each), default=most / 1000) / BEFORE)
    step = (top / begins) ** (1 / (POINTS - 1))
    minutes = [Decimal(begins * step**n) for n in range(POINTS)]
    owned = [float(usd) if usd is not None else math.nan for usd in curve(box, minutes)]
    figure, axes = pyplot.subplots(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI)
    try:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.plot([float(each) for each in minutes], owned, color=OWN_COLOUR, linewidth=2.5)
        axes.set_xlim(begins, top)
        values = [*owned, *(float(rate) for rate, _ in known)]
        axes.set_ylim(min(values) * 0.6, max(values) * 1.6)
        _stacks(axes, box, known)
        _words(axes, box, [stack for stack, rate in rates.items() if rate is None])
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, bbox_inches="tight")
    finally:
        pyplot.close(figure)


def _stacks(axes: "Axes", box: OwnedBox, known: Sequence[tuple[Decimal, str]]) -> None:
    """A dashed line a stack, a dot at its break-even, and its name beside its end."""
    ends = [axes.transAxes.inverted().transform(axes.transData.transform((1, float(rate))))[1]
            for rate, _ in known]  # fmt: skip
    for (rate, stack), end, at, colour in zip(
        known, ends, spread(ends, ROOM), (COLOURS * len(known))[: len(known)], strict=True
    ):
        axes.axhline(float(rate), color=colour, linewidth=1.2, linestyle="--")
        crossing = break_even(box, stack, rate)
        words = f"{stack}: {rate:.3f}"
        if crossing.minutes_per_month is not None:
            words += f", from {crossing.minutes_per_month:,.0f} min"
            axes.plot([float(crossing.minutes_per_month)], [float(rate)], "o", color=colour)
        axes.annotate(
            words,
            xy=(1.0, end),
            xytext=(LABEL_AT, at),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=FONT_PT,
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.8,
                "relpos": (0, 0.5),
            },
        )


def _words(axes: "Axes", box: OwnedBox, unknown: Sequence[str]) -> None:
    axes.set_xlabel("minutes a month (log)")
    axes.set_ylabel("US dollars a minute (log)")
    least = f", at least: without {box.leaves_out}" if box.leaves_out else ""
    axes.set_title(
        f"Owning {box.name} (solid{least}) against renting (dashed); a dot: owning begins to win",
        fontsize=TITLE_PT,
    )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(visible=True, which="major", color=GRID_COLOUR, alpha=0.25)
    if unknown:
        said = "price not known: " + "; ".join(unknown)
        axes.text(0, -0.14, said, transform=axes.transAxes, fontsize=FONT_PT)


def spread(wanted: Sequence[float], room: float) -> list[float]:
    """Places as near to ``wanted`` (in rising order) as they can be and ``room`` apart.

    Names that would stand upon each other share the middle of where they want to be (pool adjacent
    violators: least squares under an order).
    """
    pools: list[tuple[float, int]] = []
    for place, each in enumerate(wanted):
        # Without the room that those before it take, the order alone is left.
        mean, count = each - place * room, 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean = (before * size + mean * count) / (size + count)
            count += size
        pools.append((mean, count))
    means = [mean for mean, count in pools for _ in range(count)]
    return [mean + place * room for place, mean in enumerate(means)]
