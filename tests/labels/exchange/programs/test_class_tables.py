"""Tables of Kaggle and of Roboflow."""

from __future__ import annotations

import pytest

from allencv_al.common.errors import DataError
from allencv_al.common.files.tables import parse_table
from allencv_al.labels.exchange.annotation_entries import tagged
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.programs.class_tables import (
    from_kaggle,
    from_roboflow,
    table_format,
    to_kaggle,
    to_roboflow,
)


def tags(entries: list[LabelEntry]) -> dict[str, list[str] | None]:
    return {
        one.id: None if one.objects is None else list(one.objects(None, []).tags) for one in entries
    }


def test_the_columns_of_kaggle_have_any_name() -> None:
    assert tags(from_kaggle("id,breed\n000bec,boston_bull\n001cdf,\n", "here")) == {
        "000bec": ["boston_bull"],
        "001cdf": None,
    }
    several = from_kaggle("image_name,tags\ntrain_0,haze primary\ntrain_1,\n", "here")
    assert tags(several) == {"train_0": ["haze", "primary"], "train_1": []}


def test_names_of_classes_at_roboflow_may_have_a_blank_before_them() -> None:
    found = from_roboflow("filename, cat, black dog\n1.jpg, 1, 0\n2.jpg, 1, 1\n3.jpg, 0, 0\n", "x")
    assert tags(found) == {"1.jpg": ["cat"], "2.jpg": ["cat", "black dog"], "3.jpg": []}


def test_boxes_of_tensorflow_are_read() -> None:
    text = (
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "1.jpg,40,24,dog,3,4,8,10\n2.jpg,40,24,cat,0,0,5,5\n1.jpg,40,24,cat,1,1,2.5,2\n"
    )
    one, two = from_roboflow(text, "here")
    found = one.objects(None, [])
    assert found.size == (40, 24)
    assert [(o.name, o.box) for o in found.objects] == [
        ("dog", (3, 4, 8, 10)),
        ("cat", (1, 1, 2.5, 2)),
    ]
    assert [o.name for o in two.objects(None, []).objects] == ["cat"]
    with pytest.raises(DataError, match="line 2: expected an image, a class and xmin, ymin"):
        from_roboflow(text.replace("3,4,8", "3,,8"), "here")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("filename,class,xmin,ymin,xmax,ymax\n1.jpg,a,1,2,3,4\n", "roboflow"),
        ("filename, cat, dog\n1.jpg, 1, 0\n", "roboflow"),
        ("id;breed\r\n1;pug\r\n", "kaggle"),
        ("path,split\n1.png,train\n", None),
        ("name,other\n1,2\n", None),
        ("id,a,b\n1,x,y\n", None),
    ],
)
def test_a_table_is_recognized_by_its_cells(text: str, name: str | None) -> None:
    assert table_format(parse_table(text, "here", ("id", "path", "filename"))) == name


def test_what_a_table_cannot_hold_is_refused() -> None:
    entries = [LabelEntry("1.png", objects=tagged("black dog", "cat"))]
    with pytest.raises(DataError, match='"black dog" has one; rename it, or write the format'):
        to_kaggle(entries)
    with pytest.raises(DataError, match="the name of the column of images"):
        to_roboflow([LabelEntry("1.png", objects=tagged("Filename"))])


@pytest.mark.parametrize(
    ("read", "text", "fault"),
    [
        (from_kaggle, "id,a,b\n1,x,y\n", "expected one column besides id, found a, b"),
        (from_kaggle, "id,a\n,x\n", "line 2: id: expected an image, found nothing"),
        (from_roboflow, "filename,a\n1,2\n", 'line 2: a: expected 0 or 1, found "2"'),
        (from_roboflow, "name,a\n1,1\n", "expected a column"),
    ],
)
def test_faults_name_line_and_column(read, text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read(text, "here")
