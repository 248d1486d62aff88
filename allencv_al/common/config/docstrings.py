"""Read Google-style docstrings: the summary, and each parameter's description."""

from __future__ import annotations

import inspect
import re

_ARGUMENT = re.compile(r"^(\*{0,2}\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def summary(target: object) -> str:
    """Return the first paragraph of the docstring on one line."""
    text = inspect.getdoc(target) or ""
    return " ".join(text.split("\n\n")[0].split())


def argument_descriptions(target: object) -> dict[str, str]:
    """Return the description of each parameter in the `Args:` section, on one line each."""
    descriptions: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in _args_section(inspect.getdoc(target) or ""):
        match = _ARGUMENT.match(line)
        if match:
            current = descriptions.setdefault(match.group(1).lstrip("*"), [])
            current.append(match.group(2))
        elif current is not None:
            current.append(line.strip())
    return {name: " ".join(part for part in lines if part) for name, lines in descriptions.items()}


def _args_section(text: str) -> list[str]:
    """Return the lines of the section, less its indentation; continuations keep theirs."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.strip() in ("Args:", "Arguments:", "Parameters:"):
            break
    body: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            break
        body.append(line)
    return inspect.cleandoc("\n" + "\n".join(body)).splitlines()
