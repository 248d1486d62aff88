"""The tiny archive, its predictor and some files."""

from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.models import load_archive
from allencv_al.models.archive import Archive
from allencv_al.predictors import Predictor


@pytest.fixture
def archive(tiny_run: Path) -> Archive:
    return load_archive(tiny_run)


@pytest.fixture
def predictor(archive: Archive) -> Predictor:
    return Predictor.from_archive(archive)


@pytest.fixture
def files(pictures: Path) -> list[Path]:
    return sorted(pictures.rglob("*.png"))
