"""A page of the documentation and its code blocks; for tests that run them."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


class DocPage:
    """One Markdown file, named by its path in the repository."""

    def __init__(self, name: str) -> None:
        self.path = REPOSITORY / name
        self.name = name
        self.text = self.path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> list[tuple[str, str]]:
        """Return (language, code) of each block in one of these languages."""
        return [(name, code) for _, name, code in BLOCK.findall(self.text) if name in languages]

    def block(self, language: str, holding: str) -> str:
        """Return the only block in this language that contains this text."""
        [found] = [code for _, code in self.blocks(language) if holding in code]
        return found
