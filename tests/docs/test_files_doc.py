"""docs/reference/files.md names every column and key of the files that commands write."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.__main__ import main
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.metrics.accuracy_interval import with_intervals
from allencv_al.metrics.classification import ClassifierMetrics
from allencv_al.service.pipeline.sql_client import create_database

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
SECTIONS = {
    heading: {
        name
        for first_cell in re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", first_cell)
    }
    for heading, text in re.findall(r"^##+ (.+)\n((?:(?!##).*\n)*)", PAGE, re.MULTILINE)
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "digits"
    assert main(["sample-data", "digits", str(folder), "--no-split"]) == 0
    return folder / "all"


@pytest.fixture(scope="module")
def comparison(digits: Path) -> Path:
    """The folder of a comparison of two strategies with two seeds."""
    folder = digits.parents[1] / "comparison"
    config = str(REPOSITORY / "training_config" / "digits_active_learning.jsonnet")
    options = ["--strategies", "random,margin", "--seeds", "2", "--workers", "1", "-s", str(folder)]
    overrides = {
        "active_learning.budget": 30,
        "pool_data_path": None,
        "active_learning.test_fraction": 0.9,
    }
    arguments = ["-V", f"TRAIN_PATH={digits}", "-o", json.dumps(overrides), *options]
    assert main(["compare", config, *arguments]) == 0
    return folder


def columns_of(path: Path) -> Iterator[tuple[str, set[str]]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            if not table.startswith("sqlite_"):
                rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
                yield table, {row[1] for row in rows}


def documented_tables(file: str) -> dict[str, set[str]]:
    return {
        found[1]: names
        for heading, names in SECTIONS.items()
        if (found := re.fullmatch(rf"`(\w+)` in `{re.escape(file)}`", heading))
    }


def keys_of(value: Any, name: str = "") -> Iterator[str]:
    """Yield the dotted names of the values of a JSON tree; `[]` is any object of a list."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from keys_of(part, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        for part in value:
            yield from keys_of(part, f"{name}[]")
    else:
        yield name


def test_the_metrics_of_a_classifier() -> None:
    metrics = ClassifierMetrics(6)
    metrics(torch.eye(6), torch.arange(6))
    found = with_intervals(metrics.values([f"class {index}" for index in range(6)]))
    assert {"loss", *found} == SECTIONS["Metrics of a classifier"]


def test_the_columns_of_results_csv(comparison: Path) -> None:
    [header, *rows] = (comparison / "results.csv").read_text().splitlines()
    assert rows
    assert set(header.split(",")) == SECTIONS["`results.csv`"]


def test_the_keys_of_summary_json(comparison: Path) -> None:
    summary = json.loads((comparison / "summary.json").read_text())
    assert set(keys_of(summary)) == SECTIONS["`summary.json`"]


def test_the_tables_of_run_sqlite(comparison: Path) -> None:
    run = comparison / "cells" / "random" / "seed_000" / "run.sqlite"
    assert dict(columns_of(run)) == documented_tables("run.sqlite")


def test_the_tables_of_labeling_sqlite(tmp_path: Path) -> None:
    with LabelingStore(tmp_path / LABELING_NAME) as store:
        store.id()  # makes its table
        store.items.open_batch([NewItem("1.png", Path("1.png"))])
        store.acceptances.start("anna", 0.9, {1: (1, 0.95)}, 10)
        store.vectors.add("model", ["1.png"], np.eye(1, 4, dtype=np.float32))
    assert dict(columns_of(tmp_path / LABELING_NAME)) == documented_tables("labeling.sqlite")


def test_the_table_of_infer_outputs(tmp_path: Path) -> None:
    create_database(tmp_path / "infer.db").close()
    assert dict(columns_of(tmp_path / "infer.db")) == documented_tables("infer_outputs_LOOP.db")


def test_the_keys_of_metrics_jsonl(digits: Path) -> None:
    folder = digits.parents[1] / "training"
    config = str(REPOSITORY / "training_config" / "digits.jsonnet")
    paths = ["-V", f"TRAIN_PATH={digits}", "-V", f"VALIDATION_PATH={digits}"]
    assert (
        main(["train", config, *paths, "-o", '{"trainer.num_epochs": 1}', "-s", str(folder)]) == 0
    )
    line = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    grouped = {
        re.sub(r"^(best_validation|validation|training)_(?!start_epoch|epochs)\w+$", r"\1_*", key)
        for key in line
    }
    assert grouped | {"peak_gpu_0_memory_MB"} == SECTIONS["`metrics.jsonl`"]
