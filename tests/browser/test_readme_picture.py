"""The picture of the README: one real record whose label was flipped, as the page shows it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Person, Review
from tests.doubles.browser import card_frames, picture

README_PICTURE = Path(__file__).parents[2] / "examples" / "review-page.png"
RECORD = "llmbar-natural-32"


def test_the_readmes_picture_is_what_the_page_shows(owner: Person, make_review: Callable[..., Review], pairs_map: Any) -> None:
    """Set ADMAP_PICTURES=1 to make the README's picture anew; else it is only made beside, to compare."""
    review = make_review("picture", pairs_map)
    p_wrong = float(pairs_map.frame.set_index("id").loc[RECORD, "p_wrong"])
    page = owner.open(width=1280, height=800, device_scale_factor=1.5)
    span = f"admap_p_wrong.ge{p_wrong - 1e-5:.7f}.le{p_wrong + 1e-5:.7f}"
    page.goto(review.url(f"page=1&status=pending&metadata={span}&sort=metadata.admap_p_wrong.desc"))
    frame = card_frames(page)[0]
    assert frame.inner_text(".name") == RECORD
    page.keyboard.press("d")
    page.wait_for_timeout(400)
    # Without the navigation, which names a workspace of this test.
    made = picture(page, "review-page", clip={"x": 0, "y": 56, "width": 1280, "height": 680})
    if os.environ.get("ADMAP_PICTURES") == "1":
        shutil.copyfile(made, README_PICTURE)
    assert _size(README_PICTURE) == _size(made), "make the picture anew with ADMAP_PICTURES=1"


def _size(png: Path) -> bytes:
    """Width and height, of the header of the file."""
    if not png.exists():
        pytest.fail(f"{png} is missing; make it with ADMAP_PICTURES=1")
    return png.read_bytes()[16:24]
