from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from allencv_al.common.errors import TrainingError
from allencv_al.data.batch import Batch
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.modules.im2vec_encoders.flatten import FlattenEncoder
from allencv_al.training.evaluation import evaluate

Make = Callable[..., Any]


def test_metrics_are_those_of_one_pass(small_model: Make, small_loader: Any) -> None:
    model, loader = small_model(), small_loader(count=3)
    found = evaluate(model, loader, description=None)
    model.eval()
    losses, right, total = [], 0, 0
    for batch in loader.batches(0):
        with torch.no_grad():
            outputs = model(**batch.tensors)
        losses.append(outputs["loss"].item())
        right += int((outputs["logits"].argmax(-1) == batch.tensors["label"]).sum())
        total += len(batch)
    assert found["loss"] == pytest.approx(sum(losses) / 3)
    assert found["accuracy"] == pytest.approx(right / total)


def test_it_changes_nothing_in_the_model(small_model: Make, small_loader: Any) -> None:
    model = small_model()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, small_loader(), description=None)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()
    evaluate(model, small_loader(), description=None)
    assert not model.training


def test_numbers_too_small_to_compute_with_fast_are_zero(
    small_model: Make, small_loader: Any, tiny_product: Callable[[], float]
) -> None:
    model, seen = small_model(), []
    model.register_forward_hook(lambda *_: seen.append(tiny_product()))
    evaluate(model, small_loader(count=3), description=None)
    assert seen == [0.0] * 3
    assert tiny_product() > 0


def test_what_was_counted_before_does_not_count(small_model: Make, small_loader: Any) -> None:
    model, loader = small_model(), small_loader()
    first = evaluate(model, loader, description=None)
    model.eval()
    model(**next(loader.batches(5)).tensors)
    assert evaluate(model, loader, description=None) == first


def test_the_metrics_tensors_can_be_changed_by_training_afterwards(
    small_model: Make, small_loader: Any
) -> None:
    model, loader = small_model(), small_loader()
    evaluate(model, loader, description=None)
    model.train()
    model(**next(loader.batches(0)).tensors)["loss"].backward()


def test_unlabeled_items_have_no_loss(small_model: Make, small_loader: Any) -> None:
    loader = small_loader()
    to_device = loader.to_device
    loader.to_device = lambda *args, **kwargs: {"image": to_device(*args, **kwargs)["image"]}
    assert "loss" not in evaluate(small_model(), loader, description=None)


def test_the_hook_sees_ids_and_outputs_in_order(small_model: Make, small_loader: Any) -> None:
    loader = small_loader(count=2)
    seen: list[tuple[list[str], int]] = []
    evaluate(
        small_model(),
        loader,
        on_batch=lambda ids, outputs: seen.append((ids, len(outputs["logits"]))),
        description=None,
    )
    assert [ids for ids, _ in seen] == [batch.ids for batch in loader.batches(0)]
    assert [size for _, size in seen] == [6, 6]


def limit_memory(model: Any, most: int, calls: list[int]) -> None:
    forward = model.forward

    def limited(image: torch.Tensor, label: torch.Tensor | None = None) -> dict[str, Any]:
        calls.append(len(image))
        if len(image) > most:
            raise torch.OutOfMemoryError("out of memory")
        outputs: dict[str, Any] = forward(image, label)
        return outputs

    model.forward = limited


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_out_of_memory_halves_the_batch_and_the_metrics_stay(
    small_model: Make, small_loader: Any, most: int
) -> None:
    loader = small_loader(count=3)
    whole = evaluate(small_model(), loader, description=None)
    model, calls, ids = small_model(), list[int](), list[str]()
    limit_memory(model, most, calls)
    found = evaluate(model, loader, on_batch=lambda i, _: ids.extend(i), description=None)
    assert found["loss"] == pytest.approx(whole.pop("loss"), abs=1e-6)
    assert found == {**whole, "loss": found["loss"]}
    assert ids == [id for batch in loader.batches(0) for id in batch.ids]
    assert sum(size > most for size in calls) <= 3, "the smaller size must be remembered"


def test_one_image_that_does_not_fit_is_an_error(small_model: Make, small_loader: Any) -> None:
    model = small_model()
    limit_memory(model, 0, [])
    with pytest.raises(TrainingError, match="one image does not fit"):
        evaluate(model, small_loader(), description=None)


def test_progress_goes_to_stderr_only(
    small_model: Make, small_loader: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluate(small_model(), small_loader())
    assert capfd.readouterr().out == ""


def classifier(classes: int = 3, **options: Any) -> BasicImageClassifier:
    torch.manual_seed(3)
    vocab = Vocabulary({"labels": dict.fromkeys("abcde"[:classes], 1)})
    return BasicImageClassifier(vocab, FlattenEncoder(3, 4, 4), **options)


class Batches:
    """Ten labeled images, cut as asked."""

    def __init__(self, size: int) -> None:
        generator = torch.Generator().manual_seed(5)
        self.image = torch.rand(10, 3, 4, 4, generator=generator)
        self.label = torch.tensor([0, 0, 0, 1, 2, 2, 1, 0, 1, 2])
        self.size = size

    def __len__(self) -> int:
        return -(-10 // self.size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for index, begin in enumerate(range(0, 10, self.size)):
            part = slice(begin, begin + self.size)
            tensors = {"image": self.image[part], "label": self.label[part]}
            yield Batch(tensors, [str(i) for i in range(10)][part], index=index)

    def to_device(self, batch: Batch, **given: Any) -> dict[str, Any]:
        return batch.tensors


@pytest.mark.parametrize("size", [1, 3, 4, 7, 9, 10])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.2},
        {"class_weights": [0.0, 1.0, 5.0]},
        {"class_weights": {"a": 0.0, "c": 0.25}, "label_smoothing": 0.1},
        {"loss": "multi_margin"},
        {"loss": "multi_margin", "class_weights": [0.5, 1.0, 2.0]},
    ],
)
def test_the_loss_is_torchs_over_all_items_however_they_are_cut(
    options: dict[str, Any], size: int
) -> None:
    model, data = classifier(**options), Batches(size)
    with torch.no_grad():
        logits = model.eval()(data.image)["logits"]
    weights = options.get("class_weights")
    if isinstance(weights, dict):
        weights = [weights.get(name, 1.0) for name in "abc"]
    weight = None if weights is None else torch.tensor(weights)
    if options.get("loss") == "multi_margin":
        expected = F.multi_margin_loss(logits, data.label, weight=weight)
    else:
        smoothing = options.get("label_smoothing", 0.0)
        expected = F.cross_entropy(logits, data.label, weight, label_smoothing=smoothing)
    loader: Any = data
    found = evaluate(model, loader, description=None)["loss"]
    assert found == pytest.approx(expected.item(), abs=1e-6)


def test_a_model_that_says_nothing_of_its_loss_has_the_mean_over_items(small_model: Make) -> None:
    losses = [evaluate(small_model(), _any(Batches(n)), description=None)["loss"] for n in (4, 10)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def _any(value: Any) -> Any:
    return value
