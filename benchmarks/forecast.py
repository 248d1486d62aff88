"""Judge forecasts of the labels that a target needs, on curves that no constant was fitted to.

    python benchmarks/forecast.py curves.jsonl

A question is a round of a curve (the sixth and later) and a target above its accuracy. The forecast
sees the accuracy on the audit sample, 100 images; the truth is where the accuracy on the large test
part, made increasing by isotonic regression, reaches the target: only targets within four times the
labels are asked for. Each curve counts alike, with all of its questions.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from allencv_al.active_learning.rounds.forecast import FEWEST_ROUNDS, forecast

STEP = 0.02  # between targets


def reached(labels: np.ndarray, rising: np.ndarray, target: float) -> float:
    """Return the labels at which an increasing curve reaches a target; infinite if it does not."""
    if rising[-1] < target:
        return math.inf
    place = int(np.argmax(rising >= target))
    if not place:
        return float(labels[0])
    low, high = rising[place - 1], rising[place]
    share = (target - low) / (high - low)
    return float(labels[place - 1] + share * (labels[place] - labels[place - 1]))


def judge(rounds: list[dict[str, Any]], source: str) -> list[tuple[str, float, float]]:
    """Return for each question its outcome, the truth over the forecast, and the width."""
    labels = np.array([one["labels"] for one in rounds])
    truth = np.array([one["accuracy"] for one in rounds])
    rising = IsotonicRegression().fit_transform(np.log(labels), truth)
    seen = truth if source == "test" else np.array([one["audit"][0] for one in rounds])
    found = []
    for end in range(FEWEST_ROUNDS + 1, len(rounds) - 1, 2):
        now, size = labels[end - 1], rounds[end - 1]["audit_size"]
        share = seen[end - 1]
        error = 0.0 if source == "test" else math.sqrt(max(share * (1 - share), 0.01) / size)
        first = math.floor(rising[end - 1] / STEP) + 1
        for step in range(first, math.floor(rising[-1] / STEP) + 1):
            needed = reached(labels, rising, step * STEP)
            if not now < needed < 4 * now:
                continue
            told = forecast(labels[:end], seen[:end], step * STEP, error)
            if told.labels is None:
                found.append(("refused", math.nan, math.nan))
                continue
            high = math.inf if told.high is None else told.high
            outcome = "low" if needed < told.low else "high" if needed > high else "covered"
            found.append((outcome, needed / told.labels, high / told.low))
    return found


def main() -> None:
    """Print the share of covered truths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves", type=Path)
    args = parser.parse_args()
    curves = [json.loads(line) for line in args.curves.read_text().splitlines()]
    for source in ("audit", "test"):
        rows: dict[str, list[list[tuple[str, float, float]]]] = defaultdict(list)
        for one in curves:
            asked = judge(one["rounds"], source)
            if asked:
                rows["all"].append(asked)
                rows[one["strategy"]].append(asked)
                rows[one["set"]].append(asked)
        columns = "curves | questions | refused | covered | below | above | truth / forecast"
        print(f"\n| {source} | {columns} | high / low |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        for name, asked in rows.items():
            answered = [[q for q in one if q[0] != "refused"] for one in asked]
            answered = [one for one in answered if one]
            shares: Counter[str] = Counter()
            for one in answered:
                for outcome, count in Counter(q[0] for q in one).items():
                    shares[outcome] += count / len(one) / len(answered)
            every = [q for one in asked for q in one]
            told = [q for q in every if q[0] != "refused"]
            ratio, width = (np.median([q[k] for q in told]) if told else math.nan for k in (1, 2))
            print(
                f"| {name} | {len(answered)} | {len(every)} | {1 - len(told) / len(every):.0%} | "
                f"{shares['covered']:.0%} | {shares['low']:.0%} | {shares['high']:.0%} | "
                f"{ratio:.2f} | {width:.1f} |"
            )


if __name__ == "__main__":
    main()
