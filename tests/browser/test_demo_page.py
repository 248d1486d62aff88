"""The page of the demo server in a real browser."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect
from safetensors.torch import save_file

from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.predictors import Predictor
from allencv_al.service.demo.app import create_app
from allencv_al.service.web.running import ServerThread, start_in_thread
from allencv_al.service.web.settings import WebSettings

if TYPE_CHECKING:
    from playwright.sync_api import Page

NewPage = Callable[..., "Page"]
HOSTILE = "<img src=x onerror=alert(1)>"
READER = {
    "type": "image_classification_directory",
    "augmentation": [{"type": "resize", "height": 8, "width": 8}, {"type": "normalize"}],
}
CONFIG: dict[str, Any] = {
    "dataset_reader": READER,
    "train_data_path": "nowhere",
    "model": {
        "type": "basic_image_classifier",
        "im2vec_encoder": {
            "type": "flatten",
            "input_channels": 3,
            "input_height": 8,
            "input_width": 8,
        },
    },
    "data_loader": {"batch_size": 4},
    "trainer": {"num_epochs": 1},
}

# Playwright cannot drag a file in from outside, so that the page gets the events that a browser
# would send it
DROP = """
async ({ content, name, type, kind }) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  if (kind === "paste") {
    document.body.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    return;
  }
  for (const step of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(step, { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}
"""


def png(seed: int, height: int = 30, width: int = 40) -> bytes:
    """Return a picture of noise around a color."""
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 200, 3)
    pixels = (base + generator.integers(0, 50, (height, width, 3))).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with sample images and a class whose name is hostile."""
    folder = tmp_path_factory.mktemp("run")
    vocabulary = Vocabulary({"labels": {"cat": 1, "dog": 1, HOSTILE: 1}})
    vocabulary.save_to_files(folder / "vocabulary")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Model.from_params(CONFIG["model"], vocab=vocabulary)
    save_file(model.state_dict(), folder / "best.safetensors")
    (folder / "samples").mkdir()
    for number in range(2):
        (folder / "samples" / f"{number:02d}.png").write_bytes(png(100 + number))
    return folder


@pytest.fixture(scope="module")
def server(archive: Path) -> Iterator[ServerThread]:
    """The demo server."""
    app = create_app(archive, title="Cats & dogs", settings=WebSettings(port=0))
    started = start_in_thread(app)
    yield started
    started.close()


@pytest.fixture(scope="module")
def predictor(archive: Path) -> Predictor:
    """What the server says, without it."""
    return Predictor.from_path(archive)


def opened(new_page: NewPage, server: ServerThread, **options: Any) -> Page:
    page = new_page(**options)
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    page.goto(server.url)
    page.wait_for_selector("body[data-state=ready]")
    return page


def choose(page: Page, *files: tuple[str, bytes]) -> None:
    page.set_input_files(
        "#files",
        [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files],
    )


def expect_verdict(page: Page, prediction: dict[str, Any]) -> None:
    expect(page.locator(".verdict")).to_contain_text(prediction["class"])
    share = f"{100 * max(prediction['probs']):.1f} %"
    expect(page.locator(".verdict-share")).to_have_text(share)


@pytest.mark.parametrize("kind", ["choose", "drop", "paste"])
def test_an_image_comes_in_and_its_classes_out(
    kind: str, new_page: NewPage, server: ServerThread, predictor: Predictor
) -> None:
    page = opened(new_page, server)
    content = png(1)
    if kind == "choose":
        choose(page, ("a.png", content))
    else:
        encoded = base64.b64encode(content).decode()
        page.evaluate(
            DROP, {"content": encoded, "name": "a.png", "type": "image/png", "kind": kind}
        )
    expect_verdict(page, predictor.predict(content))
    expect(page.locator(".bar")).to_have_count(3)
    assert page.locator("#announcer").inner_text().startswith("a.png: ")


def test_a_sample_can_be_tried(
    new_page: NewPage, server: ServerThread, predictor: Predictor
) -> None:
    page = opened(new_page, server)
    expect(page.locator(".sample")).to_have_count(2)
    page.locator(".sample").nth(1).click()
    expect_verdict(page, predictor.predict(png(101)))


def test_several_are_a_grid_that_is_sorted_and_saved(
    new_page: Any, server: ServerThread, predictor: Predictor
) -> None:
    new_page.allowed += ["422"]
    page = opened(new_page, server)
    files = [(f"{number}.png", png(number)) for number in range(6)]
    choose(page, *files, ("=broken.png", b"no picture"))
    expect(page.locator("#count")).to_have_text("7 images, 1 failed")
    page.select_option("#sort", "margin")
    predictions = {name: predictor.predict(content) for name, content in files}

    def margin(name: str) -> float:
        first, second = sorted(predictions[name]["probs"])[-1:-3:-1]
        return float(first - second)

    expected = [*sorted(predictions, key=margin), "=broken.png"]
    assert page.locator(".tile-name").all_inner_texts() == expected
    with page.expect_download() as download:
        page.click("#save")
    text = download.value.path().read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["file"] for row in rows] == [*expected[:-1], "'=broken.png"]
    for row in rows[:-1]:
        assert row["class"] == predictions[row["file"]]["class"]
        assert float(row["margin"]) == pytest.approx(margin(row["file"]), abs=1e-5)
        assert float(row[f"probability of {HOSTILE}"]) >= 0
    assert "none of the known formats" in rows[-1]["error"]
    page.click("#clear")
    expect(page.locator("#results")).to_be_hidden()


def test_hostile_names_are_text(new_page: NewPage, server: ServerThread) -> None:
    page = opened(new_page, server)
    choose(page, (f"{HOSTILE}.png", png(3)))
    expect(page.locator(".bar-name", has_text="onerror")).to_have_text(HOSTILE)
    expect(page.locator(".file-name")).to_have_text(f"{HOSTILE}.png")
    assert page.locator("img[src=x]").count() == 0


def test_what_goes_wrong_is_said_and_can_be_tried_again(
    new_page: Any, server: ServerThread, predictor: Predictor
) -> None:
    new_page.allowed += ["Failed to load resource"]
    page = opened(new_page, server)
    page.route("**/predict", lambda route: route.abort())
    content = png(5)
    choose(page, ("a.png", content))
    expect(page.locator("#detail")).to_contain_text("The server cannot be reached.")
    page.unroute("**/predict")
    page.get_by_role("button", name="Try again").click()
    expect_verdict(page, predictor.predict(content))


def test_keys_alone_are_enough(new_page: NewPage, server: ServerThread) -> None:
    page = opened(new_page, server)
    choose(page, *[(f"{number}.png", png(number)) for number in range(3)])
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator("#count")).to_have_text("3 images")
    page.locator(".tile").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".tile").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#detail .file-name")).to_have_text("1.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(
    new_page: NewPage,
    server: ServerThread,
    assert_accessible: Callable[[Any], None],
    width: int,
    scheme: str,
) -> None:
    page = opened(new_page, server, width=width, color_scheme=scheme)
    assert_accessible(page)
    choose(page, *[(f"{'long name ' * 8}{number}.png", png(number)) for number in range(3)])
    expect(page.locator("#count")).to_have_text("3 images")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_look_is_kept(new_page: NewPage, server: ServerThread) -> None:
    page = opened(new_page, server, color_scheme="light")

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = background()
    page.click("#theme")
    dark = background()
    assert dark != light
    page.reload()
    page.wait_for_selector("body[data-state=ready]")
    assert background() == dark


def test_the_login_asks_for_the_token(archive: Path, new_page: Any) -> None:
    from allencv_al.service.web import Identity, TokenAccess

    new_page.allowed += ["401"]
    token = "token-of-the-demo-0123456789"
    access = TokenAccess({token: Identity("")})
    server = start_in_thread(create_app(archive, settings=WebSettings(port=0, access=access)))
    try:
        page = new_page()
        page.goto(server.url)
        page.fill("#token", "wrong-token-0123456789")
        page.keyboard.press("Enter")
        expect(page.locator("#problem")).not_to_be_empty()
        page.fill("#token", token)
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-state=ready]")
        other = new_page()
        other.goto(f"{server.url}login#{token}")  # the link that is printed
        other.wait_for_selector("body[data-state=ready]")
        assert token not in other.url
    finally:
        server.close()
