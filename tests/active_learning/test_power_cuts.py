"""A power cut at any moment of a run loses nothing that it had recorded: it goes on from there."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from power_cut import Kind, Log, record

from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.comparison.comparison import ComparisonOptions, compare
from allencv_al.labels.annotators.base import WaitingForLabels
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.models.archive import load_archive

MakeConfig = Callable[..., dict[str, Any]]


def go_on(config: dict[str, Any], folder: Path, **options: Any) -> Any:
    """Run, or go on, until the run is done; return what must be the same to the bit."""
    recover = (folder / "config.json").exists()
    while True:
        try:
            records = active_learn(Params(config), folder, RunOptions(recover=recover, **options))
            break
        except WaitingForLabels:
            fill_in(folder / "to_label.csv", options.get("on_point", print))
            recover = True
    rounds = [record.to_json() for record in records]
    for found in rounds:
        del found["seconds"], found["select_peak_mb"]
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        labels = [(event.id, event.label, event.round) for event in LabelStore(database).events()]
    return json.loads(json.dumps([rounds, labels]))


def fill_in(table: Path, note: Callable[[str], object]) -> None:
    """Fill in a table with an editor that flushes what it saves."""
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "label": Path(row["path"]).parent.name} for row in rows)
        file.flush()
        os.fsync(file.fileno())
    note("filled in")


def states_in(folder: Path) -> int:
    path = folder / DATABASE_NAME
    if not path.exists():
        return 0
    with RunDatabase(path, create=False) as database:
        return int(database.rows("SELECT count(*) FROM round_state")[0][0])


def replay(config: dict[str, Any], log: Log, kind: Kind, whole: Any, folder: Path) -> int:
    """Go on from each moment; return how many there were."""
    cuts = log.cuts(kind)
    # Of equal ones the last: it has promised the most
    last = [cut for cut, after in pairwise(cuts) if cut.tree != after.tree]
    for cut in [*last, cuts[-1]]:
        run = cut.restore(folder) / "above" / "run"
        recorded = sum(promise.endswith(" recorded") for promise in cut.promised)
        assert states_in(run) >= recorded, cut.moment
        assert go_on(config, run, files=False) == whole, cut.moment
    return len(last) + 1


def check(config: dict[str, Any], tmp_path: Path, *kinds: Kind) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with record(root) as log:
        whole = go_on(config, root / "above" / "run", on_point=log.promise)
        log.promise("finished")
    for kind in kinds:
        assert replay(config, log, kind, whole, tmp_path / "after") > 20
    finished = log.cuts("flushed")[-1].restore(tmp_path / "after") / "above" / "run"
    load_archive(finished / "model.tar.gz")
    assert {"report.html", "labels.csv", "environment.json"} <= {p.name for p in finished.iterdir()}


def test_a_run_on_cached_embeddings(linear_config: MakeConfig, tmp_path: Path) -> None:
    check(linear_config(budget=6, initial={"size": 3}, query_size=3), tmp_path, "flushed")


def asked_of_a_person(config: dict[str, Any], digits: Path, table: Path) -> dict[str, Any]:
    """Have labels for a fifth of the images, and the annotator `file` for some of the others."""
    files = sorted(digits.rglob("*.png"))
    rows = [f"{file},{'' if number % 5 else file.parent.name}" for number, file in enumerate(files)]
    table.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    config |= {"train_data_path": str(table), "dataset_reader": {"type": "manifest"}}
    config["active_learning"] |= {"annotator": "file", "query_size": 3, "budget": 12}
    return config


@pytest.mark.slow
def test_a_run_that_asks_a_person(linear_config: MakeConfig, digits: Path, tmp_path: Path) -> None:
    config = asked_of_a_person(linear_config(initial=None), digits, tmp_path / "rows.csv")
    check(config, tmp_path, "flushed")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "network"])
def test_all_that_a_file_system_may_leave(
    linear_config: MakeConfig, network_config: MakeConfig, tmp_path: Path, kind: str
) -> None:
    never = {"type": "stable_predictions", "window": 99}
    config = {
        "linear": lambda: linear_config(budget=8, strategy="typiclust"),
        "network": lambda: network_config(
            strategy="k_center", retrain="warm", stop=[never], budget=8
        ),
    }[kind]()
    check(config, tmp_path, "flushed", "names")  # kills, which leave everything, have their own


@pytest.mark.slow
def test_a_comparison(linear_config: MakeConfig, tmp_path: Path) -> None:
    config = linear_config(budget=6, initial={"size": 3}, query_size=3)
    strategies = {"random": {"type": "random"}, "margin": {"type": "margin"}}
    root = tmp_path / "root"
    root.mkdir()

    def go(folder: Path) -> str:
        recover = (folder / "config.json").exists()
        compare(Params(config), folder, ComparisonOptions(strategies, [0], recover=recover))
        rows = csv.DictReader((folder / "results.csv").read_text().splitlines())
        return json.dumps([[row["strategy"], row["labels"], row["accuracy"]] for row in rows])

    with record(root) as log:
        whole = go(root / "above" / "comparison")
        log.promise("finished")
    cuts = log.cuts("flushed")
    last = [cut for cut, after in pairwise(cuts) if cut.tree != after.tree]
    for cut in [*last[::3], cuts[-1]]:
        folder = cut.restore(tmp_path / "after") / "above" / "comparison"
        assert "finished" not in cut.promised or (folder / "report.html").is_file()
        assert go(folder) == whole, cut.moment
