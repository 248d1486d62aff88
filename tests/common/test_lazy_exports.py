from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import allencv_al
from allencv_al.common.lazy_exports import lazy_exports

HEAVY = ("torch", "torchvision", "albumentations", "sklearn", "matplotlib")
LIGHT_MODULES = (
    "allencv_al",
    "allencv_al.common",
    "allencv_al.common.config.plugins",
    "allencv_al.common.progress",
    "allencv_al.common.seeding",
    "allencv_al.data",
    "allencv_al.models",
    "allencv_al.predictors",
    "allencv_al.commands.describe",
    "allencv_al.commands.registries",
)


def imported_by(statement: str) -> set[str]:
    """Return the modules in a fresh interpreter after a statement."""
    script = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_a_package_imports_nothing_heavy(module: str) -> None:
    assert imported_by(f"import {module}") & set(HEAVY) == set()


def test_the_floor_imports_little_at_all() -> None:
    found = imported_by("import allencv_al.common")
    assert not found & {"numpy", "rich", "PIL", "_jsonnet", "importlib.metadata", "torch"}
    foreign = {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith(("_", "sitecustomize"))} <= {
        "allencv_al",
        "overrides",
    } | imported_packages_of_a_bare_start()


def imported_packages_of_a_bare_start() -> set[str]:
    return {name.partition(".")[0] for name in imported_by("pass")}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "lazy_package_of_a_test"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(
        "from allencv_al.common.lazy_exports import lazy_exports\n"
        "own = 1\n"
        "__getattr__, __dir__, __all__ = lazy_exports(\n"
        f"    __name__, {{'Thing': '{name}.things', 'Gone': '{name}.absent'}}\n"
        ")\n"
    )
    (tmp_path / name / "things.py").write_text("class Thing: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == name]:
        del sys.modules[loaded]


def test_a_name_is_imported_when_it_is_used(package: str) -> None:
    module = importlib.import_module(package)
    assert f"{package}.things" not in sys.modules
    thing = module.Thing
    assert thing is sys.modules[f"{package}.things"].Thing
    assert module.Thing is thing and "Thing" in vars(module)


def test_the_names_are_listed_before_they_are_imported(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == ["Gone", "Thing"]
    assert {"Gone", "Thing", "own"} <= set(dir(module))


def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Thong'"):
        _ = module.Thong
    with pytest.raises(ImportError):
        exec(f"from {package} import Thong")


def test_a_module_that_is_not_there_says_so(package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="absent"):
        _ = importlib.import_module(package).Gone


def test_the_three_results() -> None:
    get, names, public = lazy_exports(
        "allencv_al.common", {"Params": "allencv_al.common.config.params"}
    )
    assert public == ["Params"] and "Params" in names()
    assert get("Params") is importlib.import_module("allencv_al.common.config.params").Params


@pytest.mark.parametrize(
    "module", ["allencv_al", "allencv_al.data", "allencv_al.models", "allencv_al.predictors"]
)
def test_every_public_name_is_there(module: str) -> None:
    package = importlib.import_module(module)
    assert package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__name__ == name


def test_the_names_that_others_rely_on() -> None:
    from allencv_al.common import (
        ConfigurationError,
        FromParams,
        Lazy,
        Params,
        Registrable,
    )
    from allencv_al.data import DatasetReader, Instance, Vocabulary
    from allencv_al.models import Model, load_archive
    from allencv_al.predictors import ImagePredictor, Predictor
    from allencv_al.training.learning_rate_schedulers import SlantedTriangular

    assert callable(load_archive)
    assert all(
        isinstance(kind, type)
        for kind in (
            ConfigurationError,
            DatasetReader,
            FromParams,
            ImagePredictor,
            Instance,
            Lazy,
            Model,
            Params,
            Predictor,
            Registrable,
            SlantedTriangular,
            Vocabulary,
        )
    )
    assert allencv_al.__version__
