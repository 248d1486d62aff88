"""Answers that the labeling page has not sent yet belong to one labeling and one annotator."""

from __future__ import annotations

import json
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

MakeLabeling = Callable[..., Labeling]
pytestmark = pytest.mark.slow
AHEAD = 6  # images that the page loads before they are shown


def kept(page: Page) -> int:
    return int(
        page.evaluate(
            "Object.keys(localStorage).filter((key) => key.startsWith('allencv-al-answer:')).length"
        )
    )


def change_name(page: Page, name: str) -> None:
    page.locator("#who").click()
    page.fill("#name", name)
    with page.expect_event("load"):  # the page of before may know the name, too
        page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text(name)
    expect(page.locator("#file-name")).not_to_be_empty()


def test_another_labeling_on_the_same_port_gets_none_of_them(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource", "409"]
    first = make_labeling(8)
    second = make_labeling(8, port=first.port, title="Plants", classes=["rose", "oak"])
    page = new_page()
    enter(page, first)
    images_arrived(page, AHEAD)
    first.stop()
    names = [press(page, "1"), press(page, "2")]
    expect(page.locator("#outbox")).to_contain_text("2 labels wait")
    second.start()
    expect(page.locator("#title")).to_have_text("Plants")  # the page finds out
    expect(page.locator("#elsewhere")).to_contain_text(
        '2 labels of Anna in the labeling "Animals" have not been sent.'
    )
    page.reload()
    expect(page.locator("#elsewhere")).to_contain_text("2 labels of Anna")
    expect(page.locator("#last")).to_be_empty()
    press(page, "1")
    assert list(second.wait(1).values()) == ["rose"]
    until(page, lambda: kept(page) == 2)  # sent is not yet confirmed
    assert len(second.store.answers.events()) == 1
    second.stop()
    first.start()
    page.reload()
    assert first.wait(2) == dict(zip(names, ("cat", "dog"), strict=True))
    expect(page.locator("#elsewhere")).to_be_hidden()
    until(page, lambda: kept(page) == 0)
    assert len(first.store.answers.events()) == 2
    assert len(second.store.answers.events()) == 1


def test_an_image_of_another_labeling_is_never_shown(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource", "409"]
    first = make_labeling(3)
    second = make_labeling(3, port=first.port)
    page = new_page()
    enter(page, first)
    before = page.locator("#image").get_attribute("src")
    first.stop()
    second.start()
    page.reload()
    expect(page.locator("#file-name")).not_to_be_empty()
    after = page.locator("#image").get_attribute("src")
    assert after is not None and after != before, "a browser keeps images for an hour"


def test_another_annotator_of_the_browser_sends_none_of_them(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource"]
    labeling = make_labeling(8)
    page = new_page()
    enter(page, labeling)
    page.route("**/api/answers", lambda route: route.abort())
    late = press(page, "1")
    expect(page.locator("#outbox")).to_contain_text("1 label waits")
    change_name(page, "Ben")
    page.unroute_all(behavior="wait")
    expect(page.locator("#elsewhere")).to_contain_text(
        "kept in this browser, and sent when Anna labels here again."
    )
    press(page, "2")
    labeling.wait(1)
    assert {event.annotator for event in labeling.store.answers.events()} == {"Ben"}
    change_name(page, "Anna")
    assert labeling.wait(2)[late] == "cat"
    said = {event.id: event.annotator for event in labeling.store.answers.events()}
    assert said[late] == "Anna"
    until(page, lambda: kept(page) == 0)


def test_a_name_stays_while_the_server_cannot_be_reached(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource"]
    labeling = make_labeling(8)
    page = new_page()
    enter(page, labeling)
    images_arrived(page, AHEAD)
    labeling.stop()
    late = [press(page, "1")]
    page.locator("#who").click()
    page.fill("#name", "Ben")
    page.keyboard.press("Enter")
    expect(page.locator("#notice-text")).to_contain_text("The name stays Anna for now.")
    late.append(press(page, "2"))
    labeling.start()
    assert labeling.wait(2) == dict(zip(late, ("cat", "dog"), strict=True))
    assert {event.annotator for event in labeling.store.answers.events()} == {"Anna"}


def test_kept_labels_can_be_deleted_on_purpose_only(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource"]
    page = new_page()
    labeling = make_labeling(4)
    page.goto(labeling.url)
    answer = {"client_id": "a" * 32, "item": "i1", "kind": "label", "class_id": "c1", "order": 1}
    answer |= {"labeling": "0" * 32, "annotator": "Eve", "image": "x.png", "title": "<b>Old</b>"}
    page.evaluate(
        "([key, text]) => localStorage.setItem(key, text)",
        [f"allencv-al-answer:{answer['client_id']}", json.dumps(answer)],
    )
    page.reload()
    page.fill("#name", "Anna")
    page.keyboard.press("Enter")
    expect(page.locator("#elsewhere")).to_contain_text('"<b>Old</b>" has not been sent')
    page.get_by_role("button", name="Delete").click()
    assert kept(page) == 1
    page.get_by_role("button", name="Really delete 1 label").click()
    expect(page.locator("#elsewhere")).to_be_hidden()
    until(page, lambda: kept(page) == 0)
    labeling.expect({})


def test_an_answer_whose_acknowledgment_was_lost_is_taken_back(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource"]
    labeling = make_labeling(5)
    page = new_page()
    enter(page, labeling)

    def lose(route: Any) -> None:
        route.fetch()  # the server has it
        route.abort()

    page.route("**/api/answers", lose)
    name = press(page, "1")
    assert labeling.wait(1) == {name: "cat"}
    expect(page.locator("#outbox")).to_contain_text("1 label waits")
    page.keyboard.press("z")
    expect(page.locator("#file-name")).to_have_text(name)
    page.unroute_all(behavior="wait")
    press(page, "2")
    expect(page.locator("#outbox")).to_be_hidden()
    until(page, lambda: kept(page) == 0)
    labeling.expect({name: "dog"})


def test_two_windows_show_different_images_and_lose_nothing(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    labeling = make_labeling(20)
    page = new_page()
    enter(page, labeling)
    other = page.context.new_page()
    other.goto(labeling.url)
    expect(other.locator("#file-name")).not_to_be_empty()
    given: dict[str, str] = {}
    for _ in range(4):
        given[press(page, "1")] = "cat"
        given[press(other, "2")] = "dog"
    assert len(given) == 8
    assert labeling.wait(8) == given
    assert len(labeling.store.answers.events()) == 8
    expect(page.locator("#counts")).to_have_text("8 of 20")
    other.close()
    for _ in range(12):  # the images of the window that is closed come here
        given[press(page, "1")] = "cat"
    assert labeling.wait(20) == given


def test_a_window_that_is_closed_leaves_its_answers_to_the_others(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource"]
    labeling = make_labeling(20)
    page = new_page()
    enter(page, labeling)
    other = page.context.new_page()
    other.goto(labeling.url)
    expect(other.locator("#file-name")).not_to_be_empty()
    other.route("**/api/answers", lambda route: route.abort())
    name = press(other, "2")
    other.close()
    assert labeling.wait(1) == {name: "dog"}


def test_an_answer_given_in_another_window_is_taken_back_there(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    labeling = make_labeling(12)
    page = new_page()
    enter(page, labeling)
    name = press(page, "1")
    labeling.wait(1)
    other = page.context.new_page()
    other.goto(labeling.url)
    expect(other.locator("#last")).to_contain_text(name)
    other.keyboard.press("z")
    expect(other.locator("#file-name")).to_have_text(name)
    expect(page.locator("#undo")).to_be_disabled()
    labeling.expect({})
    assert file_name(page) != name


def test_the_same_annotator_in_another_browser_supersedes_nothing(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource", "409"]
    labeling = make_labeling(4)
    one, two = new_page(), new_page()
    enter(one, labeling)
    enter(two, labeling)
    name = press(one, "1")
    labeling.wait(1)
    assert press(two, "2") == name
    expect(two.locator("#notice-text")).to_contain_text(
        "you have answered this image in another window meanwhile (cat)"
    )
    labeling.expect({name: "cat"})
