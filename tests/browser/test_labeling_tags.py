"""Several classes per image on the labeling page, in a real browser: keys, search, touch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fixtures.labeling_pages import enter, images_arrived, press, until
from fixtures.tag_pages import TagLabeling

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

NewPage = Callable[..., "Page"]
ANIMALS = ("cat", "dog", "horse")
MANY = (*ANIMALS, *(f"bird {number}" for number in range(20)))


@pytest.fixture
def make_tags(make_labeling: Callable[..., TagLabeling]) -> Callable[..., TagLabeling]:
    """Return a function that starts a labeling of several classes per image."""

    def make(count: int = 3, classes: tuple[str, ...] = ANIMALS, **batch: Any) -> TagLabeling:
        return make_labeling(count, TagLabeling, classes=classes, **batch)

    return make


def chosen(page: Page, *names: str) -> None:
    """Wait until exactly these classes are shown as chosen."""
    expect(page.locator("#tag-list li")).to_have_text([f"{name} ✕" for name in names])


def test_keys_switch_classes_and_enter_stores_them(
    page: Page, make_tags: Callable[..., TagLabeling]
) -> None:
    labeling = make_tags()
    enter(page, labeling)
    for key in ("3", "1", "2", "3"):
        page.keyboard.press(key)
    chosen(page, "cat", "dog")
    pressed = page.locator("#classes [aria-pressed=true] .class-name")
    expect(pressed).to_have_text(["cat", "dog"])
    expect(page.locator("#announcer")).to_have_text("horse off. Chosen: cat, dog.")
    name = press(page, "Enter")
    labeling.wait(1)
    assert labeling.tags(name) == ["cat", "dog"]
    chosen(page)  # nothing of the image before
    expect(page.locator("#last")).to_have_text(f"Last: {name}: cat, dog")


def test_none_of_the_classes_is_an_answer_of_its_own_key(
    page: Page, make_tags: Callable[..., TagLabeling]
) -> None:
    labeling = make_tags()
    enter(page, labeling)
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_contain_text("Press n if the image shows none of them")
    page.keyboard.press("1")
    page.keyboard.press("n")
    expect(page.locator("#hint")).to_contain_text("Press Esc to choose none of them")
    page.keyboard.press("Escape")
    chosen(page)
    name = press(page, "n")
    labeling.wait(1)
    assert labeling.tags(name) == []


def test_changes_are_undone_and_redone_then_the_answer(
    page: Page, make_tags: Callable[..., TagLabeling]
) -> None:
    labeling = make_tags()
    enter(page, labeling)
    page.keyboard.press("1")
    page.keyboard.press("2")
    page.keyboard.press("z")
    chosen(page, "cat")
    page.keyboard.press("y")
    chosen(page, "cat", "dog")
    name = press(page, "Enter")
    labeling.wait(1)
    page.keyboard.press("Control+z")
    expect(page.locator("#file-name")).to_have_text(name)
    chosen(page, "cat", "dog")  # they are there again
    labeling.expect({})
    page.keyboard.press("1")
    chosen(page, "dog")
    press(page, "Enter")
    assert labeling.wait(1) and labeling.tags(name) == ["dog"]


def test_classes_of_the_model_are_drafts(page: Page, make_tags: Callable[..., TagLabeling]) -> None:
    labeling = make_tags()
    enter(page, labeling)
    page.keyboard.press("2")
    page.keyboard.press("g")
    chosen(page, "dog", "horse (draft)")
    labeling.expect({})
    name = press(page, "Enter")
    labeling.wait(1)
    assert labeling.tags(name) == ["dog", "horse"]


def test_many_classes_are_searched_and_stored_from_the_search(
    page: Page,
    make_tags: Callable[..., TagLabeling],
    assert_accessible: Callable[[Page], None],
) -> None:
    labeling = make_tags(classes=MANY)
    enter(page, labeling)
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    for text, names in (("bird 17", ["bird 17"]), ("ho", ["bird 17", "horse"])):
        page.keyboard.type(text)
        expect(page.locator(".class-button.active")).to_have_count(1)
        page.keyboard.press("Enter")
        chosen(page, *names)
        expect(page.locator("#filter")).to_have_value("")
        expect(page.locator("#filter")).to_be_focused()
    options = page.locator("#classes[aria-multiselectable=true] [aria-selected=true] .class-name")
    expect(options).to_have_text(["horse", "bird 17"])
    assert_accessible(page)
    name = press(page, "Enter")  # the search is empty: done
    labeling.wait(1)
    assert labeling.tags(name) == ["bird 17", "horse"]


def test_on_a_phone_by_touch(
    new_page: NewPage,
    make_tags: Callable[..., TagLabeling],
    assert_accessible: Callable[[Page], None],
) -> None:
    labeling = make_tags()
    page = new_page(390, 844, has_touch=True, is_mobile=True)
    enter(page, labeling)
    for name in ("cat", "horse"):
        page.get_by_role("button", name=name, exact=True).tap()
    chosen(page, "cat", "horse")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(page)
    page.get_by_role("button", name="Remove cat").tap()
    chosen(page, "horse")
    before = page.locator("#file-name").inner_text()
    page.locator("#tag-done").tap()
    labeling.wait(1)
    assert labeling.tags(before) == ["horse"]


def test_unsent_classes_survive_a_reload(
    page: Page, make_tags: Callable[..., TagLabeling], new_page: Any
) -> None:
    new_page.allowed.append("Failed to load resource")
    labeling = make_tags()
    enter(page, labeling)
    images_arrived(page, 3)
    labeling.stop()
    page.keyboard.press("2")
    chosen(page, "dog")
    name = press(page, "Enter")
    labeling.start()
    page.reload()
    labeling.wait(1)
    assert labeling.tags(name) == ["dog"]


def test_a_review_decides_for_one_of_the_answers(
    new_page: NewPage, make_tags: Callable[..., TagLabeling]
) -> None:
    labeling = make_tags(1, labels_per_image=2)
    anna, ben = new_page(), new_page()
    for page, person, keys in ((anna, "Anna", "1"), (ben, "Ben", "12")):
        enter(page, labeling, person)
        for key in keys:
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        expect(page.locator("#view-end")).to_be_visible()
    until(ben, lambda: len(labeling.store.answers.events()) == 2)
    anna.goto(labeling.url + "#review")
    anna.reload()
    expect(anna.locator(".tile-label")).to_have_text("Conflict")
    anna.locator(".tile").click()
    anna.get_by_role("button", name="Ben: cat, dog", exact=True).click()
    expect(anna.locator(".tile-label")).to_have_text("cat, dog")
    assert labeling.tags("00.png") == ["cat", "dog"]
