"""The page in a real browser: what it shows, that it obeys keys and filters, and that no text of a data set runs in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from argilla_admap.mapping.data_map import DataMap
from argilla_admap.reporting.page import RecordLink, write_page
from tests.browser.hostile import HOSTILE
from tests.doubles.browser import picture, seen
from tests.report.maps import made_up_rows, map_of
from tests.report.standing import STANDING

Open = Callable[..., Page]


@pytest.fixture
def open_map(new_page: Open, tmp_path: Path) -> Open:
    """Writes a map's page and opens it from the disk."""

    def open_it(
        data_map: DataMap,
        *,
        link: RecordLink | None = None,
        title: str = "A map",
        outcomes: dict[str, str] | None = None,
        status: dict[str, Any] | None = None,
        **options: Any,
    ) -> Page:
        path = tmp_path / "map.html"
        write_page(data_map, path, title=title, link=link, outcomes=outcomes, status=status)
        page = new_page(**{"width": 1280, "height": 720, **options})
        page.goto(path.as_uri())
        # By selector: a polled expression would be evaluated as a string, which the page's policy forbids.
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        return page

    return open_it


def unhurt(page: Page) -> None:
    """Nothing went wrong, nothing was asked for but the file itself."""
    page.wait_for_timeout(200)
    assert not seen(page).errors
    assert not seen(page).dialogs
    assert [url for url in seen(page).requests if not url.startswith(("file:", "data:,"))] == []


def once(page: Page, expression: str) -> Any:
    """The value of an expression, once it is a true one. Polled from here, since the page's policy forbids it in the page."""
    for _ in range(1000):
        if value := page.evaluate(expression):
            return value
        page.wait_for_timeout(30)
    pytest.fail(f"never true: {expression}")


def says(page: Page, words: str) -> None:
    """The line of counts says this, as soon as the map is drawn anew."""
    expect(page.locator("#counts")).to_have_text(re.compile(rf"(?:^|, ){re.escape(words)}"))


def test_hostile_texts_are_shown_as_they_are_and_run_nothing(open_map: Open) -> None:
    rows = made_up_rows(len(HOSTILE))
    texts = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in HOSTILE.values()]
    for i, (row, text) in enumerate(zip(rows, texts, strict=True)):
        row |= {"id": f"{i} {text}"[:400], "prompt": text, "source": text[:200] or "none"}
        for completion in row["completions"]:
            completion |= {"text": text, "model": text[:400] or "none"}
    page = open_map(map_of(rows), title=texts[0])
    assert page.title().strip() == texts[0].strip()
    page.locator("#canvas").focus()
    shown: list[str] = []
    for _ in rows:
        page.keyboard.press("n")
        last = json.dumps(shown[-1] if shown else None)
        shown.append(
            once(page, f"(id => id && id.textContent !== {last} && id.textContent)(document.querySelector('#record .card-id'))")
        )
        assert (
            page.evaluate("[...document.querySelectorAll('#record img, #record iframe, #record svg, #record script')].length")
            == 0
        )
    # Every id was shown literally, each once; NUL and the like too.
    assert sorted(shown) == sorted(row["id"] for row in rows)
    page.fill("#find-id", rows[3]["id"][:20])
    page.keyboard.press("Enter")
    page.mouse.move(640, 400)
    unhurt(page)
    picture(page, "report-hostile")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_draws_the_map_in_both_themes(open_map: Open, scheme: str) -> None:
    page = open_map(map_of(made_up_rows(3000, k=4)), color_scheme=scheme)
    drawn = page.evaluate(
        """() => {
          const canvas = document.getElementById("canvas");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const colours = new Set();
          for (let i = 0; i < data.length; i += 4) colours.add(`${data[i] >> 4},${data[i + 1] >> 4},${data[i + 2] >> 4}`);
          return colours.size;
        }"""
    )
    assert drawn > 20
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(ground.removeprefix("rgb(").split(",")[0]) < 60) == (scheme == "dark")
    # All of it is on the screen: nothing scrolls at 1280 x 720.
    assert page.evaluate("document.documentElement.scrollHeight") <= 720
    picture(page, f"report-{scheme}")
    page.select_option("#theme", "light" if scheme == "dark" else "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    unhurt(page)


def test_filters_by_region_flag_source_and_doubt_select_what_the_frame_selects(open_map: Open) -> None:
    data_map = map_of(made_up_rows(2000))
    frame = data_map.frame
    page = open_map(data_map)
    says(page, "2,000 records")
    boxes = page.locator("#region-boxes input")
    boxes.nth(0).uncheck()
    kept = frame["region"] != "high_var"
    says(page, f"{kept.sum():,} of 2,000")
    page.locator("#source-boxes label", has_text="beta").locator("input").uncheck()
    kept &= frame["source"] != "beta"
    says(page, f"{kept.sum():,} of 2,000")
    page.locator("#p-from").fill("0.4")
    kept &= frame["p_wrong"] >= 0.4
    says(page, f"{kept.sum():,} of 2,000")
    page.locator("#flag-boxes label", has_text="low mean").locator("input").check()
    kept &= frame["flags"].map(lambda flags: "low_mean" in flags)
    says(page, f"{kept.sum():,} of 2,000")
    page.click("#reset-filters")
    says(page, "2,000 records")
    unhurt(page)


def test_hovering_shows_the_record_under_the_pointer(open_map: Open) -> None:
    rows = made_up_rows(60)
    data_map = map_of(rows)
    page = open_map(data_map)
    # The list names the most doubtful record; its ring says where it stands.
    first = data_map.frame.sort_values("p_wrong", ascending=False).iloc[0]
    page.locator("#list button").first.click()
    expect(page.locator("#record .card-id")).to_have_text(first["id"])
    card = page.inner_text("#record")
    for text in (f"P(wrong) {first['p_wrong']:.2f}", "likely wrong", "Prompt number", "score", "label"):
        assert text in card
    box = page.locator("#canvas").bounding_box()
    assert box
    tip = page.locator("#tip")
    # A busy machine takes its time to read the record under the pointer: then it is pointed at for longer.
    places = range(int(box["x"]) + 70, int(box["x"] + box["width"]) - 60, 9)
    for x, wait in ((x, wait) for wait in (15, 100, 1000) for x in places):
        page.mouse.move(x, box["y"] + box["height"] / 2)
        page.wait_for_timeout(wait)
        if tip.is_visible():
            break
    expect(tip).to_be_visible()
    assert tip.locator(".card-id").inner_text() in {row["id"] for row in rows}
    assert "of" in tip.inner_text()
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()
    unhurt(page)


def test_the_keyboard_alone_moves_zooms_chooses_and_finds(open_map: Open) -> None:
    data_map = map_of(made_up_rows(400))
    ordered = data_map.frame.sort_values("p_wrong", ascending=False, kind="stable")
    page = open_map(data_map)
    page.keyboard.press("/")
    page.keyboard.type(str(ordered["id"].iloc[7]))
    page.keyboard.press("Enter")
    expect(page.locator("#record .card-id")).to_have_text(ordered["id"].iloc[7])
    page.locator("#canvas").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#record")).to_be_hidden()
    page.keyboard.press("n")
    expect(page.locator("#record .card-id")).to_have_text(ordered["id"].iloc[0])
    page.keyboard.press("n")
    expect(page.locator("#record .card-id")).to_have_text(ordered["id"].iloc[1])
    page.keyboard.press("p")
    expect(page.locator("#record .card-id")).to_have_text(ordered["id"].iloc[0])
    assert ordered["id"].iloc[0] in page.inner_text("#said")
    whole = page.inner_text("#counts")
    for _ in range(6):
        page.keyboard.press("+")
    expect(page.locator("#counts")).not_to_have_text(whole)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("0")
    expect(page.locator("#counts")).to_have_text(whole)
    unhurt(page)


def test_every_control_has_a_name(open_map: Open) -> None:
    page = open_map(map_of(made_up_rows(300)))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas, a")].filter((item) => !(
          item.getAttribute("aria-label") || item.textContent.trim() || (item.labels && item.labels.length)
        )).map((item) => item.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


def test_a_click_opens_the_record_in_argilla(open_map: Open) -> None:
    data_map = map_of(made_up_rows(80))
    link = RecordLink(page="http://127.0.0.1:9/dataset/x/annotation-mode", dataset="me/uf", search="admap")
    page = open_map(data_map, link=link)
    page.evaluate("window.open = (...words) => { window.opened = words; }")
    page.locator("#list button").first.click()
    first = data_map.frame.sort_values("p_wrong", ascending=False).iloc[0]
    anchor = page.locator("#record a").first
    expect(anchor).to_have_text("Open in Argilla (me/uf)")
    address = anchor.get_attribute("href") or ""
    assert address.startswith("http://127.0.0.1:9/dataset/x/annotation-mode?page=1&status=pending&metadata=admap_mean.ge")
    assert address.endswith(f"&search={first['id']}~admap")
    for name in ("mean", "variance", "p_wrong"):
        bounds = address.split(f"admap_{name}.ge")[1].split("~")[0].split("&")[0]
        low, high = (float(part) for part in bounds.split(".le"))
        assert low <= first[name] <= high
        assert high - low < 1e-3
    page.locator("#canvas").focus()
    page.keyboard.press("Enter")
    assert once(page, "window.opened") == [address, "_blank", "noopener,noreferrer"]


def conditions(address: str) -> dict[str, Any]:
    """What a link asks for: property -> its terms, or its two ends."""
    given = parse_qs(urlsplit(address).query).get("metadata", [""])[0]
    found: dict[str, Any] = {}
    for part in filter(None, given.split("~")):
        name, _, rest = part.partition(".")
        ends = re.fullmatch(r"ge(-?[\d.]+)\.le(-?[\d.]+)", rest)
        found[name] = tuple(map(float, ends.groups())) if ends else set(rest.split("."))
    return found


def test_what_is_selected_opens_in_argilla_by_its_numbers_or_by_its_ids(open_map: Open) -> None:
    data_map = map_of(made_up_rows(400))
    frame = data_map.frame
    outcomes = {str(name): "corrected" if i % 2 else "confirmed" for i, name in enumerate(frame["id"][:40])}
    link = RecordLink(page="http://127.0.0.1:9/dataset/x/annotation-mode", dataset="me/uf", search="admap")
    page = open_map(data_map, link=link, outcomes=outcomes)
    act = page.locator("#open-these a.act")
    expect(act).to_have_text("Open these 400 in Argilla")
    assert "metadata=" not in (act.get_attribute("href") or "")

    # What to do next, and the filter that shows it.
    suspects = frame[(frame["p_wrong"] >= 0.5) & ~frame["id"].isin(outcomes)]
    expect(page.locator("#next")).to_contain_text(
        f"Next: review the {len(suspects)} labels that are more probably wrong than right"
    )
    page.click("#next button")
    expect(act).to_have_text(f"Open these {len(suspects)} in Argilla")
    asked = conditions(act.get_attribute("href") or "")
    assert asked["admap_p_wrong"][0] <= suspects["p_wrong"].min()
    assert asked["admap_p_wrong"][1] >= suspects["p_wrong"].max()
    assert "search=" not in (act.get_attribute("href") or "")
    for part in page.locator("#review-boxes input").all():
        part.check()

    page.locator("#region-boxes input").nth(0).uncheck()
    wanted = frame[(frame["p_wrong"] >= 0.5) & (frame["region"] != "high_var")]
    expect(act).to_have_text(f"Open these {len(wanted)} in Argilla")
    assert conditions(act.get_attribute("href") or "")["admap_region"] == set(wanted["region"])

    # An area: what no condition on numbers can say is asked for by the ids.
    page.click("#reset-filters")
    expect(act).to_have_text("Open these 400 in Argilla")
    box = page.locator("#canvas").bounding_box()
    assert box
    middle = (box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    page.keyboard.down("Shift")
    page.mouse.move(middle[0] - 90, middle[1])
    page.mouse.down()
    for x, y in ((0, -90), (90, 0), (0, 90), (-90, 0)):
        page.mouse.move(middle[0] + x, middle[1] + y, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(act).not_to_have_text("Open these 400 in Argilla")
    selected = int((act.text_content() or "").split()[2])
    says(page, f"{selected} of 400")
    search = parse_qs(urlsplit(act.get_attribute("href") or "").query)["search"][0]
    ids = re.findall(r'"([^"]+)"', search.removesuffix("~admap"))
    assert 1 < len(ids) == selected <= 100
    picture(page, "report-area")
    expect(page.locator("#open-these button")).to_have_text(f"Copy {selected} ids")
    page.click("#lasso-clear")
    expect(act).to_have_text("Open these 400 in Argilla")

    # What was reviewed is marked: on its card, in the list, in the filters, in the figures.
    page.fill("#find-id", next(iter(outcomes)))
    page.keyboard.press("Enter")
    expect(page.locator("#record .chip.done")).to_have_text("label confirmed")
    page.click("#tab-figures")
    expect(page.locator("#figures")).to_contain_text("20 labels confirmed, 20 corrected")
    unhurt(page)


@pytest.mark.parametrize("width", [390, 794])
def test_phone_and_paper_hold_all_of_the_page(open_map: Open, width: int) -> None:
    link = RecordLink(page="http://127.0.0.1:9/dataset/x/annotation-mode", dataset="me/uf")
    page = open_map(map_of(made_up_rows(300)), link=link, width=width, height=844)
    page.locator("#list button").first.click()
    if width == 794:  # A4 at 96 dots an inch
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        for hidden in ("#filters", ".tools", "#zoom-in", "#keys"):
            expect(page.locator(hidden).first).to_be_hidden()
        for shown in ("#canvas", "#figures", "#list", "#headline", "#next"):
            expect(page.locator(shown)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#canvas").bounding_box()
    assert box
    assert box["width"] > 0.85 * width
    picture(page, f"report-{'print' if width == 794 else 'phone'}", full_page=True)
    unhurt(page)


def test_ties_are_spread_so_that_each_record_can_be_pointed_at(open_map: Open) -> None:
    page = open_map(map_of(made_up_rows(3000, whole=True)))
    spread = page.locator("#spread")
    expect(spread).to_be_visible()
    picture(page, "report-ties")
    before = page.evaluate("document.getElementById('canvas').toDataURL().length")
    spread.uncheck()
    once(page, f"document.getElementById('canvas').toDataURL().length < {before}")
    unhurt(page)


def test_a_map_without_labels_is_coloured_by_region(open_map: Open) -> None:
    rows = made_up_rows(200)
    for row in rows:
        for completion in row["completions"]:
            completion["rating"] = None
    page = open_map(map_of(rows))
    assert page.input_value("#colour") == "region"
    expect(page.locator("#p-field")).to_be_hidden()
    assert "no P(wrong)" in page.inner_text("#headline")
    unhurt(page)


def test_far_outliers_wait_at_the_right(open_map: Open) -> None:
    rows = made_up_rows(3000)
    for row in rows[:3]:
        row["completions"][0]["scores"] = [500.0]
    page = open_map(map_of(rows))
    button = page.locator("#legend button")
    beyond = int(button.inner_text().split()[0])
    assert 3 <= beyond <= 15
    says(page, f"{3000 - beyond:,} in view")
    button.click()
    says(page, "3,000 in view")
    unhurt(page)


def test_a_narrow_window_stacks_the_parts(open_map: Open) -> None:
    page = open_map(map_of(made_up_rows(200)), width=420, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    picture(page, "report-narrow", full_page=True)
    unhurt(page)


def test_the_manifest_is_plain_json(open_map: Open) -> None:
    page = open_map(map_of(made_up_rows(50)))
    assert (
        json.loads(page.inner_text("#manifest") or page.evaluate("document.getElementById('manifest').textContent"))["n"] == 50
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_review_has_a_panel_with_the_judge_against_people(open_map: Open, scheme: str) -> None:
    data_map = map_of(made_up_rows(200))
    assert not open_map(data_map).is_visible("#tab-review")
    page = open_map(data_map, status=STANDING, color_scheme=scheme)
    page.focus("#tab-records")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    panel = page.locator("#panel-review")
    expect(panel).to_be_visible()
    expect(panel).to_contain_text(STANDING["advice"])
    assert panel.locator(".reliability circle").count() == panel.locator(".reliability .span").count() == 2
    assert "P(wrong) 0.95: 75% of 12 corrected" in str(panel.locator(".reliability").get_attribute("aria-label"))
    assert panel.locator(".judge tbody tr").nth(1).inner_text().split() == ["source", "<b>alpha", "60%", "8", "0", "0", "12"]
    assert panel.locator("b").count() == 0
    assert [link.get_attribute("href") for link in panel.locator("a").all()] == ["https://argilla.example/x"]
    assert page.evaluate("document.querySelector('#side').scrollWidth <= document.querySelector('#side').clientWidth")
    unhurt(page)
    panel.locator(".slices").scroll_into_view_if_needed()
    page.set_viewport_size({"width": 1280, "height": 1100})
    picture(page, f"report-review-{scheme}")
