"""Seeded hashes of ids."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from allencv_al.data.id_hash import IdIndex, canonical_order, id_hashes, id_uniforms

IDS = [f"train/{number}.png" for number in range(2000)]


def test_a_hash_is_what_it_was_in_every_earlier_run() -> None:
    """Old runs could not be repeated if it changed; blake2b, keyed by the seed, by hand."""
    payload = (7).to_bytes(16, "big", signed=True) + b"cat.png"
    by_hand = int.from_bytes(hashlib.blake2b(payload, digest_size=8).digest(), "big")
    assert id_hashes(["cat.png"], 7).tolist() == [by_hand]
    assert id_hashes(["cat.png"], 7).tolist() == [1637367295661227196]


@given(st.lists(st.text(), unique=True), st.integers(-(2**63), 2**64))
def test_a_hash_depends_on_its_own_id_only(ids: list[str], seed: int) -> None:
    together = id_hashes(ids, seed)
    assert together.dtype == np.uint64
    assert together.tolist() == [int(id_hashes([id], seed)[0]) for id in ids]


def test_another_seed_gives_other_hashes() -> None:
    assert not (id_hashes(IDS, 0) == id_hashes(IDS, 1)).any()


def test_ids_that_are_no_unicode_have_hashes_too() -> None:
    """Names of files may hold any bytes; Python shows those as lone surrogates."""
    assert len(set(id_hashes(["a\udcff", "a\udcfe"], 0).tolist())) == 2


def test_uniforms_are_uniform_and_never_0_or_1() -> None:
    draws = id_uniforms(IDS, 3)
    assert draws.min() > 0
    assert draws.max() < 1
    assert kstest(draws, "uniform").pvalue > 0.001


def test_uniforms_of_two_seeds_are_independent() -> None:
    correlation = np.corrcoef(id_uniforms(IDS, 0), id_uniforms(IDS, 1))[0, 1]
    assert abs(correlation) < 0.1


@pytest.mark.parametrize("seed", [0, 5])
def test_the_canonical_order_forgets_the_order_of_the_pool(seed: int) -> None:
    backwards = IDS[::-1]
    forwards_ids = [IDS[index] for index in canonical_order(IDS, seed)]
    assert forwards_ids == [backwards[index] for index in canonical_order(backwards, seed)]
    assert sorted(forwards_ids) == sorted(IDS)
    assert forwards_ids != IDS


def test_no_ids_are_no_trouble() -> None:
    assert len(id_hashes([], 0)) == len(id_uniforms([], 0)) == len(canonical_order([], 0)) == 0


def test_an_index_finds_the_rows_of_ids() -> None:
    ids = [f"{number}.png" for number in range(1000)]
    index = IdIndex(id_hashes(ids, 0))
    asked = ["999.png", "absent", "0.png", "17.png", "17.png"]
    assert index.rows(asked).tolist() == [999, -1, 0, 17, 17]
    assert index.rows([]).tolist() == []
    assert index.twice().tolist() == []
    assert IdIndex(id_hashes(["b", "a", "b", "c", "a"], 0)).twice().tolist() == [0, 1, 2, 4]
    assert IdIndex(id_hashes([], 0)).rows(["a"]).tolist() == [-1]
