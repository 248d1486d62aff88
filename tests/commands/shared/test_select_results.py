"""The results of `allencv-al select`: table, contact sheet and summary."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from fixtures.selections import lines, select, table
from PIL import Image

from allencv_al.__main__ import main


def test_records_without_files_are_labeled_by_their_ids(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    records = generator.integers(0, 256, (5, 3073), dtype=np.uint8)
    records[:, 0] = [0, 1, 2, 3, 4]
    Path("test_batch.bin").write_bytes(records.tobytes())
    steps = [{"type": "resize", "height": 8, "width": 8}, {"type": "normalize"}]
    reader = {"type": "cifar_binary", "classes": 10, "augmentation": steps}
    command = ["select", archive, "test_batch.bin", "--use-dataset-reader"]
    command += ["-o", json.dumps({"validation_dataset_reader": reader})]
    assert main([*command, "-k", "2", "--output", "t.csv"]) == 0
    assert "these images are not files" in capsys.readouterr().err
    rows = table("t.csv")
    assert [row["path"] for row in rows] == ["", ""]
    Path("labels.csv").write_text(
        f"id,label\n{rows[0]['id']},Cat\n{rows[1]['id']},\n", encoding="utf-8"
    )
    rest = select(capsys, *command[1:], "--labeled", "labels.csv")
    assert {pick["id"] for pick in rest} == {f"test_batch.bin:{number}" for number in range(5)} - {
        rows[0]["id"]
    }
    assert "image_path" not in rest[0]


def test_the_table_is_the_whole_training_set_once_it_is_filled_in(
    archive: str, pool: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [archive, "pool", "-k", "3", "--labeled", str(pictures)]
    picks = select(capsys, *arguments)
    assert main(["select", *arguments, "--output", "to_label.csv"]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert 'fill in the column "label" of the first 3 rows' in output.err
    rows = table("to_label.csv")
    assert [row["id"] for row in rows[:3]] == [pick["id"] for pick in picks]
    assert [row["label"] for row in rows[:3]] == [""] * 3
    assert [row["label"] for row in rows[3:]] == ["Cat"] * 3 + ["Dog"] * 2 + ["Emu"] * 2

    text = Path("to_label.csv").read_text(encoding="utf-8")
    for row, label in zip(rows[:3], ("Cat", "Dog", "Emu"), strict=True):
        text = text.replace(f"{row['path']},,", f"{row['path']},{label},")
    Path("to_label.csv").write_text(text, encoding="utf-8")
    config = {
        "dataset_reader": {
            "type": "manifest",
            "augmentation": [{"type": "resize", "height": 8, "width": 8}, {"type": "normalize"}],
        },
        "train_data_path": "to_label.csv",
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "pool", "input_channels": 3},
        },
        "data_loader": {"batch_size": 5},
        "trainer": {"num_epochs": 1},
    }
    Path("again.jsonnet").write_text(json.dumps(config), encoding="utf-8")
    assert main(["train", "again.jsonnet", "-s", "again"]) == 0
    assert "to_label.csv: 10 images, 10 of them labeled, 3 classes" in capsys.readouterr().err

    # The next round: what has been labeled is taken over, and nothing of it is lost.
    new = ["select", "again", "pool", "-k", "2", "--output", "to_label.csv"]
    assert main(new) == 2
    assert "has 10 labels, which would be lost" in capsys.readouterr().err
    assert main([*new, "--labeled", "to_label.csv"]) == 0
    again = table("to_label.csv")
    assert len(again) == 12
    assert not {row["path"] for row in again[:2]} & {row["path"] for row in rows}
    labeled = {row["path"]: row["label"] for row in again[2:]}
    assert labeled == {row["path"]: row["label"] for row in csv.DictReader(text.splitlines())}


def test_labels_of_a_split_do_not_stand_for_the_whole_table(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.csv").write_text(
        "path,label,split\npool/00.png,Cat,train\npool/01.png,Cat,test\n", encoding="utf-8"
    )
    before = Path("t.csv").read_text(encoding="utf-8")
    for labeled in ("t.csv::train", "t.csv"):
        assert main(["select", archive, "pool", "--labeled", labeled, "--output", "t.csv"]) == 2
        assert Path("t.csv").read_text(encoding="utf-8") == before


def test_a_name_that_no_table_can_hold_is_left_out_of_tables_only(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pool / "00.png").rename(os.fsdecode(os.fsencode(pool) + b"/caf\xe9.png"))
    assert main(["select", archive, "pool", "--output", "t.csv"]) == 0
    assert "1 images have names that no CSV table can hold" in capsys.readouterr().err
    assert len(table("t.csv")) == 11
    assert main(["select", archive, "pool", "--output", "t.jsonl"]) == 0
    picks = lines(Path("t.jsonl").read_text(encoding="utf-8"))
    assert len(picks) == 12
    [odd] = [pick for pick in picks if "caf" in pick["id"]]
    assert Path(odd["image_path"]).is_file()
    assert odd["id"] == "caf\\xe9.png"


def test_the_contact_sheet_is_a_picture(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picks = select(capsys, archive, "pool", "-k", "4", "--contact-sheet", "deep/picks.png")
    assert len(picks) == 4
    with Image.open("deep/picks.png") as image:
        assert image.format == "PNG"


def test_the_summary_says_how_many_and_how_long(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["select", archive, "pool", "-k", "4"])
    capsys.readouterr()
    main(["select", archive, "pool", "-k", "4"])
    shown = capsys.readouterr().err
    assert "pool: 12 images; labeled: 0 images" in shown
    assert "embeddings: 0 encoded, 12 from" in shown  # the first command encoded them
    assert ", chose 4 in 0." in shown
    main(["select", archive, "pool", "-k", "4", "--embedding-cache", "off"])
    assert "images/s), chose 4 in 0." in capsys.readouterr().err
