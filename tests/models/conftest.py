"""An archive as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.archive_files import CONFIG, VOCABULARY, WEIGHTS
from fixtures.loop_projects import project as project

from allencv_al.models.archive_contents import write_archive


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "model.tar.gz"
    write_archive(path, CONFIG, VOCABULARY, WEIGHTS)
    return path
