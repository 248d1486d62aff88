"""The HTML report of an audit of a data set: its findings by kind, with their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.instance import Instance
from allencv_al.data_audit.findings import KINDS, Finding, FindingKind
from allencv_al.data_audit.inspection import DataAudit
from allencv_al.data_audit.second_opinions import AnnotatorFigures
from allencv_al.labels.contact_sheet import thumbnail_png_bytes
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.page import TextTable, write_page
from allencv_al.reports.pictures import picture_address

MOST_OF_A_KIND = 60
_SIDE = 112

TITLES: dict[FindingKind, str] = {
    "unreadable": "Unreadable images",
    "leak": "Leaks between splits",
    "contradiction": "One image, two labels",
    "split_group": "Groups in two splits",
    "label_error": "Suspected label errors",
    "second_opinion": "Worth another opinion",
    "exact_duplicate": "Equal images",
    "near_duplicate": "Nearly equal images",
    "class_balance": "Rare classes",
    "outlier": "Outliers",
    "blurred": "Blurred images",
    "dark": "Dark images",
    "bright": "Bright images",
    "odd_size": "Odd sizes",
}
_HINTS: dict[FindingKind, str] = {
    "unreadable": "They cannot be decoded, so no model sees them.",
    "leak": "The same picture is in two splits: a model is measured on what it has learned.",
    "contradiction": "The same picture has two labels, of which one must be wrong.",
    "split_group": "Images of one group, such as a patient or a video, are in two splits.",
    "label_error": "Models that have not seen the image predict another class. Labels that a query "
    "strategy asked for look wrong more often than others.",
    "second_opinion": "By all its labels and the predictions of models, its label is less "
    "likely than not, or another one is likelier; the most urgent first.",
    "exact_duplicate": "All pixels are equal.",
    "near_duplicate": "One picture, resized, recompressed, cropped, brightened or mirrored.",
    "class_balance": "Less than a tenth of the mean number of images of a class.",
    "outlier": "Far from all other images: of no class at all, perhaps.",
    "blurred": "Little detail for their contrast.",
    "dark": "Hardly a bright pixel.",
    "bright": "Hardly a dark pixel.",
    "odd_size": "Another size or shape than nearly all others.",
}


@dataclass(frozen=True)
class ShownFinding:
    """A finding as the template shows it.

    Args:
        finding: The finding.
        pictures: Addresses of the thumbnails of the image and of what it copies.
    """

    finding: Finding
    pictures: Sequence[Markup]

    @property
    def name(self) -> str:
        """The name of the file, or of the class."""
        text = self.finding.id or self.finding.label
        return text.replace("\\", "/").rpartition("/")[2] or text

    @property
    def label(self) -> str:
        """The label, and the suggested one."""
        suggested = self.finding.suggested_label
        return f"{self.finding.label} → {suggested}" if suggested else self.finding.label


@dataclass(frozen=True)
class ShownKind:
    """The findings of a kind.

    Args:
        hint: Its meaning.
        items: Those that are shown, most certain first.
        further: The number of those that are not.
    """

    hint: str
    items: Sequence[ShownFinding]
    further: int


def write_audit_report(path: Path, audit: DataAudit, name: str, table: Path | None = None) -> None:
    """Write the findings, up to 60 of each kind with thumbnails, as one HTML file.

    Args:
        path: The file to write.
        audit: The audit.
        name: The name of the data set.
        table: The table with all findings, if any.
    """
    groups = {kind: [one for one in audit.findings if one.kind == kind] for kind in KINDS}
    with ThreadPoolExecutor(thread_name_prefix="thumbnails") as threads:
        kinds = {
            kind: ShownKind(
                _HINTS[kind],
                list(threads.map(_Shown(audit), found[:MOST_OF_A_KIND])),
                len(found) - MOST_OF_A_KIND,
            )
            for kind, found in groups.items()
            if found
        }
    write_page(
        path,
        "data_audit/audit_report.html.j2",
        None,
        None,
        kind="Data audit",
        name=name,
        figures={
            "Images": formats.count(audit.images),
            "Labeled": formats.count(audit.labeled),
            **{TITLES[kind]: formats.count(len(found)) for kind, found in groups.items() if found},
        },
        notes=audit.notes,
        sections={
            **({"annotators": "Annotators"} if audit.annotators else {}),
            **{kind: TITLES[kind] for kind in kinds},
        },
        kinds=kinds,
        annotators=_annotator_table(audit.annotators),
        findings=len(audit.findings),
        table_name="" if table is None else table.name,
    )


def _annotator_table(annotators: Sequence[AnnotatorFigures]) -> TextTable:
    columns = ("Annotator", "Labels", "Shared with others", "As the consensus", "Weight", "Seconds")
    rows = [
        (
            one.name,
            formats.count(one.labels),
            formats.count(one.shared),
            "–" if one.agreement is None else formats.percent(one.agreement),
            f"{one.weight:.2f}",
            "–" if one.seconds is None else f"{one.seconds:.1f}",
        )
        for one in annotators
    ]
    return TextTable("Annotators", columns, rows)


class _Shown:
    """Makes thumbnails; called from several threads."""

    def __init__(self, audit: DataAudit) -> None:
        self._by_id = audit.instances
        self._by_path = {
            str(one.image): one
            for one in audit.instances.values()
            if isinstance(one.image, str | Path)
        }

    def __call__(self, finding: Finding) -> ShownFinding:
        other = self._by_path.get(finding.other) or self._by_id.get(finding.other)
        images = (self._by_id.get(finding.id), other)
        pictures = [_picture(one) for one in images if one is not None]
        return ShownFinding(finding, [one for one in pictures if one is not None])


def _picture(instance: Instance) -> Markup | None:
    try:
        return picture_address(thumbnail_png_bytes(instance, _SIDE))
    except ImageDecodeError:
        return None
