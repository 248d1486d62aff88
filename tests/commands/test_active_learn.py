"""`allencv-al active-learn`."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import numpy as np
import pytest
from fixtures.loop_projects import Project, write_pictures
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.active_learning.run import DATABASE_NAME
from allencv_al.predictors.predictor import Predictor
from allencv_al.training.run_folder import is_of_a_run

# --- a run ----------------------------------------------------------------------------------------


@pytest.mark.draws
def test_a_run_leaves_labels_a_report_a_curve_and_a_model(project: Project) -> None:
    assert project.run() == 0
    folder = project.run_folder
    assert re.fullmatch(
        rf"3 rounds, 9 labels, accuracy [01]\.\d{{4}}\nreport: {folder}/report.html\n"
        rf"model: {folder}/model.tar.gz\n",
        project.out,
    )
    assert "round 3: trained on 9 labels, accuracy" in project.err
    assert "done: the budget of 9 labels is spent" in project.err
    assert {path.name for path in folder.iterdir()} >= {
        *("config.json", "run.sqlite", "report.html", "learning_curve.png", "model.tar.gz"),
        *("environment.json", "vocabulary", "rounds"),
    }
    assert all(is_of_a_run(path.name) for path in folder.iterdir())
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    with Image.open(folder / "learning_curve.png") as image:
        assert image.format == "PNG"
    predictor = Predictor.from_path(folder)
    files = sorted((project.folder / "pictures").rglob("*.png"))
    names = [predictor.predict(file)["class"] for file in files]
    assert (
        np.mean([name == file.parent.name for name, file in zip(names, files, strict=True)]) > 0.9
    )


def test_a_folder_with_a_run_is_not_run_over(project: Project) -> None:
    assert project.run() == 0
    labels = project.labels()
    assert project.run() == 2
    assert "holds files already; --recover resumes the run in it" in project.err
    assert project.labels() == labels
    assert project.run("--force", "-o", '{"random_seed": 5}') == 0
    assert project.labels() != labels
    assert project.run("--force", "--recover") == 2


def test_a_changed_budget_goes_on_and_a_changed_model_is_refused(project: Project) -> None:
    assert project.run() == 0
    project.block["budget"] = 12
    project.config["data_loader"] = {"num_workers": 1}  # changes nothing
    assert project.run("--recover") == 0
    assert project.out.startswith("4 rounds, 12 labels")
    assert (
        json.loads((project.run_folder / "config.json").read_text())["active_learning"]["budget"]
        == 12
    )
    project.config["model"]["dropout"] = 0.5
    project.block["strategy"] = "random"
    assert project.run("--recover") == 2
    assert "its run had another config" in project.err
    assert 'active_learning.strategy: absent before, "random" now' in project.err
    assert "model.dropout: absent before, 0.5 now" in project.err
    assert len(project.labels()) == 12


def test_a_dry_run_writes_nothing_and_tells_every_fault(project: Project) -> None:
    assert project.run("--dry-run") == 0
    assert project.out == f"{project.folder / 'config.jsonnet'}: no faults found\n"
    assert not project.run_folder.exists()
    project.block.update(budget=0, strategy="margni", test_fraction=2)
    for arguments in (["--dry-run"], []):
        assert project.run(*arguments) == 2
        assert "3 faults in" in project.err
        assert 'active_learning.strategy: "margni" is not a registered' in project.err
        assert "active_learning.budget: expected int >= 1, found 0" in project.err
        assert "active_learning.test_fraction: expected float > 0 and < 1" in project.err
        assert not project.run_folder.exists()


def test_without_the_block_there_are_defaults(project: Project) -> None:
    del project.config["active_learning"]
    project.config["test_data_path"] = str(write_pictures(project.folder / "test", 2, first=90))
    assert project.run() == 0
    assert project.out.startswith("2 rounds, 30 labels, accuracy")


def test_training_on_everything_reads_the_same_file(project: Project) -> None:
    project.block.update(strategy={"type": "of no interest"}, budget=-1)
    assert project.run(command="train") == 0
    assert (project.run_folder / "model.tar.gz").is_file()
    assert not (project.run_folder / DATABASE_NAME).exists()


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_data_path": "/no/such"}, "train_data_path: expected a file or a folder, found"),
        ({"pool_data_path": "/no/such"}, "pool_data_path: expected a file or"),
        ({"active_learning.strategy": "bald"}, "active_learning.strategy: needs an ensemble"),
        ({"active_learning.classes": ["cat", "dog"]}, "the data has labels that are none of them"),
        ({"active_learning.query_sise": 2}, 'did you mean "query_size"?'),
        ({"active_learning": 3}, "active_learning: expected"),
        ({"trainer.cuda_device": 77}, "trainer.cuda_device: GPU 77 was asked for"),
    ],
    ids=json.dumps,
)
def test_a_mistake_is_a_message_and_leaves_nothing(
    project: Project, change: dict[str, Any], message: str
) -> None:
    assert project.run("-o", json.dumps(change)) == 2
    assert message in project.err
    assert not project.run_folder.exists()


def test_a_run_needs_a_folder(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.run("--dry-run")
    assert main(["active-learn", str(project.folder / "config.jsonnet")]) == 2
    assert "active-learn: needs -s DIR" in capsys.readouterr().err


def test_a_database_of_something_else_is_a_message(project: Project) -> None:
    assert project.run() == 0
    (project.run_folder / DATABASE_NAME).write_bytes(b"no database " * 100)
    for arguments in ([], ["--recover"]):
        assert project.run(*arguments) == 2
        assert DATABASE_NAME in project.err


def test_weights_that_were_lost_are_a_message(project: Project) -> None:
    assert project.run() == 0
    shutil.rmtree(project.run_folder / "rounds")
    assert project.run("--recover") == 1
    assert "weights.safetensors: cannot be read" in project.err


def test_a_second_process_on_a_run_is_told_to_wait(project: Project) -> None:
    import subprocess
    import sys

    assert project.run() == 0
    holder = "\n".join(
        [
            "import sys, pathlib",
            "from allencv_al.common.files.run_lock import run_lock",
            "with run_lock(pathlib.Path(sys.argv[1])):",
            "    print('held', flush=True)",
            "    sys.stdin.read()",
        ]
    )
    command = [sys.executable, "-c", holder, str(project.run_folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "held\n"
        for arguments in (["--recover"], ["--force"]):
            assert project.run(*arguments) == 2
            assert "another process is at work on this run" in project.err
        process.stdin.close()
    assert len(project.labels()) == 9
    assert project.run("--recover") == 0


# --- labels from a person -------------------------------------------------------------------------


def test_a_table_is_filled_in_and_the_same_command_goes_on(project: Project) -> None:
    project.ask_a_person()
    asked: list[str] = []
    for round in range(3):
        assert project.run() == 3
        assert project.out.startswith(f"3 images of round {round} wait for labels:\n  1. Open ")
        assert "error" not in project.out + project.err
        asked += project.fill_in()
    assert project.run() == 0
    assert project.out.startswith("3 rounds, 9 labels, accuracy ")
    assert list(project.labels()) == asked
    assert not project.table.exists()
    assert len(list(project.run_folder.rglob("labeled.csv"))) == 3


def test_a_table_that_is_half_full_stays_as_it_is(project: Project) -> None:
    project.ask_a_person()
    project.run()
    first, *_ = project.fill_in(lambda id: "")
    project.fill_in(lambda id: "cat" if id == first else "")
    before = project.table.read_bytes()
    assert project.run() == 3
    assert "1 of 3 images of round 0 have a label, 2 wait for one" in project.out
    assert project.table.read_bytes() == before
    assert project.labels() == {}


def test_wrong_labels_are_all_told_and_nothing_is_lost(project: Project) -> None:
    project.ask_a_person()
    project.run()
    answers = iter(["catt", "?maybe", "dog"])
    project.fill_in(lambda id: next(answers))
    before = project.table.read_bytes()
    for _ in range(2):
        assert project.run() == 2
        assert '"catt" is no class; did you mean "cat"' in project.err
        assert '"?maybe" is no class' in project.err
        assert project.table.read_bytes() == before
    assert "Or add --partial to continue with 1 of them; the others return" in project.err
    assert project.labels() == {}
    asked = project.fill_in()
    assert project.run() == 3
    assert list(project.labels()) == asked


def test_a_table_is_taken_in_part_and_what_is_left_goes_back(project: Project) -> None:
    project.ask_a_person()
    project.run()
    answers = iter(["Cat", "", "catt"])
    asked = project.fill_in(lambda id: next(answers))
    assert project.run() == 2 and '"catt" is no class' in project.err
    assert project.run("--partial") == 3
    assert '"Cat" is taken for the class "cat"' in project.err
    assert project.labels() == {asked[0]: "cat"}
    assert "back to the pool" in (project.run_folder / "report.html").read_text()


def test_a_labeled_image_that_is_gone_can_be_dropped(project: Project) -> None:
    assert project.run() == 0
    gone = min(project.labels())
    (project.folder / "pictures" / gone).unlink()
    project.block["budget"] = 10
    assert project.run("--recover") == 2
    assert f"is no longer in its data: {gone}" in project.err and "--drop ID" in project.err
    assert project.run("--recover", "--drop", gone) == 0
    assert len(project.labels()) == 10 and gone not in project.labels()


def test_words_in_place_of_a_class_are_no_labels(project: Project) -> None:
    project.ask_a_person()
    project.run()
    words = iter(["?skip", "?unreadable", "dog"])
    skipped = project.fill_in(lambda id: next(words))[:2]
    assert project.run() == 3
    assert list(project.labels().values()) == ["dog"]
    assert not set(skipped) & set(project.fill_in())


def test_a_person_may_be_asked_for_fewer_after_all(project: Project) -> None:
    project.ask_a_person()
    project.run()
    project.fill_in()
    assert project.run() == 3
    project.fill_in()
    project.block["budget"] = 6
    assert project.run() == 0
    assert project.out.startswith("2 rounds, 6 labels")


def test_a_waiting_run_with_a_changed_model_is_refused(project: Project) -> None:
    project.ask_a_person()
    project.run()
    project.fill_in()
    before = project.table.read_bytes()
    project.config["model"]["dropout"] = 0.2
    assert project.run() == 2
    assert "model.dropout: absent before, 0.2 now" in project.err
    assert project.table.read_bytes() == before
