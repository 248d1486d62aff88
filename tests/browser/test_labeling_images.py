"""What the labeling page shows: large images, images that are gone, many classes, the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fixtures.labeling_pages import (
    Labeling,
    asked_until_silence,
    enter,
    file_name,
    press,
    until,
)
from PIL import Image

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

MakeLabeling = Callable[..., Labeling]
pytestmark = pytest.mark.slow


def width(page: Page) -> int:
    return int(page.evaluate("document.getElementById('image').naturalWidth"))


def test_a_zoom_loads_the_pixels_of_a_large_photo(page: Page, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(2)
    Image.new("L", (5000, 3000), 90).save(labeling.folder / "00.png")
    enter(page, labeling)
    until(page, lambda: width(page) == 2048)
    expect(page.locator("#image-problem")).to_be_hidden()
    for _ in range(3):
        page.keyboard.press("+")
    until(page, lambda: width(page) == 4096)
    for _ in range(4):
        page.keyboard.press("+")
    until(page, lambda: width(page) == 5000)
    assert file_name(page) == "00.png"


def test_an_image_that_is_gone_is_said_and_not_labeled(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    new_page.allowed += ["Failed to load resource"]
    labeling = make_labeling(9)
    kept = (labeling.folder / "00.png").read_bytes()
    (labeling.folder / "00.png").unlink()
    (labeling.folder / "01.png").write_bytes(b"no image")
    page = new_page()
    enter(page, labeling)
    problem = page.locator("#image-problem-text")
    expect(problem).to_contain_text("The file of this image is gone. Skip it (s)")
    page.keyboard.press("1")
    expect(page.locator("#hint")).to_contain_text("so it gets no class")
    (labeling.folder / "00.png").write_bytes(kept)
    page.get_by_role("button", name="Try again").click()
    until(page, lambda: width(page) == 320)
    assert press(page, "1") == "00.png"
    expect(problem).to_contain_text("This image cannot be shown:")
    expect(problem).to_contain_text("Press x to mark it unreadable.")
    assert press(page, "x") == "01.png"
    assert labeling.wait(2) == {"00.png": "cat", "01.png": "unreadable"}


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_two_hundred_classes_fit(
    size: tuple[int, int],
    new_page: Any,
    make_labeling: MakeLabeling,
    assert_accessible: Callable[[Any], None],
) -> None:
    names = [f"class number {number:03d}" for number in range(200)]
    labeling = make_labeling(3, classes=names)
    page = new_page(*size)
    enter(page, labeling)

    def fits() -> bool:
        wide, high = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        return bool(wide <= size[0] and high <= 1.25 * size[1])

    assert fits()
    expect(page.locator("#unreadable")).to_be_in_viewport()
    page.keyboard.press("/")
    page.keyboard.type("173")
    expect(page.locator(".class-button")).to_have_count(1)
    page.keyboard.press("Enter")
    [name] = labeling.wait(1).values()
    assert name == "class number 173"
    page.keyboard.press("r")
    page.locator(".tile").click()
    assert fits()
    assert_accessible(page)
    page.get_by_label("Class", exact=True).last.select_option(label="class number 007")
    page.get_by_role("button", name="Set class").click()
    expect(page.locator(".tile-label")).to_have_text("class number 007")


def test_a_server_that_was_stopped_is_said(new_page: Any, make_labeling: MakeLabeling) -> None:
    new_page.allowed += ["Failed to load resource"]
    labeling = make_labeling(3)
    page = new_page()
    page.clock.install()
    enter(page, labeling)
    for _ in range(2):
        press(page, "1")
    page.keyboard.press("1")
    expect(page.locator("#end-title")).to_have_text("All 3 images are labeled")
    expect(page.locator("#end-text")).to_contain_text(f"{labeling.folder}/labels.csv")
    labeling.stop()
    asked = asked_until_silence(page)
    assert 3 < len(asked) < 20, "less and less often, and in the end no more"
    expect(page.locator("#end-title")).to_have_text("The server does not answer")
    expect(page.locator("#end-text")).to_contain_text(f"{labeling.folder}/labels.csv")
    labeling.start()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#end-title")).to_have_text("All 3 images are labeled")


def test_back_leads_to_the_view_before(new_page: Any, make_labeling: MakeLabeling) -> None:
    labeling = make_labeling(3)
    page = new_page()
    enter(page, labeling)
    press(page, "1")
    page.keyboard.press("r")
    expect(page.locator(".tile")).to_have_count(1)
    page.reload()
    expect(page.locator(".tile")).to_have_count(1)
    page.keyboard.press("c")
    expect(page.locator("#view-team")).to_be_visible()
    page.go_back()
    expect(page.locator("#view-review")).to_be_visible()
    page.go_back()
    expect(page.locator("#view-label")).to_be_visible()
    expect(page.locator("#file-name")).not_to_be_empty()


def test_the_accuracy_and_the_forecast_are_shown_beside_the_image(
    new_page: Any, make_labeling: MakeLabeling
) -> None:
    labeling = make_labeling(2, round=6)
    audited = "87.9 % (80.5 to 92.8 %) by 100 audited images"
    rounds = [{"round": 5, "labels": 90, "accuracy": 0.879, "audited": audited}]
    forecast = "95 % needs 640 (530 to 750) labels more, about 21 minutes at your pace."

    def audit(route: Any) -> None:
        session = route.fetch().json()
        session["loop"] = {"state": "waiting", "rounds": rounds, "forecast": forecast, "files": []}
        route.fulfill(json=session)

    for width, height in ((1280, 800), (390, 844)):
        page = new_page(width, height)
        page.route("**/api/session", audit)
        enter(page, labeling)
        standing = page.locator("#standing")
        expect(standing).to_have_text(f"Accuracy: {audited}. {forecast}")
        for place in (standing, page.locator("#undo"), page.locator("#image")):
            expect(place).to_be_in_viewport(ratio=0.9)


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({}, "Accuracy is 90.0 % with 24 labels, +20.0 points"),
        ({"tested": "90.0 % (86.1 to 92.9 %)"}, "Accuracy is 90.0 % (86.1 to 92.9 %) with 24"),
        (
            {"audited": "90.0 % (78.6 to 95.7 %) by 50 audited images"},
            "Accuracy is 90.0 % (78.6 to 95.7 %) by 50 audited images with 24 labels",
        ),
        (
            {
                "tested": "90.0 % (86.1 to 92.9 %)",
                "audited": "88.0 % (76.2 to 94.4 %) by 50 audited images",
            },
            "since the first round. In the audit: 88.0 % (76.2 to 94.4 %) by 50 audited images.",
        ),
    ],
    ids=["plain", "test", "audit", "both"],
)
def test_a_loop_that_is_done_is_said_and_not_asked_any_more(
    new_page: Any, make_labeling: MakeLabeling, measured: dict[str, str], said: str
) -> None:
    labeling = make_labeling(1, round=3)
    page = new_page()
    page.clock.install()
    enter(page, labeling)

    def end(route: Any) -> None:
        session = route.fetch().json()
        rounds: list[dict[str, Any]] = [
            {"round": n, "labels": 8 * n, "accuracy": 0.6 + n / 10} for n in (1, 2, 3)
        ]
        rounds[-1] |= measured
        files = ["labels.csv", "model.tar.gz", "report.html"]
        session["loop"] = {
            "state": "finished",
            "rounds": rounds,
            "forecast": "95 % needs 100 (90 to 110) labels more.",
            "files": files,
        }
        session["batch"]["state"] = "done"
        route.fulfill(json=session)

    page.keyboard.press("1")
    labeling.wait(1)
    page.route("**/api/session", end)
    page.clock.run_for(4_000)
    expect(page.locator("#end-title")).to_have_text("The loop is done")
    text = page.locator("#end-text")
    expect(text).to_contain_text(said)
    expect(text).to_contain_text("95 % needs 100 (90 to 110) labels more.")
    for name in ("labels.csv", "model.tar.gz", "report.html"):
        expect(text).to_contain_text(f"{labeling.folder}/{name}")
    assert len(asked_until_silence(page)) <= 6, "while it writes its files"
