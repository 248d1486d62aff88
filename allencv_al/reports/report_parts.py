"""The parts that all reports are made of: the page around them, figures, notes, and the origin."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.common.files.atomic_file import write_text
from allencv_al.reports.html import Markup, Node, page, tag
from allencv_al.reports.html_tables import Column, table

_NO_FACTS = ("versions", "command", "code")


@dataclass(frozen=True)
class Section:
    """A part of a report that its list of contents names.

    Args:
        id: What a link to it ends with.
        title: Its heading.
        content: What it holds.
    """

    id: str
    title: str
    content: Sequence[Node]


@dataclass(frozen=True)
class Head:
    """What stands above all sections.

    Args:
        kind: What kind of report this is.
        title: What it is about.
        lead: What was done and found, in a paragraph.
        figures: The main numbers with their names.
        notes: What a reader must know.
        finding: What came out, in a paragraph of its own.
    """

    kind: str
    title: str
    lead: Sequence[Node]
    figures: Mapping[str, str]
    notes: Sequence[str] = ()
    finding: str = ""


def write_page(path: Path, head: Head, sections: Iterable[Section]) -> None:
    """Write a report as one HTML file, whole or not at all."""
    kept = list(sections)
    links = [tag("li", tag("a", section.title, href=f"#{section.id}")) for section in kept]
    header = tag(
        "header",
        tag("p", head.kind, class_="kind"),
        tag("h1", tag("bdi", head.title)),
        tag("p", *head.lead, class_="lead") if head.lead else None,
        tag("p", head.finding, class_="lead finding") if head.finding else None,
        _figures(head.figures),
        _notes(head.notes),
    )
    main = tag("main", *(_section(section) for section in kept))
    navigation = tag("nav", tag("ul", *links), aria_label="Contents")
    write_text(path, page(f"{head.title} – {head.kind}", header, navigation, main))


def details(summary: Node, *content: Node, open_: bool = False) -> Markup:
    """Return something that opens when its summary is chosen."""
    return tag("details", tag("summary", summary), *content, open=open_)


def origin(config: Mapping[str, Any] | None, environment: Mapping[str, Any] | None) -> Section:
    """Return the section with versions, hardware and the config.

    Args:
        config: The config; None where it is not known.
        environment: As `describe_environment()` gives it; None for this process.
    """
    facts = known_environment(environment)
    rows: list[Sequence[Node]] = [
        (name.replace("_", " "), str(value))
        for name, value in facts.items()
        if name not in _NO_FACTS and value is not None
    ]
    versions = facts.get("versions") or {}
    parts: list[Node] = [
        tag(
            "div",
            table("Machine", (Column("Fact", text=True), Column("Value", text=True)), rows),
            table(
                "Versions",
                (Column("Package", text=True), Column("Version", text=True)),
                [(name, str(version)) for name, version in versions.items()],
            ),
            class_="side-by-side",
        )
    ]
    if config is not None:
        text = json.dumps(config, indent=2, ensure_ascii=False, default=str)
        parts.append(
            details(
                "The whole config",
                tag("pre", tag("code", text), tabindex=0, aria_label="The whole config"),
            )
        )
    return Section("origin", "Config and versions", parts)


def known_environment(environment: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the environment, or where there is none that of this process, which started no run."""
    if environment is not None:
        return environment
    from allencv_al.training.environment import describe_environment

    return {name: value for name, value in describe_environment().items() if name != "started"}


def _section(section: Section) -> Markup:
    heading = tag("h2", section.title, id=f"{section.id}-title")
    return tag(
        "section", heading, *section.content, "\n",
        id=section.id, aria_labelledby=f"{section.id}-title",
    )  # fmt: skip


def _figures(figures: Mapping[str, str]) -> Markup | None:
    tiles = [
        tag("div", tag("dt", name), tag("dd", value)) for name, value in figures.items() if value
    ]
    return tag("dl", *tiles, class_="figures") if tiles else None


def _notes(notes: Sequence[str]) -> Markup | None:
    if not notes:
        return None
    return tag(
        "aside",
        tag("h2", "Notes"),
        tag("ul", *(tag("li", note) for note in notes)),
        class_="notes",
        aria_label="Notes",
    )
