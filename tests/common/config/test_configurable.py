"""What every class that a config can describe declares."""

from __future__ import annotations

import pytest

from allencv_al.common.config.configurable import Configurable, not_one_of_two
from allencv_al.common.errors import ConfigurationError


class Part(Configurable):
    pass


def test_a_class_without_registry_has_no_names() -> None:
    assert not Part.has_registry()
    assert Part.list_available() == []
    assert Part.registry_name() == "Part"
    assert Part.expand_shorthand(3) == 3
    with pytest.raises(ConfigurationError, match="Part has no registered implementations"):
        Part.resolve("one")


def test_one_of_two_values_is_given() -> None:
    assert list(not_one_of_two(size=1, fraction=None)) == []
    assert list(not_one_of_two(size=None, fraction=0.5)) == []
    assert list(not_one_of_two(size=None, fraction=None)) == [
        ("size", "expected this or fraction, found neither")
    ]
    assert list(not_one_of_two(size=1, fraction=0.5)) == [
        ("size", "expected this or fraction, found both")
    ]
