from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest
import torch

from allencv_al.common import ConfigurationError, FromParams, Lazy, Params, Registrable
from allencv_al.common.errors import ConfigurationFaults

if TYPE_CHECKING:
    from somewhere import Vocabulary  # type: ignore[import-not-found]


class Encoder(Registrable):
    default_implementation = "linear"


@Encoder.register("linear")
class Linear(Encoder):
    def __init__(self, size: int = 1, scale: float = 1.0) -> None:
        self.size = size
        self.scale = scale


@Encoder.register("stack")
class Stack(Encoder):
    def __init__(self, layers: list[Encoder]) -> None:
        self.layers = layers


@Encoder.register("labeled")
class Labeled(Encoder):
    def __init__(self, vocab: Vocabulary, path: Path | None = None) -> None:
        self.vocab = vocab
        self.path = path


class Optimizer(Registrable):
    injected = ("model_parameters",)


@Optimizer.register("adam")
class Adam(Optimizer):
    def __init__(self, model_parameters: list[float], lr: float = 0.1) -> None:
        self.parameters = model_parameters
        self.lr = lr


class Head(FromParams):
    """Not registered: a config gives its arguments only."""

    def __init__(self, vocab: Any, encoder: Encoder, bias: bool = True) -> None:
        self.vocab = vocab
        self.encoder = encoder
        self.bias = bias


def built(cls: type[Any], params: Any = None, **extras: Any) -> Any:
    return cls.from_params(params, **extras)


def faults_of(cls: type[FromParams], params: Any, **extras: Any) -> list[str]:
    with pytest.raises(ConfigurationFaults) as info:
        cls.from_params(params, **extras)
    return [str(fault) for fault in info.value.faults]


# --- what is given, and in which form -------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"type": "linear", "size": 3},
        Params({"type": "linear", "size": 3}),
        {"size": 3},
        Params({"size": 3}, history="deep.down"),
    ],
)
def test_a_registered_class_is_built(params: Any) -> None:
    encoder = built(Encoder, params)
    assert type(encoder) is Linear
    assert (encoder.size, encoder.scale) == (3, 1.0)


def test_a_name_alone_and_nothing_at_all() -> None:
    assert type(built(Encoder, "linear")) is Linear
    assert type(built(Encoder, None)) is type(built(Encoder, {})) is type(built(Encoder)) is Linear
    assert type(built(Linear, {"size": 2})) is Linear


@pytest.mark.parametrize("params", [3, [], True, Linear(), object()])
def test_anything_else_is_refused(params: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Encoder\.from_params: expected Params, a"):
        Encoder.from_params(params)


def test_the_parameters_are_not_used_up() -> None:
    params = Params({"type": "stack", "layers": [{"size": 1}, "linear"]})
    before = params.duplicate()
    assert len(built(Encoder, params).layers) == 2
    assert params == before


def test_params_may_stand_at_any_depth() -> None:
    params = {"type": "stack", "layers": [Params({"size": Params({"x": 1})["x"]}), {"size": 2}]}
    assert [layer.size for layer in built(Encoder, params).layers] == [1, 2]


def test_a_value_already_built_is_taken_as_it_is() -> None:
    layer = Linear(7)
    assert built(Encoder, {"type": "stack", "layers": [layer, "linear"]}).layers[0] is layer
    assert built(Head, {"encoder": layer, "vocab": 1}).encoder is layer
    assert faults_of(Head, {"encoder": Adam([]), "vocab": 1})[0].startswith(
        "encoder: expected an encoder (an object), found <"
    )


def test_defaults_are_made_anew_and_never_shared() -> None:
    class Collector(FromParams):
        def __init__(self, names: list[str] | None = None, extra: Any = None) -> None:
            self.names = names if names is not None else []
            self.extra = extra

    config = {"names": ["a"], "extra": {"x": [1]}}
    one, other = built(Collector, config), built(Collector, config)
    one.names.append("b")
    one.extra["x"].append(2)
    assert (other.names, other.extra) == (["a"], {"x": [1]})
    assert config == {"names": ["a"], "extra": {"x": [1]}}


@dataclasses.dataclass
class Settings(FromParams):
    """A dataclass that is FromParams, with a factory.

    Args:
        size: How large.
        tags: Which.
    """

    size: int
    tags: list[str] = dataclasses.field(default_factory=lambda: ["x"])


def test_a_dataclass_can_be_from_params() -> None:
    one, other = built(Settings, {"size": 1}), built(Settings, {"size": 1, "tags": ["y"]})
    assert (one, other) == (Settings(1, ["x"]), Settings(1, ["y"]))
    one.tags.append("z")
    assert built(Settings, {"size": 1}).tags == ["x"]
    assert faults_of(Settings, {"size": "a", "tag": []}) == [
        'size: expected int, found "a"',
        'tag: unknown key; did you mean "tags"?',
    ]


# --- faults ---------------------------------------------------------------------------------------


class Experiment(FromParams):
    def __init__(
        self,
        name: str,
        encoder: Encoder,
        optimizer: Lazy[Optimizer],
        seeds: dict[str, int] | None = None,
        mode: Literal["train", "test"] = "train",
    ) -> None:
        self.optimizer = optimizer


def test_all_faults_are_told_at_once_in_the_order_of_the_config() -> None:
    config = {
        "sedes": {},
        "mode": "trian",
        "encoder": {
            "type": "stack",
            "layers": [
                {"size": "x", "scale": True},
                {"type": "liner"},
                {"type": "stack"},
                "linear",
                5,
            ],
        },
        "optimizer": {"lr": "fast", "type": "adam", "momentum": 0.9},
        "seeds": {"a": 1.5},
    }
    assert faults_of(Experiment, config) == [
        'sedes: unknown key; did you mean "seeds"?',
        'mode: expected "train" or "test", found "trian"; did you mean "train"?',
        'encoder.layers.0.size: expected int, found "x"',
        "encoder.layers.0.scale: expected float, found true",
        'encoder.layers.1.type: "liner" is not a registered encoder; did you mean "linear"? '
        "(your own code comes in by --include-package)",
        "encoder.layers.2.layers: missing key, expected list of an encoder (an object)",
        "encoder.layers.4: expected an encoder (an object), found 5",
        'optimizer.lr: expected float, found "fast"',
        "optimizer.momentum: unknown key; known here: lr",
        "seeds.a: expected int, found 1.5",
        "name: missing key, expected str",
    ]


def test_a_misspelt_name_alone_stands_at_its_own_place() -> None:
    (fault,) = faults_of(Encoder, {"type": "stack", "layers": ["linaer"]})
    assert fault.startswith('layers.0: "linaer" is not a registered encoder; did you mean "linear"')


def test_paths_start_where_the_params_stand() -> None:
    params = Params({"trainer": {"encoder": {"size": "x"}}})["trainer"]["encoder"]
    assert faults_of(Encoder, params) == ['trainer.encoder.size: expected int, found "x"']


def test_nothing_is_built_when_there_is_a_fault() -> None:
    made: list[int] = []

    class Part(FromParams):
        def __init__(self, x: int) -> None:
            made.append(x)

    class Whole(FromParams):
        def __init__(self, a: Part, b: Part, c: int) -> None: ...

    Whole.__init__.__annotations__.update(a=Part, b=Part, c=int)  # local names
    assert faults_of(Whole, {"a": {"x": 1}, "b": {"x": 2}, "c": "three"}) == [
        'c: expected int, found "three"'
    ]
    assert made == []


def test_a_constructor_that_refuses_is_told_with_its_place() -> None:
    class Crop(FromParams):
        def __init__(self, height: int, width: int) -> None:
            if height < 1:
                raise ConfigurationError(f"height: expected at least 1 pixel, found {height}")
            if width < 1:
                raise ValueError("too narrow")
            raise ConfigurationError("height")

    params = Params({"t": {"height": 0, "width": 1}})["t"]
    assert faults_of(Crop, params) == ["t.height: expected at least 1 pixel, found 0"]
    assert faults_of(Crop, {"height": 1, "width": 0}) == ["too narrow"]
    assert faults_of(Crop, {"height": 1, "width": 1}) == ["height"]


def test_a_refusal_deep_inside_keeps_its_place() -> None:
    class Inner(FromParams):
        def __init__(self, x: int) -> None:
            raise ConfigurationError("x: expected better")

    class Outer(FromParams):
        def __init__(self, inner: Lazy[Any]) -> None:
            inner.construct()

    Outer.__init__.__annotations__["inner"] = Lazy[Inner]
    params = Params({"o": {"inner": {"x": 1}}})["o"]
    assert faults_of(Outer, params) == ["o.inner.x: expected better"]


def test_other_errors_of_a_constructor_are_not_hidden() -> None:
    class Buggy(FromParams):
        def __init__(self) -> None:
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        Buggy.from_params({})


def test_parts_of_another_archive_are_refused_by_name() -> None:
    pretrained = {"_pretrained": {"archive_file": "a", "module_path": "b", "freeze": True}}
    message = (
        "_pretrained: parts of another archive cannot be named in a config (AllenNLP's "
        "_pretrained); name a weights file in the encoder, or use Archive.extract_module in Python"
    )
    assert faults_of(Encoder, pretrained) == [message]
    config = {"name": "x", "encoder": pretrained, "optimizer": "adam"}
    assert faults_of(Experiment, config) == [f"encoder.{message}"]


# --- extras ---------------------------------------------------------------------------------------


def test_extras_reach_every_part_that_names_them() -> None:
    head = built(
        Head,
        {"encoder": {"type": "stack", "layers": ["labeled", {"type": "labeled", "path": "x"}]}},
        vocab="the vocabulary",
        serialization_dir="run",
    )
    assert head.vocab == "the vocabulary"
    assert [layer.vocab for layer in head.encoder.layers] == ["the vocabulary"] * 2
    assert head.encoder.layers[1].path == Path("x")


def test_a_value_in_the_config_goes_before_an_extra() -> None:
    assert built(Linear, {"size": 2}, size=5).size == 2
    assert built(Linear, {}, size=5).size == 5


def test_extras_reach_dataclasses_lists_and_mappings() -> None:
    @dataclasses.dataclass
    class Part:
        vocab: Any
        x: int = 0

    class Whole(FromParams):
        def __init__(self, parts: dict[str, list[Any]]) -> None:
            self.parts = parts

    Whole.__init__.__annotations__["parts"] = dict[str, list[Part]]
    whole = built(Whole, {"parts": {"a": [{}, {"x": 1}]}}, vocab=3)
    assert whole.parts == {"a": [Part(3), Part(3, 1)]}


def test_a_missing_extra_is_a_fault() -> None:
    assert faults_of(Optimizer, {"type": "adam"}) == [
        "model_parameters: missing key, expected list of float"
    ]
    assert built(Optimizer, {"type": "adam"}, model_parameters=[1.0]).parameters == [1.0]


# --- annotations that cannot be resolved ----------------------------------------------------------


def test_what_only_type_checkers_know_comes_from_the_program() -> None:
    assert built(Labeled, {}, vocab=3).vocab == 3
    assert built(Labeled, {"vocab": object()}).path is None  # from Python code
    (fault,) = faults_of(Labeled, {"vocab": {"a": 1}})
    assert fault == (
        "vocab: cannot be checked: the annotation Vocabulary of the constructor cannot be resolved "
        "(NameError: name 'Vocabulary' is not defined); import its names at run time, not under "
        "TYPE_CHECKING"
    )
    assert faults_of(Labeled, {}) == [
        "vocab: missing key, expected Vocabulary (from Python code only)"
    ]


@pytest.mark.parametrize("annotation", ["int |", "1 +", "undefined.Name", "int['a']", [int], "1/0"])
def test_a_broken_annotation_is_a_fault_of_that_argument_only(annotation: Any) -> None:
    class Broken(FromParams):
        def __init__(self, x: Any = 1, y: int = 2) -> None:
            self.x = x
            self.y = y

    Broken.__init__.__annotations__["x"] = annotation
    assert built(Broken, {"y": 3}).y == 3
    (fault,) = faults_of(Broken, {"x": 1, "y": 3})
    assert fault.startswith("x: cannot be checked: the annotation")


def test_an_annotation_that_is_no_type_beside_a_default_of_none() -> None:
    class Broken(FromParams):
        def __init__(self, x: Any = None) -> None:
            self.x = x

    Broken.__init__.__annotations__["x"] = (int, str)
    assert built(Broken, {}).x is None
    assert faults_of(Broken, {"x": 1})[0].startswith("x: cannot be checked: the annotation (<class")


def test_the_names_of_a_class_can_be_used_in_its_annotations() -> None:
    assert built(Nested, {"mode": {"x": 3}, "list": [1]}).mode.x == 3
    assert faults_of(Nested, {"mode": {"x": "a"}}) == ['mode.x: expected int, found "a"']


class Nested(FromParams):
    class Mode(FromParams):
        def __init__(self, x: int) -> None:
            self.x = x

    def __init__(self, mode: Mode, list: list[int] | None = None) -> None:
        self.mode = mode

    def list(self) -> None:  # hides the built-in name in the class, not in the annotation
        ...


def test_a_default_of_none_admits_null() -> None:
    class Old(FromParams):
        def __init__(self, dropout: float = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
            self.dropout = dropout

    assert built(Old, {"dropout": None}).dropout is None
    assert built(Old, {"dropout": 1}).dropout == 1.0
    assert faults_of(Old, {"dropout": "x"}) == ['dropout: expected float or null, found "x"']


def test_an_argument_without_annotation_takes_anything() -> None:
    class Free(FromParams):
        def __init__(self, anything, more=3):  # type: ignore[no-untyped-def]
            self.anything = anything

    assert built(Free, {"anything": {"a": [1]}}).anything == {"a": [1]}
    assert faults_of(Free, {}) == ["anything: missing key, expected anything"]


# --- **kwargs -------------------------------------------------------------------------------------


class Base(FromParams):
    """The base.

    Args:
        size: How large.
        name: What it is called.
    """

    def __init__(self, size: int, name: str = "base") -> None:
        self.size = size
        self.name = name


class Middle(Base):
    def __init__(self, depth: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth = depth


class Bottom(Middle):
    def __init__(self, *, name: Literal["x", "y"], **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)


class Bare(Middle):
    pass


def test_kwargs_mean_the_parameters_of_the_superclass() -> None:
    middle = built(Middle, {"depth": 2, "size": 3})
    assert (middle.depth, middle.size, middle.name) == (2, 3, "base")
    bottom = built(Bottom, {"name": "y", "size": 3, "depth": 4})
    assert (bottom.depth, bottom.size, bottom.name) == (4, 3, "y")
    assert built(Bare, {"size": 1}).size == 1


def test_kwargs_are_checked_over_two_levels() -> None:
    assert faults_of(Bottom, {"size": "a", "name": "z", "dept": 1}) == [
        'size: expected int, found "a"',
        'name: expected "x" or "y", found "z"',
        'dept: unknown key; did you mean "depth"?',
    ]
    assert faults_of(Bottom, {}) == [
        'name: missing key, expected "x" or "y"',
        "size: missing key, expected int",
    ]


def test_kwargs_that_go_nowhere_typed_take_any_key() -> None:
    class Foreign:
        def __init__(self, **options: Any) -> None:
            self.options = options

    class Wrapper(Foreign, FromParams):
        def __init__(self, size: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.size = size

    wrapper = built(Wrapper, {"size": 1, "other": {"a": 1}})
    assert (wrapper.size, wrapper.options) == (1, {"other": {"a": 1}})


def test_a_foreign_base_with_kwargs_does_not_open_a_class() -> None:
    """As torch.nn.Module, whose constructor takes anything only to refuse it."""

    class Module:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            assert not args and not kwargs

    class Layer(Module, FromParams):
        pass

    assert type(built(Layer, {})) is Layer
    assert faults_of(Layer, {"x": 1}) == ["x: unknown key; no keys are known here"]


# --- from_params of a class's own -----------------------------------------------------------------


@Encoder.register("custom")
class Custom(Encoder):
    def __init__(self, inner: Encoder, size: int, vocab: Any = None) -> None:
        self.inner = inner
        self.size = size
        self.vocab = vocab

    @classmethod
    def from_params(cls, params: Any = None, vocab: Any = None, **extras: Any) -> Custom:
        inner = Encoder.from_params(params.pop("inner"), **extras)
        size = params.pop_int("size")
        params.assert_empty(cls.__name__)
        return cls(inner, size, vocab)


@Encoder.register("deferring")
class Deferring(Encoder):
    def __init__(self, size: int, vocab: Any = None) -> None:
        self.size = size
        self.vocab = vocab

    @classmethod
    def from_params(cls, params: Any = None, **extras: Any) -> Any:
        params["size"] = params.pop("old_size")
        return super().from_params(params, **extras)


def test_a_class_can_read_its_own_parameters() -> None:
    config = {"type": "stack", "layers": [{"type": "custom", "inner": "linear", "size": "4"}]}
    (custom,) = built(Encoder, config, vocab="v", serialization_dir="x").layers
    assert (type(custom.inner), custom.size, custom.vocab) == (Linear, 4, "v")
    assert config["layers"] == [{"type": "custom", "inner": "linear", "size": "4"}]


def test_its_faults_know_their_place() -> None:
    config = {"type": "stack", "layers": [{"type": "custom", "inner": "linear"}]}
    with pytest.raises(ConfigurationError, match=r'key "size" is required in "layers\.0"'):
        Encoder.from_params(config)


def test_its_own_from_params_can_end_in_ours() -> None:
    deferring = built(Encoder, {"type": "deferring", "old_size": 3}, vocab="v")
    assert (deferring.size, deferring.vocab) == (3, "v")
    assert built(Deferring, Params({"old_size": 3})).size == 3
    config = {"type": "stack", "layers": [{"type": "deferring", "old_size": "x"}]}
    assert faults_of(Encoder, config) == ['layers.0.size: expected int, found "x"']


@Encoder.register("narrow")
class Narrow(Encoder):
    def __init__(self, given: tuple[Any, Any]) -> None:
        self.given = given

    @classmethod
    def from_params(cls, params: Any = None, vocab: Any = None) -> Narrow:  # type: ignore[override]
        return cls((params.pop("x"), vocab))


def test_its_own_from_params_gets_the_extras_that_it_names() -> None:
    config = {"type": "stack", "layers": [{"type": "narrow", "x": 1}]}
    (narrow,) = built(Encoder, config, vocab="v", serialization_dir="run").layers
    assert narrow.given == (1, "v")


class Rewriting(Registrable):
    """A family whose base reads old spellings."""

    @classmethod
    def from_params(cls, params: Any = None, **extras: Any) -> Any:
        if "kind" in params:
            params["type"] = params.pop("kind")
        return super().from_params(params, **extras)


@Rewriting.register("one")
class One(Rewriting):
    def __init__(self, x: int = 0) -> None:
        self.x = x


def test_the_base_of_a_family_can_rewrite_parameters() -> None:
    one = built(Rewriting, Params({"kind": "one", "x": 4}))
    assert type(one) is One and one.x == 4


# --- unions ---------------------------------------------------------------------------------------


class Loss(Registrable):
    pass


@Loss.register("focal")
class Focal(Loss):
    def __init__(self, gamma: float = 2.0, size: int = 0) -> None:
        self.gamma = gamma


class Either(FromParams):
    def __init__(
        self,
        part: Encoder | Loss,
        value: str | Encoder | dict[str, int] | None = None,
        many: list[Encoder] | Encoder | None = None,
        setting: Settings | Head | int | None = None,
        choice: Literal["auto"] | Encoder | float = "auto",
    ) -> None:
        self.part = part
        self.value = value
        self.many = many
        self.setting = setting
        self.choice = choice


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("part", {"type": "focal"}, Focal),
        ("part", {"type": "stack", "layers": []}, Stack),
        ("part", "focal", Focal),
        ("part", {"size": 1}, Linear),
        ("value", "linear", str),
        ("value", {"type": "linear"}, Linear),
        ("value", {"a": 1}, dict),
        ("many", [{"size": 1}], list),
        ("many", {"size": 1}, Linear),
        ("setting", {"size": 1}, Settings),
        ("setting", {"vocab": 1, "encoder": {}}, Head),
        ("setting", 4, int),
        ("choice", "auto", str),
        ("choice", "linear", Linear),
        ("choice", 1, float),
    ],
)
def test_a_union_takes_the_alternative_that_fits(key: str, value: Any, kind: type) -> None:
    either = built(Either, {"part": "linear", key: value})
    assert type(getattr(either, key)) is kind


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        # the name tells which family is meant
        ("part", {"type": "focal", "gamma": "x"}, 'part.gamma: expected float, found "x"'),
        ("part", {"type": "linear", "scale": "x"}, 'part.scale: expected float, found "x"'),
        # the alternative most of whose keys are right
        ("value", {"a": 1, "b": "x"}, 'value.b: expected int, found "x"'),
        ("value", {"type": "linear", "size": "x"}, 'value.size: expected int, found "x"'),
        ("many", [{"size": 1}, {"size": "x"}], 'many.1.size: expected int, found "x"'),
        ("many", {"size": "x"}, 'many.size: expected int, found "x"'),
        ("setting", {"size": "x", "tags": ["a"]}, 'setting.size: expected int, found "x"'),
        (
            "setting",
            {"vocab": 1, "encoder": {"size": "x"}},
            'setting.encoder.size: expected int, found "x"',
        ),
        ("setting", {"size": 1, "tag": []}, 'setting.tag: unknown key; did you mean "tags"?'),
        # of the kind of none
        (
            "setting",
            "x",
            "setting: expected a Settings (an object) or a Head (an object) or int or null, "
            'found "x"',
        ),
        (
            "choice",
            True,
            'choice: expected "auto" or an encoder (an object) or float, found true',
        ),
    ],
)
def test_a_union_tells_the_faults_of_what_was_meant(key: str, value: Any, fault: str) -> None:
    assert faults_of(Either, {"part": "linear", key: value}) == [fault]


def test_a_union_of_two_families_knows_the_names_of_both() -> None:
    (fault,) = faults_of(Either, {"part": {"type": "foca"}})
    assert fault.startswith('part.type: "foca" is not a registered')


def test_a_fault_under_many_unions_is_found_in_no_time() -> None:
    """Each union once checked its alternatives twice: 2 ** depth."""
    config: Any = {"size": "x"}
    for _ in range(30):
        config = {"type": "maybe", "inner": config}
    (fault,) = faults_of(Encoder, config)
    assert fault == "inner." * 30 + 'size: expected int, found "x"'


@Encoder.register("maybe")
class Maybe(Encoder):
    def __init__(self, inner: Encoder | Lazy[Loss] | None = None) -> None:
        self.inner = inner

    @classmethod
    def config_faults(cls, config: Any) -> Iterator[Any]:
        child = config.child("inner")
        if child is not None and child.sound("size") and child.get("size") == 13:
            yield config.fault("inner", "expected luck")


def test_depth_has_a_limit_and_is_a_fault() -> None:
    config: Any = {}
    for _ in range(100):
        config = {"type": "maybe", "inner": config}
    with pytest.raises(ConfigurationError, match="nests deeper than 64 levels"):
        Encoder.from_params(config)


class Plain:
    def __init__(self, x: int = 1, z: int = 1) -> None:
        self.x = x
        self.z = z


class OverPlain(Plain, FromParams):
    def __init__(self, y: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.y = y


class OverModule(torch.nn.Module, FromParams):
    def __init__(self, y: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Open(FromParams):
    def __init__(self, **kwargs: Any) -> None:
        self.kwargs = kwargs


def test_an_extra_reaches_a_base_that_knows_no_configs() -> None:
    built = OverPlain.from_params({"y": 3, "z": 4}, x=2, vocab=None)
    assert (built.x, built.y, built.z) == (2, 3, 4)


def test_an_extra_that_no_base_names_is_left_out_or_goes_to_what_takes_all() -> None:
    OverModule.from_params({}, vocab=None)  # torch.nn.Module would refuse it
    assert Open.from_params({"a": 1}, vocab=2).kwargs == {"a": 1, "vocab": 2}


class Scaling(Registrable):
    @classmethod
    def from_params(  # type: ignore[override]
        cls, params: Params, constructor_to_call: Any = None, **extras: Any
    ) -> Any:
        params["size"] = params.pop_int("size") * 10
        return super().from_params(params, constructor_to_call=constructor_to_call, **extras)


@Scaling.register("direct")
@Scaling.register("from_half", constructor="from_half")
class Scaled(Scaling):
    def __init__(self, size: int, name: str = "") -> None:
        self.size = size
        self.name = name

    @classmethod
    def from_half(cls, size: int, name: str = "") -> Scaled:
        return cls(size // 2, f"half {name}")


def test_a_from_params_of_its_own_hands_on_the_constructor_it_was_given() -> None:
    class Holder(FromParams):
        def __init__(self, part: Scaled) -> None:
            self.part = part

    built = Holder.from_params({"part": {"size": 1}}, name="n").part
    assert (built.size, built.name) == (10, "n")
    half = FromParams.from_params.__func__(  # type: ignore[attr-defined]
        Scaled, {"size": 3}, constructor_to_call=Scaled.from_half, name="n"
    )
    assert (half.size, half.name) == (1, "half n")


def test_a_path_from_python_code_is_a_str() -> None:
    assert Plainly.from_params({"text": Path("a/b")}).text == "a/b"


class Plainly(FromParams):
    def __init__(self, text: str, parts: list[Plainly] | None = None, size: int = 1) -> None:
        self.text = text
        self._parts = parts
        self.size = size


class Refusing(FromParams):
    def __init__(self, size: int) -> None:
        if size > 1:
            raise ConfigurationError("size: expected 1")


class Taking(FromParams):
    def __init__(self, size: int) -> None:
        self.size = size


def test_a_union_goes_on_where_a_constructor_refuses() -> None:
    class Holder(FromParams):
        def __init__(self, part: Refusing | Taking) -> None:
            self.part = part

    assert isinstance(Holder.from_params({"part": {"size": 1}}).part, Refusing)
    assert isinstance(Holder.from_params({"part": {"size": 2}}).part, Taking)


def test_to_params_gives_what_builds_the_same_again() -> None:
    built = Plainly("a", [Plainly("b", size=3)])
    params = built.to_params()
    assert params.as_dict() == {
        "text": "a",
        "parts": [{"text": "b", "parts": None, "size": 3}],
        "size": 1,
    }
    assert Plainly.from_params(params).to_params() == params


def test_to_params_of_a_registered_class_has_its_type() -> None:
    class Family(Registrable):
        pass

    @Family.register("one")
    class One(Family):
        def __init__(self, path: Path) -> None:
            self.path = path

    assert One(Path("x")).to_params().as_dict() == {"type": "one", "path": "x"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Refusing(1), "size is not kept"),
        (lambda: Taking(object()), "cannot express object"),
    ],
)
def test_to_params_says_what_it_cannot_tell(build: Any, message: str) -> None:
    with pytest.raises(NotImplementedError, match=message):
        build().to_params()


def test_an_answer_stands_beside_the_key_or_value_of_another_tool() -> None:
    class Runner(FromParams):
        instead: ClassVar[dict[str, str]] = {"distributed": "use A", "device": "use B"}

        def __init__(self, device: int = 0) -> None:
            self.device = device

    with pytest.raises(ConfigurationFaults) as caught:
        Runner.from_params({"distributed": {}, "device": [0, 1]})
    assert [str(fault) for fault in caught.value.faults] == [
        "distributed: unknown key; use A",
        "device: expected int, found [0, 1]; use B",
    ]


@pytest.mark.parametrize("value", ["3", "0.5", "1e-3"])
def test_the_text_of_a_number_is_told_how_to_become_one(value: str) -> None:
    with pytest.raises(ConfigurationFaults, match=r"expected int, .*std\.parseJson\(std\.extVar"):
        Taking.from_params({"size": value})
    with pytest.raises(ConfigurationFaults, match=r'expected int, found "big"$'):
        Taking.from_params({"size": "big"})


class Stranger:
    """Derives from nothing, but its constructor says what it takes."""

    def __init__(self, size: int, inner: Plainly | None = None) -> None:
        self.size = size
        self.inner = inner


class Unsaid:
    def __init__(self, size) -> None:  # type: ignore[no-untyped-def]
        self.size = size


class Host(FromParams):
    def __init__(self, stranger: Stranger, others: list[Stranger] | None = None) -> None:
        self.stranger = stranger
        self.others = others


class HostOfUnsaid(FromParams):
    def __init__(self, unsaid: Unsaid) -> None:
        self.unsaid = unsaid


def test_a_class_that_knows_no_configs_is_built_by_its_annotated_constructor() -> None:
    built = Host.from_params(
        {"stranger": {"size": 1, "inner": {"text": "a"}}, "others": [{"size": 2}]}
    )
    assert (type(built.stranger), built.stranger.size) == (Stranger, 1)
    assert isinstance(built.stranger.inner, Plainly)
    assert [other.size for other in built.others or []] == [2]
    given = Stranger(3)
    assert Host.from_params({"stranger": given}).stranger is given
    with pytest.raises(ConfigurationFaults, match=r"stranger\.size: expected int, found"):
        Host.from_params({"stranger": {"size": "x"}})


def test_a_constructor_without_annotations_is_for_python_code_alone() -> None:
    with pytest.raises(ConfigurationFaults, match=r"unsaid: expected an? Unsaid object"):
        HostOfUnsaid.from_params({"unsaid": {"size": 1}})
    assert HostOfUnsaid.from_params({"unsaid": Unsaid(1)}).unsaid.size == 1
