"""`allencv-al label`, up to the moment when the page is served."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.active_learning.label_store import LabelKind
from allencv_al.active_learning.labeling.store import LABELING_NAME, LabelingStore


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, pictures: Path) -> list[Any]:
    """The applications that would have been served; somebody labels one image, and leaves."""
    found: list[Any] = []

    def serve(app: Any, announce: Callable[[str], None]) -> int:
        announce("http://127.0.0.1:8010/")
        found.append(app)
        file = pictures.with_name("pictures-labels") / LABELING_NAME
        with LabelingStore(file, create=False) as store:
            if not store.answers.events():
                store.answers.answer("anna", "one-key", 1, LabelKind.LABEL, 1)
        app.close()
        return 130

    monkeypatch.setattr("allencv_al.service.web.running.serve", serve)
    return found


def items(folder: Path) -> list[str]:
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        return [item.id for item in store.items.items(1)]


def test_a_folder_is_labeled_and_labeled_on(
    served: list[Any], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["label", str(pictures), "--classes", "cat, dog,cat"]
    assert main(command) == 130
    said = capsys.readouterr().err
    assert "http://127.0.0.1:8010/" in said and "1 of 7 images are labeled" in said
    folder = pictures.with_name("pictures-labels")
    order = items(folder)
    assert sorted(order) == sorted(
        path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png")
    )
    with (folder / "labels.csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)
    assert (folder / row["path"]).resolve() == pictures / order[0]
    assert row["label"] == "cat"
    (pictures / "Cat" / "new.png").write_bytes((pictures / order[0]).read_bytes())
    assert main(command) == 130
    assert items(folder) == [*order, "Cat/new.png"]


def test_a_strategy_orders_what_is_asked_for(
    served: list[Any], pictures: Path, tiny_run: Path
) -> None:
    command = ["label", str(pictures), "--classes", "Cat,Dog,Emu", "--archive", str(tiny_run)]
    assert main([*command, "--strategy", "margin", "-k", "3"]) == 130
    folder = pictures.with_name("pictures-labels")
    from allencv_al.active_learning.select_inputs import read_pool
    from allencv_al.active_learning.selector import SampleSelector
    from allencv_al.predictors import Predictor

    selector = SampleSelector(Predictor.from_path(tiny_run), "margin")
    assert items(folder) == list(selector.select(read_pool(str(pictures)), 3).ids)
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        first = store.items.item(1)
    assert first.reason is not None and first.reason.startswith("pick 1 of 3, score ")
    assert first.guess[0][0] in ("Cat", "Dog", "Emu")


def test_each_annotator_has_a_link(
    served: list[Any], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "label",
        str(pictures),
        "--classes",
        "cat",
        "--annotator",
        "Anna",
        "--annotator",
        "Ben",
    ]
    assert main(command) == 130
    said = capsys.readouterr().err
    tokens = pictures.with_name("pictures-labels") / "tokens"
    for name in ("Anna", "Ben"):
        token = (tokens / name).read_text().strip()
        assert f"{name}: http://127.0.0.1:8010/login#{token}" in said
        assert served[0].settings.access.identify(token).name == name


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--strategy", "margin"], "needs logits"),
        (["--strategy", "k_center"], "give --archive, or --embeddings"),
        (["--archive", "nowhere.tar.gz"], "there is no such archive"),
        (["--annotator", "../x"], "expected a name"),
        (["--annotator", "x", "--token", "t" * 20], "expected no other"),
        (["--host", "0.0.0.0"], "a token is needed"),
    ],
)
def test_mistakes_are_one_message(
    options: list[str], fault: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", str(pictures), "--classes", "cat", *options]) == 2
    said = capsys.readouterr().err
    assert fault in said and "Traceback" not in said


def test_what_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", str(tmp_path / "nothing")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["label", str(tmp_path / "empty"), "--classes", "cat"]) == 2
    assert "found no images" in capsys.readouterr().err
    assert not (tmp_path / "empty-labels").exists()
