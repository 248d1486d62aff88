"""docs/pipeline.md names every route of a pipeline, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from allencv_al.service.pipeline.pipeline import Pipeline

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "pipeline.md"


def nothing(payload: Any) -> Any:
    """Do nothing."""


def test_the_routes_are_those_of_the_pipeline(tmp_path: Path) -> None:
    app = Pipeline("p", nothing, nothing, nothing, args={"EXPT_DIR": str(tmp_path)}).app
    served = {(one.method, re.sub(r"<(\w+)>", r"{\1}", one.rule)) for one in app.operations}
    written = set(re.findall(r"^\| `(GET|POST) (/[^` ]+)` \|", DOCUMENT.read_text(), re.M))
    assert written == served | {("GET", "/openapi.json")}


def test_the_functions_of_the_document_make_a_pipeline(tmp_path: Path) -> None:
    source = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)[0]
    source = source.replace('"EXPT_DIR": "log"', f'"EXPT_DIR": {str(tmp_path)!r}')
    names: dict[str, Any] = {"__name__": "main"}
    exec(source, names)
    client = names["app"].test_client()
    assert client.post("/train", json={"labeled": [1], "ckpt_file": "c"}).status_code == 200
    found = client.post("/test", json={"ckpt_file": "c"}).json
    assert found["metrics"]["accuracy"] == 2 / 3
    found = client.post("/infer", json={"ckpt_file": "c", "unlabeled": [4, 2]}).json
    assert sorted(found["outputs"]) == ["2", "4"]
