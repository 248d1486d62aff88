"""The whole audit on small sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

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
    return predictor_of_two_kinds(tmp_path, 3, 0)


def predictor_of_two_kinds(tmp_path: Path, even: float, odd: float) -> Predictor:
    """Return a predictor that knows vectors of 60 images, the even ones apart from the odd ones."""
    generator = np.random.default_rng(0)
    ids = [str(place) for place in range(60)]
    rows = generator.normal(size=(60, 8)).astype(np.float32)
    rows[::2] += even
    rows[1::2] += odd
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


def test_classes_that_are_missing_and_wrongly_said_are_told(tmp_path: Path) -> None:
    # Even images show a, odd ones b; those of c are drawn by chance
    generator = np.random.default_rng(1)
    chosen = set(generator.choice(60, 20, replace=False).tolist())
    names = [{"ab"[place % 2], *("c" * (place in chosen))} for place in range(60)]
    names[8] = names[8] - {"a"}
    names[9] = names[9] | {"a"}
    images = [
        AuditedImage(Instance(str(place), np.asarray(scene(place)), labels=tuple(sorted(own))))
        for place, own in enumerate(names)
    ]
    found = audit_images(images, predictor_of_two_kinds(tmp_path, 3, -3))
    assert (found.labeled, found.audited_labels) == (60, 60)
    errors = {one.id: one for one in found.findings if one.kind == "label_error"}
    assert "a is missing (predicted " in errors["8"].detail
    assert set(json.loads(errors["8"].suggested_label)) == {"a"} | names[8]
    assert "a is said (predicted " in errors["9"].detail
    assert set(json.loads(errors["9"].suggested_label)) == names[9] - {"a"}
    wanted = {id for id, one in errors.items() if "a is" in one.detail or "b is" in one.detail}
    assert wanted == {"8", "9"}


def test_copies_with_other_classes_contradict(predictor: Predictor) -> None:
    labels = [("a", "b"), ("a", "b"), ("a",), ("b",)]
    pictures = [0, 0, 0, 1]
    images = [
        AuditedImage(Instance(str(place), np.asarray(scene(seed)), labels=own))
        for place, (seed, own) in enumerate(zip(pictures, labels, strict=True))
    ]
    found = audit_images(images, predictor).findings
    kinds = [
        (one.kind, one.id) for one in found if one.kind in ("contradiction", "exact_duplicate")
    ]
    assert sorted(kinds) == [("contradiction", "2"), ("exact_duplicate", "1")]


def test_boxes_are_counted_and_their_images_audited(predictor: Predictor) -> None:
    box = (0.0, 0.0, 9.0, 9.0)
    images = [
        AuditedImage(
            Instance(
                str(place),
                np.asarray(scene(place // 2 if place < 2 else place)),
                boxes=(box, box),
                box_labels=("a", "c" if place == 7 else "b"),
            ),
            "test" if place == 1 else "train",
        )
        for place in range(40)
    ]
    found = audit_images(images, predictor)
    assert (found.labeled, found.audited_labels) == (40, 0)
    assert "Boxes and masks were not compared with predictions" in found.notes[0]
    kinds = [(one.kind, one.id, one.label) for one in found.findings]
    assert ("leak", "1", "") in kinds
    assert ("class_balance", "", "c") in kinds
    assert not {"contradiction", "label_error"} & {kind for kind, *_ in kinds}
