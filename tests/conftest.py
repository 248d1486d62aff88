"""Fixtures that several test modules share."""

from __future__ import annotations

import gc
import json
import os
import shutil
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fixtures.digit_runs import digits as digits
from fixtures.digit_runs import linear_config as linear_config
from fixtures.digit_runs import make_digits as make_digits
from fixtures.digit_runs import network_config as network_config
from fixtures.report_pages import hostile_names as hostile_names
from fixtures.report_pages import make_curves as make_curves
from fixtures.report_pages import make_records as make_records
from fixtures.report_pages import png_fixture as png_fixture
from fixtures.report_pages import read_page_fixture as read_page_fixture
from hypothesis import settings

# No deadlines: a busy machine is no fault. In CI the same examples each time, so that what lands
# does not depend on luck; elsewhere new ones, which is how faults are found.
settings.register_profile("project", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("project")

# The smallest PNG: one white pixel
_BLANK_PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f0001010100b138f6140000000049454e44ae426082"
)

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


_MEMORY_FOLDER = Path("/dev/shm")
_ENOUGH_BYTES = 2**31  # tests write some tens of megabytes; a container's folder may have 64 in all


def pytest_configure() -> None:
    """Put the folders of `tmp_path` into memory, where Linux has room for them.

    What runs and databases write is flushed with fsync at each step, and on a disk that is half of
    the time of the tests. A flush is none the less asked for: `power_cut.py` sees to that.
    """
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or not os.access(_MEMORY_FOLDER, os.W_OK):
        return
    if shutil.disk_usage(_MEMORY_FOLDER).free >= _ENOUGH_BYTES:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY_FOLDER)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Collect without the garbage collector: of a million objects, a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Write blank pictures, unless the test is of pictures (`draws`) or slow, and so of all.

    Drawing them takes five sixths of a tiny training. A hook, and no fixture, so that it holds for
    fixtures of every scope.
    """
    if item.get_closest_marker("draws") or item.get_closest_marker("slow"):
        return (yield)
    from markupsafe import Markup

    from allencv_al.common import figures
    from allencv_al.reports import line_chart

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_drawn", lambda *_, **__: _BLANK_PICTURE)
        patch.setattr(line_chart, "_page_drawing", lambda *_: Markup())
        return (yield)


def _skip_or_fail(reason: str, what: str) -> NoReturn:
    required = os.environ.get("ALLENCV_AL_REQUIRE", "").split(",")
    if "all" in required or what in required:
        pytest.fail(f"required by ALLENCV_AL_REQUIRE, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def skip_or_fail() -> Callable[[str, str], NoReturn]:
    """Return a function that skips the test, or fails it where CI has promised what is absent.

    It takes the reason, and what is absent: `ALLENCV_AL_REQUIRE` names what has been promised, with
    commas: `data`, `browser`, or `all`.
    """
    return _skip_or_fail


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The optional folder with real images and weights; CONTRIBUTING.md says how to get one."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ALLENCV_AL_DATA", default))
    if not folder.is_dir():
        _skip_or_fail(f"no real data at {folder}; set ALLENCV_AL_DATA", "data")
    return folder


def _tiny_product() -> float:
    import torch

    return float(torch.full((1,), 1e-38).mul(0.01))


@pytest.fixture
def tiny_product() -> Callable[[], float]:
    """Return a function that computes 1e-40, which is 0 where torch flushes denormal numbers."""
    return _tiny_product


TINY_CONFIG = {
    "dataset_reader": {
        "type": "image_classification_directory",
        "augmentation": [
            {"type": "resize", "height": 8, "width": 8},
            {"type": "normalize"},
            {"type": "flip", "p": 0.5},
        ],
    },
    "validation_dataset_reader": {
        "type": "image_classification_directory",
        "augmentation": [{"type": "resize", "height": 8, "width": 8}, {"type": "normalize"}],
    },
    "train_data_path": "/nowhere/train",
    "model": {
        "type": "basic_image_classifier",
        "im2im_encoder": {
            "type": "feedforward",
            "input_channels": 3,
            "num_layers": 1,
            "hidden_channels": 4,
            "activations": "relu",
            "downsample": True,
        },
        "im2vec_encoder": {
            "type": "flatten",
            "input_channels": 4,
            "input_height": 4,
            "input_width": 4,
        },
    },
    "data_loader": {"batch_size": 3},
    "trainer": {"num_epochs": 1},
}


def _make_tiny_run(folder: Path) -> Path:
    import torch
    from safetensors.torch import save_file

    from allencv_al.data.vocabulary import Vocabulary
    from allencv_al.models.model import Model

    folder.mkdir()
    vocabulary = Vocabulary({"labels": {"Cat": 1, "Dog": 1, "Emu": 1}})
    vocabulary.save_to_files(folder / "vocabulary")
    (folder / "config.json").write_text(json.dumps(TINY_CONFIG))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Model.from_params(TINY_CONFIG["model"], vocab=vocabulary)
    save_file(model.state_dict(), folder / "best.safetensors")
    return folder


@pytest.fixture(scope="session")
def make_tiny_run() -> Callable[[Path], Path]:
    """Return a function that fills a new folder as `tiny_run` is, for what several tests share."""
    return _make_tiny_run


@pytest.fixture(autouse=True)
def embedding_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give each test, and its processes, an embedding store of its own."""
    folder = tmp_path_factory.getbasetemp() / "embedding-caches" / uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLENCV_AL_EMBEDDING_CACHE", str(folder))
        yield folder


@pytest.fixture
def tiny_run(tmp_path: Path) -> Path:
    """The folder of a run, as training leaves it: a tiny classifier of Cat, Dog and Emu."""
    return _make_tiny_run(tmp_path / "run")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A class folder tree of seven small, different pictures."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "pictures"
    generator = np.random.default_rng(0)
    for index, name in enumerate(["Cat", "Dog", "Emu", "Cat", "Dog", "Emu", "Cat"]):
        (folder / name).mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (10 + index, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder
