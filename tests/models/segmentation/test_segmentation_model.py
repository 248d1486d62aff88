"""The loss, the metrics and the outputs of models of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from allencv_al.common.errors import DataError
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model
from allencv_al.models.segmentation.segmentation_model import SegmentationModel
from allencv_al.predictors.prediction_json import rows_of_outputs

VOID = 255


def build(classes: int = 3, vocab: Vocabulary | None = None, **changes: Any) -> SegmentationModel:
    torch.manual_seed(0)
    model = Model.from_params(
        {
            "type": "semantic_segmentation",
            "encoder": {"type": "conv_maps", "base_channels": 4, "num_levels": 2},
            "decoder": {"type": "unet"},
            "num_classes": classes,
            **changes,
        },
        vocab=vocab or Vocabulary({}),
    )
    assert isinstance(model, SegmentationModel)
    return model


def batch(seed: int = 0, size: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(3, (size, 9, 7), generator=generator)
    masks[0] = VOID
    masks[1, :4] = VOID
    return torch.rand(size, 3, 9, 7, generator=generator), masks


def test_the_loss_is_the_mean_over_known_pixels_however_they_are_cut() -> None:
    model, (images, masks) = build().eval(), batch()
    outputs = model(images, mask=masks)
    assert outputs["logits"].shape == (6, 3, 9, 7)
    torch.testing.assert_close(
        outputs["loss"], F.cross_entropy(outputs["logits"], masks, ignore_index=VOID)
    )
    total = weight = 0.0
    for part in (slice(0, 1), slice(1, 3), slice(3, 6)):
        inputs = {"image": images[part], "mask": masks[part]}
        of_part = float(model.loss_weight(inputs, len(inputs["image"])))
        total += model(**inputs)["loss"].item() * of_part
        weight += of_part
    assert total / weight == pytest.approx(outputs["loss"].item(), rel=1e-5)


def test_a_batch_of_void_alone_has_the_loss_0() -> None:
    model = build()
    loss = model(batch()[0], mask=torch.full((6, 9, 7), VOID))["loss"]
    loss.backward()
    assert loss.item() == 0


def test_an_index_of_no_class_is_named() -> None:
    images, masks = batch()
    masks[2, 0, 0] = 3
    with pytest.raises(DataError, match=r"class index 3: expected 0 to 2, .* set num_"):
        build()(images, mask=masks)


def test_pixels_are_drawn_in_training_only() -> None:
    model, (images, masks) = build(batch_size_per_image=10, sample_positive_fraction=0.5), batch()
    masks = masks.where((masks == 0) | (masks == VOID), 1)
    kinds = masks.where(masks != VOID, 0)
    drawn = model._sampled(kinds, masks != VOID)
    assert drawn.flatten(1).sum(1).tolist() == [0, 10, 10, 10, 10, 10]
    assert ((masks == 1) & drawn).flatten(1).sum(1).tolist() == [0, 5, 5, 5, 5, 5]
    whole = model.eval()(images, mask=masks)
    expected = F.cross_entropy(whole["logits"], masks, ignore_index=VOID)
    torch.testing.assert_close(whole["loss"], expected)


def test_metrics_of_training_and_evaluation_are_apart() -> None:
    model, (images, masks) = build(metrics=["macro_f1"]), batch()
    model(images, mask=masks)
    training = model.collect_metrics()
    assert training["macro_f1"] == pytest.approx(training["mean_dice"])
    other = build(metrics=["macro_f1"])
    other.load_metric_state(model.metric_state())
    assert other.collect_metrics() == training
    predicted = model.eval()(images, mask=masks)["predicted_mask"]
    found, known = model.collect_metrics(reset=True), masks != VOID
    assert found["accuracy"] == pytest.approx(float((predicted == masks)[known].float().mean()))
    assert list(found["per_class_iou"]) == ["0", "1", "2"]
    assert model.collect_metrics()["miou"] == 0


def test_classes_have_the_names_of_a_vocabulary_of_their_number() -> None:
    names = Vocabulary({"labels": {"cat": 1, "dog": 1, "sky": 1}})
    assert build(3, names).class_names() == ["cat", "dog", "sky"]
    assert build(4, names).class_names() == ["0", "1", "2", "3"]


def test_readable_outputs_are_pictures_and_shares() -> None:
    model = build().eval()
    outputs = model(batch()[0])
    assert "loss" not in outputs
    readable = model.make_output_human_readable(dict(outputs))
    mask = readable["mask"][1]
    np.testing.assert_array_equal(np.asarray(mask), outputs["predicted_mask"][1].numpy())
    assert mask.mode == "P" and mask.getpalette()[:6] == [0, 0, 0, 128, 0, 0]  # Pascal VOC's
    shares = readable["shares"][1]
    assert sum(shares.values()) == pytest.approx(1)
    row = rows_of_outputs(readable, 6)[1]
    assert row["mask"]["size"] == [9, 7] and len(row["mask"]["png"]) < 1300


def test_the_embedding_is_the_mean_of_the_coarsest_map() -> None:
    model, images = build().eval(), batch()[0]
    vectors = model.embed(images)
    assert vectors.shape == (6, 8)
    torch.testing.assert_close(vectors, model.deepest_map(images).mean((2, 3)))


def test_pixels_become_right_by_training() -> None:
    model, (images, _) = build(2), batch()
    masks = (images[:, 0] > 0.5).long()  # a task of single pixels
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(30):
        optimizer.zero_grad()
        model(images, mask=masks)["loss"].backward()
        optimizer.step()
    model.collect_metrics(reset=True)
    model(images, mask=masks)
    assert model.collect_metrics()["miou"] > 0.8
