"""The rules by which a pipeline calls functions and takes what they return."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline.config_file import complete, load_config
from allencv_al.service.pipeline.functions.calling import Payload, UserFunction
from allencv_al.service.pipeline.functions.infer_keys import by_record
from allencv_al.service.pipeline.functions.returns import to_plain
from allencv_al.service.pipeline.functions.user_functions import check_records
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.infer_outputs import distribution, to_logits
from allencv_al.service.pipeline.tasks.pipeline_metrics import (
    classification_metrics,
    queried_per_class,
)

TRAIN = ("labeled", "resume_from", "ckpt_file")
PAYLOAD = {"labeled": [1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}
ARGS: dict[str, Any] = {"lr": 0.1}


# -- How functions are called: rule 1 --------------------


def f_payload(payload):  # type: ignore[no-untyped-def]
    return ("payload", payload)


def f_other(data):  # type: ignore[no-untyped-def]
    return ("payload", data)


def f_keywords(labeled, resume_from, ckpt_file, logdir):  # type: ignore[no-untyped-def]
    return (labeled, ckpt_file, logdir)


def f_args(args, labeled, resume_from, ckpt_file):  # type: ignore[no-untyped-def]
    return (args, labeled, ckpt_file)


def f_mnist(args, ckpt_file, labeled, resume_from):  # type: ignore[no-untyped-def]
    return (args, labeled, ckpt_file)


def f_config(config_args, labeled, ckpt_file=None):  # type: ignore[no-untyped-def]
    return (config_args, labeled, ckpt_file)


def f_config_alone(config_args):  # type: ignore[no-untyped-def]
    return (config_args,)


def f_args_alone(args):  # type: ignore[no-untyped-def]
    return (args,)


def f_state_default(args={}):  # type: ignore[no-untyped-def]  # noqa: B006  as examples have it
    return (args,)


def f_state_split(args, split="train"):  # type: ignore[no-untyped-def]
    return (args, split)


def f_nothing():  # type: ignore[no-untyped-def]
    return ()


def f_all(**kwargs):  # type: ignore[no-untyped-def]
    return kwargs


def f_first_and_all(config, **kwargs):  # type: ignore[no-untyped-def]
    return (config, kwargs)


def f_keyword_only(*, labeled, args):  # type: ignore[no-untyped-def]
    return (args, labeled)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (f_payload, ("payload", PAYLOAD)),
        (f_other, ("payload", PAYLOAD)),
        (f_keywords, ([1, 2], "ckpt_0", "log")),
        (f_args, (ARGS, [1, 2], "ckpt_0")),
        (f_mnist, (ARGS, [1, 2], "ckpt_0")),
        (f_config, (ARGS, [1, 2], "ckpt_0")),
        (f_config_alone, (ARGS,)),
        (f_args_alone, (ARGS,)),
        (f_state_default, (ARGS,)),
        (f_state_split, (ARGS, "train")),
        (f_nothing, ()),
        (f_all, {**PAYLOAD, "args": ARGS, "logdir": "log", "cur_loop": 3}),
        (f_keyword_only, (ARGS, [1, 2])),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_documented_form_is_called_as_it_is_written(
    function: Callable[..., Any], expected: Any
) -> None:
    assert UserFunction(function, "train", TRAIN)(PAYLOAD, ARGS, 3, "log") == expected


def test_args_are_always_the_same_object_and_lists_are_fresh() -> None:
    payload = {**PAYLOAD, "labeled": [1, 2]}
    args, labeled, _ = UserFunction(f_args, "train", TRAIN)(payload, ARGS, 0, None)
    assert args is ARGS
    labeled.pop()
    assert payload["labeled"] == [1, 2]


def test_a_payload_has_the_documented_keys_alone() -> None:
    _, found = UserFunction(f_payload, "train", TRAIN)(PAYLOAD, ARGS, 3, "log")
    assert isinstance(found, Payload) and list(found) == list(PAYLOAD)
    assert (found.loop, found.args, found.logdir) == (3, ARGS, "log")


@pytest.mark.parametrize(
    ("convention", "function", "expected"),
    [
        ("payload", f_args_alone, (PAYLOAD,)),
        ("args", f_other, ("payload", ARGS)),
        ("kwargs", f_config, None),
    ],
)
def test_a_form_can_be_said(convention: str, function: Any, expected: Any) -> None:
    if expected is None:
        with pytest.raises(ConfigurationError, match="config_args"):
            UserFunction(function, "train", TRAIN, convention)
    else:
        assert (
            UserFunction(function, "train", TRAIN, convention)(PAYLOAD, ARGS, 0, None) == expected
        )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda labeled, batch_size: 0, "unknown required parameter batch_size"),
        (lambda args, unlabeled: 0, "unknown required parameter unlabeled"),
        (3, "expected a function, found 3"),
    ],
)
def test_what_cannot_be_called_is_found_at_once(function: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        UserFunction(function, "train", TRAIN)
    with pytest.raises(ConfigurationError, match="expected one of auto"):
        UserFunction(f_args, "train", TRAIN, "magic")


# -- Which output is of which record: rule 3 --------------------


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({9: "c", 3: "a", 5: "b"}, "abc"),
        ({"9": "c", "3": "a", "5": "b"}, "abc"),
        ({np.int64(9): "c", 3: "a", torch.tensor(5): "b"}, "abc"),
        ({2: "c", 0: "a", 1: "b"}, "abc"),
        (["a", "b", "c"], "abc"),
        (("a", "b", "c"), "abc"),
        ({"x.jpg": "a", "y.jpg": "b", "z.jpg": "c"}, "abc"),
    ],
)
def test_outputs_find_their_records(outputs: Any, expected: str) -> None:
    assert by_record(outputs, [9, 3, 5]) == dict(zip([3, 5, 9], expected, strict=True))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({3: "a", 5: "b"}, "expected an output for each of 3 records, found 2; missing: 9"),
        ({0: "a", 1: "b"}, "missing: 3, 5, 9; not requested: 0, 1"),
        ({3: "a", 5: "b", 7: "c"}, "missing: 9; not requested: 7"),
        ({3: "a", 5: "b", 9: "c", 11: "d"}, "not requested: 11"),
        (["a"], "expected 3 outputs, found 1"),
        ({"x": "a"}, "expected 3 outputs, found 1"),
        ("abc", "found a str"),
        (None, "found a NoneType"),
        ({10**30: "a", 3: "b", 5: "c"}, "not requested"),
    ],
)
def test_a_short_or_foreign_set_of_keys_is_named(outputs: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message) as raised:
        by_record(outputs, [3, 5, 9])
    assert raised.value.status == 422


@given(st.sets(st.integers(0, 10**6), min_size=1), st.randoms())
def test_any_order_of_the_keys_is_the_same(records: set[int], chance: Any) -> None:
    shuffled = list(records)
    chance.shuffle(shuffled)
    assert by_record({key: -key for key in shuffled}, shuffled) == {k: -k for k in sorted(records)}
    relative = {place: -key for place, key in enumerate(sorted(records))}
    if relative.keys() != records:
        assert by_record(relative, shuffled) == {key: -key for key in sorted(records)}


def test_positional_is_the_order_alone() -> None:
    assert by_record({9: "a", 3: "b", 77: "c"}, [3, 5, 9], "positional") == {3: "a", 5: "b", 9: "c"}
    with pytest.raises(PipelineError, match="expected 3 outputs, found 1"):
        by_record({9: "a"}, [3, 5, 9], "positional")


# -- Activations ------------------------------------------


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=6))
def test_every_activation_leads_to_the_same_distribution(row: list[float]) -> None:
    logits = np.array(row)
    softmax = torch.softmax(torch.tensor(logits), 0).numpy()
    expected = distribution(logits[None])
    for value in (
        row,
        logits,
        torch.tensor(logits),
        {"pre_softmax": row},
        {"logits": torch.tensor(logits)},
        {"softmax": softmax, "prediction": 1},
        [torch.tensor(one) for one in row],
    ):
        found = distribution(to_logits({7: value}))
        for name in ("softmax", "confidence", "margin", "entropy"):
            assert np.allclose(found[name], expected[name], atol=1e-6), name
    assert np.allclose(expected["softmax"][0], softmax, atol=1e-9)
    entropy = torch.distributions.Categorical(probs=torch.tensor(softmax)).entropy().item()
    assert expected["entropy"][0] == pytest.approx(entropy, abs=1e-6)


def test_a_sigmoid_is_turned_back() -> None:
    logits = torch.tensor([2.0, -3.0, 0.5], dtype=torch.float64)
    found = to_logits({0: {"sigmoid": torch.sigmoid(logits)}})
    assert np.allclose(found[0], logits.numpy())


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({4: {"boxes": []}}, r"outputs\[4\]: expected one of pre_softmax, logits"),
        ({4: [1.0, 2.0], 5: [1.0]}, r"outputs\[5\]: expected 2 numbers"),
        ({4: [1.0, math.nan]}, r"outputs\[4\]: found a number that is not finite"),
        ({4: {"logits": "abc"}}, r"outputs\[4\]: logits: expected numbers"),
        ({4: []}, r"outputs\[4\]: logits: expected numbers, found none"),
    ],
)
def test_wrong_activations_name_their_record(outputs: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        to_logits(outputs)


# -- Metrics ------------------------------------------


def test_the_golden_vector_of_the_original() -> None:
    found = classification_metrics([0, 1, 2, 2, 1, 0], [0, 1, 2, 1, 1, 2])
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["confusion_matrix"] == [[1, 0, 0], [0, 2, 1], [1, 0, 1]]
    assert found["acc_per_class"] == pytest.approx({"0": 1, "1": 2 / 3, "2": 0.5})
    assert found["precision_per_class"] == pytest.approx({"0": 0.5, "1": 1, "2": 0.5})
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(0.7222, abs=1e-4)
    assert found["f1_score_per_class"] == pytest.approx({"0": 2 / 3, "1": 0.8, "2": 0.5})
    assert found["f1_score"] == pytest.approx(0.6556, abs=1e-4)
    assert found["label_disagreement"] == pytest.approx({"0": 0.2, "1": 0, "2": 0.25})
    assert found["confusion_matrix_per_class"] == {
        "0": [[1, 0], [1, 4]],
        "1": [[2, 1], [0, 3]],
        "2": [[1, 1], [1, 3]],
    }


CLASSES = st.integers(0, 4)


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@given(st.lists(st.tuples(CLASSES, CLASSES), min_size=1, max_size=40))
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predicted, truth = (list(side) for side in zip(*pairs, strict=True))
    found = classification_metrics(predicted, truth)
    labels = [int(name) for name in found["classes"]]
    options: dict[str, Any] = {"labels": labels, "average": "macro", "zero_division": 0}
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truth, predicted))
    assert found["precision"] == pytest.approx(oracle.precision_score(truth, predicted, **options))
    assert found["recall"] == pytest.approx(oracle.recall_score(truth, predicted, **options))
    assert found["f1_score"] == pytest.approx(oracle.f1_score(truth, predicted, **options))
    matrix = oracle.confusion_matrix(truth, predicted, labels=labels).tolist()
    assert found["confusion_matrix"] == matrix


def test_classes_that_are_not_seen_keep_their_keys() -> None:
    names = {0: "car", 1: "ship", 2: "dog", 3: "cat"}
    found = classification_metrics([1, 1], [1, 2], names)
    assert found["classes"] == ["0", "1", "2", "3"]
    assert found["acc_per_class"] == {"0": None, "1": 1.0, "2": 0.0, "3": None}
    one = classification_metrics([0, 0], [0, 0])
    assert one["label_disagreement"] == {"0": None}


def test_dictionaries_are_joined_by_their_keys() -> None:
    found = classification_metrics({"5": 1, 3: 0}, {3: 0, 5: np.int64(1)})
    assert found["accuracy"] == 1.0
    tensors = classification_metrics(torch.tensor([1, 0]), np.array([1, 0]))
    assert tensors["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ({1: 0, 2: 1}, {1: 0, 3: 1}, "predictions without label: 2; labels without prediction: 3"),
        ([0, 1], [0], "2 predictions and 1 labels"),
        ({1: 0}, [0], "one of each"),
        (["cat"], [0], "expected class numbers, found 'cat'"),
        ([0.5], [0], "expected class numbers"),
        (3, 4, "expected two dictionaries"),
    ],
)
def test_what_does_not_fit_together_is_said(predictions: Any, labels: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        classification_metrics(predictions, labels)


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        ([0, 1, 1], 3, {"0": 1, "1": 2}),
        ([0, 1, 1] * 5, 3, {"0": 1, "1": 2}),
        (torch.tensor([2, 2]), 2, {"2": 2}),
        ({7: 0, 9: 1}, 2, {"0": 1, "1": 1}),
        (["cat", "dog", "cat"], 3, {"cat": 2, "dog": 1}),
        (["cat", 1], 2, None),
        (None, 1, None),
    ],
)
def test_each_record_is_counted_once(labels: Any, count: int, expected: Any) -> None:
    assert queried_per_class(labels, count) == expected


# -- Values ------------------------------------------


def test_what_is_returned_becomes_plain() -> None:
    value = {
        np.int64(3): np.float32(1.5),
        "a": torch.tensor([[1, 2]]),
        "b": (math.nan, math.inf, True, None, np.bool_(False)),
        torch.tensor(4): np.arange(2),
    }
    assert to_plain(value, "test") == {
        3: 1.5,
        "a": [[1, 2]],
        "b": [None, None, True, None, False],
        4: [0, 1],
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "found a set"),
        ({"a": object()}, r"\['a'\]: expected numbers.*found a object"),
        ({(1, 2): 3}, "expected integers or strings as keys, found a tuple"),
        (b"bytes", "found a bytes"),
    ],
)
def test_what_json_cannot_hold_is_refused(value: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        to_plain(value, "test")


def test_what_is_nested_without_end_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(PipelineError, match="nested too deep"):
        to_plain(value, "test")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([3, 1, 3], "duplicate indices: 3"),
        ([-1], "expected 0 to 9, found -1"),
        ([10, 2], "found 10"),
    ],
)
def test_records_that_are_none_are_named(records: list[int], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        check_records(records, 10, "labeled")
    assert check_records([5, 2], 10, "labeled") == [2, 5]


# -- config.yaml ------------------------------------------


def test_numbers_that_yaml_takes_for_texts_are_warned_of(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("lr: 1e-4\nwtd: 1.0e-4\nname: 1e-4x\nnested: {a: [2E5]}\n")
    assert load_config(file)["lr"] == "1e-4"
    assert 'lr: YAML reads "1e-4"' in caplog.text and "nested.a.0" in caplog.text
    assert "wtd" not in caplog.text and "name" not in caplog.text


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\tb", "!!python/object:os.system x"])
def test_what_is_no_config_is_said(text: str, tmp_path: Any) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        load_config(tmp_path / "config.yaml")
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml"):
        load_config(tmp_path / "nothing.yaml")


def test_folders_are_made_and_args_stay_the_same_object(tmp_path: Any) -> None:
    args: dict[str, Any] = {"EXPT_DIR": str(tmp_path / "a" / "b")}
    assert complete(args) is args
    assert (tmp_path / "a" / "b").is_dir() and args["LOG_DIR"] == args["EXPT_DIR"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="EXPT_DIR"):
        complete({"EXPT_DIR": str(tmp_path / "file" / "x")})
