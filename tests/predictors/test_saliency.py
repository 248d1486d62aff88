"""Saliency: what is known in closed form, places that decide, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.frame import Frame
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import BasicImageClassifier, Model
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder
from allencv_al.predictors.outcomes import PredictionError
from allencv_al.predictors.predictor import Predictor
from allencv_al.predictors.saliency import (
    Saliency,
    has_saliency,
    saliency_of,
    smooth_gradients,
)

SIDE = 8
CLASSES = ("cat", "dog", "emu")


def vocabulary() -> Vocabulary:
    return Vocabulary({"labels": dict.fromkeys(CLASSES, 1)})


def classifier(**encoder: object) -> BasicImageClassifier:
    """A classifier of three classes."""
    torch.manual_seed(0)
    default = {"type": "flatten", "input_channels": 3, "input_height": SIDE, "input_width": SIDE}
    model = BasicImageClassifier.from_params(
        {"im2vec_encoder": encoder or default}, vocab=vocabulary()
    )
    return model.eval()


def predictor_of(model: Model, side: int = SIDE, **options: object) -> Predictor:
    resize = {"type": "resize", "height": side, "width": side}
    reader = ImageClassificationDirectory.from_params({"augmentation": [resize], **options})
    return Predictor.from_params({"type": "default_image"}, model=model, dataset_reader=reader)


def picture(width: int = SIDE, height: int = SIDE) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.mark.parametrize("index", [0, 2])
def test_the_gradient_of_a_linear_model_is_its_weights(index: int) -> None:
    model = classifier()
    found = saliency_of(predictor_of(model), picture(), CLASSES[index])
    weights = model.linear_layer.weight[index].detach().view(3, SIDE, SIDE)
    np.testing.assert_allclose(found.values, weights.abs().amax(dim=0).numpy(), rtol=1e-5)
    assert found.class_index == index


def test_the_class_is_the_predicted_one_by_default() -> None:
    predictor = predictor_of(classifier())
    assert (
        CLASSES[saliency_of(predictor, picture()).class_index]
        == (predictor.predict(picture())["class"])
    )


def test_it_agrees_with_finite_differences_of_a_network_that_is_not_linear() -> None:
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.GELU(), torch.nn.Flatten(),
        torch.nn.Linear(4 * SIDE * SIDE, 3),
    ).double()  # fmt: skip

    class Wrapped(Model):
        def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> dict:
            return {"logits": network(image)}

    image = torch.rand(1, 3, SIDE, SIDE, dtype=torch.float64)
    model = Wrapped(vocabulary())
    # The noise is that of the function: the mean over the same copies is differentiated
    found = smooth_gradients(model, image, 1, copies=4)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((4, 3, SIDE, SIDE), generator=generator)
    copies = image + 0.15 * float(image.max() - image.min()) * noise
    step = torch.zeros_like(image)
    step[0, 1, 3, 5] = 1e-4
    with torch.no_grad():
        above, below = (network(copies + sign * step)[:, 1].mean() for sign in (1, -1))
    assert float(found[1, 3, 5]) == pytest.approx(float((above - below) / 2e-4), rel=1e-5)


class CornerEncoder(Im2VecEncoder):
    """Sees the upper left quarter of an image only."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, :, : SIDE // 2, : SIDE // 2] ** 2).mean(dim=(2, 3))

    def get_output_dim(self) -> int:
        return 3

    def get_input_channels(self) -> int:
        return 3


def test_only_the_place_that_decides_is_salient() -> None:
    model = BasicImageClassifier(vocabulary(), im2vec_encoder=CornerEncoder())
    values = saliency_of(predictor_of(model), picture()).values
    corner = values[: SIDE // 2, : SIDE // 2]
    assert (corner > 0).all()
    assert values.sum() == pytest.approx(corner.sum())


def test_frozen_encoders_let_the_gradient_pass_and_learn_nothing() -> None:
    model = classifier(type="timm", model="test_vit", pretrained=False, requires_grad=False)
    predictor = predictor_of(model, side=160)
    model.train()
    modes = [module.training for module in model.modules()]
    found = saliency_of(predictor, picture(320, 160))
    assert found.values.shape == (160, 160)
    assert (found.values > 0).mean() > 0.9
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [module.training for module in model.modules()] == modes


def test_equal_images_have_equal_maps_whatever_ran_before() -> None:
    predictor = predictor_of(classifier(type="timm", model="test_vit", pretrained=False), side=160)
    first = saliency_of(predictor, picture()).values
    torch.rand(5)
    np.testing.assert_array_equal(saliency_of(predictor, picture()).values, first)


def test_the_overlay_lies_where_the_model_looked() -> None:
    values = np.zeros((10, 10), np.float32)
    values[:, 8:] = 1.0
    # The middle square of an image of 40 x 20, at half its size: 10 pixels are cut off on each side
    saliency = Saliency(values, Frame((40, 20), (0.5, 0, -5, 0, 0.5, 0)), 0)
    for size in ((40, 20), (80, 40)):
        opacity = np.asarray(saliency.overlay(size).getchannel("A"), np.float32)
        columns = opacity.mean(axis=0).reshape(40, -1).mean(axis=1)
        assert columns[32:].max() == 0
        assert columns[:10].max() == 0
        assert columns[27:29].min() > 100
        assert columns[12:18].max() < 20


def test_a_model_that_sees_nothing_gives_an_empty_overlay() -> None:
    saliency = Saliency(np.zeros((4, 4), np.float32), Frame((4, 4), (1, 0, 0, 0, 1, 0)), 0)
    assert np.asarray(saliency.overlay((4, 4)).getchannel("A")).max() == 0


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    model = classifier(type="pool", input_channels=3)
    with pytest.raises(PredictionError, match='"cow" is no class of the model'):
        saliency_of(predictor_of(model), picture(), "cow")
    with pytest.raises(PredictionError, match="sees 520 x 520 pixels of this image; expected 262,"):
        saliency_of(predictor_of(model, side=520), picture())
    broken = tmp_path / "a.png"
    broken.write_bytes(b"nothing")
    with pytest.raises(ImageDecodeError):
        saliency_of(predictor_of(model), broken)

    class WithoutGradients(Model):
        def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> dict:
            return {"logits": image.detach().mean(dim=(2, 3))}

    with pytest.raises(PredictionError, match="WithoutGradients gives no gradients"):
        saliency_of(predictor_of(WithoutGradients(vocabulary())), picture())

    class OfPixels(Model):
        def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> dict:
            return {"logits": image}

    with pytest.raises(PredictionError, match="OfPixels gives no logits"):
        saliency_of(predictor_of(OfPixels(vocabulary())), picture())


def test_without_time_the_first_copies_count() -> None:
    predictor = predictor_of(classifier(type="timm", model="test_vit", pretrained=False), side=160)
    model = predictor.model.eval()
    image = torch.rand(1, 3, 160, 160)
    expected = smooth_gradients(model, image, 1, copies=4)
    torch.testing.assert_close(smooth_gradients(model, image, 1, seconds=0.0), expected)


def test_models_of_places_have_no_saliency() -> None:
    predictor = predictor_of(classifier())
    assert has_saliency(predictor)
    predictor.model.label_task = "segmentation"  # type: ignore[misc]
    assert not has_saliency(predictor)
