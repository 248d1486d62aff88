"""Choosing among images with a model of masks."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.commands.shared.select_results import picked_images
from allencv_al.common.errors import ConfigurationError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.labels.contact_sheet import write_contact_sheet
from allencv_al.models import Model
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.selection.pool.pool_scorer import ScoringOptions
from allencv_al.selection.pool.scoring import compute_outputs
from allencv_al.selection.selector import SampleSelector
from allencv_al.tasks.segmentation_task import VOID
from allencv_al.tasks.unit_scores import softmax_scores

QUIET = ScoringOptions(description=None, precision="fp32", batch_size=4)
HALVED = [{"type": "resize", "height": 10, "width": 12}]


def predictor(seed: int = 0, augmentation: list[dict[str, Any]] | None = None) -> ImagePredictor:
    torch.manual_seed(seed)
    encoder = {"type": "conv_maps", "base_channels": 4, "num_levels": 2}
    config = {"type": "semantic_segmentation", "encoder": encoder, "decoder": "unet"}
    model = Model.from_params({**config, "num_classes": 3}, vocab=Vocabulary({}))
    reader = {"type": "paired_image", "augmentation": augmentation or []}
    return ImagePredictor(model, DatasetReader.from_params(reader))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(1)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (20, 24, 3), np.uint8)).save(path)
    return paths


def probabilities(model: ImagePredictor, file: Path) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255
    with torch.no_grad():
        return model.model.eval()(image=pixels[None])["logits"].softmax(1)


def test_the_image_with_the_most_uncertain_pixels_comes_first(files: list[Path]) -> None:
    model = predictor()
    picks = SampleSelector(model, "entropy", QUIET).select(files, 6).picks
    entropies = [softmax_scores(probabilities(model, file).log().movedim(1, -1)) for file in files]
    means = [float(one[..., 2].mean()) for one in entropies]
    assert [pick.id for pick in picks] == [files[i].as_posix() for i in np.argsort(means)[::-1]]
    assert [pick.score for pick in picks] == pytest.approx(sorted(means, reverse=True), rel=1e-5)


def test_an_ensemble_is_scored_by_the_mean_of_its_probabilities(files: list[Path]) -> None:
    members = [predictor(0), predictor(1)]
    outputs = compute_outputs(members, files, {"scores", "embeddings"}, options=QUIET)
    mean = sum(probabilities(member, files[2]) for member in members) / 2
    wanted = softmax_scores(mean.log().movedim(1, -1)).mean(dim=(1, 2))[0]
    assert outputs.scores is not None and outputs.embeddings is not None
    assert outputs.scores[2, :, 0] == pytest.approx(wanted.numpy(), rel=1e-4)
    assert np.array_equal(outputs.embeddings, members[0].embed(files))


def test_what_is_kept_of_an_image_does_not_grow_with_it(tmp_path: Path) -> None:
    kept = []
    for side in (16, 64):
        images = [np.full((side, side, 3), value, np.uint8) for value in range(5)]
        outputs = compute_outputs(predictor(), images, {"scores"}, options=QUIET)
        kept.append({name: a.shape for name, a in outputs.arrays().items() if a is not None})
    assert kept == [{"scores": (5, 3, 4)}] * 2


def test_strategies_of_embeddings_work_on_the_deepest_map(files: list[Path]) -> None:
    picks = SampleSelector(predictor(), "k_center", QUIET).select(files, 3).picks
    assert len({pick.id for pick in picks}) == 3


def test_a_strategy_of_class_scores_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigurationError, match='"badge" reads logits'):
        SampleSelector(predictor(), "badge")


def test_logits_of_masks_are_no_rows(files: list[Path]) -> None:
    with pytest.raises(ConfigurationError, match=r"scores or embeddings, .* found logits"):
        predictor().predict_logits(files)


def test_predictions_are_in_pixels_of_the_file_and_drawn_over_it(
    files: list[Path], tmp_path: Path
) -> None:
    model = predictor(augmentation=HALVED)
    selection = SampleSelector(model, "random", QUIET).select(files, 2)
    pick = selection.picks[0]
    assert pick.size == (24, 20) and pick.prediction is not None
    mask = Image.open(io.BytesIO(base64.b64decode(pick.prediction["mask"]["png"])))
    assert mask.size == (24, 20) and mask.mode == "P" and np.asarray(mask).max() < 3
    assert pick.predicted is not None and pick.predicted.count("%") >= 1
    picks = picked_images(selection, [], [model])
    write_contact_sheet(tmp_path / "sheet.png", picks)
    overlay = picks[0].overlay
    assert overlay is not None
    white = Image.new("RGB", (48, 40), "white")
    drawn = np.asarray(overlay(white))
    is_object = np.asarray(mask.resize((48, 40), Image.Resampling.NEAREST)) > 0
    assert np.array_equal((drawn != 255).any(axis=2), is_object)


def test_pixels_that_the_transforms_cut_off_are_void(files: list[Path]) -> None:
    crop = {"type": "center_crop", "height": 10, "width": 10}
    found = predictor(augmentation=[crop]).predict(files[0])["mask"]
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["png"]))))
    assert mask.shape == (20, 24)
    assert mask[5:15, 7:17].max() < 3
    mask = mask.copy()
    mask[5:15, 7:17] = VOID
    assert (mask == VOID).all()
