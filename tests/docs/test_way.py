"""The tool that lists the files between a config and the first step, and how many they are."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fixtures.doc_page import REPOSITORY

MOST_FILES = 80


def way(*arguments: str) -> list[str]:
    """Return the lines that the tool prints."""
    command = [sys.executable, str(REPOSITORY / ".ci" / "way.py"), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    return run.stdout.splitlines()


@pytest.mark.slow  # a process that trains
def test_the_way_from_a_config_to_the_first_step_stays_short() -> None:
    *files, total = way()
    assert len(files) <= MOST_FILES
    assert total.startswith(f"{len(files)} files")
    assert files[0].endswith("common/config/params.py")
    # In a thread of the loader, in the main thread, and the last one
    for name in ("data/image_io.py", "models/basic_classifier.py", "trainers/training_step.py"):
        assert any(file.endswith(name) for file in files)


@pytest.mark.slow
def test_one_value_passes_fewer_files() -> None:
    """The learning rate is given to the optimizer and to no code that decodes."""
    files = way("--value", "0.002", "--functions")
    assert "      Optimizer.__init__" in files
    assert not any(file.endswith("data/image_io.py") for file in files)
