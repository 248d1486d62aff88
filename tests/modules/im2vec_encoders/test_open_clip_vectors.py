"""Oracle: open_clip itself, on a small model with random weights."""

from __future__ import annotations

import builtins
import json
import logging
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from fixtures.tiny_clip import MEAN, MODEL, SIZE, STD, write_tiny_clip

from allencv_al.common import ConfigurationError, Params
from allencv_al.common.errors import WeightsError
from allencv_al.modules.im2vec_encoders import Im2VecEncoder, OpenClipEncoder
from allencv_al.modules.pretrained_encoders import EncoderName, complete_preprocessing
from allencv_al.modules.weights import building_without_weights

TEXTS = [["a photo of a cat.", "a drawing of a cat."], ["a photo of a dog."]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


def images(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_vectors_of_images_are_open_clips(folder: Path) -> None:
    oracle = open_clip.create_model(f"local-dir:{folder}").eval()
    encoder = OpenClipEncoder(weights=str(folder)).eval()
    torch.testing.assert_close(
        encoder(images()), oracle.encode_image(images()), rtol=1e-5, atol=1e-5
    )


@torch.no_grad()
def test_vectors_of_texts_are_open_clips(folder: Path) -> None:
    oracle = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    templates = ["a photo of a {}.", "art of the {}."]
    expected = open_clip.build_zero_shot_classifier(oracle, tokenizer, ["cat", "dog"], templates)
    groups = [[template.format(name) for template in templates] for name in ("cat", "dog")]
    vectors, factor = OpenClipEncoder(weights=str(folder)).encode_texts(groups)
    torch.testing.assert_close(vectors, expected.T, rtol=1e-5, atol=1e-5)
    assert factor == pytest.approx(1 / 0.07)


@torch.no_grad()
def test_other_kinds_of_image_parts_give_what_open_clip_gives(tmp_path: Path) -> None:
    vision = MODEL["vision_cfg"] | {"pool_type": "avg", "output_tokens": True}
    folder = write_tiny_clip(tmp_path, vision_cfg=vision, custom_text=True)
    oracle = open_clip.create_model(f"local-dir:{folder}").eval()
    encoder = OpenClipEncoder(weights=str(folder)).eval()
    torch.testing.assert_close(encoder(images()), oracle.visual(images())[0])


@pytest.mark.slow
def test_a_file_of_weights_fits_the_model_of_its_name(tmp_path: Path) -> None:
    name = "ViT-S-32-alt"
    network = open_clip.create_model(name, pretrained_text=False)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    encoder = OpenClipEncoder(name, str(tmp_path / "w.pt"))
    assert torch.equal(encoder.model.state_dict()["proj"], network.visual.proj)


def test_an_archive_needs_no_folder(folder: Path) -> None:
    config: dict[str, Any] = {
        "model": {"im2vec_encoder": {"type": "open_clip", "weights": str(folder)}}
    }
    complete_preprocessing(config)
    encoder_config = config["model"]["im2vec_encoder"] | {"weights": "gone/elsewhere"}
    assert "text_cfg" not in encoder_config["model"]
    with building_without_weights():
        encoder = Im2VecEncoder.from_params(Params(encoder_config))
    encoder.load_state_dict(OpenClipEncoder(weights=str(folder)).state_dict())


def test_preprocessing_is_that_of_the_folder(folder: Path) -> None:
    found = EncoderName.parse(f"open_clip:{folder}").preprocessing()
    assert found is not None
    assert (found.height, found.width, found.resize) == (SIZE, SIZE, SIZE)
    assert (found.mean, found.std) == (MEAN, STD)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([1], "expected an object as preprocess_cfg"),
        ({"mean": 5}, "its preprocess_cfg is not open_clip's"),
        ({"std": ["dark"] * 3}, "its preprocess_cfg is not open_clip's"),
        ({"size": None}, "its preprocess_cfg is not open_clip's"),
        ({"size": [224]}, "its preprocess_cfg is not open_clip's"),
    ],
)
def test_damaged_preprocessing_is_a_fault_of_the_folder(
    tmp_path: Path, settings: Any, message: str
) -> None:
    description = {"model_cfg": MODEL, "preprocess_cfg": settings}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(description))
    with pytest.raises(WeightsError, match=message):
        EncoderName.parse(f"open_clip:{tmp_path}").preprocessing()


@pytest.mark.parametrize(
    ("name", "tag"), [("ViT-B-32", "laion2b_s34b_b79k"), ("ViT-B-16-SigLIP", "webli")]
)
def test_preprocessing_of_published_weights_is_open_clips(name: str, tag: str) -> None:
    settings = open_clip.get_pretrained_cfg(name, tag)
    found = EncoderName.parse(f"open_clip:{name}:{tag}").preprocessing()
    assert found is not None
    assert (found.height, found.width) == (224, 224)
    assert found.mean == tuple(settings["mean"])
    assert found.std == tuple(settings["std"])


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ({"model": "ViT-B-23"}, "model", 'no model "ViT-B-23"; did you mean "ViT-B-32'),
        ({}, "model", "expected a name, or as weights a folder with open_clip_config.json"),
        ({"model": {"embed_dim": 3}}, "model", "expected the model_cfg.* with vision_cfg"),
        ({"model": "ViT-B-32", "weights": "gold"}, "weights", 'no weights "gold" of ViT-B-32'),
        (
            {"model": "ViT-B-32", "weights": "openai"},
            "model",
            'another activation function: expected "ViT-B-32-quickgelu"',
        ),
        ({"model": "ViT-B-32", "weights": "no/w.pt"}, "weights", "no such file or folder"),
    ],
)
def test_wrong_names_are_faults_of_the_config(
    config: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"{path}: .*{message}"):
        Im2VecEncoder.from_params(Params({"type": "open_clip", **config}))


def test_a_folder_that_is_no_model_says_what_it_lacks(tmp_path: Path) -> None:
    config = {"type": "open_clip", "weights": str(tmp_path)}
    with pytest.raises(ConfigurationError, match=r"has no open_clip_config\.json"):
        Im2VecEncoder.from_params(Params(dict(config)))
    (tmp_path / "open_clip_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="cannot be read"):
        OpenClipEncoder(weights=str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL}))
    with pytest.raises(ConfigurationError, match="has no weights"):
        Im2VecEncoder.from_params(Params(dict(config)))
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="open_clip cannot load it"):
        OpenClipEncoder(weights=str(tmp_path))


def test_the_library_installs_no_handler_of_logs(folder: Path) -> None:
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        OpenClipEncoder(weights=str(folder)).encode_texts(TEXTS)
        assert root.handlers == []
    finally:
        root.handlers = handlers


def test_a_text_that_would_be_cut_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="has 32 tokens, and the model reads 24"):
        OpenClipEncoder(weights=str(folder)).encode_texts([["cat " * 30]])


def test_a_timm_network_comes_from_timm_alone() -> None:
    vision = {"timm_model_name": "hf-hub:owner/network", "image_size": 32}
    with pytest.raises(ConfigurationError, match="timm has no model"):
        OpenClipEncoder({"embed_dim": 8, "vision_cfg": vision})


def test_without_the_library_the_fault_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def refusing(name: str, *args: Any, **options: Any) -> Any:
        if name == "open_clip":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(ConfigurationError, match=r'pip install "allencv-al\[clip\]"'):
        Im2VecEncoder.from_params(Params({"type": "open_clip", "model": "ViT-B-32"}))
