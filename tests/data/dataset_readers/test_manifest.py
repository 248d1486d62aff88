from __future__ import annotations

import json
from pathlib import Path

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import ManifestReader
from allencv_al.data.instance import Instance
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.label_table import write_label_table
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore


@pytest.fixture
def photos(write_image) -> None:
    for name in "abcd":
        write_image(f"photos/{name}.png")


def write(tmp_path: Path, text: str, name: str = "images.csv") -> Path:
    file = tmp_path / name
    file.write_bytes(text.encode())
    return file


def rows(dataset) -> list[tuple[str, str | None]]:
    return [(instance.id, instance.label) for instance in dataset]


def test_csv(tmp_path: Path, photos):
    file = write(tmp_path, "path,label\nphotos/b.png,dog\nphotos/a.png,cat\n")
    dataset = ManifestReader().read(file)
    assert rows(dataset) == [("photos/b.png", "dog"), ("photos/a.png", "cat")]  # the table's order
    assert dataset.reader.load(dataset[0], 0).image.shape == (4, 6, 3)


def test_csv_as_spreadsheets_write_it(tmp_path: Path, write_image):
    write_image('photos/a "b", c.png')
    text = '\ufefflabel;path\r\n\r\n"big; black cat";"photos/a ""b"", c.png"\r\n;\r\n'
    dataset = ManifestReader().read(write(tmp_path, text.replace(";\r\n", "")))
    assert rows(dataset) == [('photos/a "b", c.png', "big; black cat")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters(delimiter: str, tmp_path: Path, photos):
    text = "label,path,split\ncat,photos/a.png,train\n".replace(",", delimiter)
    assert rows(ManifestReader().read(write(tmp_path, text))) == [("photos/a.png", "cat")]


def test_json_lines(tmp_path: Path, photos):
    lines = [
        {"path": "photos/a.png", "label": "cat", "id": "one", "age": 3},
        {"path": "photos/b.png", "label": 7},
        {"path": "photos/c.png", "label": None},
        {"path": "photos/d.png"},
    ]
    text = "\n\n".join(json.dumps(line) for line in lines) + "\n"
    dataset = ManifestReader().read(write(tmp_path, text, "images.jsonl"))
    assert rows(dataset) == [
        *(("one", "cat"), ("photos/b.png", "7"), ("photos/c.png", None), ("photos/d.png", None))
    ]
    assert dataset[0].metadata == {"age": 3}


def test_ids_and_unlabeled_rows(tmp_path: Path, photos):
    absolute = tmp_path / "photos" / "c.png"
    text = f"path,label,id\nphotos/a.png,cat,x1\nphotos/b.png,,\n{absolute},dog,\n"
    dataset = ManifestReader().read(write(tmp_path, text))
    assert rows(dataset) == [("x1", "cat"), ("photos/b.png", None), ("photos/c.png", "dog")]


def test_columns_can_have_other_names(tmp_path: Path, photos):
    file = write(tmp_path, "filename,class\nphotos/a.png,cat\n")
    with pytest.raises(DataError, match='a column "path" in the header, found filename, class'):
        ManifestReader().read(file)
    reader = ManifestReader(path_column="filename", label_column="class")
    assert rows(reader.read(file)) == [("photos/a.png", "cat")]
    with pytest.raises(ConfigurationError, match="five different"):
        ManifestReader(path_column="label")


@pytest.mark.parametrize("name", ["images.csv", "images.jsonl"])
def test_splits(name: str, tmp_path: Path, photos, caplog):
    table = [("a", "cat", "train"), ("b", "dog", "train"), ("c", "cat", "test")]
    if name.endswith("csv"):
        text = "path,label,split\n" + "".join(f"photos/{a}.png,{b},{c}\n" for a, b, c in table)
    else:
        text = "\n".join(
            json.dumps({"path": f"photos/{a}.png", "label": b, "split": c}) for a, b, c in table
        )
    file = write(tmp_path, text, name)
    assert len(ManifestReader(split="train").read(file)) == 2
    assert rows(ManifestReader(split="train").read(f"{file}::test")) == [("photos/c.png", "cat")]
    with pytest.raises(DataError, match=r'no rows of split "val"; .* "test" \(1\), "train" \(2\)'):
        ManifestReader(split="val").read(file)
    assert len(ManifestReader().read(file)) == 3
    assert "reading the rows of all splits" in caplog.text


def test_a_split_without_such_a_column(tmp_path: Path, photos):
    file = write(tmp_path, "path\nphotos/a.png\n")
    with pytest.raises(
        DataError, match='no rows of split "train"; its column "split" has no value'
    ):
        ManifestReader(split="train").read(file)


def test_bad_rows_are_told_all_at_once_with_their_lines(tmp_path: Path, photos):
    text = (
        "path,label\n"
        'photos/a.png,"a\nlabel of two lines"\n'
        "photos/b.png\n"
        "\n"
        ",dog\n"
        "photos/absent.png,dog\n"
        "photos/a.png,cat\n"
        "photos/c.png,cat,more\n"
    )
    with pytest.raises(DataError) as error:
        ManifestReader().read(write(tmp_path, text))
    assert str(error.value).splitlines()[1:] == [
        "  line 6: path: expected the path of an image, found nothing",
        f"  line 7: no file at {tmp_path / 'photos/absent.png'}",
        '  line 8: the id "photos/a.png" is already in line 2, '
        r'labeled "a\nlabel of two lines"',
        "  line 9: expected 2 columns, found 3; a name with the separator in it stands in double "
        'quotes: "a, b"',
    ]
    assert "images.csv: 4 problems" in str(error.value)


def test_bad_json_lines_are_told_with_their_lines(tmp_path: Path, photos):
    text = '{"path": "photos/a.png", "label": ["cat"]}\n[1]\n{"path": 1,\n{"label": "x"}\n'
    with pytest.raises(DataError) as error:
        ManifestReader().read(write(tmp_path, text, "m.jsonl"))
    lines = str(error.value).splitlines()[1:]
    assert lines[0] == '  line 1: label: expected a text, found ["cat"]'
    assert lines[1] == "  line 2: expected a JSON object, found [1]"
    assert lines[2].startswith("  line 3: not JSON:")
    assert lines[3] == "  line 4: path: expected the path of an image, found nothing"


def test_many_bad_rows_are_counted(tmp_path: Path):
    text = "path\n" + "".join(f"{n}.png\n" for n in range(25))
    with pytest.raises(DataError) as error:
        ManifestReader().read(write(tmp_path, text))
    assert "25 problems" in str(error.value)
    assert "line 11: " in str(error.value) and "line 12: " not in str(error.value)
    assert "... and 15 more" in str(error.value)


def test_files_need_not_be_looked_for(tmp_path: Path):
    file = write(tmp_path, "path\nabsent.png\n")
    assert rows(ManifestReader(check_files=False).read(file)) == [("absent.png", None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header"),
        ("path,label\n", "found no images"),
        ("path,label,label\na,b,c\n", "has a column twice: label"),
        ('path\n"a.png\nb.png\n', "line 2"),
    ],
)
def test_tables_that_cannot_be_read(text: str, message: str, tmp_path: Path):
    with pytest.raises(DataError, match=message):
        ManifestReader().read(write(tmp_path, text))


def test_other_encodings_are_named(tmp_path: Path):
    (tmp_path / "m.csv").write_bytes("path,label\na.png,Bär\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"m\.csv: expected UTF-8, found the byte 0xe4 in line 2"):
        ManifestReader().read(tmp_path / "m.csv")


def test_a_folder_is_no_table(tmp_path: Path):
    with pytest.raises(DataError, match=r"or a folder with labels\.csv, found a folder"):
        ManifestReader().read(tmp_path)


def test_a_folder_of_labels_stands_for_its_table(tmp_path: Path):
    (tmp_path / "labels.csv").write_text("path,label,split\na.png,cat,train\nb.png,dog,test\n")
    reader = ManifestReader(check_files=False)
    assert reader.read(tmp_path).labels() == ["cat", "dog"]
    assert reader.read(f"{tmp_path}::test").labels() == ["dog"]
    assert ManifestReader.path_fault(f"{tmp_path}::test") is None


def test_path_fault_knows_splits(tmp_path: Path):
    file = write(tmp_path, "path\n")
    assert ManifestReader.path_fault(f"{file}::train") is None


CASES = Path(__file__).parents[1] / "cases" / "tables"


@pytest.fixture
def case(tmp_path: Path, write_image):
    """Return a function that puts a table of `tests/data/cases` beside the images it names."""

    def copy(name: str) -> Path:
        for kind in ("cat", "dog"):
            for number in range(4):
                write_image(f"photos/val/{kind}/00{number}.jpg")
        write_image("im/a.jpg")
        write_image("im/b.jpg")
        file = tmp_path / name
        file.write_bytes((CASES / name).read_bytes())
        return file

    return copy


@pytest.mark.parametrize("name", ["cr.csv", "sep.csv", "table.csv", "typo.csv"])
def test_tables_of_all_kinds_of_programs_are_read(name: str, case) -> None:
    assert rows(ManifestReader().read(case(name))) == [
        ("photos/val/cat/000.jpg", "cat"),
        ("photos/val/dog/000.jpg", "dog"),
    ]


def test_a_table_without_the_label_column_says_which_there_are(tmp_path: Path, photos, caplog):
    file = write(tmp_path, "path,labell,id\nphotos/a.png,cat,x\n")
    assert rows(ManifestReader().read(file)) == [("x", None)]
    assert 'no column "label", so no image has a label; found path, labell, id' in caplog.text
    assert 'did you mean "labell"?' in caplog.text
    with pytest.raises(DataError, match=r'no column "kind".*found path, labell, id'):
        ManifestReader(label_column="kind").read(file)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json"])
def test_a_split_is_matched_by_case_and_the_rest_is_counted(name: str, tmp_path, case, caplog):
    file = case("split.csv")
    if name != "t.csv":
        values = [line.split(",") for line in file.read_text().split()]
        listed = [dict(zip(values[0], row, strict=True)) for row in values[1:]]
        text = "\n".join(map(json.dumps, listed)) if name == "t.jsonl" else json.dumps(listed)
        file = write(tmp_path, text, name)
    assert len(ManifestReader(split="train").read(file)) == 4
    assert 'left out, because not of split "train": 1 of 5 rows: no split (1)' in caplog.text
    assert len(ManifestReader().read(f"{file}::TRAIN ")) == 4


def test_blanks_around_labels_make_no_class_in_json_either(case) -> None:
    assert set(ManifestReader().read(case("mixed_ws.jsonl")).labels()) == {"cat", "dog"}


def test_two_forms_of_a_name_are_one_class(case) -> None:
    assert set(ManifestReader().read(case("nfc_nfd_labels.csv")).labels()) == {"café"}


def test_names_that_nearly_agree_are_said(tmp_path: Path, photos, caplog) -> None:
    text = "path,label\nphotos/a.png,cat\nphotos/b.png,Cat\nphotos/c.png,cat\n"
    ManifestReader().read(write(tmp_path, text))
    assert 'kept apart: "cat" (2) and "Cat" (1)' in caplog.text


def test_addresses_are_named(case) -> None:
    with pytest.raises(DataError) as error:
        ManifestReader().read(case("addresses.csv"))
    assert "line 2: path: expected the path of a file, found the address https://x.example/001" in (
        str(error.value)
    )
    assert "line 3: path: expected the path of a file, found the address s3://b/002.png" in (
        str(error.value)
    )


def test_a_lone_surrogate_is_a_problem_of_its_line(case) -> None:
    with pytest.raises(
        DataError, match=r"line 1: label: expected Unicode text, found 'caf\\ud800'"
    ):
        ManifestReader().read(case("j_lone_surrogate.jsonl"))


def test_a_path_is_found_in_the_form_that_the_disk_has(tmp_path: Path, write_image) -> None:
    write_image("photos/cafe\u0301.png")
    file = write(tmp_path, "path,label\nphotos/café.png,x\n")
    [item] = ManifestReader().read(file)
    assert Path(str(item.image)).is_file()


def test_two_labels_of_one_path_are_told(tmp_path: Path, photos) -> None:
    file = write(tmp_path, "path,label\nphotos/a.png,cat\nphotos/a.png,dog\n")
    with pytest.raises(DataError, match=r'line 3: .* already in line 2, labeled "cat"'):
        ManifestReader().read(file)


def test_a_path_of_windows_has_the_id_of_its_file(tmp_path: Path, photos) -> None:
    file = write(tmp_path, "path,label\nphotos\\a.png,x\n")
    assert rows(ManifestReader().read(file)) == [("photos/a.png", "x")]


def test_a_file_has_one_id_also_where_its_path_is_absolute(
    tmp_path: Path, photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, f"path,label\nphotos/a.png,cat\n{tmp_path / 'photos' / 'a.png'},dog\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r'line 3: the id "photos/a.png" is already in line 2'):
        ManifestReader().read("images.csv")


def test_several_classes_have_a_column_of_their_own(tmp_path: Path, photos) -> None:
    cells = ["dog; cat", '"[""b;c"", ""a""]"', "[]", ""]
    lines = "".join(f"photos/a.png,{cell},{n}\n" for n, cell in enumerate(cells))
    found = list(ManifestReader().read(write(tmp_path, f"path,labels,id\n{lines}")))
    assert [item.labels for item in found] == [("cat", "dog"), ("a", "b;c"), (), None]
    assert "labels" not in found[0].metadata
    values = [["dog", "cat"], [], None]
    rows = [json.dumps({"path": "photos/a.png", "id": n, "tags": v}) for n, v in enumerate(values)]
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(rows))
    found = list(ManifestReader(labels_column="tags").read(file))
    assert [item.labels for item in found] == [("cat", "dog"), (), None]


def test_the_labels_of_a_run_with_several_classes_are_read_again(tmp_path: Path, photos) -> None:
    items = [
        Instance(str(n), tmp_path / "photos" / f"{'ab'[n]}.png", labels=names)
        for n, names in enumerate([("cat", "dog"), ()])
    ]
    write_label_table(tmp_path / "labels.csv", [], items)
    found = list(ManifestReader().read(tmp_path / "labels.csv"))
    assert [(item.label, item.labels) for item in found] == [(None, ("cat", "dog")), (None, ())]


def test_what_is_no_list_of_names_is_told_with_its_line(tmp_path: Path, photos) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"path": "photos/a.png", "labels": ["a", 3]}\n')
    with pytest.raises(DataError, match=r"line 1: labels: expected names such as"):
        ManifestReader().read(file)


BOX = {"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}


def test_the_boxes_of_a_labeling_are_read_from_its_table(tmp_path: Path, photos) -> None:
    with LabelingStore(tmp_path / LABELING_NAME) as store:
        store.values.set_task("detection")
        store.classes.add(["cat"], "anna")
        images = [NewItem(f"{n}.png", tmp_path / "photos" / f"{n}.png") for n in ("a", "b")]
        store.items.open_batch(images, None, 1)
        for number, boxes in enumerate(([BOX | {"label": "c1"}], []), start=1):
            new = NewAnswer(
                "anna", f"key-{number}", number, LabelKind.LABEL, text=json.dumps(boxes)
            )
            store.answers.add(new)
        store.write_table(tmp_path / "labels.csv")
    first, empty = ManifestReader().read(tmp_path)
    assert (first.boxes, first.box_labels) == (((1, 2, 4, 6),), ("cat",))
    assert (empty.boxes, empty.box_labels, empty.labels) == ((), (), None)
    assert first.is_labeled and empty.is_labeled


def test_faults_in_a_table_of_boxes_are_told(tmp_path: Path, photos) -> None:
    cells = [json.dumps([BOX]), json.dumps([BOX | {"width": -1}]), "cat", '["cat"]', ""]
    rows = [json.dumps({"path": "photos/a.png", "id": n, "label": c}) for n, c in enumerate(cells)]
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    with pytest.raises(DataError) as caught:
        ManifestReader().read(tmp_path / "t.jsonl")
    message = str(caught.value)
    assert "line 2: label: boxes[0]: expected a box with an area" in message
    assert message.count("expected boxes, as other rows have them, found the class cat") == 2
    assert "4: " not in message, "an empty cell is an image without a label"
