"""The loop: what it asks for, what it never asks for again, and when it ends."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.loop_runs import half_labeled, picks_of, run

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.loop import ActiveLearningLoop, LoopHooks
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.run import make_learner
from allencv_al.common import Params
from allencv_al.common.errors import DataError
from allencv_al.labels.annotators.base import Annotator, LabelRequest, WaitingForLabels
from allencv_al.labels.label_store import LabelEvent, LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase, State

MakeConfig = Callable[..., dict[str, Any]]
MakeDigits = Callable[..., Path]


def curve_of(records: Sequence[RoundRecord]) -> list[tuple[int, dict[str, float | None]]]:
    return [(record.labels, dict(record.metrics)) for record in records]


def events_of(folder: Path) -> list[LabelEvent]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        return LabelStore(database).events()


def labels_of(folder: Path) -> dict[str, str]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        return LabelStore(database).labels()


class Answers(Annotator):
    """Says what a function says of each item; the labels of the data stay hidden."""

    needs_known_labels = True

    def __init__(self, answer: Callable[[str], str | LabelKind]) -> None:
        self.answer = answer
        self.requests: list[LabelRequest] = []

    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        self.requests.append(request)
        return [self._label(item.id, request.round) for item in request.items]

    def _label(self, id: str, round: int) -> NewLabel:
        answer = self.answer(id)
        if isinstance(answer, LabelKind):
            return NewLabel(id, None, "test", round, "test", kind=answer)
        return NewLabel(id, answer, "test", round, "test")

    @property
    def asked(self) -> list[list[str]]:
        return [[item.id for item in request.items] for request in self.requests]


def folder_of(id: str) -> str:
    return id.partition("/")[0]


def loop_with(
    config: dict[str, Any], folder: Path, annotator: Annotator, hooks: LoopHooks | None = None
) -> ActiveLearningLoop:
    """Return the loop of a config with an annotator of a test's own."""
    experiment = ActiveLearningExperiment.from_checked(Params(config))
    learner = make_learner(experiment, folder / "embeddings")
    experiment.settings.annotator = annotator
    folder.mkdir(exist_ok=True)
    database = RunDatabase(folder / DATABASE_NAME)
    return ActiveLearningLoop(
        learner, experiment.settings, database, folder, experiment.seeds[0], hooks
    )


# --- what is asked for ----------------------------------------------------------------------------


def test_the_budget_is_met_exactly(linear_config: MakeConfig, tmp_path: Path) -> None:
    records = run(linear_config(budget=11, initial={"size": 5}), tmp_path)
    assert [record.round for record in records] == [0, 1, 2, 3]
    assert [record.labels for record in records] == [0, 5, 9, 11]
    assert [len(record.picks) for record in records] == [5, 4, 2, 0]
    assert records[-1].notes == ("the budget of 11 labels is spent",)
    assert len(events_of(tmp_path)) == 11


def test_without_a_budget_everything_is_labeled_in_the_end(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    records = run(linear_config(budget=None, query_size=15), tmp_path)
    assert [record.labels for record in records] == [0, 4, 19, 34, 36]
    assert records[-1].notes == ("there is nothing left to label",)
    assert records[-1].metrics["pool_accuracy"] == 1.0
    assert records[-1].metrics["coverage_radius"] is None, "nothing is left to be far away"


def test_no_item_is_asked_for_twice_and_each_gets_its_own_label(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    records = run(linear_config(budget=30, query_size=7), tmp_path)
    asked = [id for ids in picks_of(records) for id in ids]
    assert len(asked) == len(set(asked)) == 30
    events = events_of(tmp_path)
    assert [event.id for event in events] == asked
    assert all(event.label == folder_of(event.id) for event in events)
    assert all(event.supersedes is None for event in events)
    assert [pick.label for record in records for pick in record.picks] == [
        folder_of(id) for id in asked
    ]


def test_test_items_are_never_asked_for(linear_config: MakeConfig, tmp_path: Path) -> None:
    config = linear_config(budget=None, query_size=40)
    learner = make_learner(ActiveLearningExperiment.from_checked(Params(config)), tmp_path / "c")
    records = run(config, tmp_path / "run")
    asked = {id for ids in picks_of(records) for id in ids}
    assert asked == {item.id for item in learner.items}
    assert len(asked) == 36 and records[-1].confusion_matrix is not None
    assert np.sum(records[-1].confusion_matrix) == 24


@pytest.mark.parametrize("strategy", ["random", "typiclust", "k_center", "max_herding"])
def test_the_first_items_are_chosen_without_a_model(
    linear_config: MakeConfig, tmp_path: Path, strategy: str
) -> None:
    records = run(linear_config(initial={"size": 6, "strategy": strategy}, budget=6), tmp_path)
    assert [len(record.picks) for record in records] == [6, 0]
    assert records[0].labels == 0 and all(pick.predicted is None for pick in records[0].picks)
    assert records[0].metrics["accuracy"] is None


def test_by_default_the_first_items_are_a_query_at_random(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    with_block = run(linear_config(initial={"size": 4, "strategy": "random"}), tmp_path / "a")
    without = run(linear_config(initial=None), tmp_path / "b")
    assert picks_of(with_block) == picks_of(without)


def test_auto_chooses_the_first_items_as_it_does_without_a_model(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    typical = linear_config(initial={"size": 4, "strategy": "typiclust"}, budget=8)
    first = picks_of(run(typical, tmp_path / "a"))[0]
    records = run(
        linear_config(strategy="auto", initial=None, query_size=4, budget=8), tmp_path / "b"
    )
    assert picks_of(records)[0] == first
    assert {pick.reason["chosen_by"] for pick in records[1].picks} == {"bait"}


def test_the_seed_decides(linear_config: MakeConfig, tmp_path: Path) -> None:
    found = [run(linear_config(_random_seed=s), tmp_path / str(n)) for n, s in enumerate((5, 5, 6))]
    assert picks_of(found[0]) == picks_of(found[1])
    assert curve_of(found[0]) == curve_of(found[1])
    assert set(picks_of(found[0])[0]) != set(picks_of(found[2])[0])


def test_a_budget_that_is_raised_goes_on_as_if_it_had_been_so_high(
    linear_config: MakeConfig, network_config: MakeConfig, tmp_path: Path
) -> None:
    for make in (linear_config, network_config):
        folder = tmp_path / make.__qualname__.partition(".")[0]
        at_once = run(make(budget=16), folder / "at_once")
        run(make(budget=8), folder / "steps")
        in_steps = run(make(budget=16), folder / "steps", recover=True)
        assert picks_of(in_steps) == picks_of(at_once)
        assert curve_of(in_steps) == curve_of(at_once)
        assert in_steps[2].notes == ("the budget of 8 labels is spent",)
        assert in_steps[-1].notes == ("the budget of 16 labels is spent",)


# --- strategies -----------------------------------------------------------------------------------

SWITCH = {
    "type": "switch",
    "before": "typiclust",
    "after": "margin",
    "when": "labels_per_class",
    "threshold": 2.0,
}
STRATEGIES: list[Any] = [
    *("random", "least_confidence", "margin", "entropy", "ratio", "variation_ratio", "mean_std"),
    *("bald", "power_bald", {"type": "batch_bald", "candidate_limit": None}, "epig", "k_center"),
    *("badge", "cluster_margin", "clue", "typiclust", "prob_cover", "max_herding"),
    *("uncertainty_herding", SWITCH, {"type": "class_balanced", "strategy": "entropy"}),
    {"type": "subsample", "size": 20, "strategy": "badge"},
    {"type": "mixture", "strategies": [{"strategy": "random", "fraction": 1.0}]},
]


@pytest.mark.parametrize(
    "strategy", STRATEGIES, ids=lambda s: s if isinstance(s, str) else s["type"]
)
def test_every_strategy_runs(linear_config: MakeConfig, tmp_path: Path, strategy: Any) -> None:
    if isinstance(strategy, dict):
        strategy = {key: value for key, value in strategy.items() if value is not None}
    config = linear_config(strategy=strategy, mc_samples=4, target_size=10, budget=8)
    config["model"]["dropout"] = 0.3
    records = run(config, tmp_path)
    assert [record.labels for record in records] == [0, 4, 8]
    assert all(pick.predicted in ("zero", "one", "two") for r in records[1:] for pick in r.picks)


@pytest.mark.parametrize("strategy", ["batch_bald", "epig", "k_center", "badge"])
def test_strategies_run_with_a_network_that_trains(
    network_config: MakeConfig, tmp_path: Path, strategy: str
) -> None:
    config = network_config(strategy=strategy, mc_samples=3, target_size=10, budget=8)
    records = run(config, tmp_path)
    assert [record.labels for record in records] == [0, 4, 8]
    assert not list(tmp_path.rglob("outputs")), "they are not needed again"


def test_a_switch_goes_over_when_there_are_labels_enough(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    records = run(linear_config(strategy=SWITCH), tmp_path)
    chosen = [{pick.reason["chosen_by"] for pick in record.picks} for record in records[1:-1]]
    assert chosen == [{"typiclust"}, {"margin"}]  # 4 labels of 3 classes, then 8


def test_strategies_see_what_is_labeled_already(linear_config: MakeConfig, tmp_path: Path) -> None:
    """Of k-center's picks none lies where a label is: its first is the farthest from all labels."""
    records = run(linear_config(strategy="k_center", budget=8), tmp_path)
    first = records[1].picks[0]
    radius = records[1].metrics["coverage_radius"]
    assert radius is not None
    assert first.score == pytest.approx(radius, rel=1e-4)


# --- answers that are no labels -------------------------------------------------------------------


def test_items_without_a_label_are_not_asked_for_again_and_cost_no_budget(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    kinds = [LabelKind.SKIP, LabelKind.UNSURE, LabelKind.UNREADABLE]

    def answer(id: str) -> str | LabelKind:
        number = int(id.partition("/")[2].removesuffix(".png"))
        return kinds[number % 3] if number % 2 else folder_of(id)

    annotator = Answers(answer)
    loop = loop_with(linear_config(budget=10), tmp_path, annotator)
    records = loop.run()
    asked = [id for ids in annotator.asked for id in ids]
    assert len(asked) == len(set(asked))
    labeled = loop.labels.labels()
    assert len(labeled) == records[-1].labels == 10
    assert len(asked) > 10
    refused = [pick for record in records for pick in record.picks if pick.outcome != "label"]
    assert {pick.label for pick in refused} == {None}
    assert {pick.outcome for pick in refused} <= {"skip", "unsure", "unreadable"}
    assert len(refused) + 10 == len(asked)


def test_a_round_that_brings_no_label_is_followed_by_another(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    patience = iter([LabelKind.SKIP] * 8)
    annotator = Answers(lambda id: next(patience, folder_of(id)))
    records = loop_with(linear_config(budget=4), tmp_path, annotator).run()
    assert [record.labels for record in records] == [0, 0, 0, 4]
    asked = [id for ids in annotator.asked for id in ids]
    assert len(asked) == len(set(asked)) == 12


def test_a_label_that_is_taken_back_makes_its_item_one_to_ask_for(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    loop = loop_with(linear_config(budget=None, query_size=32), tmp_path, Answers(folder_of))

    def undo(point: str) -> None:
        events = loop.labels.events()
        if point == "INGEST recorded" and len(events) == 4:
            loop.labels.undo(events[0].event_id, "test")

    loop.hooks = LoopHooks(on_point=undo)
    records = loop.run()
    first = records[0].picks[0].id
    assert [record.labels for record in records] == [0, 3, 35, 36]
    assert first in picks_of(records)[1] + picks_of(records)[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda found: found[1:],
            "expected one answer for each of 4 items, found 3; has no answer",
        ),
        (lambda found: [], "found 0; has no answer"),
        (lambda found: [*found, found[0]], "found 5; came twice"),
        (
            lambda found: [*found, NewLabel("zero/xyz.png", "zero", "test", 0, "test")],
            "found 5; was not asked for: zero/xyz.png",
        ),
    ],
)
def test_an_annotator_that_leaves_items_out_is_an_error_and_not_a_loop_without_end(
    linear_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[list[NewLabel]], list[NewLabel]],
    message: str,
) -> None:
    annotate = Answers.annotate
    monkeypatch.setattr(Answers, "annotate", lambda self, request: change(annotate(self, request)))
    loop = loop_with(linear_config(), tmp_path, Answers(folder_of))
    with pytest.raises(DataError, match=message):
        loop.run()
    assert loop.labels.events() == []


def test_a_label_of_no_class_is_refused_before_it_counts(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config(classes=["one", "two", "zero"])
    loop = loop_with(config, tmp_path, Answers(lambda id: "seven"))
    with pytest.raises(DataError, match=r"labels of no class of active_learning\.classes: seven"):
        loop.run()
    assert loop.labels.events() == []


def test_the_annotator_is_told_what_a_page_shows(linear_config: MakeConfig, tmp_path: Path) -> None:
    annotator = Answers(folder_of)
    loop_with(linear_config(), tmp_path, annotator).run()
    first, second, _ = annotator.requests
    assert first.classes == second.classes == ["one", "two", "zero"]
    assert first.predicted == {} and first.probabilities == {}
    assert set(second.predicted) == set(second.probabilities) == {item.id for item in second.items}
    assert set(second.predicted.values()) <= {"one", "two", "zero"}
    assert all(1 / 3 < value <= 1 for value in second.probabilities.values())
    assert [query.rank for query in second.queries] == [0, 1, 2, 3]
    assert [query.id for query in second.queries] == [item.id for item in second.items]


# --- labels that are there, images that come ------------------------------------------------------


def test_labels_of_the_data_are_a_start(
    linear_config: MakeConfig, digits: Path, tmp_path: Path
) -> None:
    config = linear_config(
        half_labeled(tmp_path, digits),
        _dataset_reader={"type": "manifest"},
        test_fraction=0.2,
        budget=20,
        annotator="file",
    )
    with pytest.raises(WaitingForLabels, match="3 images of round 1 wait for labels"):
        run(config, tmp_path / "run")
    events = events_of(tmp_path / "run")
    assert {(event.source, event.round) for event in events} == {("dataset", 0)}
    assert Counter(event.label for event in events) == {"one": 6, "two": 6, "zero": 5}
    with RunDatabase(tmp_path / "run" / DATABASE_NAME, create=False) as database:
        rounds = RoundStore(database)
        assert rounds.rounds() == [1], "there is nothing to be chosen without a model"
        assert rounds.detail(1, State.TRAIN)["labels"] == 17
        assert rounds.detail(1, State.INFER)["metrics"]["coverage_radius"] > 0


@pytest.mark.parametrize(
    ("budget", "reason"),
    [(10, "the budget of 10 labels is spent"), (None, "there is nothing left to label")],
)
def test_where_there_are_labels_enough_no_annotator_is_asked(
    linear_config: MakeConfig, tmp_path: Path, budget: int | None, reason: str
) -> None:
    records = run(linear_config(annotator="file", budget=budget), tmp_path)
    assert [(record.round, record.labels, record.picks) for record in records] == [(1, 36, ())]
    assert records[0].notes == (reason,)
    assert records[0].metrics["accuracy"] is not None


def test_ground_truth_hides_the_labels_of_the_data(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    records = run(linear_config(budget=4), tmp_path)
    assert records[0].round == 0 and records[1].labels == 4


def test_the_pool_may_grow_between_two_calls(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    test = make_digits(tmp_path / "test", per_class=3, first=20)
    data = make_digits(tmp_path / "data", per_class=3)
    config = linear_config(data, test_fraction=None, _test_data_path=str(test), budget=None)
    first = run(config, tmp_path / "run")
    assert [record.labels for record in first] == [0, 4, 8, 9]
    make_digits(data, per_class=2, first=3)
    second = run(config, tmp_path / "run", recover=True)
    assert [record.labels for record in second] == [0, 4, 8, 9, 13, 15]
    assert picks_of(second)[:3] == picks_of(first)[:3]
    assert second[3].notes == second[-1].notes == ("there is nothing left to label",)
    more = make_digits(tmp_path / "more", per_class=1, first=10)
    config["pool_data_path"] = str(more)
    third = run(config, tmp_path / "run", recover=True)
    assert [record.labels for record in third][-2:] == [15, 18]


def test_labeled_images_that_are_gone_are_named(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    data = make_digits(tmp_path / "data", per_class=10)
    records = run(linear_config(data, budget=8), tmp_path / "run")
    gone = records[0].picks[0].id
    (data / gone).unlink()
    with pytest.raises(DataError, match=f"1 item of this run is no longer in its data: {gone}; .*"):
        run(linear_config(data, budget=12), tmp_path / "run", recover=True)


@pytest.mark.parametrize("how", ["by name", "all that are missing"])
def test_labeled_images_that_are_gone_can_be_dropped(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path, how: str
) -> None:
    data = make_digits(tmp_path / "data", per_class=10)
    before = run(linear_config(data, budget=8), tmp_path / "run")
    gone, renamed = (pick.id for pick in before[0].picks[:2])
    (data / gone).unlink()
    (data / renamed).rename(data / Path(renamed).parent / "new.png")
    drop = {"drop": [gone, renamed]} if how == "by name" else {"drop_missing": True}
    after = run(linear_config(data, budget=12), tmp_path / "run", recover=True, **drop)
    labeled = labels_of(tmp_path / "run")
    assert len(labeled) == 12 and not {gone, renamed} & labeled.keys()
    # What was learned stays as it was recorded, and nothing is asked for twice
    assert [record.labels for record in after] == [0, 4, 8, 10, 12]
    asked = [id for picks in picks_of(after) for id in picks]
    assert len(asked) == len(set(asked)) == 14
    again = run(linear_config(data, budget=12), tmp_path / "run", recover=True)
    assert picks_of(again) == picks_of(after)


def test_what_cannot_be_dropped_is_named(linear_config: MakeConfig, tmp_path: Path) -> None:
    records = run(linear_config(budget=4), tmp_path / "run")
    known = records[0].picks[0].id
    with pytest.raises(DataError) as caught:
        run(linear_config(budget=4), tmp_path / "run", recover=True, drop=["x", known[:-1], known])
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 2
    assert lines[0] == "  x" and lines[1].startswith(f'  {known[:-1]}; did you mean "{known}"')
    assert known in labels_of(tmp_path / "run")


def test_images_that_are_waited_for_can_be_dropped(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    """Deleted after the round had asked for them, and before they were labeled."""
    data, folder = make_digits(tmp_path / "data", per_class=12), tmp_path / "run"
    config = linear_config(
        half_labeled(tmp_path, data),
        _dataset_reader={"type": "manifest"},
        test_fraction=0.2,
        budget=20,
        annotator="file",
    )
    with pytest.raises(WaitingForLabels):
        run(config, folder)
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        asked = [query.id for query in RoundStore(database).queries(1)]
    table = Path(config["train_data_path"])
    rows = [row for row in table.read_text(encoding="utf-8").splitlines() if asked[0] not in row]
    table.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(DataError, match=f"no longer in its data: {asked[0]}; bring it back, or .*"):
        run(config, folder)
    with pytest.raises(WaitingForLabels, match=f"0 of {len(asked) - 1} images of round 1"):
        run(config, folder, drop_missing=True)
    events = [event for event in events_of(folder) if event.id == asked[0]]
    assert [(event.kind, event.source) for event in events] == [(LabelKind.SKIP, "dropped")]


def test_a_round_can_go_on_with_a_part_of_its_labels(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    class Some(Answers):
        def annotate(self, request: LabelRequest) -> list[NewLabel]:
            return super().annotate(request)[: 3 if request.round < 2 else None]

    answers = Some(folder_of)
    loop = loop_with(linear_config(budget=12), tmp_path, answers)
    with pytest.raises(DataError, match="expected one answer for each of 4 items, found 3"):
        loop.run()
    loop.is_partial = True
    records = loop.run()
    assert [record.labels for record in records] == [0, 3, 6, 10, 12]
    first = records[0].picks
    assert [pick.outcome for pick in first] == ["label", "label", "label", "returned"]
    assert first[3].label is None
    # In the pool again: it may be asked for once more, and what it gets then is of that round
    asked = Counter(id for picks in picks_of(records) for id in picks)
    assert asked[first[3].id] >= 1 and records[1].pool_size == 36 - 3


# --- images that cannot be read -------------------------------------------------------------------


def break_some(data: Path) -> set[str]:
    """Break every fourth picture, in two ways; return their ids."""
    broken = sorted(data.rglob("*.png"))[::4]
    for number, file in enumerate(broken):
        file.write_bytes(file.read_bytes()[:40] if number % 2 else b"no picture")
    return {file.relative_to(data).as_posix() for file in broken}


@pytest.mark.parametrize("kind", ["linear", "network"])
@pytest.mark.parametrize("strategy", ["random", "margin"])
def test_images_that_cannot_be_read_are_listed_and_never_asked_for(
    linear_config: MakeConfig,
    network_config: MakeConfig,
    make_digits: MakeDigits,
    tmp_path: Path,
    kind: str,
    strategy: str,
) -> None:
    """Neither does a run without a budget go on for ever because they are left."""
    make = {"linear": linear_config, "network": network_config}[kind]
    data = make_digits(tmp_path / "data", per_class=8)
    broken = break_some(data)
    config = make(
        data, strategy=strategy, budget=None, query_size=8, test_fraction=0.3, evaluate_pool=False
    )
    records = run(config, tmp_path / "run")
    asked = {id for ids in picks_of(records) for id in ids}
    assert asked and not asked & broken
    listed = {id: cause for record in records for id, cause in record.unreadable.items()}
    assert set(listed) == broken
    assert all(cause and id not in cause for id, cause in listed.items())
    assert records[-1].notes[0].startswith("none of the ")
    assert records[-1].notes[0].endswith("items that are left can be read")
    with RunDatabase(tmp_path / "run" / DATABASE_NAME, create=False) as database:
        last = RoundStore(database).last()
    assert last is not None and last[1] is State.DONE
    again = run(config, tmp_path / "run", recover=True)
    assert curve_of(again) == curve_of(records)


# --- what is computed -----------------------------------------------------------------------------


def test_the_points_of_a_round_come_in_their_order(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    points: list[str] = []
    run(linear_config(budget=8), tmp_path, on_point=points.append)
    select = ["SELECT begun", "SELECT done", "SELECT recorded"]
    waiting = [f"WAITING_FOR_LABELS {when}" for when in ("begun", "done", "recorded")]
    ingest = ["INGEST begun", "INGEST recorded"]
    model = [
        f"{state} {when}"
        for state in ("TRAIN", "TEST", "INFER")
        for when in ("begun", "done", "recorded")
    ]
    asking = [*select, *waiting, *ingest]
    assert points == [*asking, *model, *asking, *model]


def test_without_test_data_a_run_measures_the_pool_only(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    records = run(linear_config(test_fraction=None), tmp_path)
    assert records[-1].metrics["accuracy"] is None and records[-1].confusion_matrix is None
    assert records[-1].metrics["pool_accuracy"] is not None


def test_the_pool_accuracy_is_that_of_labels_and_predictions(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config(annotator={"type": "ground_truth", "noise": 1.0}, budget=None)
    records = run(config, tmp_path)
    assert records[-1].metrics["pool_accuracy"] == 0.0, "every label was wrong"
    assert records[1].metrics["pool_accuracy"] is not None


# --- when it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"type": "budget", "rounds": 2}, "2 rounds are trained, and 2 are enough"),
        ({"type": "budget", "labels": 10}, "there are 12 labels, and 10 are enough"),
        ({"type": "target_metric", "value": 0.0}, "accuracy is "),
        ({"type": "plateau", "patience": 1, "min_delta": 1.0}, "accuracy has not got better by 1"),
        (
            {"type": "stable_predictions", "threshold": -1.0, "window": 2},
            "the predictions of the last 3 rounds agree",
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_a_rule_ends_a_run(
    linear_config: MakeConfig, tmp_path: Path, rule: dict[str, Any], reason: str
) -> None:
    config = linear_config(budget=None, stop=[{"type": "budget", "rounds": 9}, rule])
    records = run(config, tmp_path)
    assert len(records) < 9
    assert records[-1].picks == () and records[-1].notes[0].startswith(reason)
    assert run(config, tmp_path, recover=True) == records


def test_the_agreement_is_that_of_successive_rounds_on_what_both_had(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    from sklearn.metrics import cohen_kappa_score

    config = linear_config(budget=20, stop=["stable_predictions"], evaluate_pool=False)
    records = run(config, tmp_path)
    said = {
        round: json.loads((tmp_path / "rounds" / f"{round:04d}" / "predictions.json").read_text())
        for round in range(1, 6)
    }
    assert records[1].metrics["agreement"] is None
    for round in range(2, 6):
        both = sorted(said[round].keys() & said[round - 1].keys())
        assert len(both) == len(said[round]) == 36 - records[round].labels
        expected = cohen_kappa_score(
            *([said[which][id] for id in both] for which in (round - 1, round))
        )
        assert records[round].metrics["agreement"] == pytest.approx(expected, abs=1e-12)
