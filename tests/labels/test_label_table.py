"""The table that a person fills in, and that the reader `manifest` then reads."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.manifest import ManifestReader
from allencv_al.data.instance import Instance
from allencv_al.labels.label_table import (
    COLUMNS,
    PickedImage,
    check_replaceable,
    has_place_in_table,
    pick_text,
    write_label_table,
)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, "PNG")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def fill(path: Path, labels: list[str]) -> None:
    """Write labels into the first rows, as a person does in a spreadsheet."""
    rows = rows_of(path)
    for row, label in zip(rows, labels, strict=False):
        row["label"] = label
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def test_a_row_says_what_a_person_wants_to_know(tmp_path: Path) -> None:
    file = picture(tmp_path / "photos" / "a.png")
    reason = {"nearest_selected": "b.png", "distance": 0.31234567}
    pick = PickedImage(1, Instance("a.png", file), 0.98765432, "cat", 0.5123, reason)
    write_label_table(tmp_path / "to_label.csv", [pick])
    assert (tmp_path / "to_label.csv").read_text() == (
        "path,label,id,predicted,probability,score,rank,reason\n"
        "photos/a.png,,a.png,cat,0.5123,0.987654,1,nearest_selected: b.png; distance: 0.312346\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "=1+1.png",
        "@cmd.png",
        "-rf.png",
        " leading space.png",
        'quotes "and, commas;.png',
        "line\nbreak.png",
        "кошка 猫 é.png",
        "tab\there.png",
    ],
)
def test_the_reader_manifest_reads_the_filled_table(tmp_path: Path, name: str) -> None:
    file = picture(tmp_path / "photos" / name)
    at_the_top = picture(tmp_path / name)
    picks = [
        PickedImage(rank, Instance(f"{rank}/{name}", path), 0.5)
        for rank, path in enumerate((file, at_the_top), start=1)
    ]
    write_label_table(tmp_path / "to_label.csv", picks)
    fill(tmp_path / "to_label.csv", ["cat"])
    first, second = ManifestReader().read(tmp_path / "to_label.csv")
    assert (first.id, first.label, second.id, second.label) == (
        f"1/{name}",
        "cat",
        f"2/{name}",
        None,
    )
    assert Path(str(first.image)).samefile(file)
    assert Path(str(second.image)).samefile(at_the_top)
    assert not any(
        row["path"].startswith(("=", "@", "-")) for row in rows_of(tmp_path / "to_label.csv")
    )


def test_the_text_of_a_pick_hides_what_the_model_believes() -> None:
    reason = {"rank": 2, "predicted": "cat", "probability": 0.5, "runner_up": "dog", "class": "emu"}
    pick = PickedImage(3, Instance("a.png", b""), 0.25, "cat", 0.5, reason)
    assert pick_text(pick, 20) == "pick 3 of 20, score 0.25; probability: 0.5"


def test_what_is_labeled_makes_the_table_a_whole_training_set(tmp_path: Path) -> None:
    """Ids of two folders may be the same, and the reader wants them distinct."""
    new = picture(tmp_path / "new" / "cat" / "1.png")
    old = [picture(tmp_path / "old" / label / "1.png") for label in ("cat", "dog")]
    labeled = [Instance(f"{file.parent.name}/1.png", file, file.parent.name) for file in old]
    table = tmp_path / "labels.csv"
    write_label_table(table, [PickedImage(1, Instance("cat/1.png", new), 0.5)], labeled)
    fill(table, ["emu"])
    dataset = ManifestReader().read(table)
    assert [(Path(str(i.image)).parent, i.label) for i in dataset] == [
        (new.parent, "emu"),
        (old[0].parent, "cat"),
        (old[1].parent, "dog"),
    ]


def test_an_id_like_the_path_of_another_image_is_kept_apart(tmp_path: Path) -> None:
    pick = PickedImage(1, Instance("a.png", picture(tmp_path / "new" / "a.png")), 0.5)
    labeled = [Instance("a.png", picture(tmp_path / "a.png"), "cat")]
    write_label_table(tmp_path / "labels.csv", [pick], labeled)
    assert len(ManifestReader().read(tmp_path / "labels.csv")) == 2


@pytest.mark.parametrize("table", ["labels.csv", "deep/er/labels.csv", "../aside/labels.csv"])
def test_paths_are_relative_wherever_the_table_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    home = tmp_path / "home"
    picture(home / "photos" / "a.png")
    monkeypatch.chdir(home)
    write_label_table(table, [PickedImage(1, Instance("a", Path("photos/a.png")), 0.5)])
    [row] = rows_of(Path(table))
    assert not Path(row["path"]).is_absolute()
    [instance] = ManifestReader().read(Path(table))
    assert Path(str(instance.image)).samefile("photos/a.png")


def test_a_table_behind_a_link_finds_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, disk = tmp_path / "home", tmp_path / "big" / "disk" / "runs"
    picture(home / "photos" / "a.png")
    disk.mkdir(parents=True)
    (home / "runs").symlink_to(disk)
    monkeypatch.chdir(home)
    write_label_table("runs/labels.csv", [PickedImage(1, Instance("a", Path("photos/a.png")), 0.5)])
    [instance] = ManifestReader().read("runs/labels.csv")
    assert Path(str(instance.image)).samefile("photos/a.png")


def test_a_table_in_the_folder_of_the_images_stays_right_when_they_move_together(
    tmp_path: Path,
) -> None:
    file = picture(tmp_path / "here" / "photos" / "a.png")
    write_label_table(tmp_path / "here" / "t.csv", [PickedImage(1, Instance("a", file), 0.5)])
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(ManifestReader().read(tmp_path / "there" / "t.csv")) == 1


def test_an_image_that_is_no_file_has_its_id_only(tmp_path: Path) -> None:
    record = Instance("data_batch_1.bin:17", np.zeros((2, 2, 3), np.uint8))
    labeled = Instance("data_batch_1.bin:4", np.zeros((2, 2, 3), np.uint8), "frog")
    write_label_table(tmp_path / "t.csv", [PickedImage(1, record, 0.5)], [labeled])
    found = [(row["path"], row["id"], row["label"]) for row in rows_of(tmp_path / "t.csv")]
    assert found == [("", "data_batch_1.bin:17", ""), ("", "data_batch_1.bin:4", "frog")]


def test_only_a_table_with_foreign_letters_begins_with_a_mark(tmp_path: Path) -> None:
    """Excel needs it, plain scripts stumble over it."""
    for name in ("a", "é"):
        file = picture(tmp_path / f"{name}.png")
        write_label_table(tmp_path / f"{name}.csv", [PickedImage(1, Instance(name, file), 0.5)])
    assert (tmp_path / "a.csv").read_bytes().startswith(b"path,")
    assert (tmp_path / "é.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,")


def test_names_that_a_table_cannot_hold_are_known(tmp_path: Path) -> None:
    assert has_place_in_table(Instance("a", Path("кошка/a b.png")))
    assert has_place_in_table(Instance("a", np.zeros((2, 2, 3), np.uint8)))
    assert not has_place_in_table(Instance("a", Path("caf\udce9.png")))
    assert not has_place_in_table(Instance("a", "a.png "))
    assert not has_place_in_table(Instance("a", "carriage\rreturn.png"))


def test_labels_in_a_table_are_not_overwritten(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    check_replaceable(table, labels_are_kept=False)
    picks = [
        PickedImage(n, Instance(str(n), picture(tmp_path / f"{n}.png")), 0.5) for n in (1, 2, 3)
    ]
    write_label_table(table, picks)
    check_replaceable(table, labels_are_kept=False)
    fill(table, ["cat", "dog"])
    check_replaceable(table, labels_are_kept=True)
    with pytest.raises(DataError, match="has 2 labels, which would be lost"):
        check_replaceable(table, labels_are_kept=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n", "no table of labels"),
        (b"path,label\nx,y,z\n", "no table of labels"),
        (b"", "no table of labels"),
        (b"\xff\xfe", "no table of labels"),
        (b"path,label,split\na.png,,train\n", r"would not have \(split\)"),
    ],
)
def test_a_file_of_another_kind_is_not_overwritten(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        check_replaceable(tmp_path / "t.csv", labels_are_kept=True)


def test_a_table_of_labels_alone_has_no_columns_about_picks(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    write_label_table(tmp_path / "files.csv", [], [Instance("a", file, "ant")])
    assert (tmp_path / "files.csv").read_text() == "path,label\na.png,ant\n"
    record = Instance("record 1", b"no file", "bee")
    write_label_table(tmp_path / "both.csv", [], [Instance("a", file, "ant"), record])
    assert (tmp_path / "both.csv").read_text() == "path,id,label\na.png,,ant\n,record 1,bee\n"
    write_label_table(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text() == "path,label\n"


def test_labels_that_a_spreadsheet_would_compute_come_back(tmp_path: Path) -> None:
    names = ["=1+1", "-x", "+cmd", "@SUM", "-0.5", "'quoted"]
    labeled = [
        Instance(f"{n}.png", picture(tmp_path / f"{n}.png"), name) for n, name in enumerate(names)
    ]
    table = tmp_path / "labels.csv"
    write_label_table(table, [], labeled)
    lines = table.read_text().splitlines()
    assert lines[0] == "path,label,allencv_al_guarded"
    assert lines[1] == "0.png,'=1+1,label" and lines[5] == "4.png,-0.5,"
    found = ManifestReader().read(table)
    assert found.labels() == names
    assert found[0].metadata == {}
    check_replaceable(table, labels_are_kept=True)
