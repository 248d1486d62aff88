"""Projects of Supervisely; the packed bitmap was written by hand after its documentation."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.labels.exchange.programs.supervisely import (
    place_in_project,
    read_supervisely,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "ds" / "ann").mkdir(parents=True)
    (tmp_path / "meta.json").write_text("{}")
    return tmp_path


def read(project: Path, *objects: Any, tags: Any = ()) -> tuple[Any, list[str]]:
    content = {"size": {"width": 20, "height": 10}, "tags": list(tags), "objects": list(objects)}
    (project / "ds" / "ann" / "1.png.json").write_text(json.dumps(content))
    [entry] = read_supervisely(project)
    assert (entry.id, entry.image) == ("ds/1.png", "ds/img/1.png")
    problems: list[str] = []
    return entry.objects(None, problems), problems


def figure(kind: str, **values: Any) -> dict[str, Any]:
    return {"classTitle": "cat", "geometryType": kind, **values}


def points(*exterior: list[float], interior: Any = ()) -> dict[str, Any]:
    return {"points": {"exterior": list(exterior), "interior": list(interior)}}


def test_the_last_pixel_of_a_rectangle_belongs_to_it(project: Path) -> None:
    found, _ = read(project, figure("rectangle", **points([2, 3], [5, 7])))
    assert found.objects[0].box == (2, 3, 6, 8)
    assert found.size == (20, 10)


def test_bitmaps_lie_where_their_origin_is(project: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((2, 3), 255, np.uint8)).save(stream, "PNG")
    data = base64.b64encode(zlib.compress(stream.getvalue())).decode()
    bitmap = {"data": data, "origin": [4, 5]}
    found, problems = read(project, figure("bitmap", bitmap=bitmap))
    expected = np.zeros((10, 20), bool)
    expected[5:7, 4:7] = True
    assert not problems
    assert (found.objects[0].region.pixels((20, 10)) == expected).all()
    outside = {"data": data, "origin": [19, 0]}
    _, problems = read(project, figure("bitmap", bitmap=outside))
    assert "objects[0]: bitmap: expected one inside its image" in problems[0]


def test_polygons_have_holes(project: Path) -> None:
    square, hole = [[0, 0], [8, 0], [8, 8], [0, 8]], [[2, 2], [6, 2], [6, 6], [2, 6]]
    found, _ = read(project, figure("polygon", **points(*square, interior=[hole])))
    mask = found.objects[0].region.pixels((20, 10))
    assert mask.sum() == 8 * 8 - 4 * 4
    assert not mask[4, 4]


def test_tags_with_values_are_no_classes_and_points_are_left_out(project: Path) -> None:
    tags = [{"name": "night", "value": None}, {"name": "place", "value": "Rome"}]
    found, _ = read(project, figure("point", **points([1, 1])), tags=tags)
    assert list(found.tags) == ["night"]
    assert found.left_out == {"point": 1}


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        (figure("rectangle"), "points: expected 2 points or more, found nothing"),
        (figure("bitmap", bitmap={"data": "!", "origin": [0, 0]}), "expected a packed PNG"),
        ({"geometryType": "rectangle", **points([0, 0], [1, 1])}, "classTitle: expected a class"),
        (7, "expected an object, found 7"),
    ],
)
def test_faults_name_the_object(one: Any, fault: str, project: Path) -> None:
    _, problems = read(project, one)
    assert "objects[0]: " in problems[0]
    assert fault in problems[0]


def test_folders_are_data_sets() -> None:
    assert place_in_project("1.png", "img") == "dataset/img/1.png"
    assert place_in_project("a/1.png", "ann") == "a/ann/1.png"
    assert place_in_project("a/b/1.png", "img") == "a/datasets/b/img/1.png"
