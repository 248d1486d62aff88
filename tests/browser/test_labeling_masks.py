"""Masks on the labeling page, in a real browser: accepted, or handed over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fixtures.labeling_pages import enter, press
from fixtures.mask_pages import MASK, MaskLabeling

from allencv_al.__main__ import main
from allencv_al.tasks.segmentation_task import mask_text

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

COLORED = """canvas => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const at = (x, y) => [...data.slice(4 * (y * canvas.width + x), 4 * (y * canvas.width + x) + 4)];
  return [at(10, 10), at(300, 230), at(200, 50)];
}"""


@pytest.fixture
def labeling(make_labeling: Callable[..., MaskLabeling]) -> MaskLabeling:
    """A labeling of masks in three images, the last without a proposal."""
    return make_labeling(3, MaskLabeling)


def proposed(page: Page) -> None:
    """Wait until the mask is drawn."""
    legend = page.locator("#mask-legend li")
    expect(legend).to_have_text(["cat25 %", "dog4 %"])
    expect(page.locator("#mask")).to_be_visible()


def test_a_mask_is_shown_over_the_image_and_accepted(
    page: Page, labeling: MaskLabeling, assert_accessible: Callable[[Page], None]
) -> None:
    enter(page, labeling)
    proposed(page)
    shown = page.locator("#mask").evaluate(COLORED)
    assert shown == [[128, 0, 0, 255], [0, 128, 0, 255], [0, 0, 0, 0]]  # Pascal VOC's colors
    page.locator("#mask-opacity").fill("1")
    expect(page.locator("#mask")).to_have_css("opacity", "1")
    page.locator("#mask-opacity").blur()
    page.keyboard.press("o")
    expect(page.locator("#mask")).to_be_hidden()
    page.keyboard.press("o")
    expect(page.locator("#mask")).to_be_visible()
    page.keyboard.press("+")
    zoomed = page.locator("#image").evaluate("image => image.style.transform")
    expect(page.locator("#mask")).to_have_attribute("style", f"opacity: 1; transform: {zoomed};")
    assert_accessible(page)
    name = press(page, "y")
    assert labeling.wait(1) == {name: mask_text(MASK)}
    proposed(page)
    page.keyboard.press("z")
    expect(page.locator("#file-name")).to_have_text(name)
    labeling.expect({})
    proposed(page)
    press(page, "Enter")
    assert labeling.wait(1) == {name: mask_text(MASK)}


def test_an_image_is_handed_over_exported_and_comes_back(
    new_page: Any, labeling: MaskLabeling, assert_accessible: Callable[[Page], None]
) -> None:
    page = new_page(390, 844, has_touch=True, is_mobile=True)
    enter(page, labeling)
    proposed(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(page)
    first = page.locator("#file-name").inner_text()
    page.locator("#mask-hand-over").tap()
    expect(page.locator("#file-name")).not_to_have_text(first)
    proposed(page)
    press(page, "y")
    expect(page.locator("#mask-empty")).to_be_visible()  # the last one
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_contain_text("Press h to hand it over")
    page.keyboard.press("h")
    expect(page.locator("#view-end")).to_contain_text("2 images are handed over")
    labeling.wait(1)
    assert labeling.store.leases.next_items("Ben", 6) == []
    export = labeling.folder / "export.json"
    command = ["export-labels", str(labeling.folder), "--handed-over", "--output", str(export)]
    assert main([*command, "--format", "label-studio"]) == 0
    assert main(["import-labels", str(export), str(labeling.folder)]) == 0
    assert labeling.wait(2)[first] == mask_text(MASK)
    expect(page.locator("#view-end")).to_contain_text("1 image is handed over")
