"""What every loader shares: its registered names and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.data.data_loaders import DataLoader, MultiprocessDataLoader
from allencv_al.data.dataset_readers.base import Dataset
from tests.data.data_loaders.conftest import (
    VOCAB,
)

MakeDataset = Callable[..., Dataset]


@pytest.mark.parametrize("name", DataLoader.list_available())
def test_every_registered_name_makes_batches(name: str, in_memory: MakeDataset) -> None:
    loader = DataLoader.from_params(
        {"type": name, "batch_size": 4}, dataset=in_memory(10), vocab=VOCAB, seed=1
    )
    assert [len(batch) for batch in loader.batches(0)] == [4, 4, 2]
    loader.close()


def test_the_keys_of_old_configs_are_taken(in_memory: MakeDataset) -> None:
    def build(config: dict[str, Any]) -> DataLoader:
        return DataLoader.from_params(config, dataset=in_memory(10), vocab=VOCAB)

    of_0_9 = {
        "type": "basic",
        "batch_size": 4,
        "instances_per_epoch": 9,
        "max_instances_in_memory": 16384,
        "cache_instances": True,
        "track_epoch": False,
    }
    assert len(build(of_0_9)) == 3
    of_2 = {
        "batch_size": 4,
        "shuffle": False,
        "drop_last": True,
        "batches_per_epoch": 7,
        "num_workers": 0,
        "max_instances_in_memory": 100,
        "start_method": "spawn",
        "quiet": True,
    }
    assert len(build(of_2)) == 7


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": -3}, "batch_size"),
        ({"num_workers": -1}, "num_workers"),
        ({"batches_per_epoch": 0}, "batches_per_epoch"),
        ({"instances_per_epoch": 0}, "instances_per_epoch"),
        ({"batches_per_epoch": 2, "instances_per_epoch": 9}, "instances_per_epoch"),
        ({"prefetch_factor": -1}, "prefetch_factor"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor"),
    ],
)
def test_numbers_out_of_range_are_faults_of_the_config(
    in_memory: MakeDataset, options: dict[str, int], name: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: expected"):
        MultiprocessDataLoader(in_memory(5), VOCAB, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationFaults, match=f"  {name}: expected"):
        DataLoader.from_params(options, dataset=in_memory(5), vocab=VOCAB)
