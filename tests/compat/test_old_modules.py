"""Old module names import today's modules, with a warning."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from allencv_al.compat import old_modules


@pytest.mark.parametrize("old", sorted(old_modules.moved_modules()))
def test_an_old_name_gives_the_module_of_today(old: str) -> None:
    new = old_modules.moved_modules()[old]
    sys.modules.pop(old, None)
    with pytest.warns(FutureWarning, match="will be removed in 0.4"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(new)
    assert found.__spec__ is not None and found.__spec__.name == new


def test_a_class_of_a_users_own_code_is_one_class() -> None:
    code = (
        "from allencv_al.active_learning.strategies.base import QueryStrategy as old\n"
        "from allencv_al.active_learning import QueryStrategy as new\n"
        "assert old is new"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "allencv_al.active_learning.strategies.base is now" in found.stderr


def test_any_module_of_a_moved_package_is_the_module_of_today() -> None:
    package = "allencv_al.active_learning.labeling"
    importlib.import_module("allencv_al.labels.sessions.items")
    sys.modules.setdefault(package, importlib.import_module("allencv_al.labels.sessions"))
    old = f"{package}.items"
    sys.modules.pop(old, None)
    with pytest.warns(FutureWarning, match="items is now allencv_al.labels.sessions.items"):
        found = importlib.import_module(old)
    assert found is importlib.import_module("allencv_al.labels.sessions.items")
    with pytest.raises(ModuleNotFoundError, match=r"active_learning\.labeling\.nothing"):
        importlib.import_module("allencv_al.active_learning.labeling.nothing")


def test_a_renamed_class_has_its_old_name_in_the_old_module() -> None:
    from allencv_al.selection import SelectedImage

    sys.modules.pop("allencv_al.active_learning.selector", None)
    with pytest.warns(FutureWarning):
        old = importlib.import_module("allencv_al.active_learning.selector")
    assert old.Pick is SelectedImage


def test_an_unknown_name_stays_unknown() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"allencv_al\.active_learning\.nothing"):
        importlib.import_module("allencv_al.active_learning.nothing")


def test_no_module_of_today_has_an_old_name() -> None:
    moved = old_modules.moved_modules()
    assert not [old for old in moved if old in moved.values()]
