"""Label records go into every format and come out as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import ImageClassificationDirectory
from allencv_al.labels.exchange import FORMATS
from allencv_al.labels.exchange.class_folders import (
    folder_name,
    label_of,
    read_class_folders,
    write_class_folders,
)
from allencv_al.labels.exchange.label_file_formats import (
    from_csv,
    from_json_lines,
    to_csv,
    to_json_lines,
)
from allencv_al.labels.exchange.label_formats import FOLDERS, TEXT_FORMATS, format_of, read_file
from allencv_al.labels.exchange.label_studio import (
    from_label_studio,
    labeling_config,
    to_label_studio,
)
from allencv_al.labels.exchange.label_studio_min import (
    from_label_studio_min,
    to_label_studio_min,
)
from allencv_al.labels.exchange.record import KINDS, LabelRecord

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
NUMBER = st.floats(0, 2e9)
MAYBE = st.none()
JSON = st.recursive(
    MAYBE | st.booleans() | st.integers() | TEXT | st.just(""),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
).map(lambda value: json.loads(json.dumps(value)))


@st.composite
def records(draw: st.DrawFn) -> LabelRecord:
    """Make any record that can be."""
    kind = draw(st.sampled_from([*KINDS, None]))
    return LabelRecord(
        id=draw(TEXT),
        image=draw(MAYBE | TEXT),
        label=draw(TEXT) if kind == "label" else None,
        kind=kind,
        annotator=draw(MAYBE | TEXT),
        time=draw(MAYBE | NUMBER),
        seconds=draw(MAYBE | NUMBER),
        round=draw(MAYBE | st.integers(0, 10**6)),
        source=draw(MAYBE | TEXT),
        prediction=draw(MAYBE | TEXT),
        score=draw(MAYBE | st.floats(-1e6, 1e6)),
        extra=draw(
            st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=3)
        ),
    )


MANY = st.lists(records(), max_size=4)


@given(MANY)
def test_csv_loses_nothing(many: list[LabelRecord]) -> None:
    assert from_csv(to_csv(many), "x") == many


@given(MANY)
def test_json_lines_lose_nothing(many: list[LabelRecord]) -> None:
    assert from_json_lines(to_json_lines(many), "x") == many


@given(st.lists(records(), max_size=4, unique_by=lambda one: one.id))
def test_label_studio_loses_nothing(many: list[LabelRecord]) -> None:
    said = [one for one in many if one.kind is not None]
    found = from_label_studio(to_label_studio(said), "x")
    assert found == said


@given(st.lists(records(), max_size=4))
def test_label_studio_min_loses_nothing(many: list[LabelRecord]) -> None:
    assert from_label_studio_min(to_label_studio_min(many), "x") == many


# What Label Studio exports, with its own keys, several people, several controls, skips and drafts
EXPORTED: list[dict[str, Any]] = [
    {
        "id": 1,
        "annotations": [
            {
                "id": 11,
                "completed_by": {"id": 1, "email": "anna@example.com", "first_name": "Anna"},
                "result": [
                    {
                        "value": {"choices": ["cat"]},
                        "id": "aB3",
                        "from_name": "animal",
                        "to_name": "img",
                        "type": "choices",
                        "origin": "manual",
                    }
                ],
                "was_cancelled": False,
                "ground_truth": False,
                "created_at": "2026-01-02T03:04:05.678901Z",
                "updated_at": "2026-01-02T03:04:06.000000Z",
                "draft_created_at": None,
                "lead_time": 4.288,
                "prediction": {},
                "result_count": 1,
                "unique_id": "b1b2",
                "task": 1,
                "project": 83,
            },
            {"id": 12, "completed_by": 2, "result": [], "was_cancelled": True, "lead_time": 1.0},
        ],
        "file_upload": "1234abcd-cat.jpg",
        "drafts": [],
        "predictions": [{"model_version": "m1", "result": [], "score": 0.5}],
        "data": {"image": "/data/upload/1/1234abcd-cat.jpg", "taken": "2020"},
        "meta": {"a": [1, None]},
        "inner_id": 1,
        "total_annotations": 1,
        "cancelled_annotations": 1,
        "comment_authors": [],
    },
    {"id": 2, "annotations": [], "data": {"img": "s3://bucket/b.jpg"}, "predictions": []},
    {"id": 3, "data": {"image": "https://example.com/c.jpg"}},
    {"data": {"image": "twice.jpg"}, "annotations": None},
    {"data": {"image": "twice.jpg"}, "annotations": None},
    {
        "id": 4,
        "annotations": [
            {
                "id": 41,
                "completed_by": 1,
                "result": [
                    {"value": {"choices": ["cat", "dog"]}, "type": "choices", "from_name": "c"},
                    {"value": {"text": ["hm"]}, "type": "textarea", "from_name": "t"},
                ],
            }
        ],
        "data": {"image": "d.jpg"},
    },
]
EXPORTED_MIN: list[dict[str, Any]] = [
    {
        "image": "/data/upload/1/1234abcd-cat.jpg",
        "id": 1,
        "choice": "cat",
        "annotator": 1,
        "annotation_id": 11,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:06.000000Z",
        "lead_time": 4.288,
    },
    {"image": "b.jpg", "id": 2, "choice": {"choices": ["cat", "dog"]}, "annotator": 2},
    {"image": "c.jpg", "id": 3, "annotator": 2, "taken": "2020"},
    {"taken": "2020", "picture": "d.jpg", "id": 4, "animal": "dog", "annotator": 2},
]


def test_what_label_studio_exports_is_written_back_as_it_was() -> None:
    found = from_label_studio(json.dumps(EXPORTED), "x")
    assert json.loads(to_label_studio(found)) == EXPORTED
    assert [(one.label, one.kind) for one in found] == [
        ("cat", "label"),
        (None, "skip"),
        *[(None, None)] * 5,
    ]
    first = found[0]
    assert (first.annotator, first.seconds) == ("anna@example.com", 4.288)
    assert first.time == pytest.approx(1767323045.678901)
    assert first.id == "/data/upload/1/1234abcd-cat.jpg"


def test_what_label_studio_exports_min_is_written_back_as_it_was() -> None:
    found = from_label_studio_min(json.dumps(EXPORTED_MIN), "x")
    assert json.loads(to_label_studio_min(found)) == EXPORTED_MIN
    assert [(one.label, one.annotator) for one in found] == [
        ("cat", "1"),
        (None, "2"),
        (None, "2"),
        ("dog", "2"),
    ]


def test_what_others_add_to_what_we_wrote_is_kept() -> None:
    record = LabelRecord("a.jpg", None, "cat", "label", "anna", 1.5)
    [task] = json.loads(to_label_studio([record]))
    task["meta"], task["annotations"][0]["ground_truth"] = {"site": 3}, True
    [row] = json.loads(to_label_studio_min([record]))
    row["agreement"] = 0.5
    [read], [read_min] = (
        from_label_studio(json.dumps([task]), "x"),
        from_label_studio_min(json.dumps([row]), "x"),
    )
    assert (read.label, read.annotator) == (read_min.label, read_min.annotator) == ("cat", "anna")
    assert json.loads(to_label_studio([read])) == [task]
    assert json.loads(to_label_studio_min([read_min])) == [row]
    [skipped] = json.loads(to_label_studio([replace(read, label=None, kind="skip")]))
    assert from_label_studio(json.dumps([skipped]), "x")[0].kind == "skip"
    assert skipped["meta"] == {"site": 3}


def test_a_column_that_is_called_as_our_own_is_kept() -> None:
    many = [LabelRecord("a", extra={"label_studio": "x", "label_studio_min": "y"}, kind="skip")]
    assert from_label_studio(to_label_studio(many), "x") == many
    assert from_label_studio_min(to_label_studio_min(many), "x") == many


def test_what_goes_through_other_formats_comes_back_to_label_studio_as_it_was() -> None:
    found = from_label_studio(json.dumps(EXPORTED), "x")
    by_table = from_csv(to_csv(from_json_lines(to_json_lines(found), "x")), "x")
    assert json.loads(to_label_studio(by_table)) == EXPORTED


def test_a_changed_label_changes_only_itself() -> None:
    found = from_label_studio(json.dumps(EXPORTED), "x")
    written = json.loads(to_label_studio([replace(found[0], label="dog"), *found[1:]]))
    [annotation, _] = written[0]["annotations"]
    assert annotation["result"][0]["value"] == {"choices": ["dog"]}
    assert annotation["lead_time"] == 4.288
    assert written[1:] == EXPORTED[1:]


def test_names_in_the_labeling_config_are_text() -> None:
    import xml.etree.ElementTree as ElementTree

    names = ["cat", '"/><script>alert(1)</script>', "a & b"]
    tree = ElementTree.fromstring(labeling_config(names))
    assert [one.get("value") for one in tree.iter("Choice")] == names


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("id,label\n1,cat,dog\n", "line 2: expected 2 columns, found 3"),
        ("id,kind\n1,maybe\n", "line 2: kind: expected one of label"),
        ("id,time\n1,soon\n2,nan\n", "line 2: time: expected a number"),
        ("label\ncat\n", 'expected a column "id" or "image"'),
        ("id,kind,label\n1,skip,cat\n", "kind skip does not go with"),
        ("id,label,label\n1,cat,dog\n", "the header has a column twice: label"),
        ("id,seconds\n1,-2\n", "line 2: seconds: expected a number from 0"),
    ],
)
def test_wrong_rows_are_named(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        from_csv(text, "labels.csv")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"id": "a"}\n[]\n', "line 2: expected a JSON object"),
        ("{\n", "line 1: not JSON, or not one object a line"),
        ('{"id": {"a": 1}}\n', "line 1: id: expected a text"),
        ('{"id": "a", "seconds": true}\n', "seconds: expected a number"),
        (
            '{"id": "a"}\n{"id": "a", "seconds": Infinity}\n',
            "line 2: seconds: expected a finite number",
        ),
        ('{"id": "a", "annotator": "\\ud800"}\n', "annotator: expected Unicode text"),
    ],
)
def test_wrong_lines_are_named(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        from_json_lines(text, "labels.jsonl")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{}", "expected a JSON list"),
        ("[", "expected JSON"),
        ("[1]", 'task 1: expected an object with "data"'),
        ('[{"data": {}}]', "task 1: expected an id or an image"),
        ('[{"data": {"image": "a"}, "annotations": 3}]', "annotations: expected a list"),
        ("[" * 100_000, "nested too deep"),
        ('[{"data": {"image": "a"}, "annotations": [{"allencv_al": 5}]}]', "task 1: allencv_al"),
        (
            '[{"data": {"image": "a"}, "annotations": [{"allencv_al": {"kind": 5}}]}]',
            "task 1: kind: expected one of",
        ),
    ],
)
def test_what_is_no_export_is_said(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        from_label_studio(text, "x.json")


# -- Files -------------------------------------------------------------------------------------


def test_the_names_that_help_shows_are_the_formats() -> None:
    assert {*TEXT_FORMATS, FOLDERS} == set(FORMATS)


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_ends_of_lines_in_names_survive_a_file(name: str, tmp_path: Path) -> None:
    path, many = tmp_path / "x", [LabelRecord("a\rb\r\n", None, "c\n\rd", "label")]
    path.write_bytes(TEXT_FORMATS[name].write(many).encode())
    assert read_file(path, name) == many


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "\ufeffid;label\na,b;cat\n"),
        ("x.tsv", "id\tlabel\na,b\tcat\n"),
        ("x.CSV", 'id,label\n"a,b",cat\n'),
        ("x.ndjson", '{"id": "a,b", "label": "cat"}\n'),
        ("x.json", '[{"data": {"allencv_al_id": "a,b"}, "annotations": [{"result": [%s]}]}]'),
        ("x.json", '[{"image": "a,b", "id": 1, "choice": "cat", "annotator": 1}]'),
    ],
)
def test_the_format_of_a_file_is_seen(name: str, text: str, tmp_path: Path) -> None:
    path, choice = tmp_path / name, '{"type": "choices", "value": {"choices": ["cat"]}}'
    path.write_text(text.replace("%s", choice), encoding="utf-8")
    [found] = read_file(path, format_of(path))
    assert (found.id, found.label) == ("a,b", "cat")


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff")
    for path, name in ((tmp_path, "csv"), (tmp_path / "x.csv", "folders"), (tmp_path / "x", "csv")):
        with pytest.raises(DataError, match=r"cannot be read|found a file"):
            read_file(path, name)
    with pytest.raises(DataError, match="expected UTF-8, found the byte 0xff in line 1"):
        read_file(tmp_path / "x.csv", "csv")


# -- Folders -----------------------------------------------------------------------------------


@given(TEXT)
def test_every_class_has_a_folder_of_its_own(label: str) -> None:
    name = folder_name(label)
    assert label_of(name) == label
    assert "/" not in name and "\\" not in name and "\0" not in name
    assert name not in (".", "..") and not name.startswith(".")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Größe 猫", "Größe 猫"),
        ("a/b", "a%2Fb"),
        ("\u202egpj", "%E2%80%AEgpj"),
        ("labels.jsonl", "%6Cabels.jsonl"),
        ("con", "%63on"),
        ("100%", "100%25"),
    ],
)
def test_folders_are_called_as_the_class_where_that_can_be(label: str, name: str) -> None:
    assert folder_name(label) == name
    assert label_of(name) == label


@pytest.mark.parametrize("name", ["50%41", "%FF", "100%", "%"])
def test_names_that_others_gave_are_the_class(name: str) -> None:
    assert label_of(name) == name


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """Three files, two of one name."""
    found = {}
    for id in ("a/1.png", "b/1.png", "2.png"):
        path = tmp_path / "images" / id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(id.encode())
        found[id] = path
    return found


LABELED = [
    LabelRecord("a/1.png", "a/1.png", "cat", "label", "anna", 1.5),
    LabelRecord("b/1.png", None, "cat", "label", extra={"x": [1]}),
    LabelRecord("2.png", None, "../<dog>", "label"),
    LabelRecord("3.png", None, None, "unsure", "ben"),
]


@pytest.mark.parametrize("links", [False, True])
def test_folders_lose_nothing(links: bool, images: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert write_class_folders(target, LABELED, images, links) == 3
    assert read_class_folders(target) == LABELED
    files = {path.relative_to(target).as_posix() for path in target.rglob("*.png")}
    assert files == {"cat/1.png", "cat/1-2.png", "..%2F%3Cdog%3E/2.png".replace("..", "%2E.", 1)}
    assert (target / "cat" / "1-2.png").read_bytes() == b"b/1.png"
    assert (target / "cat" / "1.png").is_symlink() == links


@pytest.mark.parametrize("label", ["$RECYCLE.BIN", "__MACOSX", "_unlabeled", "Unlabeled"])
def test_a_class_that_is_called_as_a_folder_without_a_class_is_one(
    label: str, images: dict[str, Path], tmp_path: Path
) -> None:
    records = [LabelRecord("a/1.png", None, label, "label")]
    write_class_folders(tmp_path / "out", records, images, links=False)
    assert read_class_folders(tmp_path / "out") == records
    [instance] = ImageClassificationDirectory().read(tmp_path / "out")
    assert instance.label is not None


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
            st.sampled_from(["1.png", "1-2.png", "1.PNG", ".png", "..x", "a b#%41.png", "1"]),
        ),
        max_size=6,
    )
)
def test_no_class_and_no_image_is_lost_in_folders(many: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        images, labeled = {}, []
        for number, (label, name) in enumerate(many):
            path = Path(folder) / str(number) / name
            path.parent.mkdir()
            path.write_bytes(str(number).encode())
            images[str(number)] = path
            labeled.append(LabelRecord(str(number), None, label, "label"))
        target = Path(folder) / "out"
        assert write_class_folders(target, labeled, images, links=False) == len(many)
        if many:
            assert read_class_folders(target) == labeled
        written = [path for path in target.rglob("*") if path.is_file()]
        assert len(written) == len(many) + 1
        assert {path.parent.parent for path in written if path.name != "labels.jsonl"} <= {target}


def test_what_is_moved_has_another_class(images: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out"
    write_class_folders(target, LABELED, images, links=False)
    (target / "bird").mkdir()
    (target / "cat" / "1.png").rename(target / "bird" / "1.png")
    (target / "bird" / "new.png").write_bytes(b"")
    (target / "cat" / "1-2.png").unlink()
    found = {one.id: one.label for one in read_class_folders(target)}
    assert found == {"a/1.png": "bird", "2.png": "../<dog>", "3.png": None, "new.png": "bird"}


def test_an_image_is_found_by_its_name_only_where_it_is_moved_to(
    images: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    write_class_folders(target, [LABELED[0], replace(LABELED[1], label="dog")], images, links=False)
    (target / "bird").mkdir()
    (target / "cat" / "1.png").rename(target / "bird" / "1.png")
    found = {one.id: one.label for one in read_class_folders(target)}
    assert found == {"a/1.png": "bird", "b/1.png": "dog"}


def test_what_a_file_says_besides_survives_folders(images: dict[str, Path], tmp_path: Path) -> None:
    many = [
        LabelRecord("a/1.png", None, "Cat", "label", extra={"file": "x"}),
        LabelRecord("b/1.png", None, "cat", "label"),
        LabelRecord("c", None, None, "skip", extra={"file": "x"}),
    ]
    write_class_folders(tmp_path / "out", many, images, links=False)
    assert read_class_folders(tmp_path / "out") == many


def test_a_class_with_too_long_a_name_is_said(images: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too long for a folder: '/////"):
        write_class_folders(
            tmp_path / "out", [replace(LABELED[0], label="/" * 100)], images, links=False
        )
    assert not (tmp_path / "out").exists()


def test_folders_of_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(b"")
    [found] = read_class_folders(tmp_path)
    assert (found.id, found.label, found.kind) == ("1.jpg", "cat", "label")


def test_nothing_is_overwritten_and_nothing_half_written(
    images: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(DataError, match="is there already"):
        write_class_folders(target, LABELED, images, links=False)
    images["2.png"].unlink()
    with pytest.raises(DataError, match=r"files of 1 labeled images are not there.*2\.png"):
        write_class_folders(tmp_path / "other", LABELED, images, links=False)
    assert not (tmp_path / "other").exists()
    with pytest.raises(DataError, match="expected one folder a class"):
        read_class_folders(target)
