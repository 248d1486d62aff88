"""What of a model changes by training, kept and scaled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.active_learning.learners.model_state import (
    set_state,
    shrink_and_perturb,
    trained_state,
    write_state,
)
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.training.checkpoints.checkpoint_files import read_weights

MakeConfig = Callable[..., dict[str, Any]]


def model_of(config: dict[str, Any], seed: int = 0) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vocab = Vocabulary({"labels": {"a": 1, "b": 1}})
        return Model.from_params(config["model"], vocab=vocab)


def frozen(linear_config: MakeConfig) -> dict[str, Any]:
    config = linear_config()
    config["model"]["im2im_encoder"] = {
        "type": "cifar_resnet",
        "depth": 8,
        "base_width": 2,
        "requires_grad": False,
    }
    config["model"]["im2vec_encoder"] = {"type": "pool", "input_channels": 8}
    return config


def test_of_a_frozen_encoder_nothing_is_kept(linear_config: MakeConfig, tmp_path: Path) -> None:
    model = model_of(frozen(linear_config))
    assert set(trained_state(model)) == {
        "_classification_layer.weight",
        "_classification_layer.bias",
    }
    write_state(tmp_path / "rounds" / "weights.safetensors", model)
    assert (tmp_path / "rounds" / "weights.safetensors").stat().st_size < 1000


def test_what_is_kept_comes_back(
    linear_config: MakeConfig, network_config: MakeConfig, tmp_path: Path
) -> None:
    for number, config in enumerate((frozen(linear_config), network_config())):
        model, other = model_of(config, 1), model_of(config, 1)
        kept = trained_state(model)
        with torch.no_grad():
            for value in model.parameters():
                if value.requires_grad:
                    value.add_(1)
        changed = [n for n in kept if not torch.equal(kept[n], model.state_dict()[n])]
        assert set(changed) == {n for n, p in model.named_parameters() if p.requires_grad}
        write_state(tmp_path / f"{number}.safetensors", model)
        set_state(other, read_weights(tmp_path / f"{number}.safetensors"))
        for name, value in model.state_dict().items():
            assert torch.equal(other.state_dict()[name], value), name
        set_state(model, kept)
        assert all(torch.equal(kept[name], model.state_dict()[name]) for name in kept)


def test_shrunk_weights_are_scaled_and_get_noise_of_the_deviation_asked_for(
    network_config: MakeConfig,
) -> None:
    config = network_config()
    config["model"]["im2im_encoder"].update(type="cifar_resnet", depth=8)
    config["model"]["im2im_encoder"] = {"type": "cifar_resnet", "depth": 8, "base_width": 16}
    config["model"]["im2vec_encoder"] = {"type": "pool", "input_channels": 64}
    model = model_of(config)
    state = trained_state(model)
    found = shrink_and_perturb(state, model, 0.6, 0.01, 5)
    trained = {name for name, _ in model.named_parameters()}
    noise = torch.cat([(found[n] - 0.6 * state[n]).flatten() for n in sorted(trained)])
    assert len(noise) > 50_000
    assert float(noise.mean()) == pytest.approx(0, abs=3e-4)
    assert float(noise.std()) == pytest.approx(0.01, rel=0.02)
    for name in state.keys() - trained:
        assert torch.equal(found[name], state[name]), "the statistics of a batch norm stay"
    again = shrink_and_perturb(state, model, 0.6, 0.01, 5)
    other = shrink_and_perturb(state, model, 0.6, 0.01, 6)
    assert all(torch.equal(found[name], again[name]) for name in state)
    assert not any(torch.equal(found[name], other[name]) for name in trained)
    exactly = shrink_and_perturb(state, model, 0.5, 0.0, 1)
    assert all(torch.equal(exactly[name], state[name] / 2) for name in trained)
