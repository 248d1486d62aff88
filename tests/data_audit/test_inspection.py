"""The whole audit on small sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from fixtures.audited_sets import scene

from allencv_al.common.errors import DataError
from allencv_al.data.instance import Instance
from allencv_al.data_audit.audited_images import AuditedImage
from allencv_al.data_audit.inspection import DataAudit, audit_images
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.cold_start import embedding_predictor

Row = tuple[str | None, str, str]


@pytest.fixture
def predictor(tmp_path) -> Predictor:
    generator = np.random.default_rng(0)
    ids = [str(place) for place in range(60)]
    rows = generator.normal(size=(60, 8)).astype(np.float32)
    rows[::2] += 3
    np.savez(tmp_path / "vectors.npz", embeddings=rows, ids=np.array(ids))
    return embedding_predictor(str(tmp_path / "vectors.npz"))


def audit(predictor: Predictor, rows: Sequence[Row]) -> DataAudit:
    """Audit different images with these labels, splits and groups."""
    images = [
        AuditedImage(Instance(str(place), np.asarray(scene(place)), label), split, group)
        for place, (label, split, group) in enumerate(rows)
    ]
    return audit_images(images, predictor)


def test_without_labels_only_images_are_audited(predictor: Predictor) -> None:
    found = audit(predictor, [(None, "", "")] * 30)
    assert (found.images, found.labeled, found.audited_labels) == (30, 0, 0)
    assert found.notes == []


def test_one_class_is_no_problem_for_a_label(predictor: Predictor) -> None:
    found = audit(predictor, [("a", "", "")] * 30)
    assert found.audited_labels == 0
    assert "two classes" in found.notes[0]


def test_one_label_of_a_class_is_told_and_left_out(predictor: Predictor) -> None:
    rows: list[Row] = [("ab"[place % 2], "", "") for place in range(40)]
    rows[-1] = ("c", "", "")
    found = audit(predictor, rows)
    assert found.audited_labels == 39
    assert "with a single image" in found.notes[0]


def test_one_label_a_class(predictor: Predictor) -> None:
    found = audit(predictor, [("a", "", ""), ("b", "", "")])
    assert found.audited_labels == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_images(predictor: Predictor, count: int) -> None:
    assert audit(predictor, [("a", "train", "")] * count).images == count


def test_a_group_in_two_splits(predictor: Predictor) -> None:
    rows: list[Row] = [("ab"[place % 2], "train", f"p{place // 4}") for place in range(40)]
    rows[3] = (rows[3][0], "test", "p0")
    groups = [one for one in audit(predictor, rows).findings if one.kind == "split_group"]
    assert [(one.id, one.split) for one in groups] == [("3", "test")]
    assert "3 in train, 1 in test" in groups[0].detail


def test_a_rare_class_of_the_training_images(predictor: Predictor) -> None:
    rows: list[Row] = [("ab"[place % 2], "train", "") for place in range(56)]
    rows += [("c", "train", "")] + [("d", "test", "")] * 3
    rare = [one for one in audit(predictor, rows).findings if one.kind == "class_balance"]
    assert [(one.label, one.path) for one in rare] == [("c", "")]


def test_swapped_labels_are_suggested_back(predictor: Predictor) -> None:
    rows: list[Row] = [("ab"[place % 2], "", "") for place in range(60)]
    rows[8] = ("b", "", "")
    errors = [one for one in audit(predictor, rows).findings if one.kind == "label_error"]
    assert errors[0].id == "8"
    assert errors[0].suggested_label == "a"


def test_no_image_is_an_error(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="no images"):
        audit(predictor, [])


def test_only_some_kinds(predictor: Predictor) -> None:
    rows: list[Row] = [("ab"[place % 2], "", "") for place in range(60)]
    rows[8] = ("b", "", "")
    found = audit(predictor, rows)
    assert found.only([]) == found
    assert set(found.only(["label_error"]).counts()) == {"label_error"}
