"""Embeddings without a trained model."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import models

from allencv_al.common.errors import ConfigurationError, WeightsError
from allencv_al.selection.cold_start import (
    check_needs_no_model,
    embedding_predictor,
    split_weights,
    strategies_without_model,
)
from allencv_al.selection.strategies import QueryStrategy

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return models.get_model("squeezenet1_1", weights=None).eval()


@pytest.fixture
def weights(network: torch.nn.Module, tmp_path: Path) -> Path:
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_embeddings_are_torchvisions_features_averaged(
    network: torch.nn.Module, weights: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    normalized = torch.from_numpy((images / np.float32(255) - MEAN) / STD).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = network.features(normalized).mean((2, 3)).numpy()
    embeddings = embedding_predictor("squeezenet1_1", weights, image_size=96).embed(list(images))
    assert embeddings.shape == (3, 512)
    assert np.allclose(embeddings, expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 1e-3, "the images differ"


def test_images_of_any_size_are_scaled(weights: Path) -> None:
    """Images of one color at two sizes are the same image."""
    predictor = embedding_predictor("squeezenet1_1", weights, image_size=64)
    sizes = [(20, 300), (64, 64), (1000, 70)]
    images = [np.full((*size, 3), (200, 30, 90), np.uint8) for size in sizes]
    embeddings = predictor.embed(images)
    assert np.allclose(embeddings, embeddings[0], atol=1e-5)


def test_it_is_the_same_each_time_and_leaves_chance_alone(weights: Path) -> None:
    torch.manual_seed(5)
    first = embedding_predictor("squeezenet1_1", weights, 64).model.state_dict()
    drawn = torch.rand(1)
    second = embedding_predictor("squeezenet1_1", weights, 64).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)


def test_the_classes_of_what_is_labeled_are_known(weights: Path) -> None:
    predictor = embedding_predictor("squeezenet1_1", weights, 64, classes=["dog", "cat", "dog"])
    assert predictor.model.vocab.get_token_to_index_vocabulary() == {"cat": 0, "dog": 1}


def test_published_weights_come_from_the_cache_where_they_are_there(
    monkeypatch: pytest.MonkeyPatch, weights: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "home" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "squeezenet1_1-b8a52dc0.pth").write_bytes(weights.read_bytes())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    image = [np.full((64, 64, 3), 120, np.uint8)]
    cached = embedding_predictor("squeezenet1_1", image_size=64).embed(image)
    assert np.array_equal(cached, embedding_predictor("squeezenet1_1", weights, 64).embed(image))


def test_without_a_network_the_message_says_how_to_give_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*args: Any, **kwargs: Any) -> Any:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    with pytest.raises(WeightsError) as error:
        embedding_predictor("squeezenet1_1")
    assert "no route to host" in str(error.value)
    assert "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth" in str(error.value)
    assert "squeezenet1_1:squeezenet1_1-b8a52dc0.pth" in str(error.value)


@pytest.mark.parametrize(
    ("encoder", "file", "image_size", "message"),
    [
        ("sqeezenet1_1", None, 224, 'did you mean "squeezenet1_1"'),
        ("vit_b_16", None, 224, "vision transformer"),
        ("squeezenet1_1", "absent.pth", 224, "absent.pth: no such weights file"),
        ("squeezenet1_1", "weights.txt", 224, "expected a weights file ending in"),
        ("resnet18", "weights.pth", 224, "does not fit"),
        ("squeezenet1_1", "weights.pth", 4, "image_size 4 does not suit squeezenet1_1"),
        ("squeezenet1_1", "weights.pth", 0, "image_size: expected at least 1, found 0"),
    ],
)
def test_a_mistake_is_one_message(
    weights: Path, encoder: str, file: str | None, image_size: int, message: str
) -> None:
    (weights.parent / "weights.txt").write_text("no weights")
    path = None if file is None else weights.parent / file
    with pytest.raises((ConfigurationError, WeightsError)) as error:
        embedding_predictor(encoder, path, image_size)
    assert message in str(error.value)


def test_a_weights_file_may_stand_behind_the_name() -> None:
    assert split_weights("squeezenet1_1") == ("squeezenet1_1", None)
    assert split_weights("resnet18:a/b.pth") == ("resnet18", Path("a/b.pth"))
    assert split_weights("resnet18:C:\\b.pth")[0] == "resnet18"


def test_the_strategies_that_need_no_model_are_known() -> None:
    expected = {"k_center", "max_herding", "prob_cover", "random", "typiclust"}
    assert set(strategies_without_model()) == expected
    for name in expected:
        check_needs_no_model(QueryStrategy.from_params(name), name)


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        ("margin", "logits"),
        ("bald", "mc_logits"),
        ({"type": "subsample", "size": 9, "strategy": "badge"}, "logits"),
    ],
)
def test_a_strategy_that_needs_a_model_is_refused_with_names_of_others(
    config: Any, needed: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        check_needs_no_model(QueryStrategy.from_params(config), "--strategy x")
    assert f"--strategy x needs {needed}" in str(error.value)
    assert "k_center, max_herding, prob_cover, random, typiclust" in str(error.value)


def test_a_wrapper_of_one_that_needs_no_model_is_fine() -> None:
    config = {"type": "subsample", "size": 9, "strategy": "typiclust"}
    check_needs_no_model(QueryStrategy.from_params(config), "--strategy")
