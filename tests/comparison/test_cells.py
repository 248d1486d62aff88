"""What a comparison runs: one cell for each strategy and seed, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults
from allencv_al.comparison.cells import (
    check_comparison,
    default_strategies,
    parse_strategies,
    plan_cells,
    strategy_name,
)

CONFIG: dict[str, Any] = {
    "random_seed": 5,
    "active_learning": {"strategy": {"type": "badge"}, "budget": 9},
}

HOSTILE = [
    *("a/b", "a_b", "a b", "a?b", "A_B", "..", ".", "../..", "/etc/passwd", "", " ", "\n", "a\0b"),
    *("über", "\N{GREEK SMALL LETTER ALPHA}", "con", "-rf", "x" * 300, "x" * 300 + "y", "seed_000"),
    *("margin", "Margin", "MARGIN", "a.b", "a..b", "~", "\ud800"),
]


def folders_of(names: list[str]) -> list[Path]:
    strategies = {name: {"type": "random"} for name in names}
    return [cell.folder for cell in plan_cells(Params(CONFIG), strategies, [0], Path("/base"))]


def test_every_name_has_a_folder_of_its_own_inside() -> None:
    folders = folders_of(HOSTILE)
    # Some file systems do not tell upper from lower case
    assert len({str(folder).lower() for folder in folders}) == len(HOSTILE)
    for folder in folders:
        assert folder.parent.parent == Path("/base/cells"), folder
        assert folder.name == "seed_000"
        assert len(folder.parent.name.encode()) <= 80
        assert folder.parent.name.strip(". ") == folder.parent.name != ""
        assert folder.parent.name.isascii() and folder.parent.name.isprintable()


def test_registered_names_are_folders_as_they_are() -> None:
    assert folders_of(["margin", "k_center"]) == [
        Path("/base/cells/margin/seed_000"),
        Path("/base/cells/k_center/seed_000"),
    ]


def test_cells_of_a_seed_differ_in_the_strategy_alone() -> None:
    strategies = {"a": {"type": "random"}, "b": {"type": "margin"}}
    cells = plan_cells(Params(CONFIG), strategies, [0, 3], Path("x"))
    assert [(cell.strategy, cell.seed) for cell in cells] == [
        ("a", 0),
        ("b", 0),
        ("a", 3),
        ("b", 3),
    ]
    for cell in cells:
        assert cell.config["random_seed"] == 5 + cell.seed
        assert cell.config["numpy_seed"] == 1337 + cell.seed
        assert cell.config["pytorch_seed"] == 133 + cell.seed
        assert cell.config["active_learning"]["budget"] == 9
        assert cell.config["active_learning"]["strategy"] == strategies[cell.strategy]
    assert cells[1].name == "b, seed 0"
    without = [
        {k: v for k, v in cell.config.items() if k != "active_learning"} for cell in cells[:2]
    ]
    assert without[0] == without[1]


def test_names_with_commas() -> None:
    assert parse_strategies("random, margin ,") == {
        "random": {"type": "random"},
        "margin": {"type": "margin"},
    }


def test_an_object_gives_names_of_ones_own() -> None:
    text = """{
        // a comment
        plain: "margin",
        'few/margin': {type: "subsample", size: 2 * 50, strategy: "margin"},
    }"""
    assert parse_strategies(text) == {
        "plain": {"type": "margin"},
        "few/margin": {"type": "subsample", "size": 100, "strategy": "margin"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected names with commas, found none"),
        (" , ", "expected names with commas, found none"),
        ("random,margin,random", "found twice: random"),
        ("{}", "expected some, found {}"),
        ("{a: 'random', a: 'margin'}", "--strategies"),
        ("{a: ", "--strategies"),
        ("{a: std.extVar('X')}", "--strategies"),
    ],
)
def test_what_names_no_strategies_is_a_message(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_strategies(text)


def test_faults_of_config_and_strategies_are_told_at_once(digits: Path) -> None:
    config = Params(
        {
            "dataset_reader": {"type": "image_classification_directory"},
            "train_data_path": str(digits),
            "model": {
                "type": "basic_image_classifier",
                "im2vec_encoder": {
                    "type": "flatten",
                    "input_channels": 3,
                    "input_height": 8,
                    "input_width": 8,
                },
            },
            "trainer": {"type": "logistic_regresion"},
            "active_learning": {"budget": 0, "strategy": "not among those that are compared"},
        }
    )
    strategies = {
        "right": {"type": "margin"},
        "margni": {"type": "margni"},
        "few": {"type": "subsample", "size": 0, "strategy": {"type": "badge", "sise": 3}},
        "none": None,
    }
    with pytest.raises(ConfigurationFaults) as caught:
        check_comparison(config, strategies, "x.jsonnet")
    assert {fault.path for fault in caught.value.faults} >= {
        "trainer.type",
        "active_learning.budget",
        "--strategies margni: type",
        "--strategies few: strategy.sise",
        "--strategies none",
    }
    assert "did you mean" in str(caught.value)
    assert not any("right" in fault.path for fault in caught.value.faults)


def test_by_default_the_baseline_and_the_configs_own_are_compared() -> None:
    assert default_strategies({}) == {"random": {"type": "random"}, "margin": {"type": "margin"}}
    own = {"type": "subsample", "size": 9, "strategy": "badge"}
    found = default_strategies({"active_learning": {"strategy": own}})
    assert list(found.values()) == [{"type": "random"}, own]
    assert default_strategies({"active_learning": {"strategy": "random"}}) == {
        "random": {"type": "random"}
    }


def test_a_strategy_with_parameters_is_called_by_them() -> None:
    assert strategy_name({"type": "margin"}) == "margin"
    assert strategy_name({"type": "subsample", "strategy": "badge", "size": 9}) == (
        'subsample {"size": 9, "strategy": "badge"}'
    )
