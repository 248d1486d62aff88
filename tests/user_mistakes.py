"""Run the command line with a component of a user's own that is wrong, and return what it says."""

from __future__ import annotations

import importlib
import itertools
import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.common.config import registrable

HEAD = """
from __future__ import annotations
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
from allencv_al.labels.annotators import Annotator
from allencv_al.labels.label_store import NewLabel
from allencv_al.active_learning.stop_rules import StopRule
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.transforms import ImageTransform
from allencv_al.models import Model
from allencv_al.modules.im2im_encoders import Im2ImEncoder
from allencv_al.modules.im2vec_encoders import Im2VecEncoder
from allencv_al.modules.initializers import Initializer
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.optimizers import Optimizer


@{base}.register("{name}")
class {title}({base}):
"""

PLACES = {
    "DatasetReader": ("dataset_reader", "type"),
    "ImageTransform": ("dataset_reader", "augmentation", 0, "type"),
    "Im2ImEncoder": ("model", "im2im_encoder"),
    "Im2VecEncoder": ("model", "im2vec_encoder"),
    "Model": ("model",),
    "Initializer": ("model", "initializer", 0, 1),
    "TrainerCallback": ("trainer", "callbacks", 0),
    "LearningRateScheduler": ("trainer", "learning_rate_scheduler"),
    "Optimizer": ("trainer", "optimizer"),
    "Annotator": ("active_learning", "annotator"),
    "StopRule": ("active_learning", "stop", 0),
}
"""Where the name of a component stands in the config."""

SPLITS = ("train", "validation", "pool")

_numbers = itertools.count()


def write_images(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for split, label, number in itertools.product(SPLITS, ("cat", "dog"), range(4)):
        file = folder / split / label / f"{split}{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(file)


def config(folder: Path, base: str) -> dict[str, Any]:
    reader = {"type": "image_classification_directory"}
    block = {
        "strategy": "random",
        "query_size": 2,
        "annotator": "ground_truth",
        "stop": [{"type": "budget", "labels": 12}],
    }
    return {
        "dataset_reader": {**reader, "augmentation": [{"type": "normalize"}]},
        "validation_dataset_reader": {**reader, "augmentation": [{"type": "normalize"}]},
        "train_data_path": str(folder / "train"),
        "pool_data_path": str(folder / "pool"),
        "validation_data_path": str(folder / "validation"),
        "model": {
            "type": "basic_image_classifier",
            "im2im_encoder": {
                "type": "feedforward",
                "input_channels": 3,
                "num_layers": 1,
                "hidden_channels": 4,
                "activations": "relu",
            },
            "im2vec_encoder": {"type": "pool", "input_channels": 4, "mode": "average"},
            "initializer": [["weight", "normal"]],
        },
        "data_loader": {"batch_size": 4},
        "trainer": {
            "num_epochs": 1,
            "optimizer": {"type": "sgd", "lr": 0.1},
            "learning_rate_scheduler": {"type": "noam", "model_size": 1, "warmup_steps": 1},
            "callbacks": [{"type": "track_epoch_callback"}],
            "cuda_device": -1,
            "precision": "fp32",
        },
        **({"active_learning": block} if base in ("Annotator", "StopRule") else {}),
    }


def error_of(
    base: str, body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int = 0
) -> tuple[str, list[str]]:
    """Return the name of the component's class, and the lines of the only error that was shown.

    Args:
        base: The family's base class.
        body: The body of the user's class, which is called `Mine` in it.
        tmp_path: A folder.
        monkeypatch: Pytest's.
        workers: Worker processes of the data loader.
    """
    number = next(_numbers)
    title, module = f"Mine{number}", f"users_module_{number}"
    head = HEAD.format(base=base, name=f"mine_{number}", title=title)
    code = textwrap.indent(textwrap.dedent(body), "    ").replace("Mine", title)
    (tmp_path / f"{module}.py").write_text(head + code + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    write_images(tmp_path)
    written = config(tmp_path, base)
    written["data_loader"]["num_workers"] = workers
    *above, last = PLACES[base]
    holder: Any = written
    for key in above:
        holder = holder[key]
    holder[last] = f"mine_{number}" if last in ("type", 1) else {"type": f"mine_{number}"}
    (tmp_path / "c.json").write_text(json.dumps(written))
    command = "active-learn" if "active_learning" in written else "train"
    words = [command, str(tmp_path / "c.json"), "-s", str(tmp_path / "run")]
    errors: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr("sys.stderr.write", lambda text: errors.append(text) or len(text))
        try:
            code_of_exit = main([*words, "--include-package", module])
        finally:  # other tests look at all names of a family
            for names in registrable._registries.values():
                names.pop(f"mine_{number}", None)
    assert code_of_exit == 2, errors
    shown = "".join(errors)
    assert "Traceback" not in shown and shown.count("error: ") == 1, shown
    return title, shown[shown.index("error: ") + 7 :].splitlines()
