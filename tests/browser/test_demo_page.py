"""The page of the demo server in a real browser, with a model that tells digits apart."""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from allencv_al.common import Params
from allencv_al.data.sample_data.digits import write_digits
from allencv_al.predictors import Predictor
from allencv_al.service.demo.app import create_app
from allencv_al.service.web.running import ServerThread, start_in_thread
from allencv_al.service.web.web_settings import WebSettings
from allencv_al.training.training_run import train

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

NewPage = Callable[..., "Page"]
Start = Callable[..., ServerThread]
HOSTILE = "<img src=x onerror=alert(1)>"
SAMPLES = 6
REFUSED = "Failed to load resource"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Handwritten digits in class folders."""
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


def trained(data: Path, folder: Path) -> Path:
    """Return the archive of a linear classifier, which trains in a moment."""
    config = {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [{"type": "resize", "height": 8, "width": 8}],
        },
        "train_data_path": str(data),
        "validation_data_path": str(data),
        "archive_samples": SAMPLES,
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {
                "type": "flatten",
                "input_channels": 3,
                "input_height": 8,
                "input_width": 8,
            },
        },
        "trainer": {"type": "logistic_regression", "inverse_regularization": 0.01},
    }
    train(Params(config), folder)
    return folder / "model.tar.gz"


@pytest.fixture(scope="module")
def archive(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is mostly right, and not too sure of it."""
    return trained(digits / "validation", tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def url(archive: Path) -> Iterator[str]:
    """The page of a server that runs as long as the tests of this module."""
    running = start_in_thread(
        create_app(archive, title="Which digit?", settings=WebSettings(port=0))
    )
    yield running.url
    running.close()


@pytest.fixture
def start(archive: Path, new_page: Any) -> Iterator[Start]:
    """Return a function that starts a server which the test may stop."""
    running: list[ServerThread] = []

    def make(
        model: Path = archive, settings: WebSettings | None = None, **options: Any
    ) -> ServerThread:
        at = WebSettings(port=0) if settings is None else settings
        running.append(start_in_thread(create_app(model, settings=at, **options)))
        return running[-1]

    yield make
    new_page.close()  # first: a page that asks a server which has gone complains
    for server in running:
        server.close()


@pytest.fixture(scope="module")
def ask(archive: Path) -> Callable[[Path], Mapping[str, Any]]:
    """Return a function that says what the model answers when no server is between."""
    return Predictor.from_path(archive).predict


@pytest.fixture
def picture(digits: Path) -> Path:
    """A digit that the model has not seen."""
    return first_of(digits, 3)


@pytest.fixture
def several(digits: Path) -> list[Path]:
    """Digits that the model has not seen, one of each class."""
    return [first_of(digits, digit) for digit in range(10)]


def first_of(digits: Path, digit: int) -> Path:
    return min((digits / "test" / str(digit)).iterdir())


def entropy(probs: Sequence[float]) -> float:
    return -sum(share * math.log(share) for share in probs if share > 0)


def margin(probs: Sequence[float]) -> float:
    first, second = sorted(probs)[:-3:-1]
    return first - second


def enter(page: Page, url: str) -> Page:
    page.goto(url)
    page.wait_for_selector("body[data-state=ready]")
    return page


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("#files", list(files))


def drop(page: Page, *paths: Path) -> None:
    """Drop files or folders as a hand would that drags them from a file manager."""
    session = page.context.new_cdp_session(page)
    files = [str(path) for path in paths]
    data = {"items": [], "files": files, "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 600, "data": data})


def copy_picture(page: Page, path: Path) -> None:
    """Put a picture into the clipboard, as "Copy image" does."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (content) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const blob = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(path.read_bytes()).decode(),
    )


def all_done(page: Page) -> None:
    expect(page.locator(".working")).to_have_count(0)


def check_answer(page: Page, name: str, answer: Mapping[str, Any]) -> None:
    """Check that all that is shown of one image is what the model has said of it."""
    share = f"{100 * max(answer['probs']):.1f} %"
    expect(page.locator("#detail .verdict")).to_have_text(f"{answer['class']} {share}")
    expect(page.locator("#detail figcaption")).to_have_text(name)
    expect(page.locator("#announcer")).to_have_text(f"{name}: {answer['class']}, {share}")
    shares = [float(text[:-2]) for text in page.locator(".bar-share").all_inner_texts()]
    best = sorted((100 * share for share in answer["probs"]), reverse=True)[: len(shares)]
    assert shares == pytest.approx(best, abs=0.06)
    measures = [float(text) for text in page.locator(".measure-value").all_inner_texts()]
    expected = [margin(answer["probs"]), entropy(answer["probs"])]
    assert measures == pytest.approx(expected, abs=6e-4)
    times = page.locator(".times").inner_text()
    assert re.fullmatch(r"Took \d+ ms · decoding [\d.]+ ms · model [\d.]+ ms", times), times


def is_shown(page: Page, selector: str) -> bool:
    """Say whether an image has pixels and lies within the width of the window."""
    width = page.evaluate(f"document.querySelector({selector!r}).naturalWidth")
    box = page.locator(selector).first.bounding_box()
    assert box is not None and page.viewport_size is not None
    return bool(width) and box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]


def test_a_chosen_file_is_predicted(
    page: Page, url: str, picture: Path, ask: Callable[[Path], Mapping[str, Any]]
) -> None:
    enter(page, url)
    assert page.title() == page.locator("h1").inner_text() == "Which digit?"
    assert page.locator("#about").inner_text() == "Tells 10 classes apart"
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose images").click()
    chooser.value.set_files(picture)
    check_answer(page, picture.name, ask(picture))
    assert is_shown(page, "#detail img")
    assert page.locator("#many").is_hidden()
    page.get_by_role("button", name="Show all 10 classes").click()
    expect(page.locator(".bar")).to_have_count(10)
    lengths = page.locator("#detail .bars .bar-fill").evaluate_all(
        "bars => bars.map((bar) => bar.getAnimations().forEach((one) => one.finish())"
        " ?? bar.offsetWidth / bar.parentElement.offsetWidth)"
    )
    assert lengths[0] == pytest.approx(max(ask(picture)["probs"]), abs=0.02)


@pytest.mark.slow
def test_a_dropped_file_is_predicted(
    page: Page, url: str, picture: Path, ask: Callable[[Path], Mapping[str, Any]]
) -> None:
    enter(page, url)
    drop(page, picture)
    check_answer(page, picture.name, ask(picture))
    assert page.locator("#drop-veil").is_hidden()


@pytest.mark.slow
def test_a_pasted_picture_is_predicted(
    page: Page, url: str, picture: Path, ask: Callable[[Path], Mapping[str, Any]]
) -> None:
    enter(page, url)
    copy_picture(page, picture)
    page.keyboard.press("Control+v")
    check_answer(page, "image.png", ask(picture))


@pytest.mark.slow
def test_a_sample_of_the_archive_is_predicted(page: Page, url: str) -> None:
    enter(page, url)
    samples = page.locator("#sample-list button")
    expect(samples).to_have_count(SAMPLES)
    for number in (0, SAMPLES - 1):  # the classes take turns, so the n-th sample is digit n
        page.get_by_role("button", name=f"Classify sample {number + 1}").click()
        expect(page.locator("#detail figcaption")).to_have_text(f"sample {number + 1}")
        expect(page.locator("#detail .verdict")).to_have_text(re.compile(rf"^{number}\b"))


def test_several_are_a_grid_that_is_sorted_by_uncertainty(
    page: Page, url: str, several: list[Path], ask: Callable[[Path], Mapping[str, Any]]
) -> None:
    probs = {path.name: ask(path)["probs"] for path in several}
    enter(page, url)
    choose(page, *several)
    expect(page.locator("#count")).to_have_text("10 images")
    expect(page.locator("#announcer")).to_have_text("All done. 10 images.")
    orders = {
        "order added": list(probs),
        "smallest margin": sorted(probs, key=lambda name: margin(probs[name])),
        "largest entropy": sorted(probs, key=lambda name: -entropy(probs[name])),
        "file name": sorted(probs),
    }
    assert len({tuple(order) for order in orders.values()}) == 4, "these digits tell nothing"
    for label, expected in orders.items():
        page.get_by_label("Sort by").select_option(label=label)
        assert page.locator(".tile-name").all_inner_texts() == expected
    page.locator(".tile").last.click()
    expect(page.locator("#detail figcaption")).to_have_text(orders["file name"][-1])
    expect(page.locator(".tile[aria-pressed=true] .tile-name")).to_have_text(max(probs))
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#results").is_hidden()
    expect(page.locator("#choose")).to_be_focused()


@pytest.mark.slow
def test_what_is_shown_is_saved_as_a_table(
    page: Page,
    url: str,
    several: list[Path],
    tmp_path: Path,
    ask: Callable[[Path], Mapping[str, Any]],
) -> None:
    formula, quoted = tmp_path / "=1+1.png", tmp_path / 'a "1", b.png'
    formula.write_bytes(several[0].read_bytes())
    quoted.write_bytes(several[1].read_bytes())
    files = [formula, quoted, *several[2:5]]
    enter(page, url)
    choose(page, *files)
    all_done(page)
    page.get_by_label("Sort by").select_option("entropy")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename == "predictions.csv"
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf"), "without it Excel takes UTF-8 for something else"
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    expected = sorted(files, key=lambda path: -entropy(ask(path)["probs"]))
    names = ["'=1+1.png" if path == formula else path.name for path in expected]
    assert [row["file"] for row in rows] == names
    for row, path in zip(rows, expected, strict=True):
        answer = ask(path)
        assert row["class"] == answer["class"]
        assert row["error"] == ""
        saved = [float(row[f"probability of {digit}"]) for digit in range(10)]
        assert saved == pytest.approx(answer["probs"], abs=1e-6)
        figures = [float(row[name]) for name in ("probability", "margin", "entropy")]
        probs = answer["probs"]
        assert figures == pytest.approx([max(probs), margin(probs), entropy(probs)], abs=1e-5)


@pytest.mark.slow
def test_the_keyboard_is_enough(page: Page, url: str, several: list[Path]) -> None:
    enter(page, url)

    def tab_to(selector: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({selector!r})"):
                return
        pytest.fail(f"no way by Tab to {selector}")

    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the results")).to_be_focused()
    tab_to("#choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(several)
    expect(page.locator("#announcer")).to_have_text("All done. 10 images.")
    tab_to("#sort")
    page.keyboard.press("l")  # "largest entropy" by its first letter
    assert page.locator("#sort").input_value() == "entropy"
    tab_to(".tile")
    names = page.locator(".tile-name").all_inner_texts()
    columns = len(page.evaluate("getComputedStyle(grid).gridTemplateColumns").split(" "))
    assert 1 < columns < 10
    focused = page.locator(".tile:focus .tile-name")
    for key, place in (
        ("ArrowRight", 1),
        ("ArrowDown", columns + 1),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("End", 9),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        expect(focused).to_have_text(names[place])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#detail figcaption")).to_have_text(names[1])
    expect(focused).to_have_text(names[1])


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light")])
def test_it_is_accessible_and_fits(
    new_page: NewPage,
    url: str,
    several: list[Path],
    assert_accessible: Callable[[Page], None],
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    check_look(new_page, url, several, assert_accessible, tmp_path, width, scheme)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "dark"), (390, "light"), (390, "dark"), (320, "light")]
)
def test_it_is_accessible_and_fits_elsewhere(
    new_page: NewPage,
    url: str,
    several: list[Path],
    assert_accessible: Callable[[Page], None],
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    check_look(new_page, url, several, assert_accessible, tmp_path, width, scheme)


def check_look(
    new_page: Any,
    url: str,
    several: list[Path],
    assert_accessible: Callable[[Page], None],
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    new_page.allowed.append(REFUSED)  # of the text that is no image
    page = enter(new_page(width, 844, color_scheme=scheme, reduced_motion="reduce"), url)
    shades = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", shades))) < 3 * 128) == (scheme == "dark")

    def check() -> None:
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    check()
    long = tmp_path / ("a_name_without_a_place_to_break_" * 6 + ".png")
    long.write_bytes(several[0].read_bytes())
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    choose(page, long)
    expect(page.locator("#detail .verdict")).to_contain_text("%")
    assert is_shown(page, "#detail img")
    check()
    choose(page, *several, broken)
    expect(page.locator("#count")).to_have_text("12 images, 1 failed")
    check()
    page.locator(".tile").last.click()
    expect(page.locator("#detail .verdict")).to_have_text("No prediction")
    check()


@pytest.mark.slow
def test_the_look_is_the_systems_until_the_button_says_otherwise(
    new_page: NewPage, url: str
) -> None:
    page = enter(new_page(color_scheme="dark"), url)

    def is_dark() -> bool:
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color))) < 3 * 128

    assert is_dark()
    page.emulate_media(color_scheme="light")
    assert not is_dark()
    page.get_by_role("button", name="Dark look").click()
    assert is_dark()
    enter(page, url)
    assert is_dark(), "the choice is kept"
    page.get_by_role("button", name="Light look").click()
    page.emulate_media(color_scheme="dark")
    assert not is_dark()


def test_hostile_names_are_shown_as_text_and_fit(
    new_page: NewPage, start: Start, digits: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for name, digit in ((HOSTILE, 0), ("<b>bold", 1)):
        (data / name).mkdir(parents=True)
        for path in sorted((digits / "test" / str(digit)).iterdir())[:10]:
            (data / name / path.name).write_bytes(path.read_bytes())
    server = start(trained(data, tmp_path / "run"), title=HOSTILE)
    files = [tmp_path / f"{HOSTILE}{digit}.png" for digit in range(2)]
    for digit, path in enumerate(files):
        path.write_bytes(first_of(digits, digit).read_bytes())
    page = enter(new_page(width=390), server.url)
    assert page.title() == page.locator("h1").inner_text() == HOSTILE
    assert page.locator("#about").inner_text() == f"Tells apart: <b>bold, {HOSTILE}"
    choose(page, files[0])
    expect(page.locator("#detail .verdict")).to_contain_text(HOSTILE)
    expect(page.locator("#detail figcaption")).to_have_text(files[0].name)
    assert page.locator("#detail img").get_attribute("alt") == f"The image {files[0].name}"
    assert HOSTILE in page.locator(".bar-name").all_inner_texts()
    choose(page, files[1])
    all_done(page)
    assert page.locator(".tile-class").all_inner_texts() == [HOSTILE, "<b>bold"]
    assert page.locator("img[src=x], main b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_a_lost_server_is_said_and_tried_again(
    new_page: Any, page: Page, start: Start, picture: Path
) -> None:
    new_page.allowed.append(REFUSED)
    server = start()
    enter(page, server.url)
    server.close()
    choose(page, picture)
    expect(page.locator("#detail .verdict")).to_have_text("No prediction")
    expect(page.locator("#detail .error-text")).to_have_text("The server cannot be reached.")
    expect(page.locator("#announcer")).to_have_text(
        f"{picture.name}: The server cannot be reached."
    )
    page.get_by_role("button", name="Classify sample 1").click()
    expect(page.get_by_role("alert")).to_have_text("The sample image cannot be loaded.")
    start(settings=WebSettings(port=server.port))
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#detail .verdict")).to_contain_text("%")


@pytest.mark.slow
def test_what_is_no_image_is_said_of_it_alone(
    new_page: Any, page: Page, url: str, picture: Path, tmp_path: Path
) -> None:
    new_page.allowed.append(REFUSED)
    broken = tmp_path / "notes.txt"
    broken.write_text("no image")
    cut = tmp_path / "cut.png"
    cut.write_bytes(picture.read_bytes()[:60])
    enter(page, url)
    choose(page, broken, cut, picture)
    expect(page.locator("#count")).to_have_text("3 images, 2 failed")
    assert page.locator(".tile .error-text").all_inner_texts() == ["no prediction"] * 2
    for place in (0, 1):
        page.locator(".tile").nth(place).click()
        said = page.locator("#detail .error-text").inner_text()
        assert said and "Traceback" not in said and str(tmp_path) not in said
        assert page.get_by_role("button", name="Try again").count() == 0, "it would be as useless"
    page.get_by_label("Sort by").select_option("margin")
    assert page.locator(".tile-name").first.inner_text() == picture.name, "failures come last"


@pytest.mark.slow
def test_a_dropped_folder_gives_its_pictures(
    page: Page, url: str, several: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "holiday"
    (folder / "inner").mkdir(parents=True)
    (folder / "notes.txt").write_text("no image")
    for place, path in ((folder, several[0]), (folder / "inner", several[1])):
        (place / path.name).write_bytes(path.read_bytes())
    enter(page, url)
    drop(page, folder, several[2])
    expect(page.locator(".tile-class")).to_have_count(3)
    names = page.locator(".tile-name").all_inner_texts()
    assert set(names) == {path.name for path in several[:3]}
    drop(page)
    expect(page.get_by_role("alert")).to_contain_text("This was not a file")


@pytest.mark.slow
def test_a_photo_is_predicted(new_page: NewPage, url: str) -> None:
    page = enter(new_page(permissions=["camera"]), url)
    page.get_by_role("button", name="Take a photo").click()
    page.locator("#camera-video").evaluate(
        "video => video.videoWidth || new Promise((done) => { video.onresize = done; })"
    )
    page.get_by_role("button", name="Take the photo").click()
    expect(page.locator("#detail .verdict")).to_contain_text("%")
    expect(page.locator("#detail figcaption")).to_have_text("photo 1.jpg")
    assert page.locator("#camera").is_hidden()
    assert page.evaluate("document.getElementById('camera-video').srcObject") is None


@pytest.mark.slow
def test_a_refused_camera_is_said(page: Page, url: str) -> None:
    enter(page, url)
    page.get_by_role("button", name="Take a photo").click()
    expect(page.get_by_role("alert")).to_have_text(
        "There is no camera, or the browser does not allow its use."
    )


@pytest.mark.slow
def test_a_phone_takes_its_own_camera(new_page: NewPage, url: str, picture: Path) -> None:
    page = enter(new_page(390, 844, has_touch=True, is_mobile=True, device_scale_factor=3), url)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photo").tap()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files(picture)
    expect(page.locator("#detail .verdict")).to_contain_text("%")
    assert page.locator(".drop-text").is_hidden(), "a finger drops nothing"
    buttons = page.locator("button:visible")
    sizes = [button.bounding_box() for button in buttons.all()]
    assert min(box["height"] for box in sizes if box) >= 44, "a finger is wide"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_a_busy_server_is_asked_again(new_page: Any, page: Page, url: str, picture: Path) -> None:
    new_page.allowed.append("503")
    enter(page, url)
    refusal = {"error": {"code": "busy", "message": "too many wait", "field": None}}
    page.route(
        "**/predict",
        lambda route: route.fulfill(status=503, headers={"Retry-After": "1"}, json=refusal),
        times=1,
    )
    choose(page, picture)
    expect(page.locator("#detail .verdict")).to_contain_text("%")
    assert len(new_page.complaints) == 1


@pytest.mark.slow
def test_what_is_too_large_is_not_sent(
    page: Page, start: Start, picture: Path, tmp_path: Path
) -> None:
    limited = WebSettings(port=0, max_body_bytes=2**20)
    large = tmp_path / "large.png"
    large.write_bytes(picture.read_bytes() + bytes(2**20))
    enter(page, start(settings=limited).url)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    choose(page, large)
    expect(page.locator("#detail .error-text")).to_have_text(
        "The file has 1.0 MiB, at most 1.0 MiB may be sent."
    )
    assert not any(address.endswith("/predict") for address in sent)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_button_shows_the_places_that_speak_for_the_class(
    new_page: NewPage, url: str, several: list[Path], assert_accessible: Any, width: int
) -> None:
    page = enter(new_page(width=width), url)
    choose(page, several[3])
    all_done(page)
    button = page.locator("#explain")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    heat = page.locator("#detail .heat")
    expect(heat).to_be_visible()
    # It lies over the whole image, and is a picture
    image, over = (
        page.locator(f"#detail {one}").bounding_box() for one in (".detail-image", ".heat")
    )
    assert image == over
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") == 448
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert_accessible(page)
    button.click()
    expect(heat).to_have_count(0)
    expect(button).to_have_attribute("aria-pressed", "false")
