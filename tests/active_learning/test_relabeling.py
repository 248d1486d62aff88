"""Second opinions in the loop: who is asked again, what is learned, and what it costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.kills import killed
from fixtures.loop_runs import run

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.corrections import correct_labels
from allencv_al.active_learning.relabeling import CONSENSUS, OPINIONS, Relabeler, Relabeling
from allencv_al.active_learning.run import make_learner
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError
from allencv_al.labels.consensus import active_lab_scores, majority_labels
from allencv_al.labels.label_store import LabelEvent, LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.tasks import label_task

MakeConfig = Callable[..., dict[str, Any]]
PEOPLE = {"type": "ground_truth", "annotators": 3, "noise": 0.3}


@pytest.fixture
def make_loop(linear_config: MakeConfig) -> MakeConfig:
    """Return a function that makes the config of a loop with three annotators who err."""

    def make(**changes: Any) -> dict[str, Any]:
        settings = {"annotator": PEOPLE, "relabel": {}, "query_size": 6, "budget": 40}
        return linear_config(**{**settings, **changes})

    return make


def events_of(folder: Path) -> list[LabelEvent]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        return LabelStore(database).events()


def by_image(events: list[LabelEvent]) -> dict[str, list[LabelEvent]]:
    found = defaultdict(list)
    for event in events:
        if event.source != CONSENSUS:
            found[event.id].append(event)
    return dict(found)


def test_other_annotators_are_asked_again_and_each_label_costs(
    make_loop: MakeConfig, tmp_path: Path
) -> None:
    records = run(make_loop(), tmp_path)
    events = events_of(tmp_path)
    given = by_image(events)
    assert sum(map(len, given.values())) == 40 == records[-1].labels
    assert max(map(len, given.values())) > 1, "nothing was asked again"
    for labels in given.values():
        assert len({event.annotator for event in labels}) == len(labels) <= 3
    assert records[-1].notes == ("the budget of 40 labels is spent",)
    assert [record.labels for record in records] == sorted({r.labels for r in records})


def test_what_is_learned_is_the_consensus_where_several_were_asked(
    make_loop: MakeConfig, tmp_path: Path
) -> None:
    relabel = {"choose": "always", "consensus": "majority", "most_per_image": 3}
    run(make_loop(relabel=relabel, query_size=5, budget=45), tmp_path)
    with RunDatabase(tmp_path / DATABASE_NAME, create=False) as database:
        store = LabelStore(database)
        labels, events, last = store.labels(), store.events(), RoundStore(database).last()
    assert last is not None
    given = by_image(events)
    assert Counter(map(len, given.values())) == {3: 15}
    for id, answers in given.items():
        [(first, most), *others] = Counter(event.label for event in answers).most_common()
        if not others or most > others[0][1]:
            assert labels[id] == first
        else:
            assert labels[id] in {event.label for event in answers}
    assert any(event.source == CONSENSUS for event in events), "no majority against the last label"


def test_a_run_without_second_opinions_is_as_before(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    """One annotator of several labels each image once, with errors of their own."""
    records = run(linear_config(annotator={**PEOPLE, "noise": 0}, budget=12), tmp_path / "several")
    one = run(linear_config(budget=12), tmp_path / "one")
    assert [r.picks for r in records] == [r.picks for r in one]
    people = {event.annotator for event in events_of(tmp_path / "several")}
    assert people <= {f"ground_truth {number}" for number in (1, 2, 3)} and len(people) > 1


class Asked:
    """The relabeler of a small run, and the labels that its annotators gave."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        experiment = ActiveLearningExperiment.from_checked(Params(config))
        self.learner = make_learner(experiment, folder / "embeddings")
        self.learner.set_classes(sorted({str(item.label) for item in self.learner.items}))
        folder.mkdir(exist_ok=True)
        self.database = RunDatabase(folder / DATABASE_NAME)
        self.store = LabelStore(self.database)

    def relabeler(self, **settings: Any) -> Relabeler:
        class NoAudit:
            held_out: frozenset[str] = frozenset()

        audit: Any = NoAudit()
        return Relabeler(Relabeling(**settings), self.learner, self.database, audit, 3)

    def answer(self, id: str, label: str | None, annotator: str) -> None:
        kind = LabelKind.UNSURE if label is None else LabelKind.LABEL
        self.store.add([NewLabel(id, label, annotator, 1, "test", kind=kind)])


@pytest.fixture
def asked(make_loop: MakeConfig, tmp_path: Path) -> Asked:
    """Sixteen labeled digits, two of them by two annotators, of whom one errs once."""
    asked = Asked(make_loop(), tmp_path / "run")
    items = asked.learner.items[::2][:16]
    for item in items:
        asked.answer(item.id, str(item.label), "Ann")
    wrong = next(str(item.label) for item in items if item.label != items[0].label)
    asked.answer(items[0].id, wrong, "Ben")
    asked.answer(items[1].id, str(items[1].label), "Ben")
    return asked


def test_images_with_and_without_a_label_are_on_one_scale(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many second opinions as labeled images are among the lowest scores of ActiveLab."""
    labeled = list(asked.store.labels())
    classes = len(asked.learner.class_names())
    generator = np.random.default_rng(0)
    held_out = generator.dirichlet(np.ones(classes), len(labeled))
    monkeypatch.setattr(Relabeler, "_held_out", lambda *_: held_out)
    ids = [item.id for item in asked.learner.items if item.id not in labeled]
    logits = generator.normal(size=(len(ids), classes)).astype(np.float32) * 3
    pool = PoolOutputs(ids, logits=logits)
    relabeler = asked.relabeler()
    names, given = relabeler._table(relabeler._to_compare())
    odds = np.exp(logits.astype(np.float64))
    scores, others = active_lab_scores(
        given, held_out, odds / odds.sum(axis=1, keepdims=True), temperature=1.0
    )
    for size in (1, 4, 9, 16):
        found = relabeler.second_opinions(pool, size)
        lowest = sorted(
            [*zip(scores, labeled, strict=True), *zip(others, ids, strict=True)],
            key=lambda one: one[0],
        )[:size]
        assert [query.id for query in found] == [id for _, id in lowest if id in labeled]
        for query in found:
            assert query.reason == {OPINIONS: 2 if query.id in labeled[:2] else 1}
    assert len(asked.relabeler(share=0.25).second_opinions(pool, 16)) <= 4
    assert names == list(asked.learner.class_names())


def test_nothing_is_asked_of_images_that_were_corrected_or_asked_often_enough(
    asked: Asked,
) -> None:
    first, second, third, *_ = labels = asked.store.labels()
    other = next(name for name in asked.learner.class_names() if name != labels[third])
    correct_labels(asked.store, {third: other}, (), label_task())
    pool = PoolOutputs([], logits=np.empty((0, 10), np.float32))
    found = asked.relabeler(choose="always", most_per_image=2).second_opinions(pool, 99)
    assert {first, second, third}.isdisjoint(query.id for query in found) and len(found) == 13


def test_an_unsure_second_annotator_leaves_the_first_label(asked: Asked) -> None:
    *_, last = asked.store.labels()
    label = asked.store.labels()[last]
    asked.answer(last, None, "Ben")
    assert last not in asked.store.labels()
    relabeler = asked.relabeler()
    relabeler.settle(2)
    assert asked.store.labels()[last] == label
    before = len(asked.store.events())
    relabeler.settle(2)
    assert len(asked.store.events()) == before, "the same consensus is stored once"


def test_a_tie_is_decided_by_models_that_did_not_learn_from_the_image(asked: Asked) -> None:
    first, *_ = asked.store.labels()
    truth = {item.id: str(item.label) for item in asked.learner.items}
    asked.relabeler().settle(2)
    _, given = asked.relabeler()._table(asked.relabeler()._to_compare())
    assert set(majority_labels(given[:1], 10).tolist()) <= set(given[0].tolist())
    assert asked.store.labels()[first] == truth[first]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotator": {"type": "ground_truth"}}, "a second opinion is another person's"),
        ({"annotator": None}, "a second opinion is another person's"),
        ({"annotator": {"type": "file", "path": "labels.csv"}}, "this annotator is one"),
        ({"relabel": {"most_per_image": 1}}, "most_per_image"),
        ({"relabel": {"choose": "sometimes"}}, "active_lab"),
    ],
)
def test_the_config_is_refused_where_it_has_no_meaning(
    make_loop: MakeConfig, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(make_loop(**changes), tmp_path)


def test_an_encoder_that_trains_is_refused(network_config: MakeConfig, tmp_path: Path) -> None:
    config = network_config(annotator=PEOPLE, relabel={})
    with pytest.raises(ConfigurationError, match=r"relabel: labels are weighed .* freeze it"):
        run(config, tmp_path)


@pytest.mark.slow
def test_a_kill_at_each_point_changes_nothing(make_loop: MakeConfig, tmp_path: Path) -> None:
    job = {"mode": "once", "config": make_loop(budget=24), "folder": tmp_path}
    (found,) = killed(job)
    assert {attempt["point"] for attempt in found} >= {"SELECT recorded", "INGEST recorded"}
