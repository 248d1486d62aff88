"""The labeling page in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fixtures.labeling_pages import (
    Labeling,
    enter,
    file_name,
    images_arrived,
    press,
    until,
)

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

NewPage = Callable[..., "Page"]
HOSTILE = "<img src=x onerror=alert(1)>"


def test_thirty_images_by_keyboard_alone(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(31)
    page = new_page()
    enter(page, labeling)
    expected: dict[str, str] = {}
    words = {"1": "cat", "2": "dog", "u": "unsure", "x": "unreadable", "s": "skip"}
    for key in [*"12121", "s", *"ux", *"1122" * 5]:
        expected[press(page, key)] = words[key]
    given = list(expected)
    for _ in range(3):  # back three, as fast as one can press, and other answers
        page.keyboard.press("z")
    expect(page.locator("#file-name")).to_have_text(given[-3])
    for key in "211" + "12":
        expected[press(page, key)] = words[key]
    assert len(expected) == 30
    until(page, lambda: labeling.said() == expected)
    expect(page.locator("#counts")).to_have_text("29 of 31")
    kinds = [event.kind.value for event in labeling.store.answers.events()]
    assert kinds.count("undo") <= 3, "what was not sent yet needs none"


@pytest.mark.slow
def test_undo_goes_back_through_a_reload(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(5)
    page = new_page()
    enter(page, labeling)
    first, second = press(page, "1"), press(page, "2")
    labeling.wait(2)
    page.reload()
    expect(page.locator("#file-name")).not_to_be_empty()
    for expected in (second, first):
        page.keyboard.press("z")
        expect(page.locator("#file-name")).to_have_text(expected)
    labeling.expect({})
    assert page.locator("#undo").is_disabled()


@pytest.mark.slow
def test_an_answer_whose_receipt_was_lost_is_undone_by_one_key(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(5)
    page = new_page()
    enter(page, labeling)

    page.route("**/api/answers", lambda route: route.fetch() and None)  # the page hears nothing
    first = press(page, "1")
    labeling.wait(1)
    page.reload()
    page.unroute("**/api/answers")
    expect(page.locator("#file-name")).not_to_be_empty()
    page.keyboard.press("z")
    expect(page.locator("#file-name")).to_have_text(first)
    labeling.expect({})
    assert page.locator("#undo").is_disabled()


@pytest.mark.slow
def test_two_browsers_never_show_the_same_image(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(16)
    anna, ben = new_page(), new_page()
    enter(anna, labeling, "Anna")
    enter(ben, labeling, "Ben")
    seen: list[str] = []
    for _ in range(5):
        seen += [press(anna, "1"), press(ben, "2")]
    said = labeling.wait(10)
    assert len(set(seen)) == 10
    assert sorted(said.values()) == ["cat"] * 5 + ["dog"] * 5
    assert labeling.store.counts.annotators() == ["Anna", "Ben"]


def test_labels_outlive_a_lost_server_and_a_reload(
    new_page: Any, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(8)
    new_page.allowed += ["Failed to load resource"]
    page = new_page()
    enter(page, labeling)
    images_arrived(page, 6)
    press(page, "1")
    labeling.wait(1)
    labeling.stop()
    press(page, "2")
    press(page, "2")
    page.wait_for_selector("#outbox:not([hidden])")
    assert "2 labels wait for the connection" in page.locator("#outbox").inner_text()
    labeling.start()
    said = labeling.wait(3)
    assert sorted(said.values()) == ["cat", "dog", "dog"]
    page.wait_for_selector("#outbox", state="hidden")
    # once more, with the page loaded anew before the labels could be sent
    page.route("**/api/answers", lambda route: route.abort())
    press(page, "1")
    page.wait_for_selector("#outbox:not([hidden])")
    page.unroute_all(behavior="wait")
    page.reload()
    assert len(labeling.wait(4)) == 4
    assert len(labeling.store.answers.events()) == 4


@pytest.mark.slow
def test_an_answer_that_comes_too_late_is_said(
    new_page: Any, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(3)
    new_page.allowed += ["Failed to load resource", "409"]
    page = new_page()
    enter(page, labeling)
    item = labeling.store.items.numbers()[file_name(page)]
    from allencv_al.labels.label_store import LabelKind
    from allencv_al.labels.sessions.answers import NewAnswer

    labeling.store.answers.add(NewAnswer("Ben", "another-key", item, LabelKind.LABEL, 2))
    late = press(page, "1")
    page.wait_for_selector("#notice:not([hidden])")
    text = page.locator("#notice-text").inner_text()
    assert late in text and "another annotator has labeled this image meanwhile" in text
    labeling.expect({late: "dog"})


@pytest.mark.slow
def test_hostile_names_are_shown_as_text(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(3)
    labeling.store.classes.add([HOSTILE], "owner")
    page = new_page()
    enter(page, labeling, HOSTILE)
    assert page.locator(".class-button").nth(2).inner_text().startswith(HOSTILE)
    press(page, "3")
    labeling.wait(1)
    page.keyboard.press("r")
    page.wait_for_selector(".tile")
    assert page.locator(".tile-said").inner_text() == f"{HOSTILE}: {HOSTILE}"
    page.keyboard.press("c")
    page.wait_for_selector("#people td")
    assert page.locator("#people td").first.inner_text() == HOSTILE
    assert page.locator("img[src=x]").count() == 0


def test_a_review_mends_several_at_once(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(5)
    page = new_page()
    enter(page, labeling)
    for key in "1111":
        press(page, key)
    labeling.wait(4)
    page.get_by_role("button", name="Review").click()
    page.wait_for_selector(".tile")
    tiles = page.locator(".tile")
    tiles.nth(0).click()
    tiles.nth(2).click(modifiers=["Shift"])
    assert page.locator("#selected").inner_text().startswith("3 images selected")
    page.locator("#decide-classes").get_by_role("button", name="dog").click()
    expect(page.locator(".tile-label", has_text="dog")).to_have_count(3)
    assert sorted(labeling.said().values()) == ["cat", "dog", "dog", "dog"]
    page.keyboard.press("z")  # and back
    expect(page.locator(".tile-label", has_text="dog")).to_have_count(0)
    assert sorted(labeling.said().values()) == ["cat"] * 4
    for place in range(3):
        tiles.nth(place).click()
    page.locator("#decide-classes").get_by_role("button", name="dog").click()
    expect(page.locator("#selected")).to_have_text("Done: 3 images are now: dog")
    expect(page.locator(".tile-label", has_text="dog")).to_have_count(3)
    page.select_option("#review-class", label="cat")
    expect(tiles).to_have_count(1)
    tiles.nth(0).focus()  # by keyboard: space selects, a number decides
    page.keyboard.press("Space")
    page.keyboard.press("2")
    page.wait_for_selector("#review-empty:not([hidden])")
    assert sorted(labeling.said().values()) == ["dog"] * 4


@pytest.mark.slow
def test_a_review_that_is_asked_for_twice_shows_each_image_once(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(3)
    page = new_page()
    enter(page, labeling)
    press(page, "1")
    press(page, "1")
    labeling.wait(2)
    late: list[Any] = []
    page.route("**/api/review?*", lambda route: late.append(route))
    page.keyboard.press("r")
    page.keyboard.press("r")
    until(page, lambda: len(late) == 2)
    for route in reversed(late):
        with page.expect_response("**/api/review?*"):
            route.continue_()
    expect(page.locator("#review-grid .tile")).to_have_count(2)


@pytest.mark.slow
def test_conflicts_are_found_and_decided(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(2, labels_per_image=2)
    anna, ben = new_page(), new_page()
    enter(anna, labeling, "Anna")
    press(anna, "1")
    press(anna, "1")
    enter(ben, labeling, "Ben")
    press(ben, "1")
    press(ben, "2")
    ben.wait_for_selector("text=Conflicts are left")
    ben.get_by_role("button", name="Review the conflicts").click()
    ben.wait_for_selector(".tile-label.conflict")
    ben.locator(".tile").click()
    ben.locator("#decide-classes").get_by_role("button", name="dog").click()
    ben.wait_for_selector("#review-empty:not([hidden])")
    assert sorted(labeling.said().values()) == ["cat", "dog"]
    ben.keyboard.press("c")
    ben.wait_for_selector("#agreement:not([hidden])")
    assert ben.locator("#agreement td").all_inner_texts()[:3] == ["Anna and Ben", "2", "1"]


@pytest.mark.slow
def test_classes_are_added_and_renamed(
    new_page: Any, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(3)
    new_page.allowed += ["409"]
    page = new_page()
    enter(page, labeling)
    press(page, "2")
    labeling.wait(1)
    page.keyboard.press("c")
    expect(page.locator("#class-list li")).to_have_count(2)
    page.fill("#class-name", "bird")
    page.keyboard.press("Enter")
    page.wait_for_selector("#class-list li:nth-child(3)")
    page.get_by_role("button", name="Rename dog").click()
    page.keyboard.type("hound")
    page.keyboard.press("Enter")
    page.wait_for_selector("#class-list >> text=hound")
    assert list(labeling.said().values()) == ["hound"]
    page.get_by_role("button", name="Label", exact=True).click()
    press(page, "3")
    assert "bird" in labeling.wait(2).values()
    page.keyboard.press("c")
    page.fill("#class-name", "wrong")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove wrong").click()
    expect(page.locator("#class-list li")).to_have_count(3)
    page.fill("#class-name", "cat")
    page.keyboard.press("Enter")
    expect(page.locator("#notice-text")).to_have_text('there is a class "cat" already')


@pytest.mark.slow
def test_skipped_images_come_back_at_the_end(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(3)
    page = new_page()
    enter(page, labeling)
    skipped = press(page, "s")
    press(page, "1")
    press(page, "1")
    page.wait_for_selector("text=All but the skipped ones")
    page.get_by_role("button", name="Look at them again").click()
    expect(page.locator("#file-name")).to_have_text(skipped)
    page.keyboard.press("2")
    page.wait_for_selector("text=All 3 images are labeled")
    assert labeling.said()[skipped] == "dog"


@pytest.mark.slow
def test_the_end_tells_labels_from_other_answers(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(4)
    page = new_page()
    enter(page, labeling)
    for key in ("1", "u", "x", "2"):
        press(page, key)
    expect(page.locator("#end-title")).to_have_text("No image is left")
    expect(page.locator("#end-text")).to_contain_text(
        "2 of 4 images have a label; 1 is marked not sure; 1 is unreadable."
    )


@pytest.mark.slow
def test_a_review_shows_an_image_in_full(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(3)
    page = new_page()
    enter(page, labeling)
    names = [press(page, "1") for _ in range(2)]
    labeling.wait(2)
    page.keyboard.press("r")
    first = page.locator(".tile").first
    expect(first).to_contain_text(re.compile("|".join(names)))
    first.focus()
    page.keyboard.press("v")
    dialog = page.locator("#look-dialog")
    expect(dialog).to_be_visible()
    expect(dialog.locator("h2")).to_have_text(re.compile("|".join(names)))
    whole = "document.getElementById('look-image').naturalWidth === 320"
    until(page, lambda: bool(page.evaluate(whole)))
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name=f"Enlarge {names[1]}").click()
    expect(dialog.locator("h2")).to_have_text(names[1])
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator("#selected")).to_have_text("Select images to change them")


@pytest.mark.slow
def test_who_labels_can_stay_as_it_is(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    page = new_page()
    labeling = make_labeling(2)
    page.goto(labeling.url)
    page.wait_for_selector("#name-dialog[open]")
    cancel = page.locator("#name-dialog").get_by_role("button", name="Cancel")
    expect(cancel).to_be_hidden()  # there must be a name
    page.fill("#name", "Anna")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Anna").click()
    page.fill("#name", "Berta")
    cancel.click()
    expect(page.locator("#who")).to_have_text("Anna")
    assert page.evaluate("document.querySelector('#name-dialog[open]')") is None


@pytest.mark.slow
def test_the_guess_is_shown_only_when_asked_for(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    labeling = make_labeling(3)
    page = new_page()
    enter(page, labeling)
    assert "75" not in page.locator("body").inner_text()  # addresses may hold it
    page.keyboard.press("g")
    page.wait_for_selector("#guess-text:not([hidden])")
    assert page.locator("#guess-text").inner_text() == "The model says: cat 75 %"
    press(page, "1")
    assert page.locator("#guess-text").is_hidden()


@pytest.mark.slow
def test_zoom_and_pan_by_keys_and_wheel(
    new_page: NewPage, make_labeling: Callable[..., Labeling]
) -> None:
    page = new_page()
    enter(page, make_labeling(2))

    def width() -> float:
        box = page.locator("#image").bounding_box()
        assert box is not None
        return float(box["width"])

    def left() -> float:
        box = page.locator("#image").bounding_box()
        assert box is not None
        return float(box["x"])

    whole = width()
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert width() > 1.9 * whole
    before = left()
    page.keyboard.press("ArrowRight")
    assert left() < before
    page.keyboard.press("0")
    assert width() == pytest.approx(whole)
    page.mouse.move(300, 300)
    page.mouse.wheel(0, -300)
    expect(page.locator("#frame")).to_have_class("frame zoomed")
    assert width() > 2 * whole


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        pytest.param(390, "dark", marks=pytest.mark.slow),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)
def test_it_is_accessible_and_fits(
    new_page: NewPage,
    make_labeling: Callable[..., Labeling],
    assert_accessible: Callable[[Any], None],
    width: int,
    scheme: str,
) -> None:
    labeling = make_labeling(4, labels_per_image=1)
    labeling.store.classes.add(["a class with a name that is very long " * 2], "owner")
    page = new_page(width, 844, color_scheme=scheme)
    page.goto(labeling.url)
    page.wait_for_selector("#name-dialog[open]")
    assert_accessible(page)
    page.keyboard.press("Enter")
    expect(page.locator("#file-name")).not_to_be_empty()
    for key, selector in (
        ("1", "#last:not(:empty)"),
        ("?", "#help-dialog[open]"),
        ("Escape", "#view-label:not([hidden])"),
        ("r", ".tile"),
        ("c", "#people td"),
    ):
        page.keyboard.press(key)
        page.wait_for_selector(selector, state="attached")
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("l")
    for _ in range(3):
        press(page, "1")
    page.wait_for_selector("text=All 4 images are labeled")
    assert_accessible(page)
