"""The base of data loaders, and the order of batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.data.data_loaders import DataLoader, MultiprocessDataLoader
from allencv_al.data.data_loaders.base import BatchOrder, class_quotas
from allencv_al.data.dataset_readers.base import Dataset
from tests.data.data_loaders.conftest import (
    VOCAB,
)

orders = st.builds(
    BatchOrder,
    size=st.integers(1, 30),
    batch_size=st.integers(1, 8),
    shuffle=st.booleans(),
    seed=st.integers(-(2**70), 2**70),
    drop_last=st.just(False),
    batches_per_epoch=st.none() | st.integers(1, 20),
)


def stream(order: BatchOrder) -> Iterator[list[int]]:
    """Walk pass after pass, the slow way."""
    pass_index = 0
    while True:
        positions = order.order(pass_index).tolist()
        while positions:
            batch, positions = positions[: order.batch_size], positions[order.batch_size :]
            if len(batch) == order.batch_size or not order.drop_last:
                yield batch
        pass_index += 1


def batches(order: BatchOrder, epoch: int, start: int = 0) -> list[list[int]]:
    return [slot.positions.tolist() for slot in order.slots(epoch, start)]


@given(orders, st.integers(0, 4))
def test_epochs_are_cut_from_one_endless_stream(order: BatchOrder, epoch: int) -> None:
    length = len(order)
    expected = list(islice(stream(order), epoch * length, (epoch + 1) * length))
    assert batches(order, epoch) == expected


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 9))
def test_drop_last_leaves_out_what_does_not_fill_a_batch(size: int, batch: int, seed: int) -> None:
    order = BatchOrder(size, batch, seed=seed, drop_last=True)
    if size < batch:
        assert len(order) == 0
        return
    assert len(order) == size // batch
    assert batches(order, 2) == list(islice(stream(order), 2 * len(order), 3 * len(order)))
    assert {len(positions) for positions in batches(order, 0)} == {batch}


@given(orders, st.integers(0, 3))
def test_every_item_stands_once_in_a_pass(order: BatchOrder, pass_index: int) -> None:
    assert sorted(order.order(pass_index).tolist()) == list(range(order.size))
    if order.batches_per_epoch is None:
        seen = Counter(position for batch in batches(order, pass_index) for position in batch)
        assert seen == Counter(range(order.size))
        assert len(order) == len(batches(order, pass_index))


@given(orders, st.integers(0, 3), st.data())
def test_an_epoch_can_be_entered_at_any_batch(
    order: BatchOrder, epoch: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(order)))
    assert batches(order, epoch, start) == batches(order, epoch)[start:]
    numbers = [slot.index for slot in order.slots(epoch, start)]
    assert numbers == list(range(start, len(order)))


@given(orders, st.integers(0, 3))
def test_an_item_that_comes_twice_in_an_epoch_comes_in_two_passes(
    order: BatchOrder, epoch: int
) -> None:
    slots = order.slots(epoch)
    seen = Counter((slot.pass_index, i) for slot in slots for i in slot.positions.tolist())
    assert set(seen.values()) == {1}


def test_passes_and_seeds_differ_in_order() -> None:
    order = BatchOrder(100, 10, seed=1)
    first = order.order(0).tolist()
    assert first == BatchOrder(100, 10, seed=1).order(0).tolist()
    assert first != order.order(1).tolist()
    assert first != BatchOrder(100, 10, seed=2).order(0).tolist()
    assert first != list(range(100))
    assert BatchOrder(5, 2, shuffle=False).order(3).tolist() == [0, 1, 2, 3, 4]


def test_the_order_is_the_same_on_every_machine() -> None:
    """A resumed run may continue on another machine or NumPy version."""
    assert BatchOrder(10, 2, seed=13370).order(0).tolist() == ORDER_0
    assert BatchOrder(10, 2, seed=13370).order(1).tolist() == ORDER_1


ORDER_0 = [6, 2, 5, 9, 1, 7, 8, 4, 3, 0]
ORDER_1 = [0, 7, 6, 4, 2, 8, 3, 5, 1, 9]


def test_every_order_of_four_items_is_about_equally_frequent() -> None:
    counts = Counter(tuple(BatchOrder(4, 1, seed=7).order(p).tolist()) for p in range(4800))
    assert len(counts) == 24
    # 200 expected, standard deviation 13.8: five of them
    assert all(131 < count < 269 for count in counts.values())


def test_batches_mix_classes_of_a_dataset_sorted_by_class() -> None:
    labels = np.repeat([0, 1], 200)
    order = BatchOrder(400, 20, seed=3)
    shares = [labels[slot.positions].mean() for slot in order.slots(0)]
    assert all(0.1 < share < 0.9 for share in shares)


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 6)])
def test_a_place_that_does_not_exist_is_refused_at_once(epoch: int, start: int) -> None:
    with pytest.raises(ValueError, match="0 <= start <= 5"):
        BatchOrder(10, 2).slots(epoch, start)


@pytest.mark.parametrize(
    ("size", "batch_size", "sizes"),
    [
        (17, 16, [17]),
        (9, 4, [4, 5]),
        (10, 4, [4, 4, 2]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),
        (2, 4, [2]),
    ],
)
def test_a_last_single_item_joins_the_batch_before(
    size: int, batch_size: int, sizes: list[int]
) -> None:
    order = BatchOrder(size, batch_size, merge_single=True, seed=3)
    slots = list(order.slots(1))
    assert [len(slot.positions) for slot in slots] == sizes
    assert len(order) == len(sizes)
    plain = np.concatenate(
        [slot.positions for slot in BatchOrder(size, batch_size, seed=3).slots(1)]
    )
    assert np.concatenate([slot.positions for slot in slots]).tolist() == plain.tolist()
    for start in range(len(order) + 1):
        rest = [slot.positions.tolist() for slot in order.slots(1, start)]
        assert rest == [slot.positions.tolist() for slot in slots[start:]]


def test_it_joins_in_a_stream_of_passes_too_and_nothing_joins_what_is_dropped() -> None:
    stream = BatchOrder(5, 2, merge_single=True, batches_per_epoch=3)
    assert [len(s.positions) for e in range(2) for s in stream.slots(e)] == [2, 3, 2, 3, 2, 3]
    dropped = BatchOrder(5, 2, merge_single=True, drop_last=True)
    assert [len(slot.positions) for slot in dropped.slots(0)] == [2, 2]


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


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.sampled_from([0.0, 0.5, 1.0]))
def test_a_pass_draws_as_many_items_of_each_class_as_its_quota(
    labels: list[str], power: float
) -> None:
    quotas = class_quotas(labels, power)
    order = BatchOrder(len(labels), 4, seed=1, quotas=quotas)
    places = order.order(0)
    assert len(places) == len(labels)
    assert places.tolist() == order.order(0).tolist()
    sizes = Counter(labels)
    total = sum(size**power for size in sizes.values())
    drawn = Counter(labels[place] for place in places)
    for name, size in sizes.items():
        assert abs(drawn[name] - len(labels) * size**power / total) < 1
        # No image comes again before all others of its class have come
        times = Counter(place for place in places.tolist() if labels[place] == name)
        assert max(times.values(), default=0) <= -(-drawn[name] // size)


def test_every_image_of_a_frequent_class_comes_in_some_pass() -> None:
    labels = ["often"] * 18 + ["rare"] * 2
    order = BatchOrder(20, 4, seed=5, quotas=class_quotas(labels, 0))
    assert {place for index in range(20) for place in order.order(index)} == set(range(20))
    assert order.order(0).tolist() != order.order(1).tolist()


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=30), st.integers(0, 3))
def test_repeats_count_within_a_pass(labels: list[str], epoch: int) -> None:
    order = BatchOrder(len(labels), 4, quotas=class_quotas(labels, 0))
    seen: Counter[int] = Counter()
    for slot in order.slots(epoch):
        assert slot.repeats is not None
        for place, repeat in zip(slot.positions.tolist(), slot.repeats.tolist(), strict=True):
            assert repeat == seen[place]
            seen[place] += 1
    for start in range(len(order)):
        rest = [slot.repeats for slot in order.slots(epoch, start)]
        whole = [slot.repeats for slot in order.slots(epoch)][start:]
        assert [r.tolist() for r in rest if r is not None] == [
            r.tolist() for r in whole if r is not None
        ]
