"""The evaluation inside the worker process, called here without its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from allencv_al.common.config.sources import jsonnet_worker
from allencv_al.common.config.sources.jsonnet_worker import evaluate


def job(source: str, root: Path | None = None, **changes: Any) -> dict[str, Any]:
    folder = "" if root is None else f"{root}/"
    return {
        "name": f"{folder}config.jsonnet",
        "source": source,
        "ext_vars": {},
        "ext_codes": {},
        "root": None if root is None else str(root),
        **changes,
    }


def test_the_result_is_json() -> None:
    found = evaluate(job("{a: std.extVar('x')}", ext_vars={"x": "1"}))
    assert found == {"text": '{\n   "a": "1"\n}\n'}


def test_imports_stay_below_the_root(tmp_path: Path) -> None:
    root = tmp_path / "configs"
    root.mkdir()
    (root / "inside.jsonnet").write_text("{b: 2}")
    (tmp_path / "outside.jsonnet").write_text("{}")
    assert "text" in evaluate(job("import 'inside.jsonnet'", root))
    assert "outside the config" in evaluate(job("import '../outside.jsonnet'", root))["fault"]
    assert "not a file" in evaluate(job("importstr '.'", root))["fault"]
    assert "not allowed" in evaluate(job("import 'inside.jsonnet'"))["fault"]


def test_faults_and_large_results_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "fault" in evaluate(job("{a: }"))
    assert "no_text" in evaluate(job("{}\0"))
    monkeypatch.setattr(jsonnet_worker, "MOST_CHARACTERS", 10)
    assert evaluate(job("'a long text'")) == {"too_large": "14 characters"}
