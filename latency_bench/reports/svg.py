"""SVG as text, with everything escaped. Widths are in the drawing's own units."""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """An element. ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(children)
    return Markup(f"<{name}{written}>{inside}</{name}>" if children else f"<{name}{written}/>")


def drawing(
    width: float, height: float, label: str, parts: Iterable[str], class_: str, **more: str | float
) -> Markup:
    """A whole drawing; ``label`` says to who cannot see it what it shows."""
    return tag(
        "svg",
        tag("title", label),
        *parts,
        viewBox=f"0 0 {_short(width)} {_short(height)}",
        class_=class_,
        role="img",
        aria_label=label,
        **more,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> Markup:
    """Words whose baseline is at ``y``."""
    return tag("text", str(escape(words)) and words, x=x, y=y, class_=class_, text_anchor=anchor)


def path(points: Points, class_: str, close_at: float | None = None) -> Markup:
    """A line through ``points``; with ``close_at``, the area from it down to that height."""
    written = "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in points)
    if close_at is not None:
        written += f"V{_short(close_at)}H{_short(points[0][0])}Z"
    return tag("path", d=written, class_=class_)


def tick_size(span: float, most: int) -> float:
    """The round step that divides ``span`` (over 0) into at most ``most``."""
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if span / (step * power) <= most)


def ticks(top: float, most: int) -> list[float]:
    """Round figures from 0 to ``top``, at most ``most`` of them beside the 0."""
    if top <= 0:
        return [0.0]
    size = tick_size(top, most)
    return [size * place for place in range(int(top / size + 1e-9) + 1)]


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
