"""A labeling of twelve images, 001.png to 012.png, red and blue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.exchange_labels import labeled as labeled
from fixtures.exchange_labels import make_labeling as make_labeling

from allencv_al.__main__ import main
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore


@pytest.fixture
def labeling(tmp_path: Path) -> Path:
    folder = tmp_path / "imgs-labels"
    (tmp_path / "imgs").mkdir()
    with LabelingStore(folder / LABELING_NAME) as store:
        store.classes.add(["red", "blue", "café"], "owner")
        names = [f"{number:03}.png" for number in range(1, 13)]
        store.items.open_batch([NewItem(name, tmp_path / "imgs" / name) for name in names])
    return folder


@pytest.fixture
def run(labeling: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that imports a file and returns the exit code and what was printed."""

    def import_file(file: Path, *more: str) -> tuple[int, str, str]:
        code = main(["import-labels", str(file), str(labeling), *more])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return import_file
