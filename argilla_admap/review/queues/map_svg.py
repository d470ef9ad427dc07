"""The small map as a picture in a few kilobytes of text, for places that run no script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["map_svg"]

_LEVELS = 5
_CELL = 9  # pixels
_LEFT, _TOP, _BOTTOM = 22, 4, 16


def map_svg(info: Mapping[str, Any]) -> str:
    """A data URI with the map of :func:`argilla_admap.review.dataset.card.map_info` as SVG.

    Its colours are readable on a light and on a dark page. Cells of one row and one shade are drawn as one stroke, so that
    the whole takes about 3,000 characters.
    """
    nx, ny = info["nx"], info["ny"]
    width, height = nx * _CELL, ny * _CELL
    most = math.sqrt(max(info["cells"]))
    paths = [""] * _LEVELS
    for row in range(ny):
        line = info["cells"][row * nx : (row + 1) * nx]
        shades = [min(_LEVELS - 1, int(math.sqrt(count) / most * _LEVELS)) if count else -1 for count in line]
        column = 0
        while column < nx:
            end = column + 1
            while end < nx and shades[end] == shades[column]:
                end += 1
            if shades[column] >= 0:
                paths[shades[column]] += f"M{column} {ny - row - 1}h{end - column}v1H{column}z"
            column = end
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width + _LEFT + 4}' height='{height + _TOP + _BOTTOM}' "
        "font-family='sans-serif' font-size='10' fill='#777'>",
        f"<g transform='translate({_LEFT} {_TOP})'><g transform='scale({_CELL})' fill='#5b60d6'>",
        *(f"<path d='{path}' opacity='{0.28 + 0.18 * level:.2f}'/>" for level, path in enumerate(paths) if path),
        f"</g><path d='M0 0h{width}v{height}H0z' fill='none' stroke='#999'/>",
    ]
    if info.get("variance") is not None:
        edge = round(min(1, math.sqrt(max(0, info["variance"])) / info["x1"]) * width)
        across = ""
        if info.get("mean") is not None:
            level = round((1 - (info["mean"] - info["y0"]) / (info["y1"] - info["y0"])) * height)
            across = f"M0 {level}H{edge}"
        parts.append(f"<path d='M{edge} 0v{height}{across}' stroke='#888' stroke-dasharray='3 3' fill='none'/>")
        parts.append(f"<text x='{width - 3}' y='11' text-anchor='end'>high variance</text>")
        if across and edge > 70:
            parts.append(f"<text x='3' y='11'>high average</text><text x='3' y='{height - 4}'>low average</text>")
    parts += [
        f"<text x='0' y='{height + 12}'>0</text>"
        f"<text x='{width / 2:g}' y='{height + 12}' text-anchor='middle'>spread of scores</text>"
        f"<text x='{width}' y='{height + 12}' text-anchor='end'>{info['x1']:.1f}</text>"
        f"<text x='-4' y='9' text-anchor='end'>{info['y1']:.3g}</text>"
        f"<text x='-4' y='{height}' text-anchor='end'>{info['y0']:.3g}</text>"
        f"<text transform='translate(-8 {height / 2:g})rotate(-90)' text-anchor='middle'>mean</text>",
        "</g></svg>",
    ]
    return "data:image/svg+xml," + quote("".join(parts), safe="=:/;,.-+!*'")
