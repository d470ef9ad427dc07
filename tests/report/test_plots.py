"""Pictures of the map for a paper."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from argilla_admap.errors import AdmapError, InputError
from argilla_admap.reporting.plots import draw, write_picture
from tests.report.maps import made_up_rows, map_of

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.mark.parametrize(("n", "whole"), [(300, False), (9000, False), (2000, True)], ids=["dots", "density", "ties"])
def test_each_kind_of_picture_is_drawn_and_says_the_regions(tmp_path: Path, n: int, whole: bool) -> None:
    data_map = map_of(made_up_rows(n, whole=whole))
    assert write_picture(data_map, tmp_path / "map.png") == n
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert write_picture(data_map, tmp_path / "map.svg", title="Prices in $ and $x_1$ <b>") == n
    ElementTree.parse(tmp_path / "map.svg")


def test_the_same_map_gives_the_same_picture(tmp_path: Path) -> None:
    data_map = map_of(made_up_rows(200))
    for name in ("a.svg", "b.svg"):
        write_picture(data_map, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_axes_are_in_the_maps_own_units_so_that_more_can_be_drawn_over_them() -> None:
    data_map = map_of(made_up_rows(400))
    ax = draw(data_map)
    assert data_map.thresholds is not None
    vertical, horizontal = (line.get_xydata() for line in ax.lines)
    assert np.unique(vertical[:, 0]).tolist() == [data_map.thresholds.variance]
    assert np.unique(horizontal[:, 1]).tolist() == [data_map.thresholds.mean]
    low, high = ax.get_ylim()
    assert low < data_map.frame["mean"].min()
    assert high > data_map.frame["mean"].max()
    assert draw(data_map, ax) is ax
    assert data_map.plot(ax) is ax


def test_far_outliers_do_not_squeeze_the_map_and_are_counted() -> None:
    rows = made_up_rows(2000)
    rows[0]["completions"][0]["scores"] = [1000.0]
    ax = draw(map_of(rows))
    assert ax.get_xlim()[1] >= 0.25 * map_of(rows).frame["variance"].max()
    assert any("1 further" in text.get_text() for text in ax.texts)


def test_without_matplotlib_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AdmapError, match=r"pip install 'argilla-admap\[plot\]'"):
        write_picture(map_of(made_up_rows(20)), tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"map\.bmp: .* pictures are \.png, \.svg or \.pdf"):
        write_picture(map_of(made_up_rows(20)), tmp_path / "map.bmp")


@pytest.mark.parametrize("n", [3000, 9000], ids=["dots", "density"])
def test_the_worst_records_lie_on_top_the_worst_of_all_last(n: int) -> None:
    data_map = map_of(made_up_rows(n))
    ax = draw(data_map)
    on_top = max(ax.collections, key=lambda drawn: drawn.get_zorder())
    worst = data_map.frame[data_map.frame["p_wrong"] >= 0.5].sort_values("p_wrong", kind="stable")
    inside = worst[worst["variance"] <= ax.get_xlim()[1]]
    shown = np.asarray(on_top.get_offsets())
    assert len(shown) == len(inside) > 20
    assert shown[-1].tolist() == pytest.approx(inside[["variance", "mean"]].iloc[-1].tolist())
