"""Colours, colour maps and sizes: how the page looks, in one place."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.models import Axis, Grid
from bokeh.plotting import figure
from colorcet import palette
from numpy.typing import NDArray

from galviz.manifest import SourceClass

CSS = "\n".join(
    (Path(__file__).parent / "static" / name).read_text(encoding="utf-8") for name in ("galviz.css", "tabs.css")
)
FONT = "'Inter', 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"


@dataclass(frozen=True)
class Theme:
    """The colours of the chrome; `paper` lies under the pictures, `faint` is what is not selected."""

    name: str
    page: str
    card: str
    paper: str
    ink: str
    quiet: str
    line: str
    accent: str
    faint: str


DARK = Theme("dark", "#0e1116", "#161b22", "#0a0c10", "#e6e9ef", "#8b95a5", "#272e38", "#f2b84b", "#6b7686")
LIGHT = Theme("light", "#f4f5f7", "#ffffff", "#ffffff", "#1c2330", "#5d6878", "#d9dde4", "#a36200", "#a3abb8")
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}

# As many as fit two bytes: values that differ by less than 1 in 4,000 over nine decades may share one.
LEVELS = 1 << 16
MAPS = {"dark": "bmy", "light": "CET_L18"}
FAINTEST = 1.5  # contrast with the paper that the first colour of a map has at least


def colour_map(theme: Theme) -> list[str]:
    """256 colours from few or low to many or high, all of them visible on the paper of the theme."""
    return list(_visible(theme))


@cache
def _visible(theme: Theme) -> tuple[str, ...]:
    colours = palette[MAPS[theme.name]]
    first = next(place for place, colour in enumerate(colours) if contrast(colour, theme.paper) >= FAINTEST)
    places = np.linspace(first, len(colours) - 1, len(colours)).round().astype(int)
    return tuple(colours[place] for place in places)


def contrast(one: str, other: str) -> float:
    """How much lighter one of two colours is, 1 to 21, as in the Web Content Accessibility Guidelines 2.1."""
    shares = np.array([rgb(one), rgb(other)]) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    low, high = np.sort(linear @ (0.2126, 0.7152, 0.0722))
    return float((high + 0.05) / (low + 0.05))


def rgb(colour: str) -> tuple[int, int, int]:
    """The three bytes of a colour written as #rrggbb."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def class_colours(classes: tuple[SourceClass, ...], safe: bool) -> dict[str, str]:
    """Class name to colour: that of the manifest, or the one that colour-blind readers can tell apart."""
    return {entry.name: (entry.safe_colour or entry.colour) if safe else entry.colour for entry in classes}


def escape(text: object) -> str:
    """Text of a catalogue made harmless in HTML; every string that is not ours passes here."""
    return html.escape(str(text), quote=True)


def number(value: float) -> str:
    """A count with thin groups of three digits."""
    return f"{int(value):,}"


def rounded(value: float) -> str:
    """An estimated count: to three digits."""
    return number(round(value, 3 - len(str(int(value)))) if value >= 1000 else round(value))


def dress(plot: figure, theme: Theme) -> None:
    """Give a Bokeh figure the look of the page."""
    plot.background_fill_color = theme.paper
    plot.border_fill_color = None
    plot.outline_line_color = theme.line
    plot.toolbar.logo = None
    for axis in plot.select(Axis):
        axis.axis_line_color = theme.line
        axis.major_tick_line_color = theme.line
        axis.minor_tick_line_color = None
        axis.major_label_text_color = theme.quiet
        axis.major_label_text_font = FONT
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_color = theme.quiet
        axis.axis_label_text_font = FONT
        axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_standoff = 4
    for grid in plot.select(Grid):
        grid.grid_line_color = theme.line
        grid.grid_line_alpha = 0.5
    for legend in plot.legend:
        legend.background_fill_alpha = 0.0
        legend.border_line_color = None
        legend.label_text_color = theme.quiet
        legend.label_text_font = FONT
        legend.label_text_font_size = "11px"


def page_css(theme: str) -> str:
    """The global style sheet: both themes as CSS variables, the given one first, and a page without scroll bars."""
    sheets = [_variables(":root", THEMES[theme])]
    sheets += [_variables(f":root[data-gv-theme={name}]", entry) for name, entry in THEMES.items()]
    return "html,body{height:100%;overflow:hidden;background:var(--gv-page);color:var(--gv-ink)}" + "".join(sheets)


def _variables(selector: str, theme: Theme) -> str:
    red, green, blue = rgb(theme.accent)
    values = {
        "gv-page": theme.page,
        "gv-card": theme.card,
        "gv-paper": theme.paper,
        "gv-ink": theme.ink,
        "gv-quiet": theme.quiet,
        "gv-line": theme.line,
        "gv-accent": theme.accent,
        "gv-accent-soft": f"rgba({red},{green},{blue},.16)",
        "gv-on-accent": theme.page,
        "design-background-color": theme.card,
        "design-background-text-color": theme.ink,
        "design-surface-color": theme.page,
        "design-surface-text-color": theme.ink,
        "design-primary-color": theme.accent,
        "design-primary-text-color": theme.page,
        "design-secondary-color": theme.line,
        "design-secondary-text-color": theme.ink,
    }
    body = "".join(f"--{key}:{value};" for key, value in values.items())
    return f"{selector}{{{body}color-scheme:{theme.name}}}"


def normalise(values: NDArray[Any], how: str, low: float | None = None, high: float | None = None) -> NDArray[Any]:
    """Values of `low` to `high`, by default their own ends, to [0, 1]; all to 1 where there is one value only.

    `how` is linear, log (of positive values) or eq_hist (positive ones too: by how many values are no greater).
    """
    if not values.size:
        return np.zeros(0)
    low, high = (values.min() if low is None else low), (values.max() if high is None else high)
    if not low < high:
        return np.ones(values.shape)
    if how == "linear":
        return np.asarray((values - low) / (high - low))
    places = np.log(values / low) / np.log(high / low)
    if how == "log":
        return np.asarray(places)
    levels = (places * (LEVELS - 1)).astype(np.uint16)
    reached = np.cumsum(np.bincount(levels.ravel(), minlength=LEVELS))
    return ((reached - reached[0]) / max(1, reached[-1] - reached[0]))[levels]
