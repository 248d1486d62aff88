"""docs/how_to/serving.md names every route of the demo server."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "serving.md"
SOURCE = Path(__file__).resolve().parents[2] / "allencv_al" / "service" / "demo" / "app.py"


def test_the_routes_are_those_of_the_server() -> None:
    served = re.findall(r'"(GET|POST)",\s+"(/[^"]+)"', SOURCE.read_text())
    assert len(served) == 5
    text = DOCUMENT.read_text()
    for method, rule in served:
        assert f"`{method} {rule.replace('<int:number>', 'N')}`" in text
