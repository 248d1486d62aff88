"""docs/how_to/labeling.md names every route of the labeling server, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.labeling.app import create_app

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "labeling.md"


def test_the_routes_are_those_of_the_server(tmp_path: Path) -> None:
    LabelingStore(tmp_path / LABELING_NAME).close()
    app = create_app(tmp_path)
    served = {(one.method, re.sub(r"<(\w+)>", r"{\1}", one.rule)) for one in app.operations}
    app.close()
    written = set(
        re.findall(r"^\| `(GET|POST|PATCH|DELETE) (/[^` ]+)` \|", DOCUMENT.read_text(), re.M)
    )
    assert written == served | {("GET", "/openapi.json")}
