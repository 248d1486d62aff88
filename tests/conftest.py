"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


def skip_or_fail(reason: str) -> None:
    """Skip the running test, or fail it where CI has promised that nothing is absent."""
    if os.environ.get("ALLENCV_AL_REQUIRE") == "all":
        pytest.fail(f"required by ALLENCV_AL_REQUIRE=all, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The optional folder with real images and weights; CONTRIBUTING.md says how to get one."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ALLENCV_AL_DATA", default))
    if not folder.is_dir():
        skip_or_fail(f"no real data at {folder}; set ALLENCV_AL_DATA")
    return folder


