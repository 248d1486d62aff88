"""Limits and rules hold for Python code as they do for configs."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from annotated_types import Ge, Gt, MinLen

from allencv_al.common.config.config_check import check
from allencv_al.common.config.from_params import FromParams
from allencv_al.common.errors import ConfigurationError


def _ordered(low: float, high: float) -> Iterator[tuple[str, str]]:
    if low > high:
        yield "high", f"expected at least low ({low}), found {high}"


class Band(FromParams):
    """A base with a rule."""

    joint_rules = (_ordered,)

    def __init__(
        self,
        low: Annotated[float, Ge(0)] = 0.0,
        high: Annotated[float, Gt(0)] = 1.0,
        names: Annotated[list[str], MinLen(1)] | None = None,
    ) -> None:
        self.low = low
        self.high = high
        self.names = names


class NamedBand(Band):
    """A subclass that passes the rest on."""

    def __init__(self, count: Annotated[int, Ge(1)], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count


class Bare(FromParams):
    """No constructor."""


class Labels(FromParams, tuple[int, ...]):
    """A base with a `__new__` of its own."""


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Band(-1, 0, names=[])
    assert str(caught.value).splitlines() == [
        "low: expected float >= 0, found -1",
        "high: expected float > 0, found 0",
        "names: expected non-empty list of str, found []",
    ]


def test_parameters_of_the_superclass_are_checked_with_the_own() -> None:
    with pytest.raises(ConfigurationError) as caught:
        NamedBand(0, low=-1.0)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["count", "low"]


def test_a_rule_sees_defaults_and_only_sound_values() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^high: expected at least low \(2\), found 1\.0$"
    ):
        Band(low=2)
    with pytest.raises(ConfigurationError, match=r"^high: expected float > 0, found -3$"):
        Band(low=2, high=-3)


def test_a_config_hears_the_same_of_a_rule() -> None:
    (fault,) = check(Band, {"low": 2})
    assert str(fault) == "high: expected at least low (2), found 1.0"
    assert [fault.path for fault in check(Band, {"low": 2, "high": -3})] == ["high"]


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(1), torch.tensor(0.5), 1])
def test_numbers_of_other_libraries_are_taken(value: Any) -> None:
    assert Band(low=value).low is value


def test_numbers_of_numpy_have_limits() -> None:
    with pytest.raises(ConfigurationError, match=r"low: expected float >= 0, found -0\.5"):
        Band(low=np.float32(-0.5))  # type: ignore[arg-type]


def test_copies_and_pickles_are_made_without_a_check() -> None:
    band = Band(low=0.5)
    band.low = -1.0
    assert copy.deepcopy(band).low == pickle.loads(pickle.dumps(band)).low == -1.0


def test_a_class_without_constructor_takes_nothing() -> None:
    Bare()
    with pytest.raises(TypeError, match=r"Bare\(\) takes no arguments"):
        Bare(1)  # type: ignore[call-arg]


def test_arguments_reach_another_new() -> None:
    assert Labels((1, 2)) == (1, 2)
