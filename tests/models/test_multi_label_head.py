"""A sigmoid, a loss and a threshold for each class."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch.nn import functional as F

from allencv_al.active_learning.rounds.round_metrics import predicted_texts
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model, model_outputs
from allencv_al.models.multi_label_head import MultiLabelHead, balanced_weights
from allencv_al.selection.pool.pool_outputs import PoolOutputs


def random_batch(items: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(items, 3, generator=generator)
    return logits, (torch.rand(items, 3, generator=generator) < 0.3).float()


def test_the_loss_is_the_mean_over_all_known_pairs() -> None:
    logits, labels = random_batch()
    head = MultiLabelHead(3, 0.5)
    whole = head.losses(logits, labels, None)
    assert whole["loss"].item() == pytest.approx(
        F.binary_cross_entropy_with_logits(logits, labels).item()
    )
    unknown = labels.clone()
    unknown[::2, 1] = -1
    known = unknown >= 0
    found = head.losses(logits, unknown, None)
    by_pair = F.binary_cross_entropy_with_logits(logits[known], labels[known])
    assert found["loss"].item() == pytest.approx(by_pair.item())
    assert found["loss_sum"].item() == pytest.approx(by_pair.item() * int(known.sum()), rel=1e-5)
    weights = torch.tensor([1.0, 2.0, 0.5])
    weighted = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weights)
    assert head.losses(logits, labels, weights)["loss"].item() == pytest.approx(weighted.item())
    nothing = head.losses(logits, torch.full_like(labels, -1), None)
    assert nothing["loss"].item() == 0


def test_a_threshold_is_a_probability_and_closed_below() -> None:
    head = MultiLabelHead(1, 0.8)
    logits = torch.tensor([[0.79], [0.8], [0.9]], dtype=torch.float64).logit()
    assert head.decide(logits).flatten().tolist() == [False, True, True]


@pytest.mark.parametrize("needs_embedding", [False, True])
def test_outputs_for_strategies_and_rounds_follow_the_thresholds(needs_embedding: bool) -> None:
    vocab = Vocabulary.from_instances([Instance(name, b"", name) for name in "abc"])
    encoder = {"type": "conv_levels", "base_channels": 4}
    keys = {"im2im_encoder": encoder, "im2vec_encoder": "pool", "task": "multi_label"}
    model = Model.from_params({"type": "basic_image_classifier", **keys}, vocab=vocab).eval()
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(image=images)["label_logits"]
        # The first class is always told, the second never, the third of one half
        chosen = [logits[:, 0].min(), logits[:, 1].max() + 1, logits[:, 2].median() + 1e-6]
        model.several_classes.thresholds.copy_(torch.stack(chosen))
        needs = {"label_logits", *(["embeddings"] if needs_embedding else ())}
        found = model_outputs(model, images, needs)["label_logits"]
        told = model.make_output_human_readable(model(image=images))["classes"]
    outputs = PoolOutputs(list("123456"), label_logits=found.numpy())
    texts = predicted_texts(outputs, list("abc"), model.task)
    assert texts == [json.dumps(names) for names in told]
    assert {len(names) for names in told} == {1, 2}


def test_fitted_thresholds_have_the_largest_f1_of_each_class() -> None:
    logits, labels = random_batch()
    head = MultiLabelHead(3, "f1")
    labels[:, 2] = 0  # a class that no image shows keeps 0.5
    assert head.fit(logits.numpy(), labels.numpy()) == 2
    decided = head.decide(logits).numpy()
    for index in range(2):
        truth = labels[:, index].numpy()
        every = [f1_score(truth, logits[:, index].numpy() >= t) for t in logits[:, index].tolist()]
        assert f1_score(truth, decided[:, index]) == pytest.approx(max(every))
    assert head.thresholds[2] == 0
    copy = MultiLabelHead(3, "f1")
    copy.load_state_dict(head.state_dict())
    assert torch.equal(copy.decide(logits), head.decide(logits))


def test_balanced_weights_give_both_answers_the_same_sum() -> None:
    labels = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, -1]], np.float32)
    assert balanced_weights(labels).tolist() == [3, 1, 1]


def test_names_are_those_of_the_decided_classes() -> None:
    head = MultiLabelHead(2, 0.5)
    outputs = head.outputs(torch.tensor([[1.0, -1.0], [-1.0, -1.0]]))
    found = head.readable(outputs, ["cat", "dog"])
    assert found["classes"] == [["cat"], []]
    assert found["probabilities"][0] == {
        "cat": pytest.approx(0.731, abs=1e-3),
        "dog": pytest.approx(0.269, abs=1e-3),
    }
