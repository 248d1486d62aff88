from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.common.config import plugins
from allencv_al.common.config.plugins import (
    import_package,
    import_plugins,
    is_included,
    registered_names_only,
)

TOP = "plugin_package_of_a_test"


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugins, "_included_packages", set())
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == TOP]:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with modules at three levels, on the path."""
    folder = tmp_path / TOP
    for name in (
        "__init__.py",
        "readers.py",
        "deep/__init__.py",
        "deep/deeper/__init__.py",
        "deep/deeper/models.py",
    ):
        write(folder, name, "")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))


def loaded() -> set[str]:
    return {name.removeprefix(f"{TOP}.") for name in sys.modules if name.startswith(f"{TOP}.")}


def message_of(name: str) -> str:
    with pytest.raises(ConfigurationError) as info:
        import_package(name)
    return str(info.value)


# --- --include-package ----------------------------------------------------------------------------


def test_a_package_is_imported_with_everything_below_it(package: Path) -> None:
    import_package(TOP)
    assert loaded() == {"readers", "deep", "deep.deeper", "deep.deeper.models"}
    assert is_included(TOP)


def test_a_module_or_a_package_inside_can_be_named(package: Path) -> None:
    import_package(f"{TOP}.readers")
    assert loaded() == {"readers"}
    import_package(f"{TOP}.deep")
    assert loaded() == {"readers", "deep", "deep.deeper", "deep.deeper.models"}
    assert is_included(TOP) and not is_included("deep")


def test_scripts_and_tests_are_not_imported(package: Path) -> None:
    for name in ("__main__.py", "setup.py", "deep/conftest.py", "tests/__init__.py"):
        write(package, name, "raise AssertionError('imported')")
    import_package(TOP)
    assert loaded() == {"readers", "deep", "deep.deeper", "deep.deeper.models"}


def test_a_folder_without_init_is_a_package_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, f"{TOP}/readers.py", "")
    monkeypatch.syspath_prepend(tmp_path)
    import_package(TOP)
    assert loaded() == {"readers"}


def test_importing_twice_runs_nothing_twice(package: Path) -> None:
    write(package, "readers.py", "import sys; sys.modules[__name__.partition('.')[0]].count += 1")
    write(package, "__init__.py", "count = 0")
    import_package(TOP)
    import_package(TOP)
    assert sys.modules[TOP].count == 1


def test_a_missing_module_says_what_to_do() -> None:
    assert message_of("not_installed_here.readers") == (
        "--include-package not_installed_here.readers: no module named 'not_installed_here' is "
        "installed; for a module in the current folder, put PYTHONPATH=. before the command"
    )


def test_a_missing_module_inside_a_package(package: Path) -> None:
    assert f"no module named '{TOP}.absent' is installed" in message_of(f"{TOP}.absent")
    assert not is_included(TOP)


def test_a_file_name_is_answered_with_the_module_name(package: Path) -> None:
    hint = "expected a module name such as"
    assert message_of(f"{TOP}.py").endswith(f"{hint} {TOP}")
    assert message_of("not_installed_here.py").endswith(f"{hint} not_installed_here")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("my_package/readers", "my_package.readers"),
        ("./my-package/readers.py", "my_package.readers"),
        ("my-package", "my_package"),
        ("a b", "my_package.readers"),
        ("", "my_package.readers"),
        ("a..b", "my_package.readers"),
    ],
)
def test_what_is_no_module_name_is_refused(name: str, hint: str) -> None:
    assert message_of(name) == f"--include-package {name}: expected a module name such as {hint}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\nundefined_name", "NameError: name 'undefined_name' is not defined ({file}:2)"),
        (
            "import not_installed_here",
            "ModuleNotFoundError: No module named 'not_installed_here' ({file}:1)",
        ),
        ("def broken(:", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("import sys\nsys.exit(3)", "SystemExit: 3 ({file}:2)"),
        ("raise RuntimeError('no')", "RuntimeError: no ({file}:1)"),
    ],
)
def test_a_module_that_fails_is_named_with_its_line(package: Path, text: str, reason: str) -> None:
    write(package, "deep/broken.py", text)
    file = package / "deep" / "broken.py"
    assert message_of(TOP) == (
        f"--include-package {TOP}: {TOP}.deep.broken fails on import: {reason.format(file=file)}"
    )


def test_a_module_may_import_a_missing_one_if_it_copes(package: Path) -> None:
    write(
        package,
        "readers.py",
        """
        try:
            import not_installed_here
        except ImportError:
            not_installed_here = None
        """,
    )
    import_package(TOP)
    assert "readers" in loaded()


def test_nothing_comes_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, f"{TOP}.py", "raise AssertionError('imported')")
    write(tmp_path, ".allennlp_plugins", TOP)
    write(tmp_path, ".allencv_al_plugins", TOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", ".")])
    import_plugins()
    assert TOP not in sys.modules
    assert "PYTHONPATH=." in message_of(TOP)


# --- registered names only ------------------------------------------------------------------------


def test_dotted_names_can_be_shut_out_for_a_while(package: Path) -> None:
    import_package(TOP)
    with registered_names_only():
        assert not is_included(TOP)
        with registered_names_only():
            assert not is_included(TOP)
        assert not is_included(TOP)
    assert is_included(TOP)


def test_they_come_back_after_an_error_and_other_threads_do_not_notice(package: Path) -> None:
    import_package(TOP)
    answers: list[bool] = []
    with pytest.raises(ZeroDivisionError), registered_names_only():
        thread = threading.Thread(target=lambda: answers.append(is_included(TOP)))
        thread.start()
        thread.join()
        raise ZeroDivisionError
    assert answers == [True]
    assert is_included(TOP)


# --- entry points ---------------------------------------------------------------------------------


@pytest.fixture
def distribution(package: Path) -> Path:
    """An installed distribution with an entry point: what pip leaves in site-packages."""
    info = package.parent / "fake_plugin-1.0.dist-info"
    write(info, "METADATA", "Metadata-Version: 2.1\nName: fake-plugin\nVersion: 1.0\n")
    write(info, "entry_points.txt", f"[allencv_al.plugins]\nfake = {TOP}.readers\n")
    return info


def test_an_installed_package_with_an_entry_point_is_imported(distribution: Path) -> None:
    import_plugins()
    assert loaded() == {"readers"}
    assert not is_included(TOP)  # its registered names count, dotted ones do not


def test_an_entry_point_that_fails_is_named(distribution: Path, package: Path) -> None:
    write(package, "readers.py", "1 / 0")
    with pytest.raises(ConfigurationError) as info:
        import_plugins()
    file = package / "readers.py"
    assert str(info.value) == (
        f"plugin fake ({TOP}.readers) fails on import: "
        f"ZeroDivisionError: division by zero ({file}:1)"
    )


def test_an_entry_point_without_its_module_is_named(distribution: Path) -> None:
    write(distribution, "entry_points.txt", "[allencv_al.plugins]\nfake = not_installed_here\n")
    with pytest.raises(ConfigurationError, match=r"plugin fake \(not_installed_here\) fails"):
        import_plugins()


def test_parts_of_this_package_stay_no_user_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_included_packages", {"mine"})
    plugins.import_package("allencv_al.models")
    assert plugins.is_user_module("mine.models")
    assert not plugins.is_user_module("allencv_al.data.instance")
