"""`allencv-al label`, up to the moment when the page is served."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from fixtures.label_pages import items

from allencv_al.__main__ import main
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore


def test_a_folder_is_labeled_and_labeled_on(
    served: list[Any], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["label", str(pictures), "--classes", "cat, dog,cat"]
    assert main(command) == 130
    said = capsys.readouterr().err
    assert "http://127.0.0.1:8010/" in said and "1 of 7 images are labeled" in said
    folder = pictures.with_name("pictures-labels")
    assert 'allencv-al train CONFIG -s RUN -o \'{"dataset_reader.type": "manifest"' in said
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
        (["--annotator", "x", "--token", "t" * 20], "expected no --token or --token-file"),
        (["--host", "0.0.0.0"], "a token is needed"),
        (["--map", "tsne"], "give --embeddings offline"),
    ],
)
def test_mistakes_are_one_message(
    options: list[str], fault: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", str(pictures), "--classes", "cat", *options]) == 2
    said = capsys.readouterr().err
    assert fault in said and "Traceback" not in said


def test_labels_that_the_page_cannot_edit_leave_no_labeling(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", str(pictures), "--classes", "cat", "--task", "cats"]) == 2
    assert "cats" in capsys.readouterr().err
    assert not pictures.with_name("pictures-labels").exists()


def test_what_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", str(tmp_path / "nothing")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["label", str(tmp_path / "empty"), "--classes", "cat"]) == 2
    assert "found no images" in capsys.readouterr().err
    assert not (tmp_path / "empty-labels").exists()


def test_options_of_a_folder_are_refused_for_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase

    RunDatabase(tmp_path / DATABASE_NAME).close()
    assert main(["label", str(tmp_path), "-k", "3", "--seed", "1"]) == 2
    assert "expected no --query-size, --seed" in capsys.readouterr().err


def test_answers_per_image_stay_where_they_are_not_given(served: list[Any], pictures: Path) -> None:
    command = ["label", str(pictures), "--classes", "cat"]
    assert main([*command, "--labels-per-image", "2"]) == 130
    assert main(command) == 130
    with LabelingStore(pictures.with_name("pictures-labels") / LABELING_NAME) as store:
        batch = store.items.batch()
        assert batch is not None and batch.labels_per_image == 2
