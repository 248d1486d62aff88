"""`allencv-al convert`: whole or not at all, and never over something else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from allencv_al.__main__ import main


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "tree" / name)
    return tmp_path / "tree"


def test_a_tree_becomes_a_table_that_a_config_reads(tree: Path, tmp_path: Path, capsys) -> None:
    target = tmp_path / "labels.csv"
    assert main(["convert", str(tree), str(target)]) == 0
    assert f"3 labels (single_label) of {tree} (folders): {target} (csv)" in capsys.readouterr().err
    assert main(["convert", str(target), str(tmp_path / "t.json"), "--format", "vertex"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "t.json").read_text().splitlines()]
    assert [row["imageGcsUri"] for row in rows] == ["cat/1.png", "cat/2.png", "dog/1.png"]


def test_copies_and_links(tree: Path, tmp_path: Path) -> None:
    for option, is_link in (("--copy", False), ("--link", True)):
        target = tmp_path / option
        command = ["convert", str(tree), str(target), "--format", "huggingface", option]
        assert main(command) == 0
        assert (target / "cat" / "1.png").is_symlink() == is_link
        assert (target / "metadata.jsonl").is_file()
        back = tmp_path / f"back{option}"
        assert main(["convert", str(target), str(back), "--format", "folders"]) == 0
        assert sorted(path.name for path in (back / "cat").iterdir()) == ["1.png", "2.png"]


@pytest.mark.parametrize("name", ["csv", "yolo", "labeling", "folders"])
def test_nothing_is_overwritten(name: str, tree: Path, tmp_path: Path, capsys) -> None:
    for target in (tree, tmp_path / "file"):
        (tmp_path / "file").write_text("mine")
        assert main(["convert", str(tree), str(target), "--format", name]) == 2
        assert f"{target}: is there already; name another" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_of_two_at_once_one_wins_and_the_other_says_so(
    tree: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    from allencv_al.labels.exchange import class_folders

    target, place = tmp_path / "out", class_folders.place_image

    def place_late(image: Path, file: Path, placement: class_folders.Placement) -> None:
        if not target.exists():
            monkeypatch.setattr(class_folders, "place_image", place)
            assert main(["convert", str(tree), str(target), "--format", "folders"]) == 0
        place(image, file, placement)

    monkeypatch.setattr(class_folders, "place_image", place_late)
    assert main(["convert", str(tree), str(target), "--format", "folders"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert len(list(target.rglob("*.png"))) == 3
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_kill_leaves_no_target(tree: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from allencv_al.labels.exchange import class_folders as c\n"
        "c.shutil.copyfile = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from allencv_al.__main__ import main\n"
        "main(sys.argv[1:])\n"
    )
    target = tmp_path / "out"
    command = ["convert", str(tree), str(target), "--format", "folders"]
    done = subprocess.run([sys.executable, "-c", code, *command], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    assert main(command) == 0
    assert len(list(target.rglob("*.png"))) == 3


def test_mistakes_are_one_message(tree: Path, tmp_path: Path, capsys) -> None:
    for command, message in (
        (["no/such", "x.csv"], "no/such"),
        ([str(tree), str(tmp_path / "x")], "its name does not show a format; name one by --format"),
        ([str(tree), str(tmp_path / "x"), "--format", "coco"], "coco holds no labels of the kind"),
        ([str(tree), str(tmp_path / "x.csv"), "--images", "nowhere"], "nowhere"),
    ):
        assert main(["convert", *command]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]
