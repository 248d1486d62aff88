"""Many images at once: a page of images gets one class, and the odd ones are taken out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fixtures.labeling_pages import Labeling, enter, images_arrived

from allencv_al.common.errors import WeightsError
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

MakeLabeling = Callable[..., Labeling]
pytestmark = pytest.mark.slow


def with_vectors(labeling: Labeling, dogs: int) -> Labeling:
    """Give the labeling two heaps of images: the last ones are dogs."""
    ids = list(labeling.store.items.numbers())
    heaps = np.zeros((len(ids), 8), np.float32)
    heaps[:, 0], heaps[-dogs:, 0] = 1, -1
    noise = np.random.default_rng(0).normal(0, 0.05, heaps.shape).astype(np.float32)
    labeling.store.vectors.add("made", ids, heaps + noise)
    return labeling


def open_bulk(page: Page, labeling: Labeling, name: str = "Anna") -> None:
    enter(page, labeling, name)
    page.keyboard.press("b")
    expect(page.locator("#bulk-grid .tile").first).to_be_visible()


def shown(page: Page) -> list[str]:
    tiles = page.locator("#bulk-grid .tile")
    return [tiles.nth(place).get_attribute("title") or "" for place in range(tiles.count())]


def test_one_key_labels_the_page_and_one_undoes_it(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(30)
    open_bulk(page, labeling)
    names = shown(page)
    assert len(names) == 24 and len(set(names)) == 24
    page.locator("#bulk-grid .tile").nth(2).click()
    page.locator("#bulk-grid .tile").nth(5).click()
    page.locator("#bulk-grid .tile").nth(5).click()  # back
    expect(page.locator("#bulk-title")).to_contain_text("1 taken out, 23 left")
    page.keyboard.press("1")
    expected = {name: "cat" for place, name in enumerate(names) if place != 2}
    assert labeling.wait(23) == expected
    groups = {event.client_key.rpartition(":")[0] for event in labeling.store.answers.events()}
    assert len(groups) == 1
    page.keyboard.press("z")
    expect(page.locator("#bulk-title")).to_contain_text("without a label again")
    assert sorted(shown(page)) == sorted(expected)
    labeling.expect({})


def test_keys_alone_take_out_and_label(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(12)
    open_bulk(page, labeling)
    names = shown(page)
    page.locator("#bulk-grid .tile").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator("#bulk-grid .tile[aria-pressed=true]")).to_have_attribute("title", names[1])
    page.keyboard.press("v")
    expect(page.locator("#look-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#look-dialog")).to_be_hidden()
    page.keyboard.press("2")
    assert names[1] not in labeling.wait(len(names) - 1)
    # the one that was taken out waits in the view of one image
    page.keyboard.press("l")
    expect(page.locator("#file-name")).not_to_be_empty()
    left = {page.locator("#file-name").inner_text()}
    assert not left & labeling.said().keys()
    page.keyboard.press("z")  # in that view, too, the page is one step
    expect(page.locator("#counts")).to_have_text("0 of 12")
    labeling.expect({})


def test_images_that_are_alike_come_together(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = with_vectors(make_labeling(60), dogs=30)
    open_bulk(page, labeling)
    expect(page.locator("#bulk-title")).to_contain_text("surest to be cat")  # of the model
    page.select_option("#bulk-by", "alike")
    expect(page.locator("#bulk-title")).to_contain_text("alike")
    heaps = [int(name[:2]) >= 30 for name in shown(page)]
    assert len(set(heaps)) == 1
    dog = page.locator("#bulk-grid .tile").last
    name = dog.get_attribute("title") or ""
    dog.focus()
    page.keyboard.press("m")
    expect(page.locator("#bulk-title")).to_contain_text(f"like {name}")
    assert shown(page)[0] == name
    assert {int(other[:2]) >= 30 for other in shown(page)} == set(heaps)


def test_two_people_get_different_pages_and_overwrite_nothing(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    labeling = make_labeling(60)
    anna, ben = new_page(), new_page()
    open_bulk(anna, labeling, "Anna")
    open_bulk(ben, labeling, "Ben")
    assert not set(shown(anna)) & set(shown(ben))
    late = shown(anna)[3]
    item = labeling.store.items.numbers()[late]
    labeling.store.answers.add(NewAnswer("Carl", "carls-key", item, LabelKind.LABEL, 2))
    count = len(shown(anna))
    anna.keyboard.press("1")
    said = labeling.wait(count)
    assert said[late] == "dog" and list(said.values()).count("cat") == count - 1
    expect(anna.locator("#notice-text")).to_contain_text(late)


def test_a_page_outlives_a_lost_server_and_a_reload(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    labeling = make_labeling(40)
    new_page.allowed += ["Failed to load resource"]
    page = new_page()
    open_bulk(page, labeling)
    images_arrived(page, 24, "thumb")
    labeling.stop()
    page.keyboard.press("1")
    expect(page.locator("#bulk-title")).to_contain_text(
        "24 labels wait for it, kept in this browser"
    )
    kept = page.evaluate("Object.keys(localStorage).filter((key) => key.includes('answer')).length")
    assert kept == 1
    labeling.start()
    page.reload()
    assert set(labeling.wait(24).values()) == {"cat"}
    assert len(labeling.store.answers.events()) == 24


@pytest.mark.parametrize(("width", "columns"), [(1280, 8), (390, 3)])
def test_it_fits_and_reads_aloud(
    width: int,
    columns: int,
    new_page: Any,
    make_labeling: MakeLabeling,
    assert_accessible: Callable[[Page], None],
) -> None:
    labeling = make_labeling(30)
    page = new_page(width, 800, has_touch=width < 500)
    open_bulk(page, labeling)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tops = page.evaluate(
        "[...document.querySelectorAll('#bulk-grid li')].map((one) => one.offsetTop)"
    )
    assert tops.count(tops[0]) >= columns
    if width < 500:
        page.locator("#bulk-grid .tile").first.tap()
    else:
        page.locator("#bulk-grid .tile").first.click()
    expect(page.locator("#bulk-title")).to_contain_text("1 taken out")
    assert_accessible(page)


def test_predictions_are_accepted_after_a_random_sample(
    page: Page, make_labeling: MakeLabeling, assert_accessible: Callable[[Page], None]
) -> None:
    labeling = make_labeling(40)
    open_bulk(page, labeling)
    page.locator("#accept summary").click()
    expect(page.locator("#accept-text")).to_contain_text("No image has such a prediction")
    page.select_option("#bulk-size", "12")  # these images are given back
    expect(page.locator("#bulk-title")).to_contain_text("12 images")
    page.fill("#accept-threshold", "0.7")
    expect(page.locator("#accept-text")).to_contain_text("40 images have such a prediction")
    assert_accessible(page)
    page.select_option("#accept-sample", "20")
    page.locator("#accept-begin").click()
    expect(page.locator("#accept-text")).to_contain_text("20 images of the random sample are left")
    expect(page.locator("#accept-store")).to_be_hidden()
    page.locator("#accept-check").click()
    expect(page.locator("#view-label")).to_be_visible()
    expect(page.locator("#view-label")).to_have_attribute("aria-busy", "false")
    sample = {
        labeling.store.items.item(item).id for item in labeling.store.acceptances.being_checked()
    }
    seen = set()
    for left, key in zip(range(19, -1, -1), "2" + "1" * 19, strict=True):
        # Quicker than the server: no image is shown for a moment, and a key is no answer
        expect(page.locator("#file-name")).to_contain_text(".png")
        expect(page.locator("#guess")).to_be_hidden()
        name = page.locator("#file-name").inner_text()
        seen.add(name)
        page.keyboard.press(key)
        if left:
            expect(page.locator("#file-name")).not_to_have_text(name)
    expect(page.locator("#notice-text")).to_contain_text("1 of 20 predictions is wrong")
    assert seen == sample == labeling.said().keys()
    page.keyboard.press("b")
    expect(page.locator("#accept-text")).to_contain_text("an error rate of 0.9")
    page.locator("#accept-store").click()
    assert list(labeling.wait(40).values()).count("cat") == 39
    expect(page.locator("#bulk-empty-text")).to_contain_text("All images are labeled")
    page.locator("#accept-undo").click()
    expect(page.locator("#bulk-title")).to_contain_text("surest to be cat")
    assert labeling.said().keys() == sample


def test_the_review_shows_where_the_model_disagrees(
    page: Page, make_labeling: MakeLabeling, assert_accessible: Callable[[Page], None]
) -> None:
    labeling = with_vectors(make_labeling(12), dogs=6)
    items = labeling.store.items.numbers()
    for name, item in items.items():
        class_id = 2 if name == "03.png" else 1  # the model says cat of all
        labeling.store.answers.add(NewAnswer("Ben", f"key-{name}", item, LabelKind.LABEL, class_id))
    page.goto(f"{labeling.url}#review")
    page.fill("#name", "Anna")
    page.keyboard.press("Enter")
    tiles = page.locator("#review-grid .tile")
    expect(tiles).to_have_count(12)
    page.check("#review-disagrees")
    expect(tiles).to_have_count(1)
    expect(tiles.first).to_contain_text("model: cat 75 %")
    page.uncheck("#review-disagrees")
    expect(tiles).to_have_count(12)
    page.get_by_role("button", name="More like 10.png").click()
    expect(page.locator("#review-unlike")).to_be_visible()
    expect(tiles.first).to_have_attribute("title", "10.png")
    assert_accessible(page)
    page.locator("#review-unlike").click()
    expect(tiles.first).to_have_attribute("title", "00.png")


def test_a_text_finds_images(
    new_page: Any, make_labeling: MakeLabeling, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_page.allowed += ["422"]
    page = new_page()
    monkeypatch.setattr("allencv_al.selection.text_search.find_spec", lambda name: object())
    labeling = with_vectors(make_labeling(60), dogs=30)
    [(model,)] = labeling.store.database.rows("SELECT model FROM vector_space")
    labeling.store.vectors.keep_text_model(model, "{}")
    values = labeling.store.vectors.load().values
    texts: list[str] = []

    def cosines(_: Any, text: str) -> Any:
        texts.append(text)
        if text == "gone":
            raise WeightsError("/models/clip: cannot be read")
        return values @ values[-1 if text == "dog" else 0]  # the last image is one of a dog

    monkeypatch.setattr("allencv_al.selection.text_search.TextSearch.cosines", cosines)
    open_bulk(page, labeling)
    expect(page.locator("#bulk-text")).to_be_hidden()
    page.select_option("#bulk-by", "text")
    field = page.locator("#bulk-text")
    expect(field).to_be_focused()
    field.press("Enter")
    expect(page.locator("#hint")).to_contain_text("Write what the images show")
    field.fill("1")  # a digit that is typed labels nothing
    field.fill("dog")
    field.press("Enter")
    expect(page.locator("#bulk-title")).to_contain_text("24 images nearest to “dog”")
    expect(page.locator("#bulk-grid .tile").first).to_be_focused()
    assert all(int(name[:2]) >= 30 for name in shown(page))
    page.keyboard.press("2")
    assert set(labeling.wait(24).values()) == {"dog"}
    field.fill("gone")
    field.press("Enter")
    expect(page.locator("#notice-text")).to_contain_text("clip: cannot be read")
    assert texts[:1] == ["dog"] and "/models" not in page.locator("#notice-text").inner_text()
