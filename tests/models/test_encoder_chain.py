"""The encoders of a config, one behind the other: where they do not fit, and what is fixed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common.config.config_check import ConfigView, check
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.user_mistakes import UserCodeError
from allencv_al.models.encoder_chain import chain_faults, chain_is_fixed, is_fixed, map_shape
from allencv_al.models.model import Model
from allencv_al.modules.im2im_encoders import Im2ImEncoder
from allencv_al.modules.im2vec_encoders import PoolEncoder

IMAGES = (3, 32, 32)
FROZEN = {"type": "cifar_resnet", "depth": 8, "requires_grad": False}


def view(**encoders: Any) -> ConfigView:
    config = {"type": "basic_image_classifier", **encoders}
    found = spec_of(Model).view(config, "model", Scope(assume_injected=True))
    assert found is not None
    return found


def pool(channels: int) -> dict[str, Any]:
    return {"type": "pool", "input_channels": channels}


@pytest.mark.parametrize(
    ("encoders", "place"),
    [
        ({"im2im_encoder": FROZEN, "im2vec_encoder": pool(64)}, None),
        ({"im2im_encoder": FROZEN, "im2vec_encoder": pool(32)}, "model.im2vec_encoder"),
        ({"im2im_encoder": {**FROZEN, "input_channels": 1}, "im2vec_encoder": pool(64)}, "model"),
        ({"im2vec_encoder": pool(3)}, None),
        ({"im2vec_encoder": pool(4)}, "model.im2vec_encoder"),
    ],
)
def test_an_encoder_that_does_not_fit_is_the_place_of_the_fault(
    encoders: dict[str, Any], place: str | None
) -> None:
    faults = chain_faults(view(**encoders), IMAGES)
    assert [fault.path.startswith(str(place)) for fault in faults] == [True] * (place is not None)
    assert torch.get_default_device().type == "cpu"


def test_an_encoder_with_a_fault_of_its_own_is_not_built() -> None:
    wrong = view(im2im_encoder={**FROZEN, "input_channels": 1}, im2vec_encoder={"type": "pol"})
    assert not wrong.sound("im2vec_encoder")
    assert chain_faults(wrong, IMAGES) == [], "its own fault is told where its type is checked"
    assert not chain_is_fixed(wrong, IMAGES), "an encoder with a fault is never built"


def test_an_image_has_one_embedding_where_all_before_it_is_frozen() -> None:
    thawed = {**FROZEN, "requires_grad": True}
    assert chain_is_fixed(view(im2im_encoder=FROZEN, im2vec_encoder=pool(64)), IMAGES)
    assert not chain_is_fixed(view(im2im_encoder=thawed, im2vec_encoder=pool(64)), IMAGES)
    assert is_fixed(None, PoolEncoder(3))


def test_a_map_of_the_wrong_form_names_the_users_class() -> None:
    class Mine(Im2ImEncoder):
        def output_shape(self, channels: int, height: int | None, width: int | None) -> Any:
            return [channels]

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image

        def get_input_channels(self) -> int:
            return 3

    with pytest.raises(UserCodeError, match=r"Mine.output_shape: .*\(channels, height, width\)"):
        map_shape(Mine(), IMAGES)


CONFIG = {"type": "basic_image_classifier", "im2vec_encoder": "pool"}


def faults(**keys: Any) -> dict[str, str]:
    return {fault.path: fault.message for fault in check(Model, {**CONFIG, **keys})}


@pytest.mark.parametrize(
    ("key", "value"), [("loss", "multi_margin"), ("label_smoothing", 0.1), ("decision_class", "a")]
)
def test_what_is_of_one_class_per_image_is_refused_for_several(key: str, value: Any) -> None:
    assert key not in faults(**{key: value})
    assert key in faults(task="multi_label", **{key: value})


def test_thresholds_are_of_several_classes() -> None:
    assert "thresholds" in faults(thresholds="f1")
    assert "thresholds" not in faults(task="multi_label", thresholds="f1")
    assert "thresholds" in faults(task="multi_label", thresholds=1.5)
