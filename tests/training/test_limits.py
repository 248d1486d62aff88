from __future__ import annotations

import math

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.training.limits import DECAY, FRACTION, POSITIVE, Limit, check_limits


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        (FRACTION, 1.5, "expected a number of at least 0 and at most 1, found 1.5"),
        (DECAY, 1, "expected a number of at least 0 and below 1, found 1"),
        (POSITIVE, 0, "expected a number above 0, found 0"),
        (Limit(high=2), 3, "expected a number at most 2, found 3"),
        (Limit(), math.nan, "expected a finite number, found nan"),
        (DECAY, (0.9, -0.1), "expected a number of at least 0 and below 1, found -0.1"),
        (POSITIVE, math.inf, "expected a number above 0, found inf"),
    ],
)
def test_says_what_would_be_right(limit: Limit, value: object, message: str) -> None:
    assert limit.fault(value) == message


@pytest.mark.parametrize("value", [0, 1, 0.5, True, None, "text", [0.1, 1]])
def test_takes_what_fits_and_leaves_types_to_others(value: object) -> None:
    assert FRACTION.fault(value) is None


def test_lists_everything_outside_its_limit() -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_limits({"a": POSITIVE, "b": FRACTION}, a=-1, b=2, c=-9)
    assert str(raised.value).count("\n") == 1
