"""Every `allencv-al` command that a page prints has a subcommand and options that exist."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from fixtures.doc_page import REPOSITORY, DocPage

from allencv_al.__main__ import build_parser

PAGES = [
    str(path.relative_to(REPOSITORY))
    for path in (
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted(REPOSITORY.glob("docs/**/*.md")),
        *sorted(REPOSITORY.glob("examples/*/README.md")),
    )
]
END_OF_COMMAND = {"|", "||", "&&", ";", ">", "2>"}


def commands(code: str) -> Iterator[list[str]]:
    """Yield the arguments of each `allencv-al` command of a shell block."""
    text = ""
    for line in code.splitlines():
        text += line + "\n"
        if line.endswith("\\"):
            continue
        try:
            words = shlex.split(text.replace("\\\n", " "), comments=True)
        except ValueError:  # a quoted argument goes on in the next line
            continue
        text = ""
        while "allencv-al" in words:
            words = words[words.index("allencv-al") + 1 :]
            end = next((i for i, word in enumerate(words) if word in END_OF_COMMAND), len(words))
            if words:
                yield words[:end]


@pytest.mark.parametrize("name", PAGES)
def test_printed_commands_are_parsed(name: str) -> None:
    for language, code in DocPage(name).blocks("bash", "console"):
        for words in commands(code):
            try:
                build_parser(words[0]).parse_args(words)
            except SystemExit as stop:
                pytest.fail(f"{name} ({language}): allencv-al {shlex.join(words)}: exit {stop}")


def test_commands_are_found() -> None:
    code = (
        "A=1 allencv-al train x.jsonnet \\\n  -o '{\n\"a\": 1}' || true\nallencv-al demo  # first\n"
    )
    assert list(commands(code)) == [
        ["train", "x.jsonnet", "-o", '{\n"a": 1}'],
        ["demo"],
    ]
