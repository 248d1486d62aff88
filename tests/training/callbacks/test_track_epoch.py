"""Models that know the epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allencv_al.common import Lazy
from allencv_al.training.callbacks import TrainerCallback

Make = Callable[..., Any]


def test_the_model_can_know_the_epoch(make_trainer: Make, small_model: Make) -> None:
    model = small_model()
    seen: list[int] = []
    forward = model.forward

    def spy(**inputs: Any) -> Any:
        seen.append(model.epoch)
        return forward(**inputs)

    model.forward = spy
    callback = Lazy(TrainerCallback.by_name("track_epoch_callback"))
    make_trainer(
        model=model, num_epochs=2, validation_data_loader=None, callbacks=[callback]
    ).train()
    assert seen == [0] * 5 + [1] * 5
