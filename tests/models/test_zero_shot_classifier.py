"""Oracle: what open_clip itself makes of names, prompts and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from fixtures.tiny_clip import SIZE, write_tiny_clip

from allencv_al.common import ConfigurationError, Params
from allencv_al.common.config.config_check import check
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model, ZeroShotClassifier

CLASSES = ("ant_eater", "bee", "cat")
PROMPTS = ["a photo of a {}.", "art of the {}."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


def config(folder: Path, **changes: Any) -> dict[str, Any]:
    encoder = {"type": "open_clip", "weights": str(folder), "requires_grad": False}
    return {"type": "zero_shot_classifier", "im2vec_encoder": encoder, **changes}


def model(folder: Path, **changes: Any) -> ZeroShotClassifier:
    vocab = Vocabulary({"labels": dict.fromkeys(CLASSES, 1)})
    built = Model.from_params(Params(config(folder, **changes)), vocab=vocab)
    assert isinstance(built, ZeroShotClassifier)
    return built.eval()


@torch.no_grad()
def oracle(folder: Path, names: list[str], image: torch.Tensor) -> torch.Tensor:
    """Return open_clip's probabilities `[B, C]`."""
    network = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    weights = open_clip.build_zero_shot_classifier(network, tokenizer, names, PROMPTS)
    vectors = network.encode_image(image, normalize=True)
    return (network.logit_scale.exp() * vectors @ weights).softmax(dim=-1)


@pytest.mark.parametrize(
    ("descriptions", "names"),
    [
        ({}, ["ant eater", "bee", "cat"]),
        ({"cat": "small wild cat"}, ["ant eater", "bee", "small wild cat"]),
    ],
)
@torch.no_grad()
def test_probabilities_are_open_clips(
    folder: Path, descriptions: dict[str, str], names: list[str]
) -> None:
    image = torch.randn(7, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    expected = oracle(folder, names, image)
    found = model(folder, prompts=PROMPTS, class_descriptions=descriptions)(image)["probs"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.argmax(dim=1).unique().numel() > 1  # else everything would agree


@torch.no_grad()
def test_several_descriptions_are_averaged(folder: Path) -> None:
    both = model(folder, prompts=["{}"], class_descriptions={"bee": ["bee", "wasp"]})
    each = [model(folder, prompts=["{}"], class_descriptions={"bee": w}) for w in ("bee", "wasp")]
    mean = sum(part.text_layer[1] for part in each)
    cosine = torch.nn.functional.cosine_similarity(both.text_layer[1], mean, dim=0)
    assert cosine == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_descriptions": {"ca": "cat"}}, '"ca" is no class; did you mean "cat"'),
        ({"prompts": ["a photo"]}, r"prompts: expected one \{\} for the class in each"),
        ({"prompts": []}, "prompts: expected non-empty list"),
    ],
)
def test_wrong_texts_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        model(folder, **changes)


@pytest.mark.parametrize(
    ("encoder", "path"),
    [
        ({"type": "timm", "model": "test_vit"}, "im2vec_encoder"),
        ({"type": "open_clip", "model": "ViT-B-32"}, "im2vec_encoder.weights"),
    ],
)
def test_an_encoder_without_texts_is_a_fault_of_the_config(
    encoder: dict[str, Any], path: str
) -> None:
    faults = check(ZeroShotClassifier, {"im2vec_encoder": encoder})
    assert [fault.path for fault in faults] == [path]
    vocab = Vocabulary({"labels": {"cat": 1}})
    with pytest.raises(ConfigurationError, match="whose text part makes the last layer"):
        Model.from_params(
            Params({"type": "zero_shot_classifier", "im2vec_encoder": encoder}), vocab=vocab
        )
