"""The benchmark runs and its contenders do equal work; what they take is not for a test to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "step_overhead.py"
PEERS = ("Ignite", "Lightning")

# Stands before the script: no package of that name is found
WITHOUT_PEERS = """
import importlib.util, runpy, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name in ("ignite", "lightning") else find(name, *rest)
)
script, sys.argv = sys.argv[1], sys.argv[1:]
sys.path.insert(0, script.rpartition("/")[0])
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("peers", [True, False])
def test_the_contenders_do_equal_work_and_an_absent_one_is_called_so(
    tmp_path: Path, peers: bool
) -> None:
    start = [str(SCRIPT)] if peers else ["-c", WITHOUT_PEERS, str(SCRIPT)]
    options = ["--rounds", "2", "--steps", "40", "--json", str(tmp_path / "report.json")]
    run = subprocess.run(
        [sys.executable, *start, *options], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "equal work: 3786 parameters in each" in run.stdout
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    for line in report["lines"]:
        is_peer = any(name in line["name"] for name in PEERS)
        assert is_peer or not line["absent"]
        assert peers or line["absent"] == is_peer
        assert f"| {line['name']} | {'absent' if line['absent'] else ''}" in run.stdout
