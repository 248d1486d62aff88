"""Embeddings without a trained model."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import models

from allencv_al.common.errors import ConfigurationError, DataError, WeightsError
from allencv_al.data.instance import Instance
from allencv_al.modules.weights import source_problem
from allencv_al.selection.cold_start import (
    check_needs_no_model,
    embedding_predictor,
    strategies_without_model,
)
from allencv_al.selection.pool.scoring import compute_outputs
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
    images = np.random.default_rng(0).integers(0, 256, (3, 109, 109, 3), dtype=np.uint8)
    middle = images[:, 6:102, 6:102]  # 109 is to 96 as 256 to 224
    normalized = torch.from_numpy((middle / np.float32(255) - MEAN) / STD).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = network.features(normalized).mean((2, 3)).numpy()
    embeddings = embedding_predictor(f"squeezenet1_1:{weights}", 96).embed(list(images))
    assert embeddings.shape == (3, 512)
    assert np.allclose(embeddings, expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 1e-3, "the images differ"


def test_images_of_any_size_are_scaled(weights: Path) -> None:
    """Images of one color at two sizes are the same image."""
    predictor = embedding_predictor(f"squeezenet1_1:{weights}", 64)
    sizes = [(20, 300), (64, 64), (1000, 70)]
    images = [np.full((*size, 3), (200, 30, 90), np.uint8) for size in sizes]
    embeddings = predictor.embed(images)
    assert np.allclose(embeddings, embeddings[0], atol=1e-5)


def test_it_is_the_same_each_time_and_leaves_chance_alone(weights: Path) -> None:
    torch.manual_seed(5)
    first = embedding_predictor(f"squeezenet1_1:{weights}", 64).model.state_dict()
    drawn = torch.rand(1)
    second = embedding_predictor(f"squeezenet1_1:{weights}", 64).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)


def test_the_classes_of_what_is_labeled_are_known(weights: Path) -> None:
    predictor = embedding_predictor(f"squeezenet1_1:{weights}", 64, ["dog", "cat", "dog"])
    assert predictor.model.vocab.get_token_to_index_vocabulary() == {"cat": 0, "dog": 1}


def test_published_weights_come_from_the_cache_where_they_are_there(
    monkeypatch: pytest.MonkeyPatch, weights: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "home" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "squeezenet1_1-b8a52dc0.pth").write_bytes(weights.read_bytes())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    image = [np.full((64, 64, 3), 120, np.uint8)]
    cached = embedding_predictor("squeezenet1_1", 64).embed(image)
    named = embedding_predictor(f"torchvision:squeezenet1_1:{weights}", 64).embed(image)
    assert np.array_equal(cached, named)


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
    assert "--embeddings offline" in str(error.value)


@pytest.mark.parametrize(
    ("encoder", "image_size", "message"),
    [
        ("sqeezenet1_1", None, 'did you mean "squeezenet1_1"'),
        ("timm:resnet19", None, 'timm has no model "resnet19"; did you mean'),
        ("timm:resnet18:absent.pth", None, "no such file: absent.pth"),
        ("timm:resnet18:package:lite", None, 'no known package carries weights "lite"'),
        ("squeezenet1_1:absent.pth", None, "no such file: absent.pth"),
        ("squeezenet1_1:FOLDER/weights.txt", None, "expected a weights file ending in"),
        ("resnet18:FOLDER/weights.pth", None, "does not fit"),
        ("squeezenet1_1:FOLDER/weights.pth", 4, "image_size 4 does not suit squeezenet1_1"),
        ("squeezenet1_1:FOLDER/weights.pth", 0, "image_size: expected at least 1, found 0"),
        ("absent.npz", None, "absent.npz"),
    ],
)
def test_a_mistake_is_one_message(
    weights: Path, encoder: str, image_size: int | None, message: str
) -> None:
    (weights.parent / "weights.txt").write_text("no weights")
    with pytest.raises((ConfigurationError, WeightsError, DataError)) as error:
        embedding_predictor(encoder.replace("FOLDER", str(weights.parent)), image_size)
    assert message in str(error.value)


@pytest.mark.skipif(
    source_problem("package:efficientnet_lite0") is not None,
    reason="the package that carries the weights is not installed",
)
def test_offline_needs_no_network_and_scales_as_its_network_was_trained() -> None:
    predictor = embedding_predictor("offline")
    assert predictor.dataset_reader.image_shape() == (3, 224, 224)
    image = np.random.default_rng(0).integers(0, 256, (300, 256, 3), dtype=np.uint8)
    (embedding,) = predictor.embed([image])
    assert embedding.shape == (1280,)
    assert np.ptp(embedding) > 0


def test_vectors_of_ones_own_are_found_by_the_ids_of_the_images(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    np.savez(tmp_path / "v.npz", embeddings=vectors, ids=["b.png", "a.png"])
    predictor = embedding_predictor(str(tmp_path / "v.npz"))
    outputs = compute_outputs(
        predictor,
        [Instance(name, tmp_path / name) for name in ("a.png", "c.png", "b.png")],
        {"embeddings"},
    )
    assert outputs.embeddings is not None
    assert np.array_equal(outputs.embeddings, vectors[::-1])
    assert "none of this id" in outputs.unreadable["c.png"]


def test_the_strategies_that_need_no_model_are_known() -> None:
    expected = {"auto", "k_center", "max_herding", "prob_cover", "random", "typiclust"}
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


def test_a_model_of_open_clip_needs_the_name_of_its_weights() -> None:
    with pytest.raises(ConfigurationError, match="names no weights; expected open_clip:ViT-B-32:"):
        embedding_predictor("open_clip:ViT-B-32")
