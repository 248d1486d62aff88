import json
import math
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.data.frame import Frame
from allencv_al.data.instance import IgnoredBox, Instance
from allencv_al.metrics.detection import Boxes, detection_scores
from allencv_al.tasks import label_task
from allencv_al.tasks.detection_task import sigmoid_class_scores
from allencv_al.tasks.score_axes import AGGREGATES

TASK = label_task("detection")
BOX = {"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}


def test_whole_numbers_are_one_text():
    items = [
        Instance("a", b"", boxes=((1, 2, 4, 6.5),), box_labels=("cat",)),
        Instance("a", b"", boxes=((1.0, 2.0, 4.0, 6.5),), box_labels=("cat",)),
    ]
    texts = {TASK.text_of(item) for item in items}
    assert texts == {'[{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4.5}]'}


def test_no_object_is_a_label():
    item = TASK.labeled(Instance("a", b""), "[]")
    assert (item.boxes, item.box_labels, item.is_labeled) == ((), (), True)
    assert TASK.text_of(item) == "[]"
    assert TASK.shown("[]") == "(none)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"width": 0}, "area"),
        ({"x": True}, "number of pixels as x"),
        ({"y": float("nan")}, "number of pixels as y"),
        ({"crowd": "no"}, "true or false as crowd"),
        ({"label": 3}, "with a label"),
    ],
)
def test_a_wrong_box_is_named_by_its_place(change, expected):
    problem = TASK.problem(json.dumps([BOX, BOX | change]))
    assert problem is not None
    assert problem.startswith("boxes[1]: ")
    assert expected in problem


def test_a_person_reads_counts_by_class():
    text = json.dumps([BOX, BOX | {"label": "dog"}, BOX])
    assert TASK.shown(text) == "2 cat, 1 dog"
    assert TASK.stratum(text) == "cat, dog"


def test_only_detections_that_score_count_and_an_image_without_one_has_no_doubt():
    scores = [torch.tensor([0.9, 0.3, 0.04]), torch.tensor([0.01]), torch.zeros(0)]
    doubts = [torch.tensor([[0.1, 0.2, 0.3], [0.7, 0.5, 1.0], [9.0, 9, 9]]), *[torch.ones(1, 3)]]
    found = TASK.unit_scores({"scores": scores, "doubts": [*doubts, torch.zeros(0, 3)]})
    sums = found[:, :, AGGREGATES.index(TASK.aggregate)]
    torch.testing.assert_close(sums, torch.tensor([[0.8, 0.7, 1.3], [0, 0, 0], [0, 0, 0]]))


def test_without_class_scores_the_uncertainty_is_that_of_object_or_none():
    found = TASK.unit_scores({"scores": [torch.tensor([0.5, 0.8])]})
    entropy = math.log(2) - 0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    sums = found[:, :, AGGREGATES.index("sum")]
    torch.testing.assert_close(sums, torch.tensor([[0.7, 1.4, entropy]]))


def test_the_second_class_of_a_single_one_is_the_background():
    logits = torch.logit(torch.tensor([[0.8], [0.3]]))
    found = sigmoid_class_scores(logits)
    torch.testing.assert_close(found[:, :2], torch.tensor([[0.2, 0.4], [0.7, 0.6]]))
    both = sigmoid_class_scores(torch.logit(torch.tensor([[0.8, 0.3]])))
    torch.testing.assert_close(both[:, :2], torch.tensor([[0.2, 0.5]]))
    assert float(both[0, 2]) == pytest.approx(float(found[:, 2].sum()))


def test_boxes_of_the_model_come_back_to_the_image():
    frame = Frame((80, 50), (0.5, 0, -4, 0, 0.5, 3))  # half the size, moved
    found = {"label": "cat", "score": 0.9, "x": -4, "y": 8, "width": 14, "height": 10}
    moved = TASK.in_image({"objects": [found]}, frame)["objects"][0]
    # x from 0 to 28; y from 10 to 30
    assert moved == {**found, "x": 0, "y": 10, "width": 28, "height": 20}


def test_boxes_that_score_are_drawn_and_counted():
    low = {**BOX, "score": 0.1}
    prediction = {"objects": [{**BOX, "score": 0.9}, low, {**BOX, "label": "dog", "score": 0.5}]}
    assert TASK.caption(prediction) == "1 cat, 1 dog"
    assert TASK.caption({"objects": [low]}) == "(none)"
    image = Image.new("RGB", (64, 48))
    drawn = np.asarray(TASK.drawn(image, prediction, scale=2.0))
    corner = round(2 * BOX["y"]), round(2 * BOX["x"])
    assert drawn[corner].any() and not np.asarray(image).any()
    assert not np.asarray(TASK.drawn(image, {"objects": [low]})).any()


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 900 + "]" * 900])
def test_endless_lists_are_no_boxes(text):
    assert TASK.problem(text) is not None


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", str(10**400)])
def test_numbers_without_end_are_no_pixels(number):
    text = f'[{{"label": "cat", "x": {number}, "y": 2, "width": 3, "height": 4}}]'
    assert "expected a number of pixels as x" in str(TASK.problem(text))


def test_a_draft_has_the_boxes_that_are_shown_and_the_product_of_their_scores():
    found = [BOX | {"score": 0.8}, BOX | {"score": 0.5}, BOX | {"score": 0.29}]
    text, probability = TASK.draft({"objects": found})
    assert json.loads(text) == [BOX, BOX]
    assert probability == pytest.approx(0.4)


def test_a_draft_without_objects_is_as_sure_as_the_best_one_is_unlikely():
    assert TASK.draft({"objects": [BOX | {"score": 0.2}]}) == ("[]", pytest.approx(0.8))
    assert TASK.draft({"objects": []}) == ("[]", 1.0)


def test_a_box_that_the_border_cut_to_nothing_is_in_no_draft():
    text, _ = TASK.draft({"objects": [BOX | {"score": 0.9}, BOX | {"score": 0.9, "width": 0.0}]})
    assert TASK.problem(text) is None
    assert json.loads(text) == [BOX]


def test_a_prediction_of_another_kind_is_no_draft():
    assert TASK.draft({"class": "cat"}) is None


def test_boxes_are_judged_as_the_metrics_match_them() -> None:
    generator = np.random.default_rng(3)
    classes = ("cat", "dog")
    task = label_task("detection")
    pairs, counts = [], Counter()
    for _ in range(30):
        truth = _random_boxes(generator, 4)
        moved = truth + generator.integers(-4, 5, truth.shape)
        found = np.concatenate([moved[generator.random(4) < 0.7], _random_boxes(generator, 2)])
        names, said = generator.integers(0, 2, len(truth)), generator.integers(0, 2, len(found))
        scores = generator.permutation(len(found)) / 20 + 0.4
        objects = [
            {"label": classes[name], "score": float(score), "x": float(box[0]), "y": float(box[1]),
             "width": float(box[2] - box[0]), "height": float(box[3] - box[1])}
            for name, score, box in zip(said, scores, found, strict=True)
        ]  # fmt: skip
        # What a person is not shown is not judged
        objects.append({**objects[0], "score": 0.29})
        item = Instance(
            "a", "a.png", boxes=tuple(map(tuple, truth.tolist())),
            box_labels=tuple(classes[name] for name in names),
        )  # fmt: skip
        judged = task.judged(item, {"objects": objects}, classes)
        counts.update((expected, predicted) for expected, predicted, _ in judged)
        pairs.append(
            (
                Boxes(found.astype(float), said, scores, np.zeros(len(found), bool)),
                Boxes(truth.astype(float), names, np.ones(4), np.zeros(4, bool)),
            )
        )
    matrix = detection_scores(pairs, [0, 1])["confusion_matrix"]
    expected = [[counts[row, column] for column in (*classes, "")] for row in (*classes, "")]
    assert matrix == expected
    assert min(matrix[0][0], matrix[0][1], matrix[0][2], matrix[2][0]) > 0


def _random_boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    corners = generator.integers(0, 60, (count, 2))
    return np.concatenate([corners, corners + generator.integers(10, 30, (count, 2))], axis=1)


def test_boxes_without_names_are_of_the_one_class() -> None:
    task = label_task("detection")
    item = Instance("a", "a.png", boxes=((0, 0, 10, 10), (50, 50, 60, 60)))
    found = {"label": "object", "score": 0.9, "x": 1, "y": 0, "width": 10, "height": 10}
    assert task.judged(item, {"objects": [found]}, ("object",)) == [
        ("object", "object", 0.9),
        ("object", "", 0.0),
    ]
    drawn = task.label_drawn(Image.new("RGB", (40, 40)), item, 0.5)
    is_drawn = [drawn.getpixel(point) != (0, 0, 0) for point in ((5, 4), (30, 28), (16, 20))]
    assert is_drawn == [True, True, False]


def test_boxes_that_are_ignored_stay_so_in_the_text_of_a_label():
    item = Instance(
        "a",
        b"",
        boxes=((1, 2, 4, 6),),
        box_labels=("cat",),
        ignored=(IgnoredBox((0, 0, 9, 9), "dog", is_crowd=True), IgnoredBox((1, 1, 2, 2), "emu")),
    )
    text = TASK.text_of(item)
    marks = [{mark for mark in ("crowd", "difficult") if mark in box} for box in json.loads(text)]
    assert marks == [set(), {"crowd"}, {"difficult"}]
    assert TASK.labeled(Instance("a", b""), text) == item
    assert TASK.classes_in(item) == ("cat",)
    assert json.loads(TASK.renamed(text, str.upper))[1]["crowd"] is True
    assert item.unlabeled().ignored == ()


def test_what_is_found_in_an_ignored_box_is_not_judged():
    crowd = IgnoredBox((0, 0, 100, 100), "cat", is_crowd=True)
    hard = IgnoredBox((200, 0, 220, 20), "cat")
    item = Instance("a", b"", boxes=(), box_labels=(), ignored=(crowd, hard))
    side = {"label": "cat", "score": 0.9, "y": 0, "width": 20, "height": 20}
    found = [side | {"x": x} for x in (40, 90, 95, 202, 215)]
    judged = TASK.judged(item, {"objects": found}, ("cat",))
    assert judged == [("", "cat", 0.9)] * 2, "those mostly outside of both"
