import numpy as np
import pytest
import torch
from scipy.stats import bernoulli

from allencv_al.data.instance import Instance
from allencv_al.tasks import label_task
from allencv_al.tasks.multi_label import tags_text
from allencv_al.tasks.score_axes import AGGREGATES
from allencv_al.tasks.unit_scores import sigmoid_scores

TASK = label_task("multi_label")


def test_the_order_of_classes_makes_no_other_label():
    assert tags_text(["dog", " cat ", "dog"]) == '["cat", "dog"]'
    instance = Instance("a", b"", labels=("dog", "cat", "dog"))
    assert TASK.text_of(instance) == '["cat", "dog"]'


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("cat", '["cat"]'),
        ("dog; cat", '["cat", "dog"]'),
        ("cat;cat;", '["cat"]'),
        ('["dog","cat"]', '["cat", "dog"]'),
        ('["a; b"]', '["a; b"]'),
        ("[]", "[]"),
    ],
)
def test_a_person_may_write_a_label_in_a_shorter_way(written, text):
    assert TASK.read(written) == text
    assert TASK.problem(text) is None


@pytest.mark.parametrize("written", ["[cat]", ";", '["cat", 3]'])
def test_what_cannot_be_read_is_explained(written):
    assert TASK.read(written) == written
    assert str(TASK.problem(written)).endswith(f"found {written}")


def test_none_of_the_classes_is_a_label():
    instance = TASK.labeled(Instance("a", b""), "[]")
    assert (instance.labels, instance.is_labeled) == ((), True)
    assert TASK.shown("[]") == "(none)"
    assert TASK.shown('["cat", "dog"]') == "cat, dog"


def test_scores_of_an_image_are_sums_over_its_classes():
    logits = torch.linspace(-3, 3, 8).reshape(2, 4)
    p = torch.sigmoid(logits).numpy()
    wanted = np.stack([np.minimum(p, 1 - p), 1 - abs(2 * p - 1), bernoulli(p).entropy()], axis=-1)
    assert sigmoid_scores(logits).numpy() == pytest.approx(wanted, abs=1e-6)
    found = TASK.unit_scores({"label_logits": logits})
    assert found[:, :, AGGREGATES.index("sum")].numpy() == pytest.approx(wanted.sum(1), abs=1e-5)
    assert TASK.aggregate == "sum"


def test_the_mean_of_models_is_that_of_their_probabilities():
    members = [
        {"label_logits": torch.tensor([[-30.0, 0.5, 40.0]])},
        {"label_logits": torch.ones(1, 3)},
    ]
    mean = TASK.mean_outputs(members)["label_logits"]
    shares = torch.stack([one["label_logits"].sigmoid() for one in members]).mean(0)
    torch.testing.assert_close(mean.sigmoid(), shares)


def test_a_draft_is_as_probable_as_all_its_answers_together():
    prediction = {"classes": ["dog", "cat"], "probabilities": {"cat": 0.9, "dog": 0.8, "emu": 0.1}}
    text, probability = label_task("multi_label").draft(prediction)
    assert text == '["cat", "dog"]'
    assert probability == pytest.approx(0.9 * 0.8 * 0.9)


def test_classes_that_are_missed_and_added_are_judged_apart() -> None:
    task = label_task("multi_label")
    item = Instance("a", "a.png", labels=("cat", "dog"))
    shares = {"cat": 0.75, "dog": 0.25, "emu": 0.625}
    row = {"classes": ["cat", "emu"], "probabilities": shares}
    assert task.judged(item, row, tuple(shares)) == [
        ("cat", "cat", 0.75),
        ("dog", "", 0.75),
        ("", "emu", 0.625),
    ]
    assert task.judged(Instance("b", "b.png"), row, tuple(shares)) == []
    assert task.judged(Instance("b", "b.png", labels=()), {"classes": []}, ()) == []
