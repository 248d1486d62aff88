"""What the package says it needs is said with an oldest version, which CI installs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_dependency_has_an_oldest_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [name for name in project["dependencies"] if ">=" not in name and "==" not in name] == []


def test_ci_installs_all_of_them_but_torch() -> None:
    script = ROOT / ".ci" / "lower_bounds.py"
    command = [sys.executable, str(script), str(ROOT / "pyproject.toml")]
    pins = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = [name for name in project["dependencies"] if ">=" in name]
    assert len(pins) == len(floors) - 2  # torch and torchvision are too large to be installed twice
    assert "numpy==2.0.0" in pins
