"""The audit of a run: never trained on, asked for blind, measured in each round."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.loop_runs import run

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.loop import ActiveLearningLoop
from allencv_al.active_learning.rounds.round_record import RoundRecord, audit_text
from allencv_al.active_learning.run import RunOptions, active_learn, make_learner
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults
from allencv_al.labels.annotators.base import Annotator, LabelRequest
from allencv_al.labels.audit_sample import AuditStore
from allencv_al.labels.label_store import LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.metrics.accuracy_interval import wilson_interval

MakeConfig = Callable[..., dict[str, Any]]


def audit_of(folder: Path) -> set[str]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        return AuditStore(database).ids()


def labels_of(folder: Path) -> dict[str, str]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        return LabelStore(database).labels()


class Answers(Annotator):
    """Says what a function says of each item, and keeps the requests."""

    needs_known_labels = True

    def __init__(self, kind: Callable[[str], LabelKind]) -> None:
        self.kind = kind
        self.requests: list[LabelRequest] = []

    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        self.requests.append(request)
        return [
            NewLabel(
                item.id,
                item.label if self.kind(item.id) is LabelKind.LABEL else None,
                "test",
                request.round,
                "test",
                self.kind(item.id),
            )
            for item in request.items
        ]


def run_with(annotator: Annotator, config: dict[str, Any], folder: Path) -> list[RoundRecord]:
    experiment = ActiveLearningExperiment.from_checked(Params(config))
    learner = make_learner(experiment, folder / "embeddings")
    experiment.settings.annotator = annotator
    with RunDatabase(folder / DATABASE_NAME) as database:
        seed = experiment.seeds[0]
        return ActiveLearningLoop(learner, experiment.settings, database, folder, seed).run()


def test_each_round_is_measured_on_images_that_none_trains_on(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    records = run(linear_config(budget=20, audit={"size": 8}), tmp_path)
    audit = audit_of(tmp_path)
    assert len(audit) == 8
    assert [record.labels for record in records] == [0, 4, 8, 12]
    assert {pick.id for pick in records[0].audit} == audit
    assert not audit & {pick.id for record in records for pick in record.picks}
    assert len(labels_of(tmp_path)) == 20, "the budget includes the audit"
    for record in records[1:]:
        value = record.metrics["audit_accuracy"]
        assert value is not None
        assert record.metrics["audit_labels"] == 8
        size = 8 * (36 - 1) / (36 - 8)
        expected = wilson_interval(value, size)
        assert (record.metrics["audit_low"], record.metrics["audit_high"]) == pytest.approx(
            expected
        )
        assert audit_text(record.metrics) is not None


def test_the_log_tells_accuracy_and_forecast(
    linear_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    asked = []

    def tell(records: list[RoundRecord], target: float | None, pace: float | None) -> str:
        asked.append((len(records), target, pace))
        return "so many"

    monkeypatch.setattr("allencv_al.active_learning.loop.forecast_text", tell)
    stop = [{"type": "target_metric", "metric": "audit_accuracy", "value": 0.99}]
    run(linear_config(budget=16, audit={"size": 8}, stop=stop), tmp_path)
    assert asked == [(2, 0.99, None), (3, 0.99, None)]
    assert caplog.text.count("by 8 audited images") == 2
    assert caplog.text.count("forecast: so many") == 2


def test_a_repeated_run_draws_the_same_audit_and_picks(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    audited = run(linear_config(budget=20, audit={"size": 8}), tmp_path / "a")
    again = run(linear_config(budget=20, audit={"size": 8}), tmp_path / "b")
    assert [r.to_json()["picks"] for r in audited] == [r.to_json()["picks"] for r in again]


def test_the_table_marks_the_audit_and_the_report_shows_it(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config(budget=20, audit={"size": 8})
    active_learn(Params(config), tmp_path / "run", RunOptions())
    with (tmp_path / "run" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["use"] == "audit" for row in rows) == 8
    assert sum(row["use"] == "train" for row in rows) == 12
    assert "audited images" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("point", ["SELECT begun", "SELECT done", "INGEST begun", "INFER done"])
def test_a_run_that_is_killed_goes_on_with_the_same_audit(
    linear_config: MakeConfig, tmp_path: Path, point: str
) -> None:
    config = linear_config(budget=16, audit={"size": 8})
    whole = run(config, tmp_path / "whole")

    def killed(at: str) -> None:
        if at == point:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "killed", on_point=killed)
    resumed = run(config, tmp_path / "killed", recover=True)
    assert audit_of(tmp_path / "killed") == audit_of(tmp_path / "whole")
    assert [record.metrics for record in resumed] == [record.metrics for record in whole]
    assert [record.picks for record in resumed] == [record.picks for record in whole]


def test_the_audit_is_asked_for_without_predictions(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    run(linear_config(budget=10), tmp_path)
    annotator = Answers(lambda id: LabelKind.LABEL)
    run_with(annotator, linear_config(budget=30, audit={"size": 20}), tmp_path)
    waiting = annotator.requests[0].picks()
    audit = audit_of(tmp_path)
    blind = [pick for pick in waiting if pick.instance.id in audit]
    others = [pick for pick in waiting if pick.instance.id not in audit]
    assert blind
    assert others
    assert all(pick.predicted is None and pick.probability is None for pick in blind)
    assert all(pick.predicted is not None for pick in others)
    assert {str(pick.reason) for pick in blind} == {"{'drawn': 'at random'}"}


def test_images_without_an_answer_are_left_out_of_the_estimate(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config(budget=20, audit={"size": 10})
    kinds = [LabelKind.UNSURE, LabelKind.UNREADABLE, LabelKind.SKIP]

    def kind(id: str) -> LabelKind:
        places = sorted(audit_of(tmp_path))
        place = places.index(id) if id in places else 99
        return kinds[place] if place < 3 else LabelKind.LABEL

    annotator = Answers(kind)
    records = run_with(annotator, config, tmp_path)
    assert records[-1].metrics["audit_labels"] == 7
    asked = [item.id for request in annotator.requests for item in request.items]
    assert len(asked) == len(set(asked)), "an audited image is asked for once"


def test_a_larger_audit_takes_images_out_of_the_training(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    run(linear_config(budget=24, audit={"size": 6}), tmp_path)
    before, labeled = audit_of(tmp_path), set(labels_of(tmp_path))
    records = run(linear_config(budget=36, audit={"size": 20}), tmp_path, recover=True)
    after = audit_of(tmp_path)
    assert before < after
    assert len(after) == 20
    moved = (after - before) & labeled
    assert moved
    last = records[-1]
    assert last.metrics["audit_labels"] == 20
    assert last.labels == len(labels_of(tmp_path)) - 20


def test_a_larger_audit_of_warm_weights_is_refused(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    run(linear_config(budget=24, retrain="warm", audit={"size": 6}), tmp_path)
    with pytest.raises(ConfigurationError, match=r'set active_learning\.retrain to "cold"'):
        run(linear_config(budget=36, retrain="warm", audit={"size": 20}), tmp_path, recover=True)


def test_the_audit_must_leave_some_of_the_budget(linear_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFaults, match=r"audit.size: expected less than the budget, 8"):
        run(linear_config(budget=8, audit={"size": 8}), tmp_path)
    with pytest.raises(ConfigurationFaults, match="what the audit leaves of the budget, 3"):
        run(linear_config(budget=11, initial={"size": 4}, audit={"size": 8}), tmp_path)


def test_the_audit_must_leave_some_of_the_pool(linear_config: MakeConfig, tmp_path: Path) -> None:
    config = linear_config(budget=2000)
    folder = tmp_path / "run"
    config["active_learning"]["audit"] = {"size": 999}
    with pytest.raises(
        ConfigurationError, match=r"audit\.size: .* which leaves none to learn from"
    ):
        active_learn(Params(config), folder, RunOptions(files=False))
    config["active_learning"]["audit"] = {"size": 3}
    active_learn(Params(config), folder, RunOptions(files=False, recover=True))
    assert len(audit_of(folder)) == 3, "what was refused has drawn nothing"


def test_copies_of_audited_images_are_not_trained_on(
    linear_config: MakeConfig, make_digits: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_digits(tmp_path / "digits")
    config = linear_config(
        folder, budget=None, query_size=60, audit={"size": 10}, test_fraction=None
    )
    run(config, tmp_path / "first")
    audited = sorted(audit_of(tmp_path / "first"))[0]
    copy = folder / f"{Path(audited).parent}/a_copy{Path(audited).suffix}"
    shutil.copyfile(folder / audited, copy)
    records = run(config, tmp_path / "second")
    assert copy.relative_to(folder).as_posix() not in labels_of(tmp_path / "second")
    assert records[-1].labels == 60 - 10


def test_without_test_data_the_model_tells_its_own_confidence(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config(budget=8, test_fraction=None)
    records = active_learn(Params(config), tmp_path, RunOptions())
    confidence = records[-1].metrics["mean_confidence"]
    assert confidence is not None
    assert 0.3 < confidence <= 1
    assert "Confidence" in (tmp_path / "report.html").read_text()
