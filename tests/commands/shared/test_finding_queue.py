"""Findings as questions of a labeling, and the data with the answers."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.commands.shared.finding_queue import (
    ASKED_KINDS,
    CORRECTED_NAME,
    DROP,
    fill_with_findings,
    write_corrected,
)
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.manifest import ManifestReader
from allencv_al.data.instance import Instance
from allencv_al.data_audit.audited_images import AuditedImage, read_audited
from allencv_al.data_audit.findings import KINDS, Finding, write_findings
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

FINDINGS = [
    Finding("leak", 1.0, id="Dog/1.png", detail="equal to Cat/0.png"),
    Finding(
        "label_error", 0.9, id="Emu/2.png", label="Emu", suggested_label="Cat", detail="looks so"
    ),
    Finding("outlier", 0.4, id="Dog/1.png", detail="far"),
    Finding("class_balance", 0.3, label="Emu"),
]


@pytest.fixture
def images(pictures: Path) -> list[AuditedImage]:
    return read_audited(str(pictures))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write_findings(tmp_path / "found.csv", FINDINGS)
    return tmp_path / "found.csv"


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with LabelingStore(tmp_path / "fixes" / LABELING_NAME) as opened:
        yield opened


def answer(store: LabelingStore, key: str, item: int, label: str) -> None:
    number = {one.name: one.class_id for one in store.classes.all()}[label]
    store.answers.add(NewAnswer("anna", key, item, LabelKind.LABEL, number))


def corrected(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {row["id"]: row["label"] for row in csv.DictReader(file)}


def test_each_image_is_asked_once_in_the_order_of_the_table(
    store: LabelingStore, images: list[AuditedImage], table: Path
) -> None:
    fill_with_findings(store, images, table)
    first, second = store.items.items(1)
    assert first.id == "Dog/1.png"
    assert first.reason == "labeled Dog; leak: equal to Cat/0.png; outlier: far"
    assert second.id == "Emu/2.png"
    assert [name for name, _ in second.guess] == ["Cat"]
    assert [one.name for one in store.classes.all()] == ["Cat", "Dog", "Emu", DROP]


def test_answers_change_the_table_and_undone_ones_do_not(
    store: LabelingStore, images: list[AuditedImage], table: Path, tmp_path: Path
) -> None:
    fill_with_findings(store, images, table)
    path = tmp_path / "fixes" / CORRECTED_NAME
    assert write_corrected(store, images, path) == 0
    before = corrected(path)
    assert before == {one.instance.id: one.instance.label for one in images}
    answer(store, "one", 1, DROP)
    answer(store, "two", 2, "Cat")
    assert write_corrected(store, images, path) == 2
    expected = {**before, "Emu/2.png": "Cat"}
    del expected["Dog/1.png"]
    assert corrected(path) == expected
    newest = store.answers.events()[-1]
    store.answers.undo("anna", newest.event_id)
    assert write_corrected(store, images, path) == 1
    assert corrected(path)["Emu/2.png"] == "Emu"
    found = ManifestReader().read(path)
    assert len(found) == len(images) - 1
    assert all(Path(str(item.image)).is_file() for item in found)


def test_unreadable_images_are_dropped_and_doubts_change_nothing(
    store: LabelingStore, images: list[AuditedImage], table: Path
) -> None:
    fill_with_findings(store, images, table)
    store.answers.add(NewAnswer("anna", "one", 1, LabelKind.UNREADABLE))
    store.answers.add(NewAnswer("anna", "two", 2, LabelKind.UNSURE))
    assert write_corrected(store, images, table.with_name("new.csv")) == 1
    found = corrected(table.with_name("new.csv"))
    assert "Dog/1.png" not in found
    assert found["Emu/2.png"] == "Emu"


def test_splits_stay(store: LabelingStore, images: list[AuditedImage], table: Path) -> None:
    fill_with_findings(store, images, table)
    split = [AuditedImage(one.instance, "test" if n else "train") for n, one in enumerate(images)]
    path = table.with_name("split.csv")
    write_corrected(store, split, path)
    assert len(ManifestReader().read(f"{path}::train")) == 1


def test_a_later_table_adds_its_images_and_keeps_answers(
    store: LabelingStore, images: list[AuditedImage], table: Path
) -> None:
    fill_with_findings(store, images, table)
    answer(store, "one", 1, "Dog")
    write_findings(table, [Finding("dark", 0.9, id="Cat/0.png"), *FINDINGS])
    fill_with_findings(store, images, table)
    assert [one.id for one in store.items.items(1)] == ["Dog/1.png", "Cat/0.png", "Emu/2.png"]
    assert store.items.answered() == {"Dog/1.png"}


def test_a_table_of_other_data_or_of_another_kind_is_refused(
    store: LabelingStore, images: list[AuditedImage], table: Path
) -> None:
    write_findings(table, [Finding("dark", 0.9, id="gone.png"), Finding("dark", 0.9, id="no.png")])
    with pytest.raises(DataError, match=r"gone\.png") as error:
        fill_with_findings(store, images, table)
    assert "no.png" in str(error.value)
    table.write_text("path,label\nCat/0.png,Cat\n", encoding="utf-8")
    with pytest.raises(DataError, match="audit --output"):
        fill_with_findings(store, images, table)
    write_findings(table, [Finding("class_balance", 0.3, label="Emu")])
    with pytest.raises(DataError, match="no finding about an image"):
        fill_with_findings(store, images, table)


def test_labels_of_another_kind_are_refused(store: LabelingStore, table: Path) -> None:
    images = [AuditedImage(Instance("a", "a.png", labels=("cat", "dog")))]
    with pytest.raises(DataError, match="asks for one class per image"):
        fill_with_findings(store, images, table)


def test_the_command_serves_the_findings_and_writes_the_table(
    pictures: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = pictures.with_name("pictures-fixes")

    def serve(app: Any, announce: Callable[[str], None]) -> int:
        announce("http://127.0.0.1:8010/")
        with LabelingStore(folder / LABELING_NAME, create=False) as opened:
            answer(opened, "one", 2, "Cat")
        app.close()
        return 130

    monkeypatch.setattr("allencv_al.service.web.running.serve", serve)
    assert main(["label", str(pictures), "--findings", str(table)]) == 130
    assert corrected(folder / CORRECTED_NAME)["Emu/2.png"] == "Cat"
    assert "1 images are changed in" in capsys.readouterr().err
    assert not pictures.with_name("pictures-labels").exists()


def test_an_order_of_its_own_is_refused(
    pictures: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["label", str(pictures), "--findings", str(table), "--seed", "3"]
    assert main(command) == 2
    assert "expected no --seed" in capsys.readouterr().err


def test_all_that_an_audit_finds_of_an_image_can_be_asked_about() -> None:
    of_classes = {"class_balance"}
    assert set(KINDS) - of_classes <= set(ASKED_KINDS)
