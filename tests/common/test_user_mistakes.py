from __future__ import annotations

from typing import Any

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.common.user_mistakes import check_signatures, explain, shown


class Base:
    def __init__(self, size: int) -> None: ...

    def step(self, batch: Any, epoch: int, is_last: bool = False) -> None: ...


class ByPosition(Base):
    def step(self, a: Any, b: int, is_last: bool = True) -> None: ...


class ByName(Base):
    def step(self, batch: Any, **others: Any) -> None: ...


class WithMore(Base):
    def __init__(self) -> None: ...

    def step(self, *args: Any, **kwargs: Any) -> None: ...

    def step_twice(self) -> None: ...


class TooFew(Base):
    def step(self, batch: Any) -> None: ...  # type: ignore[override]


class TooMany(Base):
    def step(self, batch: Any, epoch: int, is_last: bool, more: int) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize("cls", [Base, ByPosition, ByName, WithMore])
def test_methods_that_can_be_called_as_the_bases_are_right(cls: type) -> None:
    check_signatures(Base, cls)


@pytest.mark.parametrize("cls", [TooFew, TooMany])
def test_others_are_told_with_both_signatures(cls: type) -> None:
    with pytest.raises(ConfigurationError, match=rf"{cls.__name__}\.step\(self, batch.*Base\.step"):
        check_signatures(Base, cls)


def test_what_passes_no_line_of_user_code_is_not_blamed_on_it() -> None:
    for error in (KeyError("x"), TypeError("Base.step() takes 2 positional arguments")):
        try:
            raise error
        except Exception as raised:
            assert explain(raised) is None  # this file is no plugin


@pytest.mark.parametrize(
    ("value", "text"), [(None, "None"), (3, "int 3"), ("a", 'str "a"'), ({}, "dict"), ([1], "list")]
)
def test_values_are_shown_shortly(value: Any, text: str) -> None:
    assert shown(value) == text
