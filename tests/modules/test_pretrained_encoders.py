from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common.config.params import Params
from allencv_al.common.errors import WeightsError
from allencv_al.modules.pretrained_encoders import EncoderName, Preprocessing

LITE0 = {"type": "timm", "model": "tf_efficientnet_lite0"}


def steps(augmentation: list[Any], encoder: Any = LITE0, **keys: Any) -> list[Any]:
    """Return the transforms that an experiment's config holds after it is read."""
    config = {
        "train_data_path": "photos",
        "dataset_reader": {"type": "image_classification_directory", "augmentation": augmentation},
        "model": {"type": "basic_image_classifier", "im2im_encoder": encoder},
        **keys,
    }
    found: list[Any] = Params(config).as_dict()["dataset_reader"]["augmentation"]
    return found


def test_one_word_becomes_the_numbers_of_the_model() -> None:
    (step,) = steps(["pretrained"], {"type": "torchvision", "model": "squeezenet1_1"})
    assert step == {
        "type": "pretrained",
        "height": 224,
        "width": 224,
        "resize": 256,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "smooth",
    }


def test_what_is_given_wins_and_the_margin_stays_in_proportion() -> None:
    (step,) = steps([{"type": "pretrained", "height": 96, "std": [1, 1, 1]}])
    assert (step["height"], step["width"], step["resize"]) == (96, 96, 109)  # 96 / 0.875
    assert step["std"] == [1, 1, 1]
    (step,) = steps([{"type": "pretrained", "resize": 224}])
    assert (step["height"], step["resize"]) == (224, 224)


def test_an_encoder_that_is_built_for_a_size_gets_images_of_it() -> None:
    encoder = {"type": "timm", "model": "vit_small_patch14_dinov2", "img_size": 224}
    (step,) = steps(["pretrained"], encoder)  # published: 518 pixels, nothing cut off
    assert (step["height"], step["width"], step["resize"]) == (224, 224, 224)
    (step,) = steps([{"type": "pretrained", "height": 210}], encoder)
    assert (step["height"], step["width"], step["resize"]) == (210, 210, 210)


def test_a_transform_may_name_another_network() -> None:
    (step,) = steps([{"type": "pretrained", "model": "torchvision:inception_v3"}])
    assert (step["height"], step["resize"]) == (299, 342)


def test_numbers_of_an_archive_stay() -> None:
    (before,) = steps(["pretrained"])
    before["mean"] = [0.1, 0.2, 0.3]  # of an older version of the library
    assert steps([before]) == [before]


def test_both_readers_are_completed_and_other_transforms_stay() -> None:
    reader = {"type": "manifest", "augmentation": ["pretrained", "horizontal_flip"]}
    config = Params(
        {
            "train_data_path": "photos",
            "validation_dataset_reader": reader,
            "model": {"im2im_encoder": {"type": "pretrained_resnet", "resnet_model": "resnet18"}},
        }
    ).as_dict()
    first, second = config["validation_dataset_reader"]["augmentation"]
    assert (first["height"], second) == (224, "horizontal_flip")


@pytest.mark.parametrize(
    "encoder",
    [
        None,
        "timm",
        {"type": "cifar_resnet"},
        {"type": "timm", "model": "no_model"},
        {"type": "timm", "model": 3},
        {"type": "timm", "model": "resnet18.no_tag"},
        {"type": "torchvision", "model": "no_model"},
        {"type": "timm", "model": "resnet18", "weights_file": "package:none"},
    ],
)
def test_without_a_known_network_the_word_stays_for_the_check(encoder: Any) -> None:
    assert steps(["pretrained"], encoder) == ["pretrained"]


@pytest.mark.parametrize("augmentation", [None, 3, "pretrained", [3, None, {"type": 3}]])
def test_a_wrong_config_is_left_to_the_check(augmentation: Any) -> None:
    assert steps(augmentation) == augmentation


def test_numbers_of_a_package_are_its_own() -> None:
    found = EncoderName.parse("offline").preprocessing()
    assert found is not None
    assert found.mean == (127 / 255,) * 3
    assert found.std == (128 / 255,) * 3


def test_numbers_of_a_folder_of_weights_are_its_own(tmp_path: Path) -> None:
    settings = {"input_size": [3, 160, 160], "mean": [0.1] * 3, "std": [0.2] * 3, "crop_pct": 0.8}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": settings}))
    found = EncoderName("timm", "resnet18", str(tmp_path)).preprocessing()
    assert found == Preprocessing(160, 160, 200, (0.1,) * 3, (0.2,) * 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"input_size": "large"},
        {"input_size": [3, 160]},
        {"input_size": [3, 0.5, 160]},
        {"crop_pct": "much"},
        {"mean": "gray"},
        {"std": ["dark"] * 3},
    ],
)
def test_wrong_numbers_in_a_folder_of_weights_are_its_fault(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": settings}))
    with pytest.raises(WeightsError, match=rf"{tmp_path}: .*pretrained_cfg"):
        EncoderName("timm", "resnet18", str(tmp_path)).preprocessing()


@pytest.mark.parametrize(
    ("text", "library", "model", "weights"),
    [
        ("offline", "timm", "tf_efficientnet_lite0", "package:efficientnet_lite0"),
        ("timm:resnet18", "timm", "resnet18", None),
        ("timm:resnet18:a:b.pth", "timm", "resnet18", "a:b.pth"),
        ("torchvision:resnet18:IMAGENET1K_V1", "torchvision", "resnet18", "IMAGENET1K_V1"),
        ("squeezenet1_1", "torchvision", "squeezenet1_1", None),
        ("squeezenet1_1:w.pth", "torchvision", "squeezenet1_1", "w.pth"),
    ],
)
def test_names_have_a_library_a_model_and_weights(
    text: str, library: str, model: str, weights: str | None
) -> None:
    assert EncoderName.parse(text) == EncoderName(library, model, weights)


@pytest.mark.parametrize("text", ["offline", "timm:resnet18", "resnet18", "resnet18:w.pth"])
def test_a_name_and_its_config_mean_the_same_network(text: str) -> None:
    name = EncoderName.parse(text)
    back = EncoderName.of_config(name.config())
    assert back is not None
    assert (back.library, back.model) == (name.library, name.model)
    assert back.weights == (name.weights or ("DEFAULT" if name.library == "torchvision" else None))


@pytest.mark.parametrize("model", ["resnet18", "convnext_tiny", "tf_efficientnet_b0"])
def test_numbers_of_timm_are_those_of_its_own_transform(model: str) -> None:
    import timm
    from timm.data import create_transform, resolve_model_data_config

    settings = resolve_model_data_config(timm.create_model(model))
    theirs = {type(step).__name__: step for step in create_transform(**settings).transforms}
    found = EncoderName("timm", model).preprocessing()
    assert found is not None
    assert theirs["Resize"].size == found.resize
    assert theirs["CenterCrop"].size == (found.height, found.width)
    assert theirs["Normalize"].mean.tolist() == pytest.approx(found.mean)
