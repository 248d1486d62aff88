"""The example of docs/reference/config.md runs as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOC = Path(__file__).resolve().parents[2] / "docs" / "reference" / "config.md"


def test_the_example_builds_what_it_says() -> None:
    code = re.search(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "config_doc"}
    exec(compile(code[1], str(DOC), "exec"), names)
    assert isinstance(names["recorder"].sampler, names["Even"])
