from __future__ import annotations

import enum
import json
import re
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest

from allencv_al.commands import describe
from allencv_al.commands.registries import REGISTRIES, load_registry
from allencv_al.common import ConfigurationError, FromParams, Lazy, Params, Registrable
from allencv_al.common.config.config_check import check
from allencv_al.common.config.signatures import signature_of

Describe = Callable[..., str]


@pytest.fixture
def described(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Describe:
    """Return what `allencv-al describe` prints for its arguments."""
    monkeypatch.setenv("COLUMNS", "100")
    parser = ArgumentParser()
    describe.add_arguments(parser)

    def run(*words: str) -> str:
        assert describe.run(parser.parse_args(words)) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclass
class Window:
    """A part of a picture.

    Args:
        start: Where it begins.
    """

    start: int = 0


class Bolt(FromParams):
    """What holds things together.

    Args:
        thread: Its kind.
    """

    def __init__(self, thread: str) -> None: ...


class DescribedWidget(Registrable):
    """A family
    of a test.
    """

    default_implementation = "round"
    injected = ("vocab",)
    builtin = {"needy": "a_package_not_installed.module"}  # noqa: RUF012


@DescribedWidget.register("square", constructor="of_side")
@DescribedWidget.register("round")
class Round(DescribedWidget):
    """A round one: more text
    on the next line.

    A second paragraph.

    Args:
        size: How large, in pixels.
        vocab: Given by the program.
        mode: How.
        kind: Which.
        bolts: What holds it.
        windows: What it shows.
        later: Another.
    """

    def __init__(
        self,
        size: float,
        vocab: Any,
        mode: Mode = Mode.FAST,
        kind: Literal["a", "b"] | None = None,
        bolts: list[Bolt] | None = None,
        windows: tuple[Window] | None = None,
        later: Lazy[DescribedWidget] = Lazy(lambda: Bare()),  # noqa: B008
    ) -> None: ...

    @classmethod
    def of_side(cls, side: int) -> Round:
        """Make one from a side.

        Args:
            side: The side, in pixels.
        """
        return cls(side, None)


@DescribedWidget.register("custom")
class Custom(DescribedWidget):
    """Reads its own parameters."""

    @classmethod
    def from_params(cls, params: Any = None, **extras: Any) -> Any: ...


@DescribedWidget.register("bare")
class Bare(DescribedWidget):
    """Takes nothing."""


# --- a family of a test ---------------------------------------------------------------------------


def test_a_family_of_user_code_is_listed(described: Describe) -> None:
    listed = described()
    assert "described_widget: A family of a test.\n    round, bare, custom, needy, sq" in listed
    assert described("described_widget") == (
        "described_widget: A family of a test.\n"
        "  round (default)\n"
        "      A round one: more text on the next line.\n"
        "  bare\n"
        "      Takes nothing.\n"
        "  custom\n"
        "      Reads its own parameters.\n"
        "  needy\n"
        '      the described_widget "needy" needs what is not installed: No module named\n'
        "      'a_package_not_installed'\n"
        "  square\n"
        "      Make one from a side.\n"
    )


def test_a_component_is_shown_with_its_parameters(described: Describe) -> None:
    text = described("described_widget", "round")
    assert text == (
        f'described_widget "round" ({__name__}.Round)\n'
        "\n"
        "A round one: more text\n"
        "on the next line.\n"
        "\n"
        "A second paragraph.\n"
        "\n"
        "parameters:\n"
        "  size: float, required\n"
        "      How large, in pixels.\n"
        '  mode: "fast" or "slow", default "fast"\n'
        "      How.\n"
        '  kind: "a" or "b" or null, default null\n'
        "      Which.\n"
        "  bolts: list of a Bolt (an object) or null, default null\n"
        "      What holds it.\n"
        "  windows: a list of exactly 1 (an object with start) or null, default null\n"
        "      What it shows.\n"
        '  later: a described_widget (an object), default "built by default"\n'
        "      Another.\n"
        "\n"
        "given by the program: vocab\n"
        "\n"
        "Bolt: What holds things together.\n"
        "  thread: str, required\n"
        "      Its kind.\n"
        "\n"
        "Window: A part of a picture.\n"
        "  start: int, default 0\n"
        "      Where it begins.\n"
    )


def test_a_classmethod_is_shown_with_its_own_docstring(described: Describe) -> None:
    text = described("described_widget", "square")
    assert "\n\nMake one from a side.\n\nparameters:\n  side: int, required\n" in text
    assert "      The side, in pixels.\n" in text and "round one" not in text


def test_what_takes_nothing_and_what_reads_for_itself(described: Describe) -> None:
    assert described("described_widget", "bare").endswith("parameters:\n  none\n")
    custom = described("described_widget", "custom")
    assert custom.endswith("parameters:\n  read by the class itself\n")


def test_the_schema_of_one_component(described: Describe) -> None:
    schema = json.loads(described("described_widget", "round", "--json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(
        {"size": 1, "mode": "slow", "windows": [{"start": 1}]}
    )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({"size": 1, "zzz": 1})


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimzer"], 'no registry is called "optimzer"; did you mean "optimizer"?'),
        (["dataset-readers"], 'did you mean "dataset_reader"'),
        (["zzz"], 'no registry is called "zzz"; known: '),
        (["optimizer", "adma"], '"adma" is not a registered optimizer; did you mean "adam'),
        (["optimizer", "adma", "--json"], '"adma" is not a registered optimizer'),
        (["experiment", "model"], "experiment is one thing, found model behind it"),
        (["active_learning", "x"], "active_learning is one thing, found x behind it"),
        (["activ_learning"], 'did you mean "active_learning"'),
    ],
)
def test_a_misspelt_word_is_a_message(described: Describe, words: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        described(*words)


# --- the registries of this package ---------------------------------------------------------------


def test_every_registry_is_listed_with_its_names(described: Describe) -> None:
    text = described()
    for family in REGISTRIES:
        assert re.search(rf"^{family}: [A-Z]", text, re.MULTILINE), family
    for name in load_registry("optimizer").list_available():
        assert name in text
    assert "describe experiment" in text


@pytest.mark.parametrize("family", REGISTRIES)
def test_every_component_can_be_shown(described: Describe, family: str) -> None:
    pytest.importorskip("tensorboard")
    listed = described(family)
    for name in load_registry(family).list_available():
        assert f"  {name}" in listed
        text = described(family, name)
        if not text.startswith(f'{family} "{name}" (allencv_al.'):
            assert name not in load_registry(family).builtin
            continue  # another test's own
        assert "(not documented)" not in text
        assert not re.search(r"default .*<", text), "a default that no config can say"
        assert max(map(len, text.splitlines()[1:])) <= 100


def test_the_experiment_is_shown_with_every_key(described: Describe) -> None:
    from allencv_al.training.experiment import Experiment

    text = described("experiment")
    for argument in ("dataset_reader", "model", "trainer", "random_seed", "data_loader"):
        assert f"  {argument}: " in text
    assert "(not documented)" not in text
    assert Experiment.__doc__ is not None and text.splitlines()[2] in Experiment.__doc__


def test_the_block_of_active_learning_is_shown_with_every_key(described: Describe) -> None:
    from allencv_al.active_learning.settings import ActiveLearningSettings

    text = described("active_learning")
    for argument in signature_of(ActiveLearningSettings).arguments:
        assert f"\n  {argument}: " in text
    assert "\nInitialQuery: The items that are labeled before there is a model.\n  size: " in text
    assert "(not documented)" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_schema_of_the_block_takes_what_its_check_takes(described: Describe) -> None:
    from allencv_al.active_learning.settings import ActiveLearningSettings

    schema = json.loads(described("active_learning", "--json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    right = {"strategy": "margin", "initial": {"size": 3}, "stop": [{"type": "plateau"}]}
    jsonschema.Draft202012Validator(schema).validate(right)
    assert check(ActiveLearningSettings, right) == []
    for wrong in ({"strategy": "margni"}, {"stop": "plateau"}, {"budget": "9"}, {"zzz": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(wrong)
        assert check(ActiveLearningSettings, wrong)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return describe._schema(None, None)


def test_the_schema_of_an_experiment_is_a_schema(
    described: Describe, schema: dict[str, Any]
) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(described("--json")) == json.loads(json.dumps(schema))
    for family in ("dataset_reader", "model", "trainer", "optimizer", "learning_rate_scheduler"):
        assert family in schema["$defs"]


CONFIG: dict[str, Any] = {
    "dataset_reader": {
        "type": "image_classification_directory",
        "augmentation": [{"type": "resize", "height": 8, "width": 8}, "normalize", "flip"],
    },
    "train_data_path": "/nowhere",
    "model": {
        "type": "basic_image_classifier",
        "im2vec_encoder": {
            "type": "flatten",
            "input_channels": 3,
            "input_height": 8,
            "input_width": 8,
        },
    },
    "trainer": {
        "num_epochs": 2,
        "optimizer": {"type": "adam", "lr": 0.001, "parameter_groups": [[["^_class"]]]},
        "learning_rate_scheduler": {"type": "slanted_triangular", "num_steps_per_epoch": 5},
    },
}


def test_a_right_experiment_is_valid(schema: dict[str, Any]) -> None:
    from allencv_al.training.experiment import Experiment

    jsonschema.Draft202012Validator(schema).validate(CONFIG)
    assert [str(fault) for fault in check(Experiment, CONFIG)] == []


@pytest.mark.parametrize(
    "override",
    [
        {"trainer.optimizer.lr": "fast"},
        {"trainer.optimizer.type": "adma"},
        {"trainer.num_epochz": 3},
        {"model.im2vec_encoder.input_width": None},
        {"model": {"type": "basic_image_classifier"}},
        {"dataset_reader.augmentation.0.height": 1.5},
        {"dataset_reader.augmentation.1": "normalise"},
        {"dataset_reader.augmentation": "flip"},
        {"trainer.learning_rate_scheduler.cut_frac": "0.1"},
        {"random_seed": True},
        {"zzz": 1},
    ],
    ids=json.dumps,
)
def test_an_experiment_with_a_planted_fault_is_not(
    schema: dict[str, Any], override: dict[str, Any]
) -> None:
    from allencv_al.common.config.sources.jsonnet_file import apply_overrides
    from allencv_al.training.experiment import Experiment

    config = apply_overrides(CONFIG, override)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(config)
    (path,) = override
    faults = check(Experiment, config)
    assert faults and any(fault.path.startswith(path) for fault in faults)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "training_config").glob("*.jsonnet")), ids=str
)
def test_the_configs_of_the_project_are_valid(path: Path, schema: dict[str, Any]) -> None:
    names = re.findall(r'extVar\(\s*[\'"](\w+)', path.read_text(encoding="utf-8"))
    variables = {name: "/nowhere" for name in names if name != "environment"}
    jsonschema.Draft202012Validator(schema).validate(
        Params.from_file(path, ext_vars=variables).as_dict()
    )


def test_parameter_groups_of_a_config(described: Describe, tmp_path: Path) -> None:
    encoder = {"type": "timm", "model": "test_vit"}
    config = {
        "dataset_reader": "image_classification_directory",
        "model": {"type": "basic_image_classifier", "im2vec_encoder": encoder},
        "trainer": {"num_epochs": "wrong, and not asked for"},
    }
    path = tmp_path / "x.jsonnet"
    path.write_text(json.dumps(config))
    groups = json.loads(described("--parameter-groups", str(path), "--blocks-per-group", "3"))
    assert len(groups) == 3
    assert groups[-1] == [["^_classification_layer\\."]]
    assert "^_im2vec_encoder\\.model\\.blocks\\.5\\." in groups[1][0]
    no_grad = '{"trainer.no_grad": ["blocks.[0-3]"]}'
    groups = json.loads(described("--parameter-groups", str(path), "-o", no_grad))
    assert "blocks\\.4" in json.loads(json.dumps(groups))[0][0][-1]
    with pytest.raises(ConfigurationError, match=r'x\.jsonnet:\n  model.*timm has no model "no"'):
        described("--parameter-groups", str(path), "-o", '{"model.im2vec_encoder.model": "no"}')
