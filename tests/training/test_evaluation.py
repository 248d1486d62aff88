from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from allencv_al.common.errors import TrainingError
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
