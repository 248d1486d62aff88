"""Configs in the spelling of AllenCV's own fixtures run as they are, on data of the same layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.common.config.params import Params
from allencv_al.training.experiment import check_experiment

SIDE = 64
ANCHORS = {
    "anchor_sizes": [[32], [64], [128], [256], [512]],
    "anchor_aspect_ratios": [[0.5, 1.0, 2.0]] * 5,
}


def backbone(channels: int) -> dict[str, Any]:
    network = {"resnet_model": "resnet18", "pretrained": "false", "requires_grad": "true"}
    return {
        "type": "feature_pyramid",
        "backbone": {"type": "resnet_encoder", **network},
        "output_channels": channels,
    }


RPN = {
    "type": "rpn",
    "backbone": backbone(32),
    **ANCHORS,
    "match_thresh_high": 0.001,
    "match_thresh_low": 0.0,
    "batch_size_per_image": 10000000,
}
BOX_HEAD = {
    "matcher_high_thresh": 0.0001,
    "matcher_low_thresh": 0.0,
    "batch_size_per_image": 10000000,
    "feature_extractor": {
        "type": "flatten",
        "input_channels": 32,
        "input_height": 7,
        "input_width": 7,
        "feedforward": {
            "input_dim": 7 * 7 * 32,
            "num_layers": 2,
            "hidden_dims": [64, 64],
            "activations": "relu",
        },
    },
}
KEYPOINT_HEAD = {
    "feature_extractor": {
        "type": "feedforward",
        "input_channels": 32,
        "num_layers": 2,
        "hidden_channels": 16,
        "activations": "relu",
    },
    "pooler_resolution": 14,
}
MODELS: dict[str, dict[str, Any]] = {
    "segmentation": {
        "type": "semantic_segmentation",
        "encoder": backbone(64),
        "decoder": {
            "type": "basic",
            "input_scales": [1, 2, 4, 8],
            "input_channels": 64,
            "output_channels": 32,
        },
        "num_classes": 3,
        "batch_size_per_image": 500,
    },
    "rpn": RPN,
    "faster_rcnn": {
        "type": "faster_rcnn",
        "rpn": RPN,
        "train_rpn": False,
        "roi_box_head": BOX_HEAD,
    },
    "keypoint_rcnn": {
        "type": "keypoint_rcnn",
        "rpn": RPN,
        "train_rpn": False,
        "roi_box_head": BOX_HEAD,
        "roi_keypoint_head": KEYPOINT_HEAD,
        "num_keypoints": 4,
    },
}


def config_of(name: str) -> dict[str, Any]:
    resize = "keypoint_resize" if name == "keypoint_rcnn" else "resize"
    steps = [{"type": resize, "height": SIDE, "width": SIDE}, {"type": "normalize"}]
    reader: dict[str, Any] = {"type": "image_annotation", "augmentation": steps, "lazy": True}
    trainer: dict[str, Any] = {"num_epochs": 1, "should_log_learning_rate": True, "cuda_device": -1}
    trainer["optimizer"] = {"type": "adam", "lr": 1e-4}
    data = "image_annotation"
    if name == "segmentation":
        reader |= {"type": "paired_image", "mask_ext": ".png"}
        trainer["validation_metric"] = "+accuracy"
        data = "image_mask_reader"
    if name == "keypoint_rcnn":
        reader["keypoints"] = True
    return {
        "dataset_reader": reader,
        "validation_dataset_reader": json.loads(json.dumps(reader)),
        "train_data_path": data,
        "validation_data_path": data,
        "model": json.loads(json.dumps(MODELS[name])),
        "iterator": {"type": "basic", "batch_size": 4 if name == "segmentation" else 1},
        "trainer": trainer,
    }


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    for folder in ("image_annotation/annotations", "image_mask_reader/images"):
        Path(folder).mkdir(parents=True)
    Path("image_mask_reader/masks").mkdir()
    Image.fromarray(pixels).save("image_annotation/00001.jpg")
    one = {
        "bbox": [10, 15, 30, 25],
        "class": "bird",
        "num_keypoints": 4,
        "keypoints": [12, 17, 2, 20, 20, 2, 25, 30, 1, 0, 0, 0],
    }
    annotation = {"filename": "00001.jpg", "objects": [one]}
    Path("image_annotation/annotations/00001.json").write_text(
        json.dumps(annotation), encoding="utf-8"
    )
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 10:40], mask[30:50, 20:30], mask[9] = 1, 2, 255
    for number in range(4):
        Image.fromarray(pixels).save(f"image_mask_reader/images/{number}.jpg")
        palette = Image.fromarray(mask)
        palette.putpalette(list(range(256)) * 3)
        palette.save(f"image_mask_reader/masks/{number}.png")


@pytest.mark.parametrize("name", MODELS)
def test_a_config_has_no_faults(name: str) -> None:
    check_experiment(Params(config_of(name)), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_config_trains(name: str) -> None:
    Path("config.json").write_text(json.dumps(config_of(name)), encoding="utf-8")
    assert main(["train", "config.json", "-s", "run"]) == 0
    assert Path("run/model.tar.gz").is_file()
