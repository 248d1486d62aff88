from __future__ import annotations

from allencv_al.selection.pick_reasons import named_reason


def test_numbers_of_classes_and_of_labeled_items_become_names() -> None:
    reason = {"rank": 0, "predicted": 1, "runner_up": 0, "nearest_labeled": 2, "distance": 0.5}
    assert named_reason(reason, {0: "cat", 1: "dog"}, ["a", "b", "c"]) == {
        "rank": 0,
        "predicted": "dog",
        "runner_up": "cat",
        "nearest_labeled": "c",
        "distance": 0.5,
    }


def test_what_has_no_name_stays_as_it_is() -> None:
    reason = {"predicted": 7, "weights": [1, 2], "nearest": "mean"}
    assert named_reason(reason, {0: "cat"}, []) == reason
