"""Forecasts of labels, on curves whose answer is known. benchmarks/forecast.py judges real ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from allencv_al.active_learning.rounds.forecast import (
    FARTHEST,
    FEWEST_ROUNDS,
    Forecast,
    forecast,
    forecast_of_run,
    forecast_text,
)
from allencv_al.active_learning.rounds.round_record import RoundRecord

LABELS = np.arange(20, 201, 20)


@pytest.mark.parametrize(
    ("curve", "needed"),
    [
        (lambda n: 1 - 2 * n**-0.5, lambda t: (2 / (1 - t)) ** 2),
        (lambda n: 0.2 + 0.12 * np.log(n), lambda t: math.exp((t - 0.2) / 0.12)),
        (lambda n: 0.95 - 0.5 * np.exp(-n / 150), lambda t: -150 * math.log((0.95 - t) / 0.5)),
    ],
    ids=["power", "log", "exponential"],
)
def test_the_interval_contains_the_answer_of_each_family(curve, needed) -> None:  # type: ignore[no-untyped-def]
    values = curve(LABELS.astype(float))
    target = float(values[-1]) + 0.03
    found = forecast(LABELS, values, target)
    assert found.labels is not None
    assert found.low is not None
    assert found.low <= needed(target) <= (found.high or math.inf)
    assert found.labels == pytest.approx(needed(target), rel=0.4)


def test_a_shared_error_widens_the_interval() -> None:
    values = 1 - 2 * LABELS.astype(float) ** -0.5
    sure, unsure = (forecast(LABELS, values, 0.88, error) for error in (0.0, 0.03))
    assert sure.low is not None
    assert unsure.low is not None
    assert unsure.low < sure.low


def test_the_same_question_has_the_same_answer() -> None:
    values = 0.5 + 0.05 * np.log(LABELS)
    assert forecast(LABELS, values, 0.8, 0.02) == forecast(LABELS, values, 0.8, 0.02)


def test_it_refuses_what_it_cannot_know() -> None:
    few = FEWEST_ROUNDS - 1
    rising = 1 - 2 * LABELS.astype(float) ** -0.5
    found = forecast(LABELS[:few], rising[:few], 0.9)
    assert found.refusal == "there are 4 rounds, and 5 are needed"
    flat = np.full(len(LABELS), 0.8) + 0.01 * (-1.0) ** np.arange(len(LABELS))
    assert forecast(LABELS, flat, 0.9).refusal == "the accuracy does not rise beyond its noise"
    assert forecast(LABELS, np.full(len(LABELS), 0.8), 0.9).labels is None
    far = forecast(LABELS, rising, 0.97)
    assert far.labels is None
    assert f"more than {FARTHEST:g} times the 200 labels" in str(far.refusal)
    assert far.low is not None
    assert far.low > 400


@pytest.mark.parametrize("values", [np.ones(10), np.linspace(1, 0, 10), np.zeros(10)])
def test_curves_that_do_not_rise_are_no_error(values: np.ndarray) -> None:
    assert forecast(LABELS, values, 0.99).labels is None


def test_the_sentence() -> None:
    found = Forecast(0.95, 160, 800, 690, 910)
    assert found.text(2.0) == (
        "95 % needs 640 (530 to 750) labels more, about 21 minutes at your pace."
    )
    assert Forecast(0.95, 160, 800, 690).text() == "95 % needs 640 (at least 530) labels more."
    assert Forecast(0.9, 5, refusal="it is early").text() == (
        "How many labels 90 % needs cannot be told: it is early."
    )


def _records(metrics: dict[str, list[float]]) -> list[RoundRecord]:
    return [
        RoundRecord(
            round=place,
            labels=int(count),
            metrics={name: values[place] for name, values in metrics.items()},
        )
        for place, count in enumerate(LABELS)
    ]


def test_a_run_is_forecast_by_its_audit_before_its_test_set() -> None:
    rising = (1 - 2 * LABELS.astype(float) ** -0.5).tolist()
    audited = {"audit_accuracy": rising, "audit_labels": [100.0] * 10, "accuracy": [0.5] * 10}
    found = forecast_of_run(_records(audited))
    assert found is not None
    assert found.target == pytest.approx((1 + rising[-1]) / 2)
    error = math.sqrt(rising[-1] * (1 - rising[-1]) / 100)
    assert found == forecast(LABELS, rising, found.target, error)
    assert forecast_of_run(_records(audited), 0.8) is None, "it is reached"
    assert forecast_of_run([]) is None


def test_a_run_tells_its_forecast_or_why_there_is_none() -> None:
    rising = (1 - 2 * LABELS.astype(float) ** -0.5).tolist()
    records = _records({"accuracy": rising})
    found = forecast_of_run(records, 0.88)
    assert found is not None
    assert forecast_text(records, 0.88, 2.0) == found.text(2.0)
    early = records[:2]
    assert forecast_text(early, 0.88) == ""
    assert forecast_text(early, 0.88, says_why_not=True).endswith("2 rounds, and 5 are needed.")
    assert forecast_text(early, says_why_not=True) == "", "it was not asked for"
