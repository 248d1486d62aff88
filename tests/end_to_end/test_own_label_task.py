"""A kind of label of a user's own trains, is measured and is chosen by; here a number per image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from overrides import overrides
from PIL import Image
from torch import Tensor

from allencv_al.__main__ import main
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.tasks import LabelTask

BRIGHTNESS = "test_brightness"


class Brightness(LabelTask):
    """The mean value of the pixels, 0 to 1."""

    targets = ("value",)
    main_metric = "-absolute_error"

    @overrides
    def target(self, instance: Instance, vocab: Vocabulary) -> dict[str, Any]:
        return {} if instance.label is None else {"value": np.float32(instance.label)}

    @overrides
    def problem(self, text: str, classes: Any = None) -> str | None:
        try:
            float(text)
        except ValueError:
            return f"expected a number, found {text}"
        return None


class BrightnessModel(Model):
    """A linear function of the mean pixel."""

    label_task = BRIGHTNESS

    def __init__(self, vocab: Vocabulary) -> None:
        super().__init__(vocab)
        self.line = torch.nn.Linear(1, 1)
        self._errors: list[float] = []

    @overrides
    def embed(self, image: Tensor) -> Tensor:
        return image.mean(dim=(1, 2, 3)).unsqueeze(1)

    @overrides(check_signature=False)
    def forward(self, image: Tensor, value: Tensor | None = None) -> dict[str, Any]:
        found = self.line(self.embed(image)).squeeze(1)
        outputs = {"brightness": found}
        if value is not None:
            outputs["loss"] = ((found - value) ** 2).mean()
            self._errors += (found - value).abs().tolist()
        return outputs

    @overrides
    def get_metrics(self, reset: bool = False) -> dict[str, Any]:
        found = {"absolute_error": float(np.mean(self._errors or [0.0]))}
        if reset:
            self._errors = []
        return found


@pytest.fixture(autouse=True)
def own_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    LabelTask.register(BRIGHTNESS, exist_ok=True)(Brightness)
    Model.register(BRIGHTNESS, exist_ok=True)(BrightnessModel)
    rows = ["path,label"]
    for number in range(16):
        Image.new("L", (8, 8), number * 16).save(f"{number}.png")
        rows.append(f"{number}.png,{number * 16 / 255:.4f}" if number % 4 else f"{number}.png,")
    Path("images.csv").write_text("\n".join(rows), encoding="utf-8")


CONFIG = {
    "dataset_reader": {"type": "manifest"},
    "train_data_path": "images.csv",
    "validation_data_path": "images.csv",
    "model": {"type": BRIGHTNESS},
    "data_loader": {"batch_size": 4},
    "trainer": {
        "num_epochs": 30,
        "validation_metric": "-absolute_error",
        "cuda_device": -1,
        "optimizer": {"type": "adam", "lr": 0.1},
    },
}


def test_numbers_are_learned_and_make_no_classes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    assert main(["train", "config.json", "-s", "run"]) == 0
    metrics = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    assert metrics["best_validation_absolute_error"] < 0.05
    assert not Path("run/vocabulary/labels.txt").exists(), "numbers are no classes"
    capsys.readouterr()
    assert main(["evaluate", "run/model.tar.gz", "images.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["absolute_error"] < 0.05
