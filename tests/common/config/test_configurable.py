"""Classes that a config can describe, now or later."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from allencv_al.common import ConfigurationError, FromParams, Lazy, Registrable
from allencv_al.common.config.configurable import Configurable, not_one_of_two
from allencv_al.common.errors import ConfigurationFaults


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


class Optimizer(Registrable):
    injected = ("model_parameters",)


@Optimizer.register("adam")
class Adam(Optimizer):
    def __init__(self, model_parameters: list[float], lr: float = 0.1, options: Any = None) -> None:
        self.parameters = model_parameters
        self.lr = lr
        self.options = options


class Wide(Adam):
    def __init__(self, wide: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Trainer(FromParams):
    def __init__(
        self,
        optimizer: Lazy[Optimizer] = Lazy(Adam, lr=0.5),  # noqa: B008  a Lazy is not changed
        optional: Lazy[Optimizer] | None = None,
        several: list[Lazy[Optimizer]] | None = None,
        named: dict[str, Lazy[Optimizer]] | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.optional = optional
        self.several = several
        self.named = named


def construct(lazy: Lazy[Any] | None, **extras: Any) -> Any:
    assert isinstance(lazy, Lazy)
    return lazy.construct(**extras)


def test_a_lazy_part_is_built_as_often_as_asked() -> None:
    trainer = Trainer.from_params({"optimizer": {"type": "adam", "lr": 1, "options": {"a": []}}})
    one = construct(trainer.optimizer, model_parameters=[1.0])
    one.options["a"].append(1)
    other = construct(trainer.optimizer, model_parameters=[2.0])
    assert (one.parameters, one.lr) == ([1.0], 1.0)
    assert (other.parameters, other.options) == ([2.0], {"a": []})


def test_lazy_parts_stand_in_unions_lists_and_mappings() -> None:
    trainer = Trainer.from_params(
        {"optional": "adam", "several": ["adam", {"type": "adam", "lr": 2}], "named": {"a": "adam"}}
    )
    assert construct(trainer.optional, model_parameters=[]).lr == 0.1
    assert trainer.several is not None and trainer.named is not None
    assert [construct(lazy, model_parameters=[]).lr for lazy in trainer.several] == [0.1, 2.0]
    assert construct(trainer.named["a"], model_parameters=[3.0]).parameters == [3.0]


def test_lazy_parts_are_checked_at_once_with_their_paths() -> None:
    with pytest.raises(ConfigurationFaults) as info:
        Trainer.from_params(
            {
                "optimizer": {"type": "adma"},
                "optional": {"type": "adam", "lr": "fast"},
                "several": [{"type": "adam", "x": 1}],
                "named": {"a": 3},
            }
        )
    assert [fault.path for fault in info.value.faults] == [
        "optimizer.type",
        "optional.lr",
        "several.0.x",
        "named.a",
    ]


def test_the_default_of_a_lazy_parameter() -> None:
    trainer = Trainer.from_params({})
    assert construct(trainer.optimizer, model_parameters=[1.0]).lr == 0.5
    assert trainer.optional is None


def test_extras_of_the_whole_reach_the_lazy_part_and_later_ones_win() -> None:
    trainer = Trainer.from_params({"optimizer": "adam"}, model_parameters=[1.0], lr=3.0)
    assert construct(trainer.optimizer).parameters == [1.0]
    assert construct(trainer.optimizer).lr == 3.0
    assert construct(trainer.optimizer, lr=4.0).lr == 4.0
    assert construct(trainer.optimizer, unknown=1).lr == 3.0


def test_a_lazy_or_a_built_object_can_be_given_in_python() -> None:
    lazy, built = Lazy(Adam, model_parameters=[]), Adam([7.0])
    trainer = Trainer.from_params({"optimizer": lazy, "optional": built})
    assert trainer.optimizer is lazy
    assert construct(trainer.optional, model_parameters=[1.0]) is built


def test_a_constructor_refuses_with_its_place_when_it_is_built() -> None:
    class Refusing(FromParams):
        def __init__(self, x: int) -> None:
            raise ConfigurationError("x: expected better")

    class Holder(FromParams):
        def __init__(self, part: Any) -> None:
            self.part = part

    Holder.__init__.__annotations__["part"] = Lazy[Refusing]
    lazy = Holder.from_params({"part": {"x": 1}}).part
    with pytest.raises(ConfigurationError, match=r"part\.x: expected better"):
        lazy.construct()


def test_a_lazy_of_a_class_takes_what_its_constructor_names() -> None:
    assert Lazy(Adam, lr=2.0).construct(model_parameters=[], seed=3).lr == 2.0
    assert Lazy(Adam, lr=2.0).construct(model_parameters=[], lr=4.0).lr == 4.0
    assert Lazy(Wide, lr=2.0).construct(model_parameters=[1.0], seed=3).parameters == [1.0]


def test_a_lazy_of_a_function_takes_what_it_names() -> None:
    assert Lazy(lambda x, y=2: (x, y)).construct(x=1, z=3) == (1, 2)
    assert Lazy(lambda **extras: extras, a=1).construct(z=3) == {"a": 1, "z": 3}


def test_a_misspelt_default_is_an_error() -> None:
    with pytest.raises(TypeError, match="lrr"):
        Lazy(Adam, lrr=2.0).construct(model_parameters=[])


def test_wrap_gives_what_is_there() -> None:
    adam = Adam([])
    assert Lazy.wrap(adam).construct(anything=1) is adam
    lazy = Lazy(Adam)
    wrapped: Lazy[Adam] = Lazy.wrap(lazy)
    assert wrapped is lazy


class Deferred(FromParams):
    def __init__(self, string: str, extra: str) -> None:
        self.text = string + extra


class Whole(FromParams):
    def __init__(self, part: Lazy[Deferred], parts: list[Lazy[Deferred]] | None = None) -> None:
        self.part = part
        self.parts = parts


def test_the_program_can_give_at_construct_what_the_config_lacks() -> None:
    whole = Whole.from_params({"part": {"string": "a"}, "parts": [{"string": "b"}]})
    assert whole.part.construct(extra="x").text == "ax"
    assert [lazy.construct(extra="y").text for lazy in whole.parts or []] == ["by"]


def test_an_injected_value_that_is_missing_is_a_fault_of_construct() -> None:
    whole = Whole.from_params({"part": {"string": "a"}})
    with pytest.raises(ConfigurationFaults, match=r"part\.extra: missing key"):
        whole.part.construct()


def test_other_faults_of_a_lazy_part_are_found_at_once() -> None:
    with pytest.raises(ConfigurationFaults, match=r"part\.strin: unknown key") as caught:
        Whole.from_params({"part": {"strin": "a", "extra": 3}})
    assert [fault.path for fault in caught.value.faults] == ["part.strin", "part.extra"]


class Needy(Optimizer):
    def __init__(self, model_parameters: list[float], rate: float) -> None:
        self.rate = rate


class Holder(FromParams):
    def __init__(self, part: Lazy[Needy]) -> None:
        self.part = part


def test_a_class_that_says_what_is_injected_is_checked_whole() -> None:
    with pytest.raises(ConfigurationFaults, match=r"part\.rate: missing key"):
        Holder.from_params({"part": {}})


def test_a_lazy_part_can_be_pickled() -> None:
    whole = Whole.from_params({"part": {"string": "a"}})
    again = pickle.loads(pickle.dumps(whole))
    assert again.part.construct(extra="x").text == "ax"
    assert pickle.loads(pickle.dumps(Lazy.wrap(3))).construct() == 3
    assert pickle.loads(pickle.dumps(Lazy(Adam, lr=3))).construct(model_parameters=[]).lr == 3


def test_python_code_can_give_parameters_as_a_config_does() -> None:
    lazy = Lazy(Optimizer, {"type": "adam", "options": [1]}, constructor_extras={"lr": 3.0})
    one, other = (lazy.construct(model_parameters=[]) for _ in range(2))
    assert (type(one), one.lr, one.options) == (Adam, 3.0, [1])
    assert one.options is not other.options


def test_the_base_of_a_family_stands_for_its_default() -> None:
    class Family(Registrable):
        default_implementation = "one"

    @Family.register("one")
    class One(Family):
        def __init__(self, size: int = 1) -> None:
            self.size = size

    assert Lazy(Family).construct(size=2).size == 2
