"""Findings of an audit on the labeling page: relabeled, kept, dropped and undone by a person."""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fixtures.labeling_pages import enter, press
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.commands.shared.finding_queue import CORRECTED_NAME
from allencv_al.data_audit.findings import Finding, write_findings
from allencv_al.service.web.running import start_in_thread

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow
NewPage = Callable[..., "Page"]
FINDINGS = [
    Finding("label_error", 0.97, id="cat/1.png", label="cat", suggestion="relabel",
            suggested_label="dog", detail="predicted dog (97%); its label has 3.0%"),
    Finding("exact_duplicate", 0.9, id="dog/0.png", label="dog", suggestion="drop",
            other="dog/2.png", detail="equal to dog/2.png, labeled dog"),
    Finding("blurred", 0.5, id="cat/0.png", label="cat", detail="sharpness 0.1"),
]  # fmt: skip


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for number in range(3):
            pixels = generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "animals" / name / f"{number}.png")
    return tmp_path / "animals"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_person_corrects_what_the_audit_found(
    new_page: NewPage,
    animals: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_accessible: Callable[[Any], None],
    width: int,
) -> None:
    table = animals.with_name("findings.csv")
    write_findings(table, FINDINGS)

    def serve(app: Any, announce: Callable[[str], None]) -> int:
        running = start_in_thread(app)
        try:
            correct(new_page(width=width, height=844), running, assert_accessible)
        finally:
            new_page.close()  # first: a page that asks a server which has gone complains
            running.close()
        return 130

    monkeypatch.setattr("allencv_al.service.web.running.serve", serve)
    assert main(["label", str(animals), "--findings", str(table), "--port", "0"]) == 130
    with (animals.with_name("animals-fixes") / CORRECTED_NAME).open(encoding="utf-8") as file:
        rows = {row["id"]: row["label"] for row in csv.DictReader(file)}
    # One is relabeled, one is gone, and what was undone and kept stays as it was
    assert rows == {
        **{f"cat/{number}.png": "cat" for number in (0, 2)},
        **{f"dog/{number}.png": "dog" for number in (1, 2)},
        "cat/1.png": "dog",
    }


def correct(page: Page, running: Any, assert_accessible: Callable[[Any], None]) -> None:
    """Relabel the first finding, drop the second one, and drop, undo and keep the third one."""
    enter(page, running)
    expect(page.locator("#reason")).to_have_text(
        "labeled cat; label error: predicted dog (97%); its label has 3.0%"
    )
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert press(page, "2") == "cat/1.png"
    expect(page.locator("#reason")).to_contain_text("exact duplicate: equal to dog/2.png")
    assert press(page, "3") == "dog/0.png"
    expect(page.locator("#reason")).to_contain_text("labeled cat; blurred")
    page.keyboard.press("3")
    expect(page.locator("#counts")).to_have_text("3 of 3")
    page.keyboard.press("z")
    expect(page.locator("#reason")).to_contain_text("labeled cat; blurred")
    expect(page.locator("#counts")).to_have_text("2 of 3")
    page.keyboard.press("1")
    expect(page.locator("#counts")).to_have_text("3 of 3")
