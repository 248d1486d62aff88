"""The page of the demo server with models of masks and of boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from allencv_al.common import Params
from allencv_al.data.sample_data.shapes import SHAPES, write_shapes
from allencv_al.predictors import Predictor
from allencv_al.service.demo.app import create_app
from allencv_al.service.web.running import start_in_thread
from allencv_al.service.web.web_settings import WebSettings
from allencv_al.training.training_run import train

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

MASKS: dict[str, Any] = {
    "type": "semantic_segmentation",
    "num_classes": 4,
    "encoder": {"type": "conv_maps", "base_channels": 8, "num_levels": 2},
    "decoder": {"type": "unet"},
}
BOXES: dict[str, Any] = {
    "type": "fcos",
    "score_thresh": 0.0,
    "detections_per_img": 5,
    "backbone": {
        "type": "feature_pyramid",
        "output_channels": 32,
        "backbone": {"type": "conv_maps", "base_channels": 8, "skip_levels": 2},
    },
}
SERVED = {"paired_image": MASKS, "image_annotation": BOXES}
METRIC = {"paired_image": "+miou", "image_annotation": "+mAP"}
# How much of the canvas is not see-through
SHOWN = """canvas => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.filter((value, place) => place % 4 === 3 && value > 0).length;
}"""


@pytest.fixture
def served(new_page: Any, tmp_path: Path) -> Iterator[Callable[[str], tuple[Page, Predictor]]]:
    """Return a function that trains a step, serves the model and opens its page."""
    running = []

    def serve(reader: str) -> tuple[Page, Predictor]:
        shapes = write_shapes(tmp_path / "shapes", counts={"train": 2})
        config = {
            "dataset_reader": {"type": reader},
            "train_data_path": str(shapes / "train"),
            "validation_data_path": str(shapes / "train"),
            "model": SERVED[reader],
            "trainer": {"num_epochs": 1, "optimizer": "sgd", "validation_metric": METRIC[reader]},
        }
        train(Params(config), tmp_path / "run")
        archive = tmp_path / "run" / "model.tar.gz"
        running.append(start_in_thread(create_app(archive, settings=WebSettings(port=0))))
        page: Page = new_page()
        page.goto(running[-1].url)
        page.wait_for_selector("body[data-state=ready]")
        return page, Predictor.from_path(archive)

    yield serve
    new_page.close()
    for server in running:
        server.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An image that is no square: places must not be turned or stretched."""
    path = tmp_path / "photo.png"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(path)
    return path


def test_a_mask_lies_over_the_image_with_the_shares_of_its_classes(
    served: Callable[[str], tuple[Page, Predictor]], photo: Path
) -> None:
    page, predictor = served("paired_image")
    page.set_input_files("#files", [photo])
    shares = predictor.predict(photo)["shares"]
    rows = page.locator(".legend li")
    expect(rows).to_have_count(len(shares))
    ranked = sorted(shares, key=lambda name: -shares[name])
    assert rows.locator(".legend-name").all_inner_texts() == ranked
    canvas = page.locator("canvas.places")
    expect(canvas).to_have_attribute("width", "96")
    expect(canvas).to_have_attribute("height", "64")
    # The background lets the image be seen
    objects = round((1 - shares.get("0", 0.0)) * 96 * 64)
    page.wait_for_function(
        f"objects => ({SHOWN})(document.querySelector('canvas.places')) === objects", arg=objects
    )
    page.get_by_label("Opacity of the mask").fill("0.2")
    expect(canvas).to_have_css("opacity", "0.2")
    box, image = canvas.bounding_box(), page.locator(".detail-image").bounding_box()
    assert box == image


@pytest.mark.slow
def test_boxes_are_drawn_from_the_score_that_is_chosen(
    served: Callable[[str], tuple[Page, Predictor]], photo: Path
) -> None:
    page, predictor = served("image_annotation")
    page.set_input_files("#files", [photo])
    found = predictor.predict(photo)["objects"]
    assert found and {one["label"] for one in found} <= set(SHAPES)
    page.get_by_label("Least score").fill("0")
    expect(page.locator("svg.places rect")).to_have_count(len(found))
    assert page.locator("svg.places").get_attribute("viewBox") == "0 0 96 64"
    names = page.locator(".legend .legend-name").all_inner_texts()
    assert names == [one["label"] for one in found]
    best = page.locator("svg.places rect").last
    assert float(best.get_attribute("width") or 0) == pytest.approx(found[0]["width"], abs=0.01)
    page.get_by_label("Least score").fill("1")
    expect(page.locator("svg.places rect")).to_have_count(0)
    expect(page.locator(".legend")).to_have_text("no object of such a score")
