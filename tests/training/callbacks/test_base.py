"""Every registered callback takes part."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common import Lazy
from allencv_al.common.errors import CheckpointError, TrainingError
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.callbacks.standard_callbacks import MetricsJsonlCallback
from allencv_al.training.interruption import TrainingInterrupted

Make = Callable[..., Any]


def given(callback: Any) -> list[Lazy[Any]]:
    return [Lazy.wrap(callback)]


@pytest.mark.parametrize("name", TrainerCallback.list_available())
def test_every_registered_callback_takes_part(
    name: str, make_trainer: Make, tmp_path: Path
) -> None:
    callback = TrainerCallback.from_params(name, serialization_dir=tmp_path)
    assert isinstance(callback, TrainerCallback)
    make_trainer(tmp_path, num_epochs=1, callbacks=given(callback)).train()


def test_a_default_callback_that_is_listed_takes_part_once(
    make_trainer: Make, tmp_path: Path
) -> None:
    trainer = make_trainer(
        tmp_path, enable_default_callbacks=True, callbacks=[Lazy(MetricsJsonlCallback)]
    )
    kinds = [type(callback).__name__ for callback in trainer.callbacks]
    assert sorted(kinds) == sorted(set(kinds))


Make = Callable[..., Any]


class Recorder(TrainerCallback):
    """Notes when it is called, and with what."""

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        super().__init__(serialization_dir)
        self.calls: list[Any] = []

    def on_start(self, trainer: Any, is_primary: bool = True) -> None:
        self.calls.append("start")

    def on_batch(self, trainer: Any, **given: Any) -> None:  # type: ignore[override]
        assert given["batch_inputs"][0]["image"].shape == (6, 3, 6, 6)
        assert given["batch_outputs"][0]["logits"].shape == (6, 3)
        assert given["batch_metrics"]["loss"].shape == ()
        assert given["is_training"]
        self.calls.append((given["epoch"], given["batch_number"]))

    def on_epoch(
        self, trainer: Any, metrics: dict[str, Any], epoch: int, is_primary: bool = True
    ) -> None:
        assert metrics["epoch"] == epoch
        self.calls.append(f"epoch {epoch}")

    def on_end(
        self,
        trainer: Any,
        metrics: dict[str, Any] | None = None,
        epoch: int | None = None,
        is_primary: bool = True,
    ) -> None:
        self.calls.append(("end", metrics is not None, epoch))


def test_a_callback_is_called_at_its_moments(make_trainer: Make, small_loader: Any) -> None:
    recorder = Recorder()
    make_trainer(data_loader=small_loader(count=2), num_epochs=2, callbacks=given(recorder)).train()
    assert recorder.calls == [
        "start", (0, 1), (0, 2), "epoch 0", (1, 1), (1, 2), "epoch 1", ("end", True, 1),
    ]  # fmt: skip


def test_the_end_is_told_of_a_failure_too(make_trainer: Make, small_loader: Any) -> None:
    recorder, loader = Recorder(), small_loader()

    def fail(epoch: int, index: int) -> None:
        if epoch == 1:
            raise TrainingError("no")

    loader.hook = fail
    with pytest.raises(TrainingError):
        make_trainer(data_loader=loader, callbacks=given(recorder)).train()
    assert recorder.calls[-1] == ("end", False, 0)


def test_outputs_are_kept_only_for_a_callback_that_wants_them(make_trainer: Make) -> None:
    trainer = make_trainer(num_epochs=1, callbacks=given(MetricsJsonlCallback()))
    trainer.train()
    assert trainer.step.inputs == []
    assert trainer.step.outputs == []


def test_a_callback_can_compute_the_gradients(make_trainer: Make, small_loader: Any) -> None:
    class Tripled(TrainerCallback):
        def on_backward(
            self, trainer: Any, batch_outputs: dict[str, Any], backward_called: bool
        ) -> bool:
            (3 * batch_outputs["loss"]).backward()
            return True

    norms = []
    for callbacks in ([], given(Tripled())):
        loader = small_loader(count=1)
        trainer = make_trainer(
            data_loader=loader, num_epochs=1, grad_norm=True, callbacks=callbacks
        )
        trainer.train()
        norms.append(trainer.step.grad_norm.item())
    assert norms[1] == pytest.approx(3 * norms[0], rel=1e-4)


def test_the_state_of_a_callback_survives(
    make_trainer: Make, small_loader: Any, tmp_path: Path
) -> None:
    class Counter(TrainerCallback):
        count = 0

        def on_batch(self, trainer: Any, **given: Any) -> None:  # type: ignore[override]
            self.count += 1

        def state_dict(self) -> dict[str, Any]:
            return {"count": self.count}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.count = state_dict["count"]

    loader = small_loader()
    loader.hook = lambda epoch, index: (
        signal.raise_signal(signal.SIGINT) if (epoch, index) == (1, 3) else None
    )
    with pytest.raises(TrainingInterrupted):
        make_trainer(tmp_path, data_loader=loader, callbacks=given(Counter())).train()
    counter = Counter()
    make_trainer(tmp_path, callbacks=given(counter)).train(recover=True)
    assert counter.count == 15


def test_recovering_with_another_number_of_callbacks_is_an_error(
    make_trainer: Make, tmp_path: Path
) -> None:
    make_trainer(tmp_path).train()
    trainer = make_trainer(tmp_path, callbacks=given(Recorder()), run_confidence_checks=False)
    with_two = make_trainer(tmp_path, callbacks=[*given(Recorder()), *given(Recorder())])
    trainer.train(recover=True)
    with pytest.raises(CheckpointError, match="callbacks"):
        with_two.train(recover=True)
