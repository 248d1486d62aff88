"""Segmentation from an encoder and a decoder of the config."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.config.specs.object_specs import ObjectSpec
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model

# AllenCV's fixture, with a smaller network
ALLENCV: dict[str, Any] = {
    "type": "semantic_segmentation",
    "encoder": {
        "type": "feature_pyramid",
        "output_channels": 8,
        "backbone": {
            "type": "resnet_encoder",
            "resnet_model": "resnet18",
            "pretrained": "false",
            "requires_grad": "true",
        },
    },
    "decoder": {
        "type": "basic",
        "input_scales": [1, 2, 4, 8],
        "input_channels": 8,
        "output_channels": 6,
    },
    "num_classes": 3,
    "batch_size_per_image": 500,
}


def test_allencvs_config_runs_on_any_size() -> None:
    model = Model.from_params(ALLENCV, vocab=Vocabulary({}))
    masks = torch.randint(3, (2, 35, 50))
    outputs = model(image=torch.rand(2, 3, 35, 50), mask=masks)  # type: ignore[call-arg]
    outputs["loss"].backward()
    assert outputs["logits"].shape == (2, 3, 35, 50)
    assert all(p.grad is not None for p in model._decoder.parameters())  # type: ignore[union-attr]


def view(**changes: Any) -> ConfigView:
    found = ObjectSpec(Model).view({**ALLENCV, **changes}, "model", Scope(assume_injected=True))
    assert isinstance(found, ConfigView)
    return found


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"encoder": ALLENCV["encoder"]["backbone"]},
            "model.decoder.input_channels: the encoder's maps have 64, 128, 256, 512 channels",
        ),
        (
            {"decoder": {**ALLENCV["decoder"], "input_scales": [1, 2, 4, 8, 16, 32]}},
            "model.decoder.input_scales: expected at most 5",
        ),
        ({"encoder": {"type": "timm", "model": "resnet10t", "input_channels": 1}}, "takes images"),
    ],
)
def test_what_does_not_fit_is_a_fault_of_the_config(changes: Any, fault: str) -> None:
    faults = [
        str(one)
        for one in Model.by_name(ALLENCV["type"]).shape_faults(view(**changes), (3, 64, 64))
    ]  # type: ignore[attr-defined]
    assert any(fault in one for one in faults), faults


def test_a_sound_config_has_no_fault() -> None:
    assert not list(Model.by_name(ALLENCV["type"]).shape_faults(view(), (3, None, None)))  # type: ignore[attr-defined]


def test_python_callers_get_the_same_error() -> None:
    config = {**ALLENCV, "encoder": {"type": "conv_maps", "base_channels": 4, "num_levels": 4}}
    with pytest.raises(ConfigurationError, match=r"decoder\.input_channels: the encoder's maps"):
        Model.from_params(config, vocab=Vocabulary({}))
