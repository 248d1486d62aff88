"""Keys and clicks on the labeling page: one gesture is one answer, on any keyboard layout."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fixtures.labeling_pages import (
    GESTURE_MS,
    Labeling,
    click_quickly,
    enter,
    file_name,
    press,
)

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

MakeLabeling = Callable[..., Labeling]
pytestmark = pytest.mark.slow
MANY = ["cat", "Cattle", "wildcat", "Café", "CAFE", "straße", "Zürich", "øre", "ship", "frog"]
SEND_KEY = """([key, code, options]) => {
  const plain = { key, code, bubbles: true, cancelable: true, ...options };
  const event = new KeyboardEvent("keydown", plain);
  (document.activeElement ?? document.body).dispatchEvent(event);
}"""


def send(page: Page, key: str, code: str, **options: Any) -> None:
    """Send what a keyboard of another layout sends."""
    page.evaluate(SEND_KEY, [key, code, options])


def test_a_key_that_is_held_answers_once(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(8)
    enter(page, labeling)
    first = file_name(page)
    for _ in range(13):
        page.keyboard.down("1")  # without `up` between them: the keyboard repeats
    page.keyboard.up("1")
    expect(page.locator("#file-name")).not_to_have_text(first)
    assert labeling.wait(1) == {first: "cat"}
    button = page.locator(".class-button").nth(1)
    button.focus()
    for _ in range(5):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    expect(page.locator("#counts")).to_have_text("2 of 8")
    for _ in range(5):
        page.keyboard.down("z")
    page.keyboard.up("z")
    expect(page.locator("#counts")).to_have_text("1 of 8")
    labeling.expect({first: "cat"})


def test_a_double_click_answers_once(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(8)
    enter(page, labeling)
    first = file_name(page)
    click_quickly(page.locator(".class-button").first, 2)
    assert labeling.wait(1) == {first: "cat"}
    page.wait_for_timeout(GESTURE_MS)
    click_quickly(page.locator("#skip"), 3)
    expect(page.locator("#last")).to_contain_text("skipped")
    page.wait_for_timeout(GESTURE_MS)
    click_quickly(page.locator("#undo"), 2)
    expect(page.locator("#last")).to_contain_text(first)
    labeling.expect({first: "cat"})


def test_a_fast_annotator_loses_no_answer(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(24)
    enter(page, labeling)
    keys = "121221112212"
    for key in keys:
        expect(page.locator("#file-name")).not_to_be_empty()
        page.keyboard.press(key)
    for _ in range(4):
        expect(page.locator("#file-name")).not_to_be_empty()
        page.locator(".class-button").first.click()
        page.wait_for_timeout(GESTURE_MS)
    said = labeling.wait(len(keys) + 4)
    expected = [{"1": "cat", "2": "dog"}[key] for key in keys] + ["cat"] * 4
    assert [event.label for event in labeling.store.answers.events()] == [
        {"cat": "1", "dog": "2"}[name] for name in expected
    ]
    assert len(said) == len(keys) + 4


LAYOUTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("&", "Digit1", {}, "cat"),  # AZERTY
    ("1", "Digit1", {"shiftKey": True}, "cat"),
    ("é", "Digit2", {}, "dog"),
    ("+", "Digit1", {}, "cat"),  # Czech
    ("2", "Numpad2", {}, "dog"),
    ("\uff12", "Digit2", {}, "dog"),  # of full width
    ("٢", "Digit2", {}, "dog"),  # Arabic
    ("U", "KeyU", {}, "unsure"),  # Caps Lock
    ("г", "KeyU", {}, "unsure"),  # Russian
    ("θ", "KeyU", {}, "unsure"),  # Greek
    ("Dead", "KeyU", {}, "unsure"),
    ("x", "KeyB", {}, "unreadable"),  # Dvorak: what is printed on the key counts
]


def test_keys_of_other_layouts(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(len(LAYOUTS) + 1)
    enter(page, labeling)
    expected = {}
    for key, code, options, meaning in LAYOUTS:
        expect(page.locator("#file-name")).not_to_be_empty()
        name = file_name(page)
        send(page, key, code, **options)
        expect(page.locator("#file-name")).not_to_have_text(name)
        expected[name] = meaning
    assert labeling.wait(len(LAYOUTS)) == expected


def test_a_search_and_help_are_where_a_layout_has_them(
    page: Page, make_labeling: MakeLabeling
) -> None:
    labeling = make_labeling(3, classes=MANY)
    enter(page, labeling)
    for key, code, shift in (("/", "Digit7", True), (".", "Slash", False), ("/", "Slash", False)):
        send(page, key, code, shiftKey=shift)  # German, Russian, US
        expect(page.locator("#filter")).to_be_focused()
        page.keyboard.press("Escape")
    send(page, "?", "Minus", shiftKey=True)
    expect(page.locator("#help-dialog")).to_be_visible()
    labeling.expect({})


def test_a_key_that_does_nothing_says_why(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(2)
    enter(page, labeling)
    hint = page.locator("#hint")
    for key, text in (
        ("7", "There is no class 7: the last key is 2."),
        ("/", "All classes are shown"),
        ("z", "You have no answer to undo."),
        ("q", "Q does nothing here."),
    ):
        page.keyboard.press(key)
        expect(hint).to_contain_text(text)
    send(page, "Dead", "BracketLeft")
    expect(hint).to_contain_text("A key that waits for the next letter does nothing here.")
    send(page, "End", "Numpad1")
    expect(hint).to_contain_text("Num Lock is off")
    page.keyboard.press("r")
    page.keyboard.press("1")
    expect(hint).to_contain_text("Select images first.")
    labeling.expect({})


SEARCHES = {
    "cat": "cat",  # not Cattle, not wildcat
    "catt": "Cattle",
    "café": "Café",
    "Cafe\u0301": "Café",
    "CAFE": "CAFE",
    "STRASSE": "straße",
    "zurich": "Zürich",
    "ore": "øre",
    "ild": "wildcat",
}


def test_the_search_takes_what_is_meant(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(len(SEARCHES) + 1, classes=MANY)
    enter(page, labeling)
    expected = {}
    for text, meant in SEARCHES.items():
        expect(page.locator("#file-name")).not_to_be_empty()
        name = file_name(page)
        page.keyboard.press("/")
        page.fill("#filter", text)
        page.keyboard.press("Enter")
        expect(page.locator("#file-name")).not_to_have_text(name)
        expected[name] = meant
    assert labeling.wait(len(SEARCHES)) == expected


def test_an_enter_that_chooses_nothing_answers_nothing(
    page: Page, make_labeling: MakeLabeling
) -> None:
    labeling = make_labeling(2, classes=MANY)
    enter(page, labeling)
    name = file_name(page)
    page.keyboard.press("/")
    page.keyboard.press("Enter")  # nothing was typed
    page.fill("#filter", "  ")
    page.keyboard.press("Enter")
    page.fill("#filter", "zebra")
    expect(page.locator("#no-match")).to_be_visible()
    page.keyboard.press("Enter")
    page.fill("#filter", "cat")
    send(page, "Enter", "Enter", isComposing=True)  # ends the composition of an input method
    send(page, "Enter", "Enter", keyCode=229)
    page.wait_for_timeout(200)
    labeling.expect({})
    assert file_name(page) == name
    page.keyboard.press("Enter")
    assert labeling.wait(1) == {name: "cat"}


def test_the_classes_are_a_list_with_arrow_keys(
    page: Page, make_labeling: MakeLabeling, assert_accessible: Callable[[Any], None]
) -> None:
    labeling = make_labeling(2, classes=MANY)
    enter(page, labeling)
    name = file_name(page)
    filter = page.get_by_role("combobox", name="Find a class")
    filter.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    chosen = page.get_by_role("option", selected=True)
    expect(chosen).to_contain_text("Cattle")
    assert filter.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    expect(page.get_by_role("listbox", name="Classes").get_by_role("option")).to_have_count(10)
    assert_accessible(page)
    page.keyboard.press("Enter")
    assert labeling.wait(1) == {name: "Cattle"}
    press(page, "1")
    assert "cat" in labeling.wait(2).values(), "the first nine keep their keys"
