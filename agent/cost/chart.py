"""The break-even as a picture: dollars a minute against minutes a month."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from agent.cost.break_even import OwnedBox, curve

POINTS = 400
FEWEST_MINUTES = 100
MOST_STACKS = 8
"""More lines than that nobody can tell apart."""
WIDTH_IN, HEIGHT_IN, DPI = 9.0, 5.0, 150


def draw(path: Path, box: OwnedBox, rates: Mapping[str, Decimal | None]) -> None:
    """Writes the chart as PNG. Raises OSError; ValueError where the box's costs are not known."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    most = box.most_minutes
    if most is None or box.fixed_usd_per_month is None or box.marginal_usd_per_min is None:
        raise ValueError(f"{box.name}: what it costs and carries is not known")
    top = float(most) * 3
    step = (top / FEWEST_MINUTES) ** (1 / (POINTS - 1))
    minutes = [Decimal(round(FEWEST_MINUTES * step**n)) for n in range(POINTS)]
    figure, axes = pyplot.subplots(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI)
    owned = [float(usd) if usd is not None else float("nan") for usd in curve(box, minutes)]
    axes.plot(
        [float(each) for each in minutes], owned, color="black", linewidth=2.5, label=box.name
    )
    known = sorted((rate, stack) for stack, rate in rates.items() if rate is not None)
    for rate, stack in known[:MOST_STACKS]:
        axes.axhline(float(rate), linewidth=1.2, linestyle="--", color=f"C{len(axes.lines) % 10}")
        axes.text(float(minutes[-1]), float(rate), f" {stack}", va="center", fontsize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("minutes a month")
    axes.set_ylabel("US dollars a minute")
    axes.set_title(f"Owning {box.name} (solid) against renting (dashed)")
    axes.grid(visible=True, which="major", alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)
