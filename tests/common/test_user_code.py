"""The user's code behind a config: what it is made of, and when it is another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from allencv_al.common.config import plugins, registrable
from allencv_al.common.config.plugins import import_package
from allencv_al.common.user_code import changed_code, user_code
from allencv_al.selection.strategies.base import QueryStrategy

TOP = "package_of_user_code"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with two strategies; one of them uses other modules."""
    folder = tmp_path / TOP
    folder.mkdir()
    files = {
        "__init__": "",
        "constants": "WEIGHT = 2",
        "helper": "from .constants import WEIGHT\nimport numpy",
        "unused": "",
        "strategies": f"import {TOP}.helper\n{strategy('uses_helper')}",
        "other": strategy("uses_nothing"),
    }
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_included_packages", set())
    before = dict(registrable._registries.get(QueryStrategy, {}))
    import_package(TOP)
    yield folder
    registrable._registries[QueryStrategy] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == TOP]:
        del sys.modules[name]


def strategy(name: str) -> str:
    return (
        "from allencv_al.active_learning import QueryStrategy\n"
        f"@QueryStrategy.register('{name}')\n"
        "class Mine(QueryStrategy):\n"
        "    def score(self, pool):\n"
        "        return [0.0] * len(pool)\n"
    )


def modules(config: object) -> set[str]:
    return {name.removeprefix(TOP) for name in user_code(config)}


def test_it_is_the_modules_of_the_components_and_what_they_import(package: Path) -> None:
    wrapped = {"type": "subsample", "size": 9, "strategy": "uses_helper"}
    assert modules(wrapped) == {".strategies", ".helper", ".constants", ""}
    assert modules({"strategies": [{"strategy": {"type": "uses_nothing"}}]}) == {".other", ""}
    assert modules({"type": f"{TOP}.other.Mine"}) == {".other", ""}
    assert modules({"type": "margin"}) == modules({}) == modules(["random", 1, None]) == set()


def test_a_change_anywhere_below_a_component_is_named(package: Path) -> None:
    one, other = {"type": "uses_helper"}, {"type": "uses_nothing"}
    before = user_code(one), user_code(other)
    assert changed_code(before[0], user_code(one)) == []
    (package / "constants.py").write_text("WEIGHT = 3")
    (package / "unused.py").write_text("1")
    assert changed_code(before[0], user_code(one)) == [f"{TOP}.constants"]
    assert changed_code(before[1], user_code(other)) == []
    assert changed_code({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == ["a", "b", "c"]
