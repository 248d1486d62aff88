"""The tutorial's commands run as printed, in order, and its excerpts are those of the config."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.doc_page import REPOSITORY, DocPage

from allencv_al.common.config.params import Params
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet

PAGE = DocPage("docs/tutorials/active_learning.md")
OWN_STRATEGY = "sure_of_little"


def test_the_excerpt_is_what_the_config_says() -> None:
    path = REPOSITORY / "training_config" / "digits_active_learning.jsonnet"
    config = Params.from_file(path, ext_vars={"TRAIN_PATH": "digits"}).as_dict()
    [(_, text)] = PAGE.blocks("jsonnet")
    excerpt = json.loads(evaluate_snippet("excerpt", text, {}))
    assert excerpt["active_learning"] == config["active_learning"]


def test_the_strategy_of_your_own_scores_as_printed() -> None:
    import numpy as np

    from allencv_al.active_learning import Pool, QueryStrategy

    [text] = [text for _, text in PAGE.blocks("python") if OWN_STRATEGY in text]
    exec(compile(text, PAGE.name, "exec"), {"__name__": "my_strategies"})
    pool = Pool(ids=["a", "b", "c"], logits=np.asarray([[3.0, 0], [0.1, 0], [1, 1]]))
    strategy = QueryStrategy.from_params({"type": OWN_STRATEGY, "power": 2})
    assert strategy.select(pool, 2).ids == ("b", "c")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_runs_as_printed(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(REPOSITORY / "training_config", checkout / "training_config")
    script = ["set -euo pipefail"]
    for language, text in PAGE.blocks("bash", "python"):
        if OWN_STRATEGY not in text:
            script.append(text if language == "bash" else f"python - <<'PYTHON'\n{text}PYTHON")
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "20 rounds, 200 labels" in done.stdout

    runs = checkout / "runs"
    for name in ("report.html", "learning_curve.png", "model.tar.gz", "run.sqlite"):
        assert (runs / "rehearsal" / name).is_file(), name
    assert (runs / "person" / "model.tar.gz").is_file()
    assert (runs / "person" / "to_label.csv").read_text(encoding="utf-8-sig").count("\n") == 11
    assert "to_label.csv" in done.stderr
    assert (checkout / "picks.png").read_bytes().startswith(b"\x89PNG")
    results = (runs / "comparison" / "results.csv").read_text().splitlines()
    assert len(results) == 1 + 2 * 6 * 20
    assert re.search(r"margin +6 +\d\d\.\d\d", done.stdout)
