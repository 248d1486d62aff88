"""The class that a config object names, and how it is built."""

from __future__ import annotations

import abc
from typing import Any

import pytest

from allencv_al.common.config.registrable import FromParams
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.config.targets import Target, argument_faults, build_by, subclass_of
from allencv_al.common.errors import ConfigurationFaults


class Scale(FromParams):
    injected = ("vocab",)
    instead = {"ratio": "use factor"}  # noqa: RUF012

    def __init__(self, vocab: str, factor: float = 1.0) -> None:
        if factor == 0:
            raise ValueError("factor: expected another number than 0")
        self.vocab, self.factor = vocab, factor

    @classmethod
    def halved(cls, factor: float, vocab: str = "") -> Scale:
        return cls(vocab, factor / 2)


class Own(FromParams):
    @classmethod
    def from_params(cls, params: Any = None, **extras: Any) -> Own:
        return cls()


class Abstract(FromParams):
    @abc.abstractmethod
    def run(self) -> None: ...


def test_a_from_params_of_its_own_makes_a_class_custom() -> None:
    assert not Target(Scale).is_custom
    assert Target(Own).is_custom


def test_abstract_methods_are_missing() -> None:
    assert Target(Abstract).missing_methods == ["run"]
    assert Target(Scale).missing_methods == []


def test_arguments_are_told_in_the_order_of_the_config() -> None:
    values = {"facter": 1, "ratio": 2, "factor": "3"}
    found = [str(fault) for fault in argument_faults(Target(Scale), values, "scale", Scope())]
    assert found[0] == 'scale.facter: unknown key; did you mean "factor"?'
    assert found[1] == "scale.ratio: unknown key; use factor"
    assert found[2].startswith('scale.factor: expected float, found "3", a string; variables are')
    assert found[3] == "scale.vocab: missing key, expected str"


def test_a_function_or_a_classmethod_is_built() -> None:
    assert build_by(Scale.halved, {"factor": 3}, "", {"vocab": "v"}).factor == 1.5
    with pytest.raises(ConfigurationFaults, match=r"scale\.factor: missing key, expected float"):
        build_by(Scale.halved, {}, "scale", {})
    with pytest.raises(ConfigurationFaults, match=r"scale\.factor: expected another number than 0"):
        build_by(Scale, {"factor": 0}, "scale", {"vocab": "v"})


def test_what_is_no_subclass_is_none() -> None:
    assert subclass_of(Scale, FromParams) is Scale
    assert subclass_of(build_by, FromParams) is None
    assert subclass_of(int, FromParams) is None
