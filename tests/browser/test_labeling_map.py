"""The map of all images: points that a lasso, the legend and keys choose."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fixtures.labeling_pages import Labeling, enter

from allencv_al.common.files.tables import read_table
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

MakeLabeling = Callable[..., Labeling]
pytestmark = pytest.mark.slow
COUNT, DOGS = 60, 20
INSET = 8  # pixels: the corners of the frame are round


@pytest.fixture
def labeling(make_labeling: MakeLabeling) -> Labeling:
    """Two heaps of images: the last ones lie together, on the left or the right."""
    made = make_labeling(COUNT)
    ids = list(made.store.items.numbers())
    heaps = np.zeros((COUNT, 8), np.float32)
    heaps[:, 0], heaps[-DOGS:, 0] = 1, -1
    noise = np.random.default_rng(0).normal(0, 0.05, heaps.shape).astype(np.float32)
    made.store.vectors.add("made", ids, heaps + noise)
    return made


def open_map(page: Page, labeling: Labeling) -> None:
    enter(page, labeling)
    page.keyboard.press("a")
    expect(page.locator("#map-frame")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#map-legend button").first).to_be_visible()


def side_of(labeling: Labeling, item: int) -> str:
    """Return the half of the map on which an image lies."""
    from allencv_al.selection.page_groups import PageGroups
    from allencv_al.selection.pool_map import PoolMap

    points = PoolMap(labeling.store, PageGroups(labeling.store)).points("pca")
    assert points is not None
    return "left" if points.places[points.items == item][0, 0] < 32_768 else "right"


def draw_around(page: Page, side: str) -> None:
    """Draw a lasso around half of the map."""
    box = page.locator("#map-frame").bounding_box()
    assert box is not None
    left = box["x"] + (INSET if side == "left" else box["width"] / 2)
    right = left + box["width"] / 2 - INSET
    top, bottom = box["y"] + INSET, box["y"] + box["height"] - INSET
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 9)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def test_a_lasso_chooses_images_that_a_key_labels(page: Page, labeling: Labeling) -> None:
    open_map(page, labeling)
    expect(page.locator("#map-count")).to_have_text("60 images")
    expect(page.locator("#map-pages")).to_be_disabled()
    draw_around(page, side_of(labeling, COUNT))
    expect(page.locator("#map-title")).to_have_text(f"{DOGS} images chosen")
    page.locator("#map-pages").click()
    expect(page.locator("#bulk-among-text")).to_contain_text(f"Among {DOGS} images")
    expect(page.locator("#bulk-grid .tile")).to_have_count(DOGS)
    page.keyboard.press("2")
    expected = {f"{number:02d}.png": "dog" for number in range(COUNT - DOGS, COUNT)}
    assert labeling.wait(DOGS) == expected
    expect(page.locator("#bulk-empty-text")).to_contain_text("None of the images chosen")
    page.locator("#bulk-all-images").click()
    expect(page.locator("#bulk-grid .tile")).to_have_count(24)
    page.keyboard.press("a")
    legend = page.locator("#map-legend button", has_text="dog")
    expect(legend).to_contain_text(str(DOGS))


def test_keys_alone_choose_and_open(page: Page, labeling: Labeling) -> None:
    open_map(page, labeling)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map-frame")).to_be_focused()
    expect(page.locator("#map-tip")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text(".png, no label")
    expect(page.locator("#map-tip-name")).not_to_be_empty()
    first = page.locator("#map-tip-name").inner_text()
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#map-tip-name")).not_to_have_text(first)
    expect(page.locator("#map-title")).to_have_text("2 images chosen")
    page.keyboard.press("Space")
    expect(page.locator("#map-title")).to_have_text("1 image chosen")
    page.keyboard.press("g")
    expect(page.locator("#map-title")).to_have_text("12 images chosen")
    page.keyboard.press("g")
    expect(page.locator("#map-title")).to_have_text("24 images chosen")
    page.keyboard.press("Shift+G")
    expect(page.locator("#map-title")).to_have_text("12 images chosen")
    page.keyboard.press("v")
    expect(page.locator("#look-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#look-dialog")).to_be_hidden()
    page.keyboard.press("Control+a")
    expect(page.locator("#map-title")).to_have_text("60 images chosen")
    page.keyboard.press("Escape")
    expect(page.locator("#map-title")).to_have_text("No image is chosen")
    page.keyboard.press("g")
    expect(page.locator("#map-title")).to_have_text("12 images chosen")
    page.keyboard.press("Enter")
    expect(page.locator("#bulk-grid .tile")).to_have_count(12)
    page.keyboard.press("1")
    assert set(labeling.wait(12).values()) == {"cat"}


def test_what_the_legend_hides_is_not_chosen(page: Page, labeling: Labeling) -> None:
    items = labeling.store.items.numbers()
    for name in ("00.png", "01.png"):
        answer = NewAnswer("Ben", f"key-{name}", items[name], LabelKind.LABEL, 1)
        labeling.store.answers.add(answer)
    open_map(page, labeling)
    nothing = page.locator("#map-legend button", has_text="no label")
    expect(nothing).to_contain_text("58")
    nothing.click()
    expect(nothing).to_have_attribute("aria-pressed", "false")
    page.locator("#map-frame").focus()
    page.keyboard.press("Control+a")
    expect(page.locator("#map-title")).to_have_text("2 images chosen")
    page.select_option("#map-color", "disagreement")
    agrees = page.locator("#map-legend button", has_text="model agrees")
    expect(agrees).to_contain_text("2")  # the model says cat of all
    page.select_option("#map-color", "uncertainty")
    expect(page.locator("#map-legend li")).to_have_count(1)
    expect(page.locator("#map-legend li")).to_contain_text("14 % to 29 %60")


def test_chosen_images_come_next_or_become_a_list(
    page: Page, labeling: Labeling, tmp_path: Any
) -> None:
    open_map(page, labeling)
    draw_around(page, side_of(labeling, COUNT))
    expect(page.locator("#map-title")).to_have_text(f"{DOGS} images chosen")
    with page.expect_download() as waiting:
        page.locator("#map-list").click()
    waiting.value.save_as(tmp_path / "chosen.csv")
    rows = read_table(tmp_path / "chosen.csv", []).rows
    dogs = {f"{number:02d}.png" for number in range(COUNT - DOGS, COUNT)}
    assert {row.values["id"] for row in rows} == dogs
    page.locator("#map-ones").click()
    expect(page.locator("#view-label")).to_be_visible()
    expect(page.locator("#hint")).to_contain_text(f"{DOGS} images of the map come next")
    assert page.locator("#file-name").inner_text() in dogs


def test_the_pointer_shows_images_and_the_wheel_magnifies(page: Page, labeling: Labeling) -> None:
    open_map(page, labeling)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#map-tip")).to_be_visible()
    page.locator("#map-in").click()
    expect(page.locator("#map-tip-name")).not_to_be_empty()
    name = page.locator("#map-tip-name").inner_text()
    expect(page.locator("#map-tip-image")).to_have_js_property("complete", True)
    box = page.locator("#map-frame").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.wheel(0, -300)
    page.locator("#map-fit").click()
    expect(page.locator("#map-tip-name")).to_have_text(name)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_it_fits_and_reads_aloud(
    width: int,
    look: str,
    new_page: Any,
    labeling: Labeling,
    assert_accessible: Callable[[Page], None],
) -> None:
    page = new_page(width, 800, has_touch=width < 500, color_scheme=look)
    open_map(page, labeling)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#map-frame").bounding_box()
    assert box is not None and box["width"] >= 0.7 * width - 100
    if width < 500:
        page.locator("#map-frame").tap()
    else:
        draw_around(page, "left")
        expect(page.locator("#map-title")).to_contain_text("0 images chosen")
    assert_accessible(page)


def test_without_vectors_the_page_says_how_to_get_them(
    page: Page, make_labeling: MakeLabeling, assert_accessible: Callable[[Page], None]
) -> None:
    enter(page, make_labeling(5))
    page.keyboard.press("a")
    expect(page.locator("#map-empty")).to_contain_text("--embeddings offline")
    expect(page.locator("#map-body")).to_be_hidden()
    assert_accessible(page)


HOSTILE = ["<img src=x onerror=alert(1)>", "</canvas><script>alert(2)</script>", "\u202e<b>x"]


def test_no_name_is_a_script(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(8, classes=HOSTILE)
    store = labeling.store
    rows = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    store.vectors.add("made", list(store.items.numbers()), rows)
    with store.database.transaction() as connection:
        connection.execute("UPDATE item SET id = ? || item", (f"{HOSTILE[0]}.png",))
    for item in (1, 2, 3):
        store.answers.add(NewAnswer(HOSTILE[1], f"key-{item}", item, LabelKind.LABEL, item))
    open_map(page, labeling)
    shown = page.locator("#map-legend .map-group").all_inner_texts()
    assert set(HOSTILE) <= set(shown)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map-tip-name")).to_contain_text(HOSTILE[0])
    expect(page.locator("#announcer")).to_contain_text(HOSTILE[0])
    page.locator("#map-frame").focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("Enter")
    expect(page.locator("#bulk-grid .tile").first).to_be_visible()
    assert page.locator("img[src=x], #view-map script").count() == 0


def test_labels_of_several_classes_are_asked_one_by_one(
    page: Page, make_labeling: MakeLabeling
) -> None:
    labeling = make_labeling(8)
    labeling.store.values.set_task("multi_label")
    rows = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    labeling.store.vectors.add("made", list(labeling.store.items.numbers()), rows)
    open_map(page, labeling)
    expect(page.locator("#map-pages")).to_be_hidden()
    expect(page.locator("#map-color option")).to_have_text(["State"])
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    expect(page.locator("#map-title")).to_have_text("1 image chosen")
    expect(page.locator("#map-tip-name")).not_to_be_empty()
    name = page.locator("#map-tip-name").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_have_text("1 image of the map comes next.")
    expect(page.locator("#file-name")).to_have_text(name)


def test_the_map_outlives_a_lost_server_and_shows_new_labels(
    new_page: Any, labeling: Labeling
) -> None:
    new_page.allowed += ["Failed to load resource"]
    page = new_page()
    open_map(page, labeling)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("g")
    expect(page.locator("#map-title")).to_have_text("12 images chosen")
    labeling.stop()
    page.locator("#map-list").click()
    expect(page.locator("#notice-text")).to_contain_text("cannot be reached")
    items = labeling.store.items.numbers()
    labeling.store.answers.add(NewAnswer("Ben", "bens-key", items["00.png"], LabelKind.LABEL, 1))
    labeling.start()
    cat = page.locator("#map-legend button", has_text="cat")
    expect(cat).to_contain_text("1", timeout=30_000)
    expect(page.locator("#map-title")).to_have_text("12 images chosen")


def test_a_finger_chooses_and_two_magnify(new_page: Any, labeling: Labeling) -> None:
    page = new_page(390, 800, has_touch=True)
    open_map(page, labeling)
    page.locator("#map-frame").scroll_into_view_if_needed()
    box = page.locator("#map-frame").bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    left, right = box["x"] + INSET, box["x"] + box["width"] - INSET
    top, bottom = max(box["y"], 0) + INSET, min(box["y"] + box["height"], 800) - INSET
    touch("touchStart", (left, top))
    for corner in ((right, top), (right, bottom), (left, bottom)):
        touch("touchMove", corner)
    touch("touchEnd")
    expect(page.locator("#map-title")).to_have_text("60 images chosen")
    middle, height = (left + right) / 2, (top + bottom) / 2
    touch("touchStart", (middle - 20, height), (middle + 20, height))
    for apart in (40, 80, 150):
        touch("touchMove", (middle - apart, height), (middle + apart, height))
    touch("touchEnd")
    touch("touchStart", (left, top))  # the same line holds fewer images now
    for corner in ((right, top), (right, bottom), (left, bottom)):
        touch("touchMove", corner)
    touch("touchEnd")
    expect(page.locator("#map-title")).not_to_have_text("60 images chosen")
    assert page.evaluate("scrollX") == 0
