"""A person fills in a table between two calls."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from power_cut import record

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.image_io import load_image
from allencv_al.data.instance import Instance
from allencv_al.labels.annotators import file as file_module
from allencv_al.labels.annotators.base import Annotator, LabelRequest, WaitingForLabels
from allencv_al.labels.annotators.file import KEPT_NAME, FileAnnotator
from allencv_al.labels.annotators.filled_table import read_filled_table
from allencv_al.labels.label_store import LabelKind, NewLabel
from allencv_al.labels.label_table import PickedImage, write_label_table
from allencv_al.labels.run_database import Query
from allencv_al.tasks import label_task

Row = dict[str, str]


@pytest.fixture
def items(tmp_path: Path) -> list[Instance]:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(photos / f"{number}.png")
    return [Instance(f"{number}.png", photos / f"{number}.png") for number in range(3)]


@pytest.fixture
def asked(tmp_path: Path, items: list[Instance]) -> LabelRequest:
    return make_request(tmp_path, items)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "run" / "to_label.csv"


def make_request(
    tmp_path: Path, items: Sequence[Instance], round: int = 3, classes: list[str] | None = None
) -> LabelRequest:
    return LabelRequest(
        round=round,
        items=items,
        queries=[Query(n, item.id, 0.5 - n, {"rank": n}) for n, item in enumerate(items)],
        classes=["cat", "dog", "sea lion"] if classes is None else classes,
        folder=tmp_path / "run",
        predicted={"0.png": "cat"},
        probabilities={"0.png": 0.515},
    )


def ask(asked: LabelRequest) -> list[NewLabel]:
    return FileAnnotator().annotate(asked)


def read(path: Path) -> list[Row]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def as_csv(rows: Sequence[Row], delimiter: str = ",", lineterminator: str = "\n") -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(
        stream, list(rows[0]), delimiter=delimiter, lineterminator=lineterminator
    )
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def begin(asked: LabelRequest) -> Path:
    """Let the first call write its table."""
    with pytest.raises(WaitingForLabels):
        ask(asked)
    return asked.folder / "to_label.csv"


def fill(asked: LabelRequest, *labels: str, change: Callable[[list[Row]], object] = id) -> Path:
    path = begin(asked)
    rows = read(path)
    for row, label in zip(rows, labels, strict=True):
        row["label"] = label
    change(rows)
    path.write_text(as_csv(rows), "utf-8")
    return path


def faults(asked: LabelRequest) -> list[str]:
    with pytest.raises(DataError) as caught:
        ask(asked)
    return [line.strip() for line in str(caught.value).splitlines()]


def test_the_first_call_writes_a_table_and_says_what_to_do(
    asked: LabelRequest, table: Path
) -> None:
    with pytest.raises(WaitingForLabels) as caught:
        ask(asked)
    assert caught.value.exit_code == 3
    message = str(caught.value)
    for part in (
        *(str(table), "3 images of round 3", 'column "path"', 'column "label"'),
        *("cat, dog, sea lion", "?skip, ?unsure or ?unreadable", "the same command again"),
    ):
        assert part in message
    row = read(table)[0]
    assert ",".join(row) == "path,label,id,predicted,probability,score,rank,reason"
    assert list(row.values())[:7] == ["../photos/0.png", "", "0.png", "cat", "0.515", "0.5", "1"]
    assert [row["label"] for row in read(table)] == ["", "", ""]
    assert (table.parent / read(table)[2]["path"]).resolve().is_file()


def test_a_filled_table_gives_labels_in_the_order_of_the_items(
    asked: LabelRequest, table: Path
) -> None:
    fill(asked, "dog", " sea lion ", "?unsure", change=list.reverse)
    assert FileAnnotator(annotator="Ann").annotate(asked) == [
        NewLabel("0.png", "dog", "Ann", 3, "file"),
        NewLabel("1.png", "sea lion", "Ann", 3, "file"),
        NewLabel("2.png", None, "Ann", 3, "file", kind=LabelKind.UNSURE),
    ]
    assert not table.exists()
    kept = asked.folder / "rounds" / "0003" / "labeled.csv"
    assert [row["label"] for row in read(kept)] == ["?unsure", " sea lion ", "dog"]


@pytest.mark.parametrize("word", ["skip", "unsure", "unreadable"])
def test_a_word_stands_for_its_kind(asked: LabelRequest, word: str) -> None:
    fill(asked, *[f"?{word}"] * 3)
    assert {(new.label, new.kind) for new in ask(asked)} == {(None, LabelKind(word))}


def test_a_table_that_is_half_full_stays_and_the_message_says_what_is_missing(
    asked: LabelRequest,
) -> None:
    table = fill(asked, "cat", "  ", "")
    content = table.read_bytes()
    with pytest.raises(WaitingForLabels) as caught:
        ask(asked)
    message = str(caught.value)
    assert "1 of 3 images of round 3 have a label, 2 wait for one: lines 3, 4." in message
    assert str(table) in message and "cat, dog, sea lion" in message
    assert table.read_bytes() == content
    assert not (asked.folder / "rounds").exists()


def test_a_call_after_a_kill_gives_the_same_labels(asked: LabelRequest, table: Path) -> None:
    fill(asked, "cat", "dog", "?skip")
    labels = ask(asked)
    assert ask(asked) == ask(asked) == labels, "they were not recorded yet"
    assert not table.exists()


@pytest.mark.parametrize("stage", ["before it is kept", "before it is removed"])
def test_a_kill_on_the_way_loses_nothing(
    asked: LabelRequest, table: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    unlink = Path.unlink

    def killed_before_the_table_goes(path: Path, missing_ok: bool = False) -> None:
        if path == table:
            raise Killed
        unlink(path, missing_ok)

    fill(asked, "cat", "dog", "?skip")
    with monkeypatch.context() as patch:
        if stage == "before it is kept":
            patch.setattr(file_module, "write_bytes", killed)
        else:
            patch.setattr(Path, "unlink", killed_before_the_table_goes)
        with pytest.raises(Killed):
            ask(asked)
    assert [new.label for new in ask(asked)] == ["cat", "dog", None]
    assert not table.exists(), "nothing is in the way of the next round"


def test_what_a_kept_table_needs_is_still_found_from_where_it_was_written(
    asked: LabelRequest,
) -> None:
    """A spreadsheet made 0 of 0.png; the path, which tells, starts at the folder of the run."""

    def mangle(rows: list[Row]) -> None:
        rows[0]["id"] = "0"

    fill(asked, "cat", "dog", "cat", change=mangle)
    labels = ask(asked)
    assert [new.id for new in labels] == ["0.png", "1.png", "2.png"]
    assert ask(asked) == labels


def test_the_next_round_writes_the_next_table(
    asked: LabelRequest, tmp_path: Path, items: list[Instance]
) -> None:
    fill(asked, "cat", "dog", "cat")
    ask(asked)
    table = begin(make_request(tmp_path, items[:2], round=4))
    assert [row["id"] for row in read(table)] == ["0.png", "1.png"]


def test_the_table_of_another_round_is_neither_read_nor_overwritten(
    asked: LabelRequest, tmp_path: Path, items: list[Instance]
) -> None:
    """It was still open in a spreadsheet, and saved once more."""
    table = fill(asked, "cat", "dog", "cat")
    content = table.read_bytes()
    ask(asked)
    table.write_bytes(content)
    other = [Instance("9.png", items[0].image)]
    with pytest.raises(DataError, match=r"none of its rows.*another round or run.*move it away"):
        ask(make_request(tmp_path, [Instance("9.png", tmp_path / "9.png")], round=4))
    assert table.read_bytes() == content
    assert other


def test_no_items_need_no_table(tmp_path: Path) -> None:
    assert ask(make_request(tmp_path, [])) == []
    assert not (tmp_path / "run").exists()


def test_all_faults_are_told_at_once_with_their_lines(asked: LabelRequest) -> None:
    def spoil(rows: list[Row]) -> None:
        rows[2] = rows[2] | {"id": "x.png", "path": "x.png"}
        rows.append(rows[0] | {"label": "dog"})

    table = fill(asked, "catt", "skip", "cow", change=spoil)
    content = table.read_bytes()
    assert faults(asked) == [
        f"{table}: 5 problems:",
        'line 2: "catt" is no class; did you mean "cat"?',
        'line 3: "skip" is no class; did you mean "?skip"?',
        'line 4: the id "x.png" was not asked for',
        'line 5: the id "0.png" is already in line 2',
        'the row of the id "2.png" is missing',
    ]
    assert table.read_bytes() == content


def test_faults_come_before_what_is_missing(asked: LabelRequest) -> None:
    fill(asked, "", "cow", "")
    assert faults(asked)[1:] == [
        'line 3: "cow" is no class',
        "The classes are cat, dog, sea lion; to add a class, name all classes in "
        "active_learning.classes of the config. Correct the table and run the same command again.",
    ]


@pytest.mark.parametrize("classes", [None, []])
def test_capitals_and_blanks_alone_make_no_other_class(
    tmp_path: Path,
    items: list[Instance],
    classes: list[str] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = make_request(tmp_path, items, classes=classes)
    if classes is not None:  # any class is allowed, and these were named before
        asked = replace(asked, classes=None, seen=["cat", "dog", "sea lion"])
    fill(asked, "Cat", " DOG ", "Sea_Lion")
    assert [label.label for label in ask(asked)] == ["cat", "dog", "sea lion"]
    assert '"Sea_Lion" is taken for the class "sea lion"' in caplog.text


def test_where_capitals_tell_classes_apart_they_count(
    tmp_path: Path, items: list[Instance]
) -> None:
    asked = make_request(tmp_path, items, classes=["a", "A", "b c"])
    fill(asked, "A", "a", "B C")
    assert [label.label for label in ask(asked)] == ["A", "a", "b c"]
    asked = make_request(tmp_path, items, round=4, classes=["bc d", "BC d"])
    fill(asked, "Bc d", "bc d", "BC d")
    assert faults(asked)[1].startswith('line 2: "Bc d" is no class')


def test_a_part_of_the_labels_is_offered_and_taken_where_that_is_wanted(
    asked: LabelRequest, table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(asked, "dog", "", "cow")
    offer = "Or add --partial to continue with 1 of them; the others return to the pool."
    assert faults(asked)[-1] == offer
    assert table.is_file()
    labels = ask(replace(asked, is_partial=True))
    assert [(label.id, label.label) for label in labels] == [("0.png", "dog")]
    assert '2 images go back to the pool\n  line 4: "cow" is no class' in caplog.text
    assert not table.exists()
    # Killed before the labels were recorded: the part is taken again, asked for or not
    assert ask(asked) == labels


def test_an_empty_cell_is_offered_to_go_back_and_no_label_at_all_is_not(
    asked: LabelRequest, table: Path
) -> None:
    fill(asked, "dog", "", "cat")
    with pytest.raises(WaitingForLabels, match="Or add --partial to continue with 2 of them"):
        ask(asked)
    table.unlink()
    fill(asked, "", "", "")
    for request in (asked, replace(asked, is_partial=True)):
        with pytest.raises(WaitingForLabels) as caught:
            ask(request)
        assert "--partial" not in str(caught.value)


def test_rows_that_were_removed_go_back_too(asked: LabelRequest, table: Path) -> None:
    fill(asked, "dog", "cat", "cat", change=lambda rows: rows.pop(1))
    assert 'the row of the id "1.png" is missing' in faults(asked)
    assert [label.id for label in ask(replace(asked, is_partial=True))] == ["0.png", "2.png"]


def test_rows_of_dropped_items_do_not_count(asked: LabelRequest, items: list[Instance]) -> None:
    fill(asked, "dog", "cat", "cat")
    left = replace(asked, items=items[1:], queries=asked.queries[1:], dropped={"0.png"})
    assert [label.id for label in ask(left)] == ["1.png", "2.png"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,name", 'the column "label" is missing; found the columns id, name'),
        ("image;class", 'the column "id" is missing; the column "label" is missing'),
        ("id,label,label", "the header has a column twice: label"),
    ],
)
def test_a_header_that_lacks_a_column_is_a_message(
    asked: LabelRequest, header: str, message: str
) -> None:
    begin(asked).write_text(f"{header}\n0.png,cat,cat\n")
    assert message in faults(asked)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty; remove it"),
        (b"\xef\xbb\xbf\n \n", "it is empty; remove it"),
        (b"id,label\n0.png,cat\n1.png,caf\xe9\n", "byte 0xe9 in line 3; save it as"),
        (b"id,label\n0.png,c\0t\n", "found a NUL byte in line 2; save it as"),
        (b'id,label\n0.png,cat\n"1.png,dog\n', "line 3: unexpected end of data"),
    ],
)
def test_a_file_that_is_no_table_is_a_message(
    asked: LabelRequest, content: bytes, message: str
) -> None:
    begin(asked).write_bytes(content)
    assert message in faults(asked)[0]


def test_a_separator_within_a_name_is_explained(asked: LabelRequest) -> None:
    begin(asked).write_text("id,label\n0.png,cat\n1.png,lion, sea\n2.png,dog\n")
    assert faults(asked)[1].startswith("line 3: expected 2 columns, found 3; a name with the sep")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("lineterminator", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheets_make_of_it_is_read(
    asked: LabelRequest, delimiter: str, lineterminator: str, encoding: str
) -> None:
    table = fill(asked, "cat", "dog", "cat")
    text = as_csv(read(table), delimiter, lineterminator) + lineterminator
    table.write_bytes(text.encode(encoding))
    assert [new.label for new in ask(asked)] == ["cat", "dog", "cat"]


def test_a_row_without_its_empty_cells_at_the_end_is_read(asked: LabelRequest) -> None:
    begin(asked).write_text("id,label,rank,reason\n0.png,cat\n1.png,dog,1\n2.png,cat,2,,,\n")
    assert [new.label for new in ask(asked)] == ["cat", "dog", "cat"]


def test_a_table_of_id_and_label_is_enough(asked: LabelRequest) -> None:
    begin(asked).write_text("label;id\ncat;0.png\n\ndog;1.png\ncat;2.png")
    assert [new.label for new in ask(asked)] == ["cat", "dog", "cat"]


def test_any_class_is_allowed_where_none_is_known(tmp_path: Path, items: list[Instance]) -> None:
    asked = LabelRequest(
        0, items, [Query(n, item.id, 0.0) for n, item in enumerate(items)], None, tmp_path / "run"
    )
    path = fill(asked, "zebra", "zebra", "zebar")
    with pytest.raises(DataError, match='line 4: "zebar" looks like "zebra" misspelt'):
        ask(asked)
    path.write_text(path.read_text("utf-8-sig").replace("zebar", "gnu"), "utf-8")
    assert [new.label for new in ask(asked)] == ["zebra", "zebra", "gnu"]


def test_a_misspelt_word_is_no_class_even_where_any_is_allowed(
    tmp_path: Path, items: list[Instance]
) -> None:
    asked = LabelRequest(
        0, items, [Query(n, item.id, 0.0) for n, item in enumerate(items)], None, tmp_path / "run"
    )
    fill(asked, "?Skip", "cat", "cat")
    assert faults(asked)[1].endswith(
        'none of the words with a question mark; did you mean "?skip"?'
    )


def test_a_class_with_the_name_of_a_word_is_refused_before_labeling(
    tmp_path: Path, items: list[Instance]
) -> None:
    asked = make_request(tmp_path, items, classes=["cat", "?skip"])
    with pytest.raises(DataError, match=r'cannot ask for the classes "\?skip"'):
        ask(asked)
    assert not (tmp_path / "run").exists()


def test_an_id_that_would_break_the_table_is_refused(tmp_path: Path) -> None:
    asked = make_request(tmp_path, [Instance("a\rb.png", tmp_path / "a\rb.png")])
    with pytest.raises(DataError, match=r'cannot hold the ids "a\\rb\.png"'):
        ask(asked)
    assert not (tmp_path / "run").exists()


def test_a_class_with_blanks_around_its_name_can_be_given(
    tmp_path: Path, items: list[Instance]
) -> None:
    asked = make_request(tmp_path, items, classes=["cat ", "dog"])
    fill(asked, "cat", "cat ", "dog")
    assert [new.label for new in ask(asked)] == ["cat", "cat", "dog"]


def test_an_image_that_is_no_file_is_drawn_so_that_it_can_be_looked_at(tmp_path: Path) -> None:
    pixels = np.zeros((32, 16, 3), np.uint8)
    pixels[:16] = 255
    items = [
        Instance("data_batch_1.bin:7", pixels),
        Instance("../../evil/" + "x" * 300, pixels),
        Instance("broken", b"no picture"),
    ]
    table = begin(make_request(tmp_path, items))
    paths = [row["path"] for row in read(table)]
    assert paths[0] == "rounds/0003/images/0001-data_batch_1.bin_7.png"
    assert paths[1].startswith("rounds/0003/images/0002-") and len(paths[1]) < 100
    assert paths[2] == "", "there is nothing to look at; it can be labeled ?unreadable"
    shown = load_image(table.parent / paths[0])
    assert shown.shape[0] >= 256, "tiny pictures are enlarged"
    assert (shown[0] == 255).all() and (shown[-1] == 0).all()
    begin_again = make_request(tmp_path, items)
    rows = read(table)
    table.write_text(as_csv([row | {"label": "cat"} for row in rows]))
    assert [new.id for new in ask(begin_again)] == [item.id for item in items]


@pytest.mark.parametrize("path", ["/tmp/x.csv", "../x.csv", "a/../../x.csv", "C:\\x.csv"])
def test_a_path_out_of_the_run_is_found_before_anything_is_built(path: str) -> None:
    with pytest.raises(ConfigurationError, match="path: expected a path within the folder of the"):
        Annotator.from_params({"type": "file", "path": path})
    with pytest.raises(ConfigurationError, match="expected a path within the folder of the run"):
        FileAnnotator(path)


@pytest.mark.parametrize("path", ["", "labels", "labels.xlsx", "rounds/0003/labeled.csv"])
def test_a_path_that_is_no_csv_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a name that ends in \.csv"):
        Annotator.from_params({"type": "file", "path": path})


def test_the_table_can_have_another_place_in_the_run(asked: LabelRequest) -> None:
    annotator = FileAnnotator("tables/next.csv")
    with pytest.raises(WaitingForLabels):
        annotator.annotate(asked)
    table = asked.folder / "tables" / "next.csv"
    assert [row["path"] for row in read(table)] == [f"../../photos/{n}.png" for n in range(3)]


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=12
)


@given(
    st.dictionaries(
        names.filter(lambda id: id == id.strip()), st.sampled_from(["cat", "a,b", '"', "?skip"])
    ),
    st.sampled_from([",", ";", "\t"]),
    st.randoms(use_true_random=False),
)
def test_whatever_the_ids_are_what_is_filled_in_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    labels: dict[str, str],
    delimiter: str,
    order: object,
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.csv"
    items = [Instance(id, np.zeros((1, 1, 3), np.uint8)) for id in labels]
    write_label_table(path, [PickedImage(n, item, 0.5) for n, item in enumerate(items, 1)])
    rows = read(path)
    if not rows:
        return
    order.shuffle(rows)  # type: ignore[attr-defined]
    for row in rows:
        is_guarded = "id" in row.get("allencv_al_guarded", "").split("|")
        row["label"] = labels[row["id"].removeprefix("'") if is_guarded else row["id"]]
    content = as_csv(rows, delimiter, "\r\n").encode("utf-8-sig")
    request = LabelRequest(0, items, [], ["cat", "a,b", '"'], path.parent)
    table = read_filled_table(path, content, request, path.parent)
    assert list(table.labels.items()) == list(labels.items())
    assert table.empty == []


def test_a_table_that_was_taken_in_does_not_come_back_after_a_power_cut(
    asked: LabelRequest, table: Path, tmp_path: Path
) -> None:
    fill(asked, "cat", "dog", "cat")
    with record(tmp_path) as log:
        given = ask(asked)
        log.promise("given")
    after = log.cuts("flushed")[-1].restore(tmp_path / "after")
    assert not (after / "run" / table.name).exists()
    assert (after / "run" / "rounds" / "0003" / KEPT_NAME).read_bytes()
    assert len(given) == 3


def test_several_classes_are_written_with_semicolons(asked: LabelRequest) -> None:
    asked = replace(asked, task=label_task("multi_label"))
    with pytest.raises(WaitingForLabels, match=r"or several classes as cat; dog, none of them as"):
        ask(asked)
    (asked.folder / "to_label.csv").unlink()
    fill(asked, "dog; Sea-Lion", "[]", "?unsure")
    given = ask(asked)
    assert [label.label for label in given] == ['["dog", "sea lion"]', "[]", None]
    asked = replace(asked, round=4)
    fill(asked, "dog; cta", "cat", '["dog"')
    [wrong, other] = [line for line in faults(asked) if line.startswith("line ")]
    assert wrong == 'line 2: "cta" is no class; did you mean "cat"?'
    assert other.startswith("line 4: expected class names such as")


def test_new_classes_among_several_are_looked_through_for_typos(asked: LabelRequest) -> None:
    asked = replace(asked, task=label_task("multi_label"), classes=None, seen=("zebra",))
    fill(asked, "zebra; dog", "zebbra; dog", "dog")
    with pytest.raises(DataError, match='line 3: "zebbra" looks like "zebra" misspelt'):
        ask(asked)
