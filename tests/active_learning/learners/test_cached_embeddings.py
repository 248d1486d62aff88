"""Each image is decoded and encoded once per experiment, however many runs there are of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.learners import cached_embeddings
from allencv_al.active_learning.learners.base import TestOutputs
from allencv_al.active_learning.learners.experiment_learner import ExperimentLearner
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.selection.pool.stored_outputs import scaled_embeddings
from allencv_al.training.checkpoints.checkpoint_files import write_weights

MakeConfig = Callable[..., dict[str, Any]]
MakeDigits = Callable[..., Path]
LearnerOf = Callable[..., ExperimentLearner]

READER = "image_classification_directory"


@pytest.fixture
def frozen_config(linear_config: MakeConfig, tmp_path: Path) -> MakeConfig:
    """Return a function that makes configs with a small frozen network and a weights file."""

    def make(**keys: Any) -> dict[str, Any]:
        weights = tmp_path / "weights.safetensors"
        if not weights.exists():
            write_encoder(weights, 1)
        config = linear_config(**keys)
        config["model"] = {
            "type": "basic_image_classifier",
            "im2im_encoder": {
                "type": "cifar_resnet",
                "depth": 8,
                "base_width": 2,
                "requires_grad": False,
                "weights_file": str(weights),
            },
            "im2vec_encoder": {"type": "pool", "input_channels": 8},
        }
        return config

    return make


def write_encoder(path: Path, seed: int) -> None:
    from allencv_al.modules.im2im_encoders.cifar_resnet import CifarResnetEncoder

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = CifarResnetEncoder(8, base_width=2)
    write_weights(path, {f"_im2im_encoder.{k}": v for k, v in encoder.state_dict().items()})


def run(config: dict[str, Any], folder: Path, cache: Path | None = None, **options: Any) -> Any:
    settings = RunOptions(files=False, cache_folder=cache, **options)
    return active_learn(Params(config), folder, settings)


def test_each_image_is_encoded_once_in_a_run(
    frozen_config: MakeConfig, tmp_path: Path, counts: Any
) -> None:
    config = frozen_config(budget=20, strategy="badge")
    records = run(config, tmp_path / "run")
    assert len(records) == 6
    assert set(Counter(counts.decoded).values()) == {1}
    assert len(counts.decoded) == counts.encoded == 60
    counts.reset()
    config["active_learning"]["budget"] = 24
    run(config, tmp_path / "run", recover=True)
    assert (counts.decoded, counts.encoded) == ([], 0)


@pytest.mark.parametrize(
    "change",
    [
        {"_random_seed": 7, "_pytorch_seed": 9},
        {"strategy": "random", "retrain": "warm", "query_size": 3},
        {"_trainer": {"type": "gradient_descent", "num_epochs": 1, "cuda_device": -1}},
        {"test_fraction": 0.2},
        {"classes": ["four", "one", "two", "zero"]},
    ],
    ids=str,
)
def test_runs_that_differ_in_what_stands_behind_the_encoder_share_what_it_made(
    frozen_config: MakeConfig, tmp_path: Path, counts: Any, change: dict[str, Any]
) -> None:
    run(frozen_config(), tmp_path / "a", tmp_path / "cache")
    counts.reset()
    run(frozen_config(**change), tmp_path / "b", tmp_path / "cache")
    assert (counts.decoded, counts.encoded) == ([], 0)


def test_dropout_is_behind_the_encoder_too(
    frozen_config: MakeConfig, tmp_path: Path, counts: Any
) -> None:
    run(frozen_config(), tmp_path / "a", tmp_path / "cache")
    counts.reset()
    config = frozen_config(strategy="bald", mc_samples=3)
    config["model"]["dropout"] = 0.3
    run(config, tmp_path / "b", tmp_path / "cache")
    assert (counts.decoded, counts.encoded) == ([], 0)


def test_the_scaling_is_behind_the_encoder_too(
    frozen_config: MakeConfig, tmp_path: Path, counts: Any
) -> None:
    run(frozen_config(), tmp_path / "a", tmp_path / "cache")
    counts.reset()
    config = frozen_config()
    config["model"]["embedding_scaling"] = "standardize_l2"
    run(config, tmp_path / "b", tmp_path / "cache")
    run(config, tmp_path / "c", tmp_path / "cache")
    assert (counts.decoded, counts.encoded) == ([], 0)


def test_other_weights_are_another_encoder(
    frozen_config: MakeConfig, tmp_path: Path, counts: Any
) -> None:
    first = run(frozen_config(), tmp_path / "a", tmp_path / "cache")
    write_encoder(tmp_path / "weights.safetensors", 2)
    counts.reset()
    second = run(frozen_config(), tmp_path / "b", tmp_path / "cache")
    assert len(counts.decoded) == counts.encoded == 60
    assert first[1].metrics["coverage_radius"] != second[1].metrics["coverage_radius"]


def test_other_transforms_make_other_embeddings(
    frozen_config: MakeConfig, tmp_path: Path, counts: Any
) -> None:
    run(frozen_config(), tmp_path / "a", tmp_path / "cache")
    counts.reset()
    darker = {"type": READER, "augmentation": [{"type": "normalize", "mean": [0.5] * 3}]}
    run(frozen_config(_validation_dataset_reader=darker), tmp_path / "b", tmp_path / "cache")
    assert counts.encoded == 24, "the test images; training images have the transforms of before"
    counts.reset()
    run(frozen_config(_dataset_reader=darker), tmp_path / "c", tmp_path / "cache")
    assert counts.encoded == 36, "the test images have been seen through these"


def test_only_what_comes_into_the_pool_is_encoded(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path, counts: Any
) -> None:
    data = make_digits(tmp_path / "data", per_class=4)
    config = linear_config(data, test_fraction=None, budget=None)
    run(config, tmp_path / "run")
    assert len(counts.decoded) == 12
    counts.reset()
    make_digits(data, per_class=1, first=4)
    config["pool_data_path"] = str(make_digits(tmp_path / "more", per_class=2, first=10))
    records = run(config, tmp_path / "run", recover=True)
    assert len(counts.decoded) == 3 + 6
    assert records[-1].labels == 21


def test_ids_of_different_places_may_be_the_same(
    linear_config: MakeConfig, make_digits: MakeDigits, learner_of: LearnerOf, tmp_path: Path
) -> None:
    """`one/001.png` of the training images is not that of the validation images."""
    train = make_digits(tmp_path / "train", per_class=3)
    validation = make_digits(tmp_path / "validation", per_class=3)
    for file in validation.rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    config = linear_config(train, test_fraction=None, _validation_data_path=str(validation))
    learner = learner_of(config, tmp_path / "cache")
    cached = learner._cached_embeddings()
    assert cached is not None and cached.validation is not None
    ids = list(cached.validation.ids)
    of_training = cached.rows(ids).embeddings
    assert of_training is not None and cached.validation.embeddings is not None
    assert np.allclose(of_training, 1 - cached.validation.embeddings, atol=1e-6)


def test_what_is_kept_is_what_the_model_makes(
    frozen_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path
) -> None:
    from allencv_al.predictors.image_predictor import ImagePredictor

    learner = learner_of(frozen_config(precision="fp32"), tmp_path / "cache")
    items = list(learner.items)[::5]
    found = learner.infer([item.id for item in items], {"embeddings"}, None)
    reader = ActiveLearningExperiment.from_checked(Params(frozen_config())).dataset_reader
    expected = ImagePredictor(learner.model, reader).embed(items)
    assert found.embeddings is not None
    np.testing.assert_allclose(found.embeddings, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fraction", [0.3, None], ids=["one source", "two sources"])
def test_scaled_embeddings_are_computed_once_and_are_the_same_to_the_last_bit(
    frozen_config: MakeConfig,
    learner_of: LearnerOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fraction: float | None,
    make_digits: MakeDigits,
) -> None:
    config = frozen_config(strategy="badge")
    if fraction is None:
        config["pool_data_path"] = str(make_digits(tmp_path / "more", per_class=7, first=30))
    config["model"]["embedding_scaling"] = "standardize_l2"
    kept = learner_of(config, tmp_path / "cache")
    fresh = learner_of(config, tmp_path / "cache")
    options = fresh._options
    # No room for a second copy: scaled anew in each round
    monkeypatch.setattr(fresh, "_options", lambda _=None: replace(options(), memory_limit_mb=0))
    calls: list[int] = []

    def noted(model: Any, embeddings: Any) -> Any:
        calls.append(len(embeddings))
        return scaled_embeddings(model, embeddings)

    monkeypatch.setattr(cached_embeddings, "scaled_embeddings", noted)
    folder, other = tmp_path / "rounds" / "0001", tmp_path / "others" / "0001"
    folder.mkdir(parents=True)
    other.mkdir(parents=True)
    items = list(kept.items)
    labels = {item.id: item.label or "" for item in items[::4]}
    ids = [item.id for item in items if item.id not in labels]
    assert kept.train(1, labels, folder) == fresh.train(1, labels, other)
    needs = {"logits", "embeddings"}
    for number in range(2):
        calls.clear()
        first, second = kept.test(), kept.infer(ids, needs, None)
        assert bool(calls) == (number == 0)
        assert isinstance(first, TestOutputs)
        again, expected = fresh.test(), fresh.infer(ids, needs, None)
        assert isinstance(again, TestOutputs)
        assert np.array_equal(first.logits, again.logits)
        assert second.logits is not None and second.embeddings is not None
        assert np.array_equal(second.logits, expected.logits)  # type: ignore[arg-type]
        assert np.array_equal(second.embeddings, expected.embeddings)  # type: ignore[arg-type]


def test_a_model_with_other_statistics_scales_anew(
    frozen_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path
) -> None:
    config = frozen_config()
    config["model"]["embedding_scaling"] = "center_l2"
    learner = learner_of(config, tmp_path / "cache")
    ids = [item.id for item in learner.items]
    before = learner.infer(ids, {"embeddings"}, None).embeddings
    scaling = learner.model.embedding_scaling
    assert scaling is not None and before is not None
    scaling.mean.zero_()
    after = learner.infer(ids, {"embeddings"}, None).embeddings
    assert after is not None and not np.allclose(after, before)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, rtol=1e-5)


def test_without_the_cache_images_are_encoded_in_every_round(
    frozen_config: MakeConfig, tmp_path: Path, counts: Any
) -> None:
    config = frozen_config(budget=8, precision="fp32")
    cached = run(config, tmp_path / "a")
    counts.reset()
    config["active_learning"]["cache_embeddings"] = False
    anew = run(config, tmp_path / "b")
    assert counts.encoded > 2 * 60
    assert not (tmp_path / "b" / "embeddings").exists()
    assert [[p.id for p in r.picks] for r in anew] == [[p.id for p in r.picks] for r in cached]
    for one, other in zip(anew, cached, strict=True):
        for name, value in one.metrics.items():
            expected = other.metrics[name]
            near = None if expected is None else pytest.approx(expected, rel=1e-4)
            assert value == near, name
