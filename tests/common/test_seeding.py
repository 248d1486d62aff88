from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.seeding import (
    item_seed,
    random_state,
    restore_random_state,
    seed_everything,
)


@pytest.fixture(autouse=True)
def keep_generators() -> Any:
    state = random_state()
    yield
    restore_random_state(state)


def draw() -> tuple[float, ...]:
    return (
        random.random(),
        random.gauss(0, 1),
        float(np.random.random()),  # noqa: NPY002
        float(np.random.standard_normal()),  # noqa: NPY002
        float(torch.rand(())),
    )


def test_the_seed_of_an_item_never_changes() -> None:
    """Recovered runs and other machines must see the same augmentation: these are promises."""
    assert item_seed(0, 0, "") == 0x52CE44A5FECD0B01  # printf 0/0/ | b2sum -l 64
    assert item_seed(13370, 3, "train/cat/1.jpg") == 0xF33BA6F0EA225BCE
    assert item_seed(13370, 3, "ü/\udcff.jpg") == 0xCF3E36D37113730


def test_the_parts_of_an_item_seed_do_not_run_together() -> None:
    seeds = {
        item_seed(seed, epoch, name)
        for seed in (1, 11, -1)
        for epoch in (1, 11, 111)
        for name in ("", "1", "1/1", "/", "11")
    }
    assert len(seeds) == 45
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_item_seeds_spread_evenly() -> None:
    bits = np.array([item_seed(1, 0, f"{i}.png") for i in range(4096)], np.uint64)
    for bit in range(64):
        ones = int(((bits >> np.uint64(bit)) & np.uint64(1)).sum())
        assert abs(ones - 2048) < 5 * 32  # five standard deviations


def test_a_seed_gives_the_same_numbers_again() -> None:
    seed_everything(13370, 1337, 133)
    first = draw()
    seed_everything(13370, 1337, 133)
    assert draw() == first
    assert first[0] == random.Random(13370).random()
    assert first[2] == np.random.RandomState(1337).random_sample()
    generator = torch.Generator().manual_seed(133)
    assert first[4] == float(torch.rand((), generator=generator))


def test_none_leaves_a_generator_as_it_is() -> None:
    seed_everything(1, 2, 3)
    first, second = draw(), draw()
    seed_everything(1, 2, 3)
    assert draw() == first
    seed_everything(None, None, None)
    assert draw() == second
    seed_everything(None, 2, None)
    assert draw()[2:4] == first[2:4]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ((1, -1, 1), "numpy_seed: expected 0 to 4294967295, found -1"),
        ((1, 2**32, 1), "numpy_seed: expected 0 to 4294967295, found 4294967296"),
        ((1, 1, 2**64), "pytorch_seed: expected -9223372036854775808 to 18446744073709551615"),
    ],
)
def test_a_seed_beyond_the_generator_is_refused_before_any_is_set(
    seeds: tuple[int, int, int], message: str
) -> None:
    seed_everything(5, 5, 5)
    first = draw()
    seed_everything(5, 5, 5)
    with pytest.raises(ConfigurationError, match=message):
        seed_everything(*seeds)
    assert draw() == first


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_largest_seeds_work(seed: int) -> None:
    seed_everything(seed, seed, seed)
    seed_everything(-1, 0, -1)
    seed_everything(2**70, 0, 2**64 - 1)


def test_the_state_goes_round() -> None:
    seed_everything(1, 2, 3)
    random.gauss(0, 1)  # leaves half a pair in the state
    np.random.standard_normal()  # noqa: NPY002
    state = random_state()
    first = draw()
    draw()
    restore_random_state(state)
    assert draw() == first


def test_the_state_is_json_and_tensors_only() -> None:
    def strip(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return {"dtype": str(value.dtype), "values": value.tolist()}
        if isinstance(value, list):
            return [strip(inner) for inner in value]
        return value

    seed_everything(1, 2, 3)
    state = random_state()
    plain = {key: strip(value) for key, value in state.items()}
    again = json.loads(json.dumps(plain))
    assert again == plain
    first = draw()
    again["numpy"][1] = torch.tensor(again["numpy"][1]["values"])
    again["torch"] = torch.tensor(again["torch"]["values"], dtype=torch.uint8)
    restore_random_state(again)
    assert draw() == first
