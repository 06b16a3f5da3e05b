"""Charts as inline SVG. Colours come from the style sheet (classes), so that they follow light and dark.

A chart is 420 units wide: on a phone and in a three-column page its 13-unit text is then about 11 px high.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 42
Point = tuple[float, float]

SHAPES = {
    "dot": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "square": "M-3.6,-3.6h7.2v7.2h-7.2z",
    "diamond": "M0,-5.6L5.6,0L0,5.6L-5.6,0z",
    "triangle": "M0,-5L5,4.2L-5,4.2z",
}


@dataclass(frozen=True)
class Series:
    """A line, points, or both. `color` is a class of the style sheet; `titles` are shown when a point is hovered."""

    name: str
    points: Sequence[Point]
    color: str
    shape: str | None = "dot"
    line: bool = True
    dashed: bool = False
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class Bar:
    """One part of a column."""

    name: str
    value: float
    color: str


@dataclass(frozen=True)
class _Axis:
    """A horizontal axis with names: one that is too wide for its place is slanted."""

    names: Sequence[str]
    step: float

    def slanted(self, name: str) -> bool:
        return len(name) * 7.0 + 4 > self.step

    @property
    def bottom(self) -> float:
        return HEIGHT - BOTTOM - (34 if any(map(self.slanted, self.names)) else 0)

    def name(self, x: float, name: str) -> Markup:
        if not self.slanted(name):
            return _text(x, self.bottom + 17, name, "middle")
        return Markup(
            '<text class="tick" transform="translate({:.1f},{:.1f}) rotate(-40)" text-anchor="end">{}</text>'
        ).format(x + 4, self.bottom + 14, name)


def percent(value: float) -> str:
    """0.123 -> 12.3 %"""
    return f"{100 * value:.1f} %"


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    x_names: Sequence[str] = (),
    references: Sequence[tuple[str, float, str]] = (),
    percents: bool = False,
) -> Markup:
    """A figure with lines and points; empty markup without a point.

    `x_names` name the positions 0, 1, ... of a categorical axis. `references` are horizontal lines: name, y, colour.
    """
    points = [point for one in series for point in one.points]
    if not points:
        return Markup("")
    values = [y for _, y in points] + [y for _, y, _ in references]
    low, high = _room(min(values), max(values), 0.01 if percents else 0.0)
    if min(values) >= 0:
        low = max(0.0, low)
    if percents:
        high = min(1.0, high)
    y_ticks = ticks(low, high, cover=True)
    low, high = y_ticks[0], y_ticks[-1]
    if x_names:
        x_low, x_high = -0.4, len(x_names) - 0.6
    else:
        x_low, x_high = _room(min(x for x, _ in points), max(x for x, _ in points), 0.0)
        x_low = max(0.0, x_low)

    axis = _Axis(x_names, (WIDTH - LEFT - RIGHT) / max(1, len(x_names)))

    def at_x(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def at_y(y: float) -> float:
        return axis.bottom - (y - low) / (high - low) * (axis.bottom - TOP)

    parts = _frame(y_ticks, at_y, _percent_tick(y_ticks) if percents else _number_tick)
    named = list(enumerate(x_names)) if x_names else [(x, _number_tick(x)) for x in ticks(x_low, x_high)]
    for x, name in named:
        if x_low <= x <= x_high:
            parts.append(axis.name(at_x(x), name))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label, "middle", "axis"))
    for name, y, color in references:
        parts.append(
            Markup('<path class="line dash {}" d="M{},{:.1f}H{}"><title>{}</title></path>').format(
                color, LEFT, at_y(y), WIDTH - RIGHT, f"{name}: {percent(y) if percents else _number_tick(y)}"
            )
        )
    for one in series:
        placed = [(at_x(x), at_y(y)) for x, y in one.points]
        if one.line and len(placed) > 1:
            path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            dash = " dash" if one.dashed else ""
            parts.append(Markup('<path class="line{} {}" d="{}"/>').format(dash, one.color, path))
        if one.shape:
            for number, (x, y) in enumerate(placed):
                hover = one.titles[number] if number < len(one.titles) else one.name
                parts.append(
                    Markup(
                        '<path class="mark {}" transform="translate({:.1f},{:.1f})" d="{}"><title>{}</title></path>'
                    ).format(one.color, x, y, SHAPES[one.shape], hover)
                )
    legend = [(one.name, one.color, one.shape, one.line, one.dashed) for one in series]
    legend += [(name, color, None, True, True) for name, _, color in references]
    return _figure(title, y_label, parts, legend)


def column_chart(
    title: str, columns: Sequence[tuple[str, Sequence[Bar]]], *, y_label: str, x_label: str = ""
) -> Markup:
    """Stacked columns; negative values hang below zero. Empty markup without a column."""
    if not columns:
        return Markup("")
    above = max((sum(bar.value for bar in bars if bar.value > 0) for _, bars in columns), default=0.0)
    below = min((sum(bar.value for bar in bars if bar.value < 0) for _, bars in columns), default=0.0)
    y_ticks = ticks(below, above if above > below else 1.0, cover=True)
    low, high = y_ticks[0], y_ticks[-1]

    step = (WIDTH - LEFT - RIGHT) / len(columns)
    axis = _Axis([name for name, _ in columns], step)

    def at_y(y: float) -> float:
        return axis.bottom - (y - low) / (high - low) * (axis.bottom - TOP)

    parts = _frame(y_ticks, at_y, lambda tick: _number_tick(abs(tick)))
    width = min(56.0, step * 0.7)
    legend: dict[str, tuple[str, str, str | None, bool, bool]] = {}
    for number, (name, bars) in enumerate(columns):
        middle = LEFT + step * (number + 0.5)
        up = down = 0.0
        for bar in bars:
            legend.setdefault(bar.name, (bar.name, bar.color, "square", False, False))
            start = up if bar.value >= 0 else down
            top, bottom = sorted((at_y(start), at_y(start + bar.value)))
            parts.append(
                Markup(
                    '<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
                ).format(
                    bar.color, middle - width / 2, top, width, bottom - top, f"{name}, {bar.name}: {abs(bar.value):,g}"
                )
            )
            up, down = (up + bar.value, down) if bar.value >= 0 else (up, down + bar.value)
        parts.append(axis.name(middle, name))
    parts.append(Markup('<path class="zero" d="M{},{:.1f}H{}"/>').format(LEFT, at_y(0), WIDTH - RIGHT))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label, "middle", "axis"))
    return _figure(title, y_label, parts, list(legend.values()) if len(legend) > 1 else [])


def ticks(low: float, high: float, wanted: int = 5, *, cover: bool = False) -> list[float]:
    """About `wanted` round numbers, ascending: those inside [low, high], or with `cover` up to those around it."""
    if high <= low:
        high = low + 1.0
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    if cover:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    else:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def thin(points: Sequence[Point], limit: int = 300) -> list[Point]:
    """At most `limit` points: means over equal stretches of the sequence. What is short enough stays as it is."""
    if len(points) <= limit:
        return list(points)
    found = []
    for number in range(limit):
        part = points[number * len(points) // limit : (number + 1) * len(points) // limit]
        found.append((sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)))
    return found


def _room(low: float, high: float, least: float) -> tuple[float, float]:
    """A range with some room around [low, high]."""
    gap = max((high - low) * 0.08, least) or max(abs(high) * 0.05, 1e-6)
    return low - gap, high + gap


def _number_tick(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        return f"{value / 1e6:g} M"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0e}".replace("e-0", "e-") if abs(value) < 1e-3 else f"{value:g}"


def _percent_tick(values: Sequence[float]) -> Callable[[float], str]:
    digits = 0 if all(abs(100 * value - round(100 * value)) < 1e-6 for value in values) else 1
    return lambda value: f"{100 * value:.{digits}f} %"


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    if not text:
        return Markup("")
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def _frame(values: Sequence[float], at_y: Callable[[float], float], write: Callable[[float], str]) -> list[Markup]:
    """Grid lines with their values."""
    parts = []
    for value in values:
        y = at_y(value)
        parts.append(Markup('<path class="grid" d="M{},{:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT))
        parts.append(_text(LEFT - 6, y + 4, write(value), "end"))
    return parts


def _figure(
    title: str, y_label: str, parts: Sequence[Markup], legend: Sequence[tuple[str, str, str | None, bool, bool]]
) -> Markup:
    """The whole figure: caption, drawing, legend."""
    keys = [
        Markup('<li><svg viewBox="0 0 26 12" width="26" height="12" aria-hidden="true">{}{}</svg>{}</li>').format(
            Markup('<path class="line{} {}" d="M1,6H25"/>').format(" dash" if dashed else "", color) if line else "",
            Markup('<path class="mark {}" transform="translate(13,6)" d="{}"/>').format(color, SHAPES[shape])
            if shape
            else "",
            name,
        )
        for name, color, shape, line, dashed in legend
    ]
    return Markup(
        '<figure class="chart"><figcaption>{title}<span class="unit">{unit}</span></figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}: {unit}">{body}</svg>{keys}</figure>'
    ).format(
        title=escape(title),
        unit=escape(y_label),
        width=WIDTH,
        height=HEIGHT,
        body=Markup("").join(parts),
        keys=Markup("<ul class=legend>{}</ul>").format(Markup("").join(keys)) if keys else "",
    )
