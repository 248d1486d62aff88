"""The result of one input."""

from __future__ import annotations

import pytest

from allencv_al.common.errors import DataError
from allencv_al.predictors.outcomes import Outcome


def test_a_value_is_returned_and_an_error_raised() -> None:
    assert Outcome(0, "a", value=3).unwrap() == 3
    with pytest.raises(DataError, match="broken"):
        Outcome(0, "a", error=DataError("broken")).unwrap()
