"""No page, docstring, message or comment uses a phrase that a reader has to decode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.doc_page import REPOSITORY, DocPage

# Each phrase, as a regular expression, and what to write instead
BANNED = {
    r"(say|says|said|saying|tell|tells|told) whether": "return whether, report whether",
    r"somebody|someone": "an annotator, another process, the caller",
    r"whoever": "the caller, a reader, the annotator",
    r"nobody|no one": "no annotator, no caller; or the passive voice",
    r"what there is": "name it: the existing files, the run",
    r"let(s|ting)? go of": "release, drop, delete",
    r"by heart": "training images, memorized",
    r"what stands for": "placeholder, replacement",
    r"go(es)? on (with|where)": "resume, continue",
    r"what comes of (it|them)": "the result",
    r"how everything is": "the current state",
    r"have (it|them|the model [a-z ]+) in memory": "load",
    r"is dear|are dear": "expensive",
    r"go(es|ing)? on (from|with|after)": "resume, continue",
    r"(is|are|be|was|were) waited for": "wait for",
    r"(takes? back|taken back)": "undo",
    r"what (the )?model (says|makes|takes)": "outputs, prediction",
    r"what (is|was|were) said": "answer, label",
    r"what (became|has become) of": "result, state",
    r"in the place of": "instead of",
    r"(was|is) not heard": "failed",
}
PATTERN = re.compile(
    r"\b(?:{})\b".format("|".join(BANNED).replace(" ", r"\s+(?:\#\s+|//\s+|\*\s+)?")),
    re.IGNORECASE,
)
WORDS = "docs/explanation/words.md"
GENERATED = re.compile(r"docs/(_build|reference/(commands|components|python))/")
FILES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "examples/**/*.md",
        "allencv_al/**/*.py",
        "allencv_al/**/*.html",
        "allencv_al/**/*.js",
        "examples/**/*.py",
    )
    for path in REPOSITORY.glob(pattern)
    if path.name not in ("CHANGELOG.md", Path(WORDS).name) and not GENERATED.search(str(path))
)


def banned(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and the words of each banned phrase."""
    for match in PATTERN.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split())


def test_no_file_uses_a_banned_phrase() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {phrase}"
        for path in FILES
        for line, phrase in banned(path.read_text(encoding="utf-8"))
    ]
    assert not found, "see BANNED for better words:\n" + "\n".join(found)


# A summary is a command ("Return ...") or names a thing ("The ..."), and is no clause
CLAUSE = re.compile(
    r'^ *"""((?:What|How|Which|Where|Who|That|Have|Say|Tell|Let|Go)\b.*)', re.MULTILINE
)


def test_no_summary_of_a_docstring_is_a_clause() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {summary}"
        for path in sorted(REPOSITORY.glob("allencv_al/**/*.py"))
        for summary in CLAUSE.findall(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


# A parameter's description begins with the noun that its value is
QUESTION = re.compile(r"^ {8,}(\w+: (?:What|How|Which|Where|Who|When) .*)", re.MULTILINE)


def test_no_description_of_a_parameter_is_a_clause() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {description}"
        for path in sorted(REPOSITORY.glob("allencv_al/**/*.py"))
        for description in QUESTION.findall(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


# In names of tests, too, where an underscore ends a word
PERSONS = re.compile(r"(?<![a-z])(?:nobody|somebody|someone|anybody|whoever)(?![a-z])", re.I)


def test_tests_name_persons_by_their_parts() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in sorted(REPOSITORY.glob("tests/**/*.py"))
        if path.name != Path(__file__).name
        for name in PERSONS.findall(path.read_text(encoding="utf-8"))
    ]
    assert not found, "expected an annotator, a client, another process:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "line", "phrase"),
    [("a\nSay whether it is", 2, "Say whether"), ("# what\n# there is", 1, "what # there is")],
)
def test_a_phrase_is_found_across_lines(text: str, line: int, phrase: str) -> None:
    assert list(banned(text)) == [(line, phrase)]


def test_each_name_of_code_on_the_page_of_words_exists() -> None:
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in REPOSITORY.glob("allencv_al/**/*.py")
    )
    names = set(re.findall(r"`((?:[A-Z][a-z]+)+)`", DocPage(WORDS).text))
    assert len(names) > 10
    missing = {name for name in names if not re.search(rf"^class {name}\b", sources, re.MULTILINE)}
    assert not missing
