"""Blocks of outputs: rows in files above a limit, and the thread that writes."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.pool_scores import Stopped, same, stop_after

from allencv_al.active_learning import ScoringOptions, compute_outputs
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.predictors import Predictor

QUIET = ScoringOptions(batch_size=3, block_size=4, mc_samples=5, description=None)


DROPOUT = {"model.dropout": 0.5}


Make = Callable[..., Predictor]


def test_much_goes_to_files_that_no_one_need_remove(
    make: Make, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    needs = {"logits", "mc_logits", "embeddings"}
    expected = compute_outputs(make(DROPOUT), dataset, needs, options=QUIET)
    assert not isinstance(expected.logits, np.memmap)
    for limit in (0, 1e-4, 5e-4, 1e-3):  # from the first block on, from a later one on
        options = replace(QUIET, block_size=2, batch_size=2, memory_limit_mb=limit)
        outputs = compute_outputs(make(DROPOUT), dataset, needs, options=options)
        assert isinstance(outputs.mc_logits, np.memmap)
        same(outputs, expected)
        with pytest.raises(ValueError, match="read-only"):
            outputs.mc_logits[:] = 0
    assert [path for path in tmp_path.iterdir() if path.name.startswith("allencv_al-")] == []


def test_no_room_for_what_is_over_the_limit_is_explained(
    make: Make, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    options = replace(QUIET, memory_limit_mb=0)
    with pytest.raises(DataError, match=r"absent: No such file.*set TMPDIR to another place"):
        compute_outputs(make(), dataset, {"logits"}, options=options)


@pytest.mark.parametrize("folder", [None, "outputs"])
def test_no_thread_is_left_behind_by_an_error(
    make: Make, dataset: Dataset, tmp_path: Path, folder: str | None
) -> None:
    failing = make()
    stop_after(failing, 1)
    place = None if folder is None else tmp_path / folder
    with pytest.raises(Stopped) as caught:
        compute_outputs(failing, dataset, {"logits"}, place, QUIET)
    assert caught.traceback  # which holds on to all that was running
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("decode", "outputs"))]
