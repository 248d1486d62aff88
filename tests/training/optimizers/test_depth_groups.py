"""Groups along the depth of a model hold each parameter once, in the order of the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.common import ConfigurationError, Params
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.optimizers.base import assignment_faults, read_rules
from allencv_al.training.optimizers.depth_groups import groups_by_depth
from allencv_al.training.training_run import train

VIT = {"im2vec_encoder": {"type": "timm", "model": "test_vit"}}
POOL = {"im2vec_encoder": {"type": "pool"}}


def build(**encoders: Any) -> Model:
    vocab = Vocabulary({"labels": {"a": 1, "b": 1}})
    config = {"type": "basic_image_classifier", **encoders}
    with torch.device("meta"):
        return Model.from_params(config, vocab=vocab)


@pytest.mark.parametrize(
    ("encoders", "count"),
    [
        (VIT, 6 + 1),
        ({**POOL, "im2im_encoder": {"type": "cifar_resnet", "depth": 20}}, 3 + 1),
        ({**POOL, "im2im_encoder": {"type": "timm", "model": "resnet10t"}}, 4 + 1),
        ({"im2vec_encoder": {"type": "timm", "model": "swin_tiny_patch4_window7_224"}}, 3 + 1),
        ({"im2vec_encoder": {"type": "torchvision", "model": "vit_b_16"}}, 12 + 1),
        ({"im2vec_encoder": {"type": "torchvision", "model": "densenet121"}}, 4 + 1),
    ],
    ids=str,
)
def test_each_parameter_is_in_one_group(encoders: dict[str, Any], count: int) -> None:
    model = build(**encoders)
    names = [name for name, _ in model.named_parameters()]
    for blocks in (1, 2, 5):
        rules = read_rules(groups_by_depth(model, blocks))
        assert list(assignment_faults(rules, names)) == []
        held = [[name for name in names if rule.holds(name)] for rule in rules]
        assert sorted(name for group in held for name in group) == sorted(names)
        assert held[-1] == ["_classification_layer.weight", "_classification_layer.bias"]
        assert len(held) == -(-(count - 1) // blocks) + 1


def test_the_groups_of_a_vision_transformer() -> None:
    first, second, *_, last, head = groups_by_depth(build(**VIT))
    assert second == [[r"^_im2vec_encoder\.model\.blocks\.1\."]]
    assert set(first[0]) == {
        r"^_im2vec_encoder\.model\.cls_token$",
        r"^_im2vec_encoder\.model\.pos_embed$",
        r"^_im2vec_encoder\.model\.patch_embed\.",
        r"^_im2vec_encoder\.model\.blocks\.0\.",
    }
    assert set(last[0]) == {
        r"^_im2vec_encoder\.model\.blocks\.5\.",
        r"^_im2vec_encoder\.model\.norm\.",
    }
    assert head == [[r"^_classification_layer\."]]


def test_a_model_without_blocks_that_train_is_refused() -> None:
    frozen = {"im2vec_encoder": {**VIT["im2vec_encoder"], "requires_grad": False}}
    with pytest.raises(ConfigurationError, match="no numbered parts in a row that train"):
        groups_by_depth(build(**frozen))


def test_gradual_unfreezing_trains_a_vision_transformer_from_its_last_block_on(
    tmp_path: Path,
) -> None:
    generator = np.random.default_rng(0)
    for label, value in (("dark", 30), ("light", 220)):
        (tmp_path / "train" / label).mkdir(parents=True)
        for number in range(3):
            pixels = generator.integers(value - 20, value + 20, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / label / f"{number}.png")
    states: list[dict[str, torch.Tensor]] = []

    @TrainerCallback.register("keeps_states", exist_ok=True)
    class KeepsStates(TrainerCallback):
        def on_start(self, trainer: Any, is_primary: bool = True) -> None:
            self.keep(trainer)

        def on_epoch(self, trainer: Any, metrics: Any, epoch: int, is_primary: bool = True) -> None:
            self.keep(trainer)

        def keep(self, trainer: Any) -> None:
            parameters = trainer.model.named_parameters()
            states.append({name: p.detach().clone() for name, p in parameters})

    groups = groups_by_depth(build(**VIT), blocks_per_group=3)
    config = {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [{"type": "resize", "height": 32, "width": 32}, {"type": "normalize"}],
        },
        "train_data_path": str(tmp_path / "train"),
        "model": {"type": "basic_image_classifier", **VIT},
        "data_loader": {"batch_size": 6},
        "trainer": {
            "num_epochs": 3,
            "cuda_device": -1,
            "optimizer": {"type": "adamw", "lr": 1e-3, "parameter_groups": groups},
            "learning_rate_scheduler": {
                "type": "slanted_triangular",
                "num_epochs": 3,
                "gradual_unfreezing": True,
                "discriminative_fine_tuning": True,
            },
            "callbacks": ["keeps_states"],
        },
    }
    train(Params(json.loads(json.dumps(config))), tmp_path / "run")
    rules = read_rules(groups)
    for epoch in range(3):
        before, after = states[epoch], states[epoch + 1]
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        trained = [name for name in before if any(rule.holds(name) for rule in rules[2 - epoch :])]
        assert moved == set(trained)
