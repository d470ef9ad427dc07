"""The map as a picture for a paper or a notebook. Needs matplotlib, which the extra `plot` brings."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from argilla_admap.errors import AdmapError, InputError
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.mapping.regions.coordinates import REGION_TITLES
from argilla_admap.mapping.regions.record_flags import LIKELY_WRONG
from argilla_admap.reporting.page import region_lines
from argilla_admap.reporting.points import REGIONS, Points, gather_points
from argilla_admap.reporting.words import share
from argilla_admap.tables import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "write_picture"]

#: Up to this many places each is a dot; beyond, the density is drawn.
_MOST_DOTS = 6000
_BINS = 110
_INK, _QUIET, _BAR = "#1c1d21", "#5c606b", "#8c9adb"
_CALM, _MIDDLE, _HOT = "#9aa9e0", "#a64fc0", "#d3174f"
#: Of each region: colour, and place and alignment of its name.
_REGION_STYLES = {
    "high_var": ("#c2560c", 0.985, 0.975, "right", "top"),
    "high_avg": ("#0b7a52", 0.015, 0.975, "left", "top"),
    "low_avg": ("#5a6b8c", 0.015, 0.025, "left", "bottom"),
}
_WIDTH, _HEIGHT = 6.4, 4.6  # inches: one and a half columns of a paper


def draw(data_map: DataMap, ax: Axes | None = None) -> Axes:
    """Draws the map into `ax`, or into a new figure of pyplot, and returns the axes.

    They have the map's own units (variance on a square-root scale, mean upwards), so that more can be drawn on top.

    Raises:
        AdmapError: matplotlib is not installed.
        InputError: no record has a place on the map.
    """
    _need_matplotlib()
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(_WIDTH, _HEIGHT))
    _draw(gather_points(data_map), ax)
    return ax


def write_picture(data_map: DataMap, output: str | os.PathLike[str], *, title: str = "") -> int:
    """Writes the map with side histograms as .png (300 dots an inch), .svg or .pdf; returns the number of records drawn.

    The same map gives the same bytes.

    Args:
        output: its ending is the kind; whole or absent.
        title: over the picture; none when empty.
    Raises:
        AdmapError: matplotlib is not installed.
        InputError: another ending, or no record has a place on the map.
    """
    kind = Path(output).suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise InputError(
            f"{output}: this ending is not a picture's", hint="pictures are .png, .svg or .pdf; the page to look at is .html"
        )
    _need_matplotlib()
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = gather_points(data_map)
    with rc_context({"svg.hashsalt": "argilla-admap", "font.size": 9, "axes.edgecolor": _QUIET, "axes.linewidth": 0.8}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(2, 2, width_ratios=(6, 0.9), height_ratios=(0.9, 6), wspace=0.02, hspace=0.02)
        ax = figure.add_subplot(grid[1, 0])
        _draw(points, ax)
        above = figure.add_subplot(grid[0, 0], sharex=ax)
        beside = figure.add_subplot(grid[1, 1], sharey=ax)
        _side_histograms(points, ax, above, beside)
        if title:
            # A data set's name may hold dollar signs and is no formula.
            figure.suptitle(title, fontsize=10, color=_INK, parse_math=False)
        with atomic_path(output) as temporary:
            # No date, so that the same map gives the same file.
            dateless = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
            figure.savefig(temporary, format=kind, dpi=300, metadata=dateless.get(kind))
    return int(points.mapped.sum())


def _need_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise AdmapError("pictures need matplotlib", hint="pip install 'argilla-admap[plot]' (the .html page needs nothing)")


def _draw(points: Points, ax: Any) -> None:
    from matplotlib.patheffects import withStroke

    mapped = points.mapped
    if not mapped.any():
        raise InputError("no record has two scored completions, so none has a place on the map", hint="score the data")
    variance, mean = points.numbers["variance"][mapped], points.numbers["mean"][mapped]
    right = float(np.quantile(variance, 0.999)) * 1.05
    lines = region_lines(points.info)
    right = max(right, *(line["variance"] * 1.3 for line in lines), float(variance.max()) * 0.25, 1e-6)
    low, high = float(mean.min()), float(mean.max())
    room = (high - low) * 0.04 or 0.5
    ax.set_xscale("function", functions=(_root, np.square))
    ax.set_xlim(0 if right > 1e-6 else -1, right)
    ax.set_ylim(low - 2.2 * room, high + 2.2 * room)  # the names of the regions stand above and below the records
    ax.set_xlabel("variability: variance of the record's scores", color=_INK)
    ax.set_ylabel("quality: mean score", color=_INK)
    ax.tick_params(colors=_QUIET, labelcolor=_INK, length=3)
    ax.set_xticks(_variance_ticks(right))
    spots, group, counts = np.unique(np.stack([variance, mean], axis=1), axis=0, return_inverse=True, return_counts=True)
    if len(spots) <= _MOST_DOTS:
        p_wrong = points.numbers["p_wrong"][mapped]
        known = np.isfinite(p_wrong)
        total = np.bincount(group.ravel()[known], p_wrong[known], minlength=len(spots))
        _dots(ax, spots, counts, total / counts if known.any() else None)
    else:
        _density(ax, variance, mean, right, ax.get_ylim())
    _worst(ax, variance, mean, points.numbers["p_wrong"][mapped])
    halo = [withStroke(linewidth=2.2, foreground="white")]
    for line in lines:
        style: dict[str, Any] = {"color": _INK, "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 3}
        style |= {"alpha": max(0.15, 0.9 / len(lines)), "path_effects": halo}
        ax.plot([line["variance"]] * 2, ax.get_ylim(), **style)
        ax.plot([0, line["variance"]], [line["mean"]] * 2, **style)
    _name_regions(points, ax)
    beyond = int((variance > right).sum())
    if beyond:
        ax.text(
            0.995,
            0.5,
            f"{beyond:,} further\nto the right",
            transform=ax.transAxes,
            ha="right",
            va="center",
            color=_QUIET,
            fontsize=7,
        )


def _root(values: Any) -> Any:
    return np.sqrt(np.maximum(values, 0))


def _variance_ticks(right: float) -> list[float]:
    """Round variances at about even distances on the square-root axis."""
    from matplotlib.ticker import MaxNLocator

    ticks: list[float] = []
    for tick in MaxNLocator(24, steps=[1, 2, 5, 10]).tick_values(0, right):
        if 0 <= tick <= right and (not ticks or np.sqrt(tick) - np.sqrt(ticks[-1]) > np.sqrt(right) / 9):
            ticks.append(float(tick))
    return ticks


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("doubt", [_CALM, _MIDDLE, _HOT])


def _dots(ax: Any, spots: Any, counts: Any, p_wrong: Any) -> None:
    """One dot a place, its area by the number of records there; the most doubtful on top."""
    size = float(np.clip(9000 / len(spots), 4, 18))
    sizes = np.maximum(size * counts / max(1.0, counts.max() / 12), 2.0) if counts.max() > 12 else size * np.sqrt(counts)
    style = {"linewidths": 0.3, "edgecolors": "white", "clip_on": False, "zorder": 2}
    if p_wrong is None:
        ax.scatter(spots[:, 0], spots[:, 1], s=sizes, c=_BAR, alpha=0.8, **style)
        return
    order = np.argsort(p_wrong, kind="stable")
    shades = {"c": p_wrong[order], "cmap": _colours(), "vmin": 0, "vmax": 1}
    shown = ax.scatter(spots[order, 0], spots[order, 1], s=sizes[order], alpha=0.85, **shades, **style)
    _colour_bar(ax, shown, "P(label wrong)")


def _worst(ax: Any, variance: Any, mean: Any, p_wrong: Any) -> None:
    """The labels that are more probably wrong than right lie on top, the worst last: a spot of many records would hide them."""
    worst = np.flatnonzero((p_wrong >= LIKELY_WRONG) & (variance <= ax.get_xlim()[1]))
    worst = worst[np.argsort(p_wrong[worst], kind="stable")]
    shades = {"c": p_wrong[worst], "cmap": _colours(), "vmin": 0, "vmax": 1}
    area = float(np.clip(4000 / max(1, len(worst)), 2, 9))
    name = "more probably wrong than right"
    ax.scatter(variance[worst], mean[worst], s=area, zorder=2.5, linewidths=0.3, edgecolors="white", label=name, **shades)
    if len(worst):
        ax.legend(loc="lower right", bbox_to_anchor=(1, 0.13), fontsize=6.5, frameon=False, handletextpad=0, labelcolor=_QUIET)


def _density(ax: Any, variance: Any, mean: Any, right: float, span: tuple[float, float]) -> None:
    """Records a cell, on a logarithmic scale of colour."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    x = np.square(np.linspace(0, np.sqrt(right), _BINS + 1))
    y = np.linspace(*span, _BINS + 1)
    counts, _, _ = np.histogram2d(variance, mean, bins=(x, y))
    colours = LinearSegmentedColormap.from_list("number", ["#e3e7f8", "#7f90da", "#2b3a9a", "#131a4d"])
    shown = ax.pcolormesh(
        x, y, np.ma.masked_equal(counts.T, 0), norm=LogNorm(1, max(2.0, counts.max())), cmap=colours, rasterized=True
    )
    _colour_bar(ax, shown, "records a cell")


def _colour_bar(ax: Any, shown: Any, title: str) -> None:
    inset = ax.inset_axes((0.66, 0.06, 0.3, 0.022))
    bar = ax.figure.colorbar(shown, cax=inset, orientation="horizontal")
    bar.set_label(title, fontsize=7, color=_QUIET, labelpad=1)
    bar.ax.xaxis.set_label_position("top")
    bar.ax.tick_params(labelsize=6, length=2, colors=_QUIET)
    bar.outline.set_visible(False)
    bar.solids.set_alpha(1)


def _name_regions(points: Points, ax: Any) -> None:
    from matplotlib.patheffects import withStroke

    for code, region in enumerate(REGIONS[1:], start=1):
        colour, x, y, across, down = _REGION_STYLES[region]
        count = int((points.region == code).sum())
        ax.text(
            x,
            y,
            f"{REGION_TITLES[region]}  {share(count, len(points))}",
            transform=ax.transAxes,
            ha=across,
            va=down,
            color=colour,
            fontweight="bold",
            fontsize=8,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _side_histograms(points: Points, ax: Any, above: Any, beside: Any) -> None:
    mapped = points.mapped
    right = ax.get_xlim()[1]
    low, high = ax.get_ylim()
    above.hist(points.numbers["variance"][mapped], bins=np.square(np.linspace(0, np.sqrt(right), 61)), color=_BAR)
    beside.hist(points.numbers["mean"][mapped], bins=np.linspace(low, high, 51), orientation="horizontal", color=_BAR)
    for side in (above, beside):
        side.set_axis_off()
