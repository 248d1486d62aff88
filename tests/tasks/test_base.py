import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy

import allencv_al
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.instance import Instance
from allencv_al.tasks import LabelTask, label_task
from allencv_al.tasks.score_axes import AGGREGATES
from allencv_al.tasks.unit_scores import softmax_scores

IMAGE = np.zeros((4, 4, 3), np.uint8)
BOXES = '[{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 1.5}]'
LABELS = {
    "single_label": "cat",
    "multi_label": '["cat", "dog"]',
    "segmentation": '{"png": "masks/a.png"}',
    "detection": BOXES,
}


def test_every_registered_task_is_among_the_examples():
    assert set(LABELS) == set(LabelTask.builtin)


@pytest.mark.parametrize("name", LABELS)
def test_a_label_comes_back_from_an_instance_as_the_same_text(name):
    task = label_task(name)
    item = task.labeled(Instance("a", IMAGE), LABELS[name])
    assert task.text_of(item) == LABELS[name]
    assert task.problem(LABELS[name], {"cat", "dog"}) is None
    assert item.is_labeled
    assert not item.unlabeled().is_labeled
    assert task.text_of(item.unlabeled()) is None
    assert LabelTask.of_instances([Instance("b", IMAGE), item]).text_of(item) == LABELS[name]


@pytest.mark.parametrize("name", ["multi_label", "segmentation", "detection"])
@pytest.mark.parametrize("text", ["cat", "{", "3", "[3]", '[{"label": "cat"}]', '{"png": 3}'])
def test_a_text_of_another_kind_is_explained(name, text):
    task = label_task(name)
    assert "expected" in str(task.problem(text))
    with pytest.raises(DataError, match=r"^a: "):
        task.labeled(Instance("a", IMAGE), text)


LONG = "c" * 5000
LONG_BOX = {"label": LONG, "x": 1, "y": 1, "width": 2, "height": 2}


@pytest.mark.parametrize("name", ["multi_label", "segmentation", "detection"])
@pytest.mark.parametrize(
    "text", [LONG, "[" * 5000, json.dumps([LONG]), json.dumps([LONG_BOX]), json.dumps({"a": LONG})]
)
def test_what_is_wrong_with_a_long_text_is_told_in_few_words(name, text):
    problem = label_task(name).problem(text, {"cat", "dog"})
    assert problem is not None and len(problem) < 500


@pytest.mark.parametrize("name", ["single_label", "multi_label", "detection"])
def test_a_class_that_is_not_allowed_is_named(name):
    problem = label_task(name).problem(LABELS[name], {"cats", "dogs"})
    assert problem is not None
    assert '"cat" is no class; did you mean "cats"?' in problem


def test_an_unknown_task_is_an_error():
    with pytest.raises(ConfigurationError, match="single_label"):
        label_task("singel_label")


def test_a_task_of_a_user_keeps_its_text_in_the_label():
    class Age(LabelTask):
        pass

    item = Age().labeled(Instance("a", IMAGE, boxes=((0, 0, 1, 1),)), "3.5")
    assert (item.label, item.boxes, Age().text_of(item)) == ("3.5", None, "3.5")


def test_masks_are_named_by_their_files():
    item = Instance("a", IMAGE, mask=Path("masks") / "a.png")
    assert label_task("segmentation").text_of(item) == LABELS["segmentation"]


def test_scores_equal_those_of_scipy():
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    p = np.sort(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True), axis=1)
    wanted = np.stack([1 - p[:, -1], 1 - (p[:, -1] - p[:, -2]), entropy(p, axis=1)], axis=1)
    assert softmax_scores(logits).numpy() == pytest.approx(wanted, abs=1e-6)
    found = label_task("single_label").unit_scores({"logits": logits})
    for column in range(len(AGGREGATES)):  # of one unit, all are the same
        assert torch.equal(found[:, :, column], softmax_scores(logits))


def test_one_class_and_certain_classes_have_no_uncertainty():
    assert softmax_scores(torch.zeros(2, 1)).tolist() == [[0.0, 0.0, 0.0]] * 2
    assert softmax_scores(torch.tensor([[200.0, 0.0]])).tolist() == [[0.0, 0.0, 0.0]]


def test_a_class_is_judged_with_the_probability_of_the_predicted_one() -> None:
    task = label_task()
    item = Instance("a", "a.png", "cat")
    # A decision threshold says another class than the likeliest
    row = {"class": "dog", "prediction": 1, "probs": [0.7, 0.3]}
    assert task.judged(item, row, ("cat", "dog")) == [("cat", "dog", 0.3)]
    assert task.judged(item, {"class": "cat"}, ("cat", "dog")) == [("cat", "cat", 0.0)]
    assert task.judged(item.unlabeled(), row, ("cat", "dog")) == []
    assert task.judged(item, {"values": [1.0]}, ("cat", "dog")) == []


# Rooms that are about one kind of labels: a model learns it, a file format holds it, and a user's
# functions return it
_OF_KINDS = ("data", "tasks", "models", "labels/exchange", "service/pipeline/tasks")
_PACKAGE = Path(allencv_al.__file__).parent
_CONCRETE = {
    target.partition(":")[0] for target in LabelTask.builtin.values() if not target.endswith("base")
}


def test_no_other_room_asks_which_kind_of_labels_it_has() -> None:
    """A task answers by its methods, so that one of a user's own is no exception anywhere."""
    found = [
        f"{path.relative_to(_PACKAGE)}:{line}"
        for path in sorted(_PACKAGE.rglob("*.py"))
        if not path.relative_to(_PACKAGE).as_posix().startswith(_OF_KINDS)
        for line in questions_about_kinds(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'if task == "segmentation": pass',
        'x = 1 if task.name() in ("multi_label", "other") else 2',
        "from allencv_al.tasks.detection_task import DetectionTask",
        "def f():\n    from allencv_al.tasks.base import SingleLabel",
        "import allencv_al.tasks.multi_label",
        'match task:\n    case "detection": pass',
    ],
)
def test_a_question_about_the_kind_is_found(line: str) -> None:
    assert questions_about_kinds(line)
    assert not questions_about_kinds('TABLE = {"detection": 1}\nlabel_task = "segmentation"')


def questions_about_kinds(text: str) -> list[int]:
    """Return the lines of code that compare with the name of a task, or import one."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        names: set[str] = set()
        if isinstance(node, ast.Compare | ast.MatchValue):
            names = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {node.module or "", *(alias.name for alias in node.names)}
        if names & {*LabelTask.builtin, "SingleLabel", *_CONCRETE}:
            lines.append(node.lineno)
    return lines
