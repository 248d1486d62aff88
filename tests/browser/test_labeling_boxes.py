"""Boxes on the labeling page, in a real browser: by mouse, by keys, by touch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fixtures.box_pages import BoxLabeling, drag, place
from fixtures.labeling_pages import enter, images_arrived, press, until

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

NewPage = Callable[..., "Page"]


@pytest.fixture
def labeling(make_labeling: Callable[..., BoxLabeling]) -> BoxLabeling:
    """A labeling of boxes in four images."""
    return make_labeling(4, BoxLabeling)


def box(label: str, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"label": label, "x": x, "y": y, "width": width, "height": height}


def near(found: list[dict[str, Any]], *expected: dict[str, Any]) -> None:
    """Boxes are whole pixels of the image, so a pixel of the screen may round to the next."""
    assert [one["label"] for one in found] == [one["label"] for one in expected]
    for one, other in zip(found, expected, strict=True):
        for side in ("x", "y", "width", "height"):
            assert one[side] == pytest.approx(other[side], abs=1), (found, expected)


def test_boxes_are_drawn_moved_resized_and_deleted_by_mouse(
    page: Page, labeling: BoxLabeling
) -> None:
    enter(page, labeling)
    drag(page, (20, 30), (120, 90))
    page.keyboard.press("2")  # the class of the selected box, and of the next one
    drag(page, (200, 100), (180, 60))  # backwards
    expect(page.locator("#box-list li")).to_have_text(
        ["dog: 20, 30, 100 × 60", "dog: 180, 60, 20 × 40"]
    )
    drag(page, (190, 80), (200, 90))  # the selected one moves
    page.mouse.click(*place(page, 70, 60))  # the other one is selected
    drag(page, (120, 90), (140, 100))  # its corner
    page.keyboard.press("1")
    drag(page, (5, 200), (40, 230))
    page.keyboard.press("Delete")
    name = press(page, "Enter")
    labeling.wait(1)
    near(labeling.boxes(name), box("cat", 20, 30, 120, 70), box("dog", 190, 70, 20, 40))


@pytest.mark.slow
def test_boxes_by_keys_alone(page: Page, labeling: BoxLabeling) -> None:
    enter(page, labeling)
    for key in ["2", "n", *["Shift+ArrowLeft"] * 3, "ArrowUp", "e", *["Shift+ArrowRight"] * 2]:
        page.keyboard.press(key)
    for key in ["1", "n", "j", "Delete"]:  # `j` goes back to the first
        page.keyboard.press(key)
    expect(page.locator("#box-list li")).to_have_count(1)
    page.keyboard.press("z")
    name = press(page, "Enter")
    assert labeling.wait(1)
    near(labeling.boxes(name), box("cat", 90, 89, 100, 60), box("cat", 120, 90, 80, 60))


@pytest.mark.slow
def test_changes_are_undone_and_redone_then_the_answer(page: Page, labeling: BoxLabeling) -> None:
    enter(page, labeling)
    drag(page, (20, 30), (120, 90))
    drag(page, (200, 100), (240, 160))
    count = page.locator("#box-list li")
    page.keyboard.press("Control+z")
    expect(count).to_have_count(1)
    page.keyboard.press("Control+Shift+z")
    expect(count).to_have_count(2)
    name = press(page, "Enter")
    labeling.wait(1)
    page.keyboard.press("z")  # the answer: its boxes are there again
    expect(page.locator("#file-name")).to_have_text(name)
    expect(count).to_have_count(2)
    labeling.expect({})
    page.keyboard.press("k")
    page.keyboard.press("Delete")
    press(page, "Enter")
    labeling.wait(1)
    assert len(labeling.boxes(name)) == 1


@pytest.mark.slow
def test_no_objects_is_an_answer_of_its_own_key(page: Page, labeling: BoxLabeling) -> None:
    enter(page, labeling)
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_contain_text("Press o if the image shows no object")
    name = press(page, "o")
    labeling.wait(1)
    assert labeling.boxes(name) == []
    drag(page, (20, 30), (120, 90))
    page.keyboard.press("o")
    expect(page.locator("#hint")).to_contain_text("Delete them first")
    assert len(labeling.said()) == 1


@pytest.mark.slow
def test_boxes_of_the_model_are_drafts_until_they_are_confirmed(
    page: Page, labeling: BoxLabeling
) -> None:
    enter(page, labeling)
    page.keyboard.press("g")
    expect(page.locator("#box-list li")).to_have_text(["dog (draft): 10, 20, 30 × 40"])
    expect(page.locator(".box.draft")).to_have_count(1)
    labeling.expect({})
    name = press(page, "Enter")
    labeling.wait(1)
    assert labeling.boxes(name) == [box("dog", 10, 20, 30, 40)]


@pytest.mark.slow
def test_an_enlarged_image_keeps_boxes_in_their_places(page: Page, labeling: BoxLabeling) -> None:
    enter(page, labeling)
    drag(page, (140, 100), (180, 140))
    before = page.locator(".box-line").bounding_box()
    page.keyboard.press("+")
    page.keyboard.press("+")
    after = page.locator(".box-line").bounding_box()
    assert before is not None and after is not None
    assert after["width"] == pytest.approx(before["width"] * 1.96, abs=4)
    page.keyboard.press("Escape")
    page.keyboard.down(" ")
    drag(page, (160, 120), (180, 120))  # moves the image, and draws nothing
    page.keyboard.up(" ")
    expect(page.locator("#box-list li")).to_have_count(1)
    moved = page.locator(".box-line").bounding_box()
    assert moved is not None and moved["x"] > after["x"] + 10


@pytest.mark.slow
def test_a_click_or_a_tiny_drag_draws_nothing_and_escape_ends_a_drag(
    page: Page, labeling: BoxLabeling
) -> None:
    enter(page, labeling)
    page.mouse.click(*place(page, 100, 100))
    drag(page, (100, 100), (101, 100))
    page.mouse.move(*place(page, 20, 20))
    page.mouse.down()
    page.mouse.move(*place(page, 90, 90))
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(page.locator("#box-list li")).to_have_count(0)
    drag(page, (300, 220), (500, 400))  # beyond the image
    expect(page.locator("#box-list li")).to_have_text(["cat: 300, 220, 20 × 20"])


@pytest.mark.slow
def test_on_a_phone_by_touch(
    new_page: NewPage, labeling: BoxLabeling, assert_accessible: Callable[[Page], None]
) -> None:
    page = new_page(390, 844, has_touch=True, is_mobile=True)
    enter(page, labeling)
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", place(page, 40, 40))
    touch("touchMove", place(page, 100, 100))
    touch("touchMove", place(page, 160, 120))
    touch("touchEnd")
    expect(page.locator("#box-list li")).to_have_count(1)
    touch("touchStart", place(page, 250, 200))
    touch("touchMove", place(page, 280, 220))
    touch("touchStart", place(page, 280, 220), place(page, 200, 160))  # two fingers: no box
    touch("touchEnd")
    expect(page.locator("#box-list li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(page)
    page.locator("#box-done").tap()
    said = labeling.wait(1)
    near(labeling.boxes(next(iter(said))), box("cat", 40, 40, 120, 80))


@pytest.mark.slow
def test_unsent_boxes_survive_a_reload(page: Page, labeling: BoxLabeling, new_page: Any) -> None:
    new_page.allowed.append("Failed to load resource")
    enter(page, labeling)
    images_arrived(page, 4)
    labeling.stop()
    drag(page, (20, 30), (120, 90))
    name = press(page, "Enter")
    labeling.start()
    page.reload()
    labeling.wait(1)
    near(labeling.boxes(name), box("cat", 20, 30, 100, 60))


@pytest.mark.slow
def test_a_review_decides_for_one_of_the_answers(
    new_page: NewPage, make_labeling: Callable[..., BoxLabeling]
) -> None:
    labeling = make_labeling(1, BoxLabeling, labels_per_image=2)
    anna, ben = new_page(), new_page()
    for page, person, key in ((anna, "Anna", "1"), (ben, "Ben", "2")):
        enter(page, labeling, person)
        page.keyboard.press(key)
        page.keyboard.press("n")
        page.keyboard.press("Enter")
    expect(anna.locator("#view-end")).to_be_visible()
    expect(ben.locator("#view-end")).to_be_visible()
    until(ben, lambda: len(labeling.store.answers.events()) == 2)
    anna.goto(labeling.url + "#review")
    anna.reload()
    anna.locator(".tile").click()
    anna.get_by_role("button", name="Ben: 1 dog", exact=True).click()
    expect(anna.locator(".tile-label")).to_have_text("1 dog")
