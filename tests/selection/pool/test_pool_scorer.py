"""`PoolScorer`: dropout members and ensembles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from allencv_al.active_learning import PoolOutputs, ScoringOptions, compute_outputs
from allencv_al.common.errors import ConfigurationError
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.predictors import Predictor
from allencv_al.selection.pool.pool_scorer import PoolScorer

QUIET = ScoringOptions(batch_size=3, block_size=4, mc_samples=5, description=None, precision="fp32")


DROPOUT = {"model.dropout": 0.5}


EARLY_DROPOUT = {"model.dropout": 0.5, "model.im2im_encoder.dropout": 0.5}


Make = Callable[..., Predictor]


def same(one: PoolOutputs, other: PoolOutputs) -> None:
    """Fail unless two outputs are the same, but for rounding."""
    assert list(one.ids) == list(other.ids)
    assert dict(one.unreadable) == dict(other.unreadable)
    for name in ("logits", "mc_logits", "embeddings"):
        mine, yours = getattr(one, name), getattr(other, name)
        assert (mine is None) == (yours is None)
        if mine is not None:
            assert mine.dtype == np.float32
            assert np.allclose(mine, yours, atol=1e-5)


@pytest.mark.parametrize("config", [DROPOUT, EARLY_DROPOUT])
def test_members_differ_and_logits_have_no_dropout(
    make: Make, dataset: Dataset, config: Any
) -> None:
    outputs = compute_outputs(
        make(config), dataset, {"logits", "mc_logits", "embeddings"}, options=QUIET
    )
    members = outputs.mc_logits
    assert members is not None
    for one in range(5):
        for other in range(one):
            assert np.abs(members[:, one] - members[:, other]).max() > 0.01
    plain = make()
    assert np.allclose(outputs.logits, plain.predict_logits(dataset), atol=1e-5)
    assert np.allclose(outputs.embeddings, plain.embed(dataset), atol=1e-5)


def test_the_mean_of_many_members_is_the_prediction_of_a_linear_head(
    make: Make, dataset: Dataset
) -> None:
    options = replace(QUIET, mc_samples=3000)
    outputs = compute_outputs(make(DROPOUT), dataset, {"logits", "mc_logits"}, options=options)
    assert outputs.mc_logits is not None
    error = outputs.mc_logits.std(axis=1) / 3000**0.5
    assert (np.abs(outputs.mc_logits.mean(axis=1) - outputs.logits) < 5 * error).all()


def test_a_model_without_dropout_is_told_what_to_do(make: Make, dataset: Dataset) -> None:
    with pytest.raises(ConfigurationError, match=r"dropout.*or give several archives"):
        compute_outputs(make(), dataset, {"mc_logits"})
    with pytest.raises(ConfigurationError, match="mc_samples: expected at least 1, found 0"):
        compute_outputs(make(DROPOUT), dataset, {"mc_logits"}, options=ScoringOptions(mc_samples=0))


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    exponentials = np.exp(logits.astype(np.float64))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_an_ensemble_gives_members_and_their_mean_probability(
    make: Make, dataset: Dataset, decoded: Any
) -> None:
    members = [make(seed=seed) for seed in (0, 1, 2)]
    needs = {"logits", "mc_logits", "embeddings"}
    outputs = compute_outputs(members, dataset, needs, options=QUIET)
    assert sorted(decoded.ids) == sorted(instance.id for instance in dataset)  # once for all
    expected = np.stack([member.predict_logits(dataset) for member in members], axis=1)
    assert np.allclose(outputs.mc_logits, expected, atol=1e-5)
    assert np.allclose(softmax(outputs.logits), softmax(expected).mean(axis=1), atol=1e-6)  # type: ignore[arg-type]
    assert np.allclose(np.exp(outputs.logits).sum(axis=1), 1, atol=1e-5)  # type: ignore[arg-type]
    assert np.allclose(outputs.embeddings, members[0].embed(dataset), atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_embeddings_of_an_ensemble_are_those_of_its_first_model(
    make: Make, dataset: Dataset, precision: Any
) -> None:
    options = replace(QUIET, precision=precision)
    members = [make(seed=seed) for seed in (1, 2)]
    both = compute_outputs(members, dataset, {"logits", "embeddings"}, options=options)
    first = compute_outputs(members[0], dataset, {"embeddings"}, options=options)
    assert np.array_equal(both.embeddings, first.embeddings)  # type: ignore[arg-type]


def test_an_ensemble_of_one_model_is_that_model(make: Make, dataset: Dataset) -> None:
    one = compute_outputs(make(), dataset, {"logits"}, options=QUIET)
    same(compute_outputs([make()], dataset, {"logits"}, options=QUIET), one)
    both = compute_outputs([make(), make()], dataset, {"logits"}, options=QUIET)
    assert np.allclose(softmax(both.logits), softmax(one.logits), atol=1e-6)  # type: ignore[arg-type]


def test_confident_members_do_not_become_infinite(make: Make, dataset: Dataset) -> None:
    members = [make(), make(seed=1)]
    for member in members:
        with torch.no_grad():
            member.model.linear_layer.weight.mul_(1e4)  # type: ignore[union-attr,operator]
    outputs = compute_outputs(members, dataset, {"logits"}, options=QUIET)
    assert np.isfinite(outputs.logits).all()  # type: ignore[arg-type]


def test_members_with_other_transforms_see_images_in_their_own_way(
    make: Make, dataset: Dataset, decoded: Any
) -> None:
    other = {"validation_dataset_reader.augmentation.1": {"type": "normalize", "mean": [0, 0, 0]}}
    members = [make(), make(other, seed=1), make(seed=2)]
    outputs = compute_outputs(members, dataset, {"mc_logits"}, options=QUIET)
    assert len(decoded.ids) == 2 * len(dataset)  # two ways for three members
    expected = np.stack([member.predict_logits(dataset) for member in members], axis=1)
    assert np.allclose(outputs.mc_logits, expected, atol=1e-5)


def test_an_image_that_one_member_cannot_read_is_unreadable(make: Make, dataset: Dataset) -> None:
    small = make({"validation_dataset_reader.max_pixels": 12 * 12})
    outputs = compute_outputs([make(), small], dataset, {"logits"}, options=QUIET)
    assert len(outputs.ids) == 3 and len(outputs.unreadable) == 4
    assert all("max_pixels" in cause for cause in outputs.unreadable.values())


def test_embeddings_alone_take_only_the_first_member(make: Make, dataset: Dataset) -> None:
    second = make(seed=1)
    second.model.embed = second.model.forward = None  # type: ignore[assignment,method-assign]
    outputs = compute_outputs([make(), second], dataset, {"embeddings"}, options=QUIET)
    assert np.allclose(outputs.embeddings, make().embed(dataset), atol=1e-5)


def test_members_must_have_the_same_classes_in_the_same_order(make: Make, dataset: Dataset) -> None:
    other = make()
    other.model.vocab = Vocabulary({"labels": {"Dog": 1, "Cat": 1, "Emu": 1}})
    reordered = Vocabulary.empty()
    for name in ("Dog", "Cat", "Emu"):
        reordered.add_token_to_namespace(name)
    other.model.vocab = reordered
    with pytest.raises(
        ConfigurationError,
        match=r"\[Cat, Dog, Emu\] in the first model and \[Dog, Cat, Emu\] in model 3",
    ):
        compute_outputs([make(), make(), other], dataset, {"logits"})


def test_half_precision_is_of_the_encoder_alone(make: Make, dataset: Dataset) -> None:
    predictor = make()
    model = predictor.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    needs = {"logits", "embeddings"}
    options = replace(QUIET, precision="bf16")
    half = compute_outputs(predictor, dataset, needs, options=options)
    exact = compute_outputs(predictor, dataset, needs, options=QUIET)
    assert half.embeddings is not None and exact.embeddings is not None
    assert half.logits is not None
    distance = np.linalg.norm(half.embeddings - exact.embeddings)
    assert 0 < distance < 0.02 * np.linalg.norm(exact.embeddings)
    with torch.no_grad():
        logits = model(embedding=torch.from_numpy(np.array(half.embeddings)))["logits"]
    assert np.allclose(half.logits, logits.numpy(), rtol=1e-6)
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype and torch.equal(value, before[name])


def test_rows_of_another_precision_are_other_rows(make: Make) -> None:
    prints = [
        PoolScorer([make()], {"embeddings"}, precision=precision).fingerprint()
        for precision in ("fp32", "bf16", "fp32")
    ]
    assert prints[0] == prints[2] != prints[1]
