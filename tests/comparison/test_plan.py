"""A comparison that is called again: its names and its code mean what they meant."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.comparisons import BADGE, MARGIN, RANDOM, options, rows_of

from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.config import plugins, registrable
from allencv_al.common.errors import (
    ConfigurationError,
)
from allencv_al.comparison import cell_workers
from allencv_al.comparison.comparison import compare
from allencv_al.selection.strategies.base import QueryStrategy

MakeConfig = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets the name of each cell that is run."""
    names: list[str] = []
    run = cell_workers._run_cell

    def watched(cell: Any, *rest: Any) -> None:
        names.append(cell.name)
        run(cell, *rest)

    monkeypatch.setattr(cell_workers, "_run_cell", watched)
    return names


def test_a_name_means_one_strategy(config: dict[str, Any], tmp_path: Path) -> None:
    compare(Params(config), tmp_path / "c", options({"a": RANDOM}, seeds=1))
    with pytest.raises(ConfigurationError, match=r"a was .*random.* before and is .*margin.* now"):
        compare(Params(config), tmp_path / "c", options({"a": MARGIN}, seeds=1, recover=True))
    with pytest.raises(ConfigurationError, match="holds files already"):
        compare(Params(config), tmp_path / "c", options({"a": MARGIN}, seeds=1))
    config["active_learning"]["budget"] = 9
    with pytest.raises(ConfigurationError, match="its run had another config"):
        compare(Params(config), tmp_path / "c", options({"a": RANDOM}, seeds=1, recover=True))


def test_names_that_look_alike_as_folders_are_kept_apart(
    config: dict[str, Any], tmp_path: Path
) -> None:
    strategies = {"a/b": RANDOM, "a_b": MARGIN, "../../x": BADGE}
    compare(Params(config), tmp_path / "c", options(strategies, seeds=1))
    rows = rows_of(tmp_path / "c")
    assert {row["strategy"] for row in rows} == set(strategies)
    assert len({row["accuracy"] + row["negative_log_likelihood"] for row in rows}) > 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]
    assert len(list((tmp_path / "c" / "cells").iterdir())) == 3


STRATEGY = """
from allencv_al.active_learning import QueryStrategy
@QueryStrategy.register("of_a_user")
class OfAUser(QueryStrategy):
    def score(self, pool):
        return [0.0] * len(pool)
"""


@pytest.fixture
def strategy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module on the path that registers a strategy."""
    path = tmp_path / "strategy_of_a_user.py"
    path.write_text(STRATEGY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_included_packages", set())
    before = dict(registrable._registries.get(QueryStrategy, {}))
    plugins.import_package(path.stem)
    yield path
    registrable._registries[QueryStrategy] = before
    del sys.modules[path.stem]


def test_runs_of_other_code_are_not_taken_for_those_of_the_code_of_now(
    config: dict[str, Any], tmp_path: Path, strategy_file: Path, runs: list[str]
) -> None:
    mine = {"random": RANDOM, "mine": {"type": "of_a_user"}}
    folder = tmp_path / "c"
    compare(Params(config), folder, options(mine, seeds=1))
    runs.clear()
    strategy_file.write_text(STRATEGY.replace("0.0", "1.0"), encoding="utf-8")
    changed = r"the code of mine has changed since its runs \(strategy_of_a_user\): give it another"
    for asked in (mine, {"random": RANDOM}):
        with pytest.raises(ConfigurationError, match=changed):
            compare(Params(config), folder, options(asked, seeds=2, recover=True))
    assert runs == []
    shutil.rmtree(folder / "cells" / "mine")
    compare(Params(config), folder, options(mine, seeds=1, recover=True))
    assert runs == ["mine, seed 0"]


def test_a_run_that_goes_on_with_other_code_says_so(
    config: dict[str, Any], tmp_path: Path, strategy_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config["active_learning"]["strategy"] = "of_a_user"
    active_learn(Params(config), tmp_path / "run", RunOptions())
    config["active_learning"]["budget"] = 10
    active_learn(Params(config), tmp_path / "run", RunOptions(recover=True))
    assert "has changed" not in caplog.text
    strategy_file.write_text(STRATEGY.replace("0.0", "1.0"), encoding="utf-8")
    active_learn(Params(config), tmp_path / "run", RunOptions(recover=True))
    assert "the code of strategy_of_a_user has changed since this run began" in caplog.text


def test_code_that_all_runs_share_belongs_to_them(
    config: dict[str, Any], tmp_path: Path, strategy_file: Path
) -> None:
    config["active_learning"]["initial"] = {"size": 4, "strategy": "of_a_user"}
    folder = tmp_path / "c"
    compare(Params(config), folder, options({"random": RANDOM}, seeds=1))
    strategy_file.write_text(STRATEGY.replace("0.0", "1.0"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="code that all runs share has changed since they"):
        compare(Params(config), folder, options({"random": RANDOM}, seeds=1, recover=True))
