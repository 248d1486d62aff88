"""Every registered callback takes part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common import Lazy
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.callbacks.metrics_jsonl import MetricsJsonlCallback

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
