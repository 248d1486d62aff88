"""The order in which `allencv-al label` asks for images."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.label_pages import items

from allencv_al.__main__ import main
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import ItemStore
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore


def test_a_strategy_orders_what_is_asked_for(
    served: list[Any], pictures: Path, tiny_run: Path
) -> None:
    command = ["label", str(pictures), "--classes", "Cat,Dog,Emu", "--archive", str(tiny_run)]
    assert main([*command, "--strategy", "margin", "-k", "3"]) == 130
    folder = pictures.with_name("pictures-labels")
    from allencv_al.predictors import Predictor
    from allencv_al.selection.select_inputs import read_pool
    from allencv_al.selection.selector import SampleSelector

    selector = SampleSelector(Predictor.from_path(tiny_run), "margin")
    assert items(folder) == list(selector.select(read_pool(str(pictures)), 3).ids)
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        first = store.items.item(1)
    assert first.reason is not None and first.reason.startswith("pick 1 of 3, score ")
    assert first.guess[0][0] in ("Cat", "Dog", "Emu")


def asked(folder: Path) -> list[str]:
    """Return the images without an answer in the order in which they are asked for."""
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        answered = store.items.answered()
        return [item.id for item in store.items.items(1) if item.id not in answered]


def test_a_larger_query_adds_images_and_a_smaller_one_takes_none_away(
    served: list[Any], pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = ["label", str(pictures), "--classes", "cat", "--seed", "1", "-k"]
    folder = pictures.with_name("pictures-labels")
    assert main([*command, "2"]) == 130
    first = items(folder)
    assert main([*command, "2"]) == 130
    assert items(folder) == first
    assert main([*command, "5"]) == 130
    assert "added 3 images to the 2 of this labeling" in caplog.text
    assert items(folder)[:2] == first and len(set(items(folder))) == 5
    assert main([*command, "3"]) == 130
    assert "5 images already, which is more than --query-size 3" in caplog.text
    assert len(items(folder)) == 5
    assert main(command[:-1]) == 130
    assert len(items(folder)) == 7, "without a number, all"


def test_another_order_reorders_the_unanswered_images(
    served: list[Any], pictures: Path, tiny_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = ["label", str(pictures), "--classes", "Cat,Dog,Emu"]
    folder = pictures.with_name("pictures-labels")
    assert main(base) == 130  # by chance; one image is labeled
    by_chance = asked(folder)
    margin = [*base, "--strategy", "margin", "--archive", str(tiny_run), "-k", "3"]
    assert main(margin) == 130
    assert "new order, by margin: 3 images come next (0 of them new)" in caplog.text
    by_margin = asked(folder)
    assert sorted(by_margin) == sorted(by_chance) and len(by_margin) == 6
    rest = [id for id in by_chance if id not in by_margin[:3]]
    assert by_margin[3:] == rest, "what waited before follows"
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        item = next(one for one in store.items.items(1) if one.id == by_margin[0])
        assert item.reason is not None and item.reason.startswith("pick 1 of 3")
        assert item.guess
        served_first = store.leases.next_items("anna", 3)
    assert [one.id for one, _ in served_first] == by_margin[:3]
    caplog.clear()
    assert main(margin) == 130
    assert asked(folder) == by_margin and "new order" not in caplog.text
    assert main(base) == 130  # without an order, it goes on
    assert asked(folder) == by_margin
    assert main([*base, "--seed", "5"]) == 130
    assert "new order, by chance: " in caplog.text


def test_a_model_that_was_trained_again_is_another_one(
    served: list[Any], pictures: Path, tiny_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = ["label", str(pictures), "--classes", "Cat,Dog,Emu", "--archive", str(tiny_run)]
    assert main([*command, "-k", "2"]) == 130
    with LabelingStore(pictures.with_name("pictures-labels") / LABELING_NAME) as store:
        before = store.ordering()
        assert before is not None
        store.set_ordering({**before, "model": "what the file held before"})
    assert main([*command, "-k", "2"]) == 130
    assert "2 images come next (1 of them new)" in caplog.text
    assert len(items(pictures.with_name("pictures-labels"))) == 3


def test_a_strategy_keeps_away_from_what_is_labeled(
    served: list[Any], pictures: Path, tiny_run: Path
) -> None:
    command = ["label", str(pictures), "--classes", "Cat,Dog,Emu", "--archive", str(tiny_run)]
    folder = pictures.with_name("pictures-labels")
    assert main([*command, "--strategy", "random", "-k", "1"]) == 130
    [labeled] = items(folder)
    assert main([*command, "--strategy", "k_center", "-k", "2"]) == 130
    from allencv_al.predictors import Predictor
    from allencv_al.selection.select_inputs import read_pool
    from allencv_al.selection.selector import SampleSelector

    selector = SampleSelector(Predictor.from_path(tiny_run), "k_center")
    pool = read_pool(str(pictures))
    expected = selector.select(pool, 2, {labeled: "Cat"}).ids
    assert items(folder) == [labeled, *expected]
    alone = selector.select([item for item in pool if item.id != labeled], 2).ids
    assert expected != alone, "this test could not fail"


def test_equal_files_and_files_that_are_gone_are_said(
    served: list[Any], pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, *_ = sorted(pictures.rglob("*.png"))
    (pictures / "copy.png").write_bytes(first.read_bytes())
    command = ["label", str(pictures), "--classes", "cat"]
    assert main(command) == 130
    assert "images that are byte-equal to another one: 1 (" in caplog.text
    with LabelingStore(pictures.with_name("pictures-labels") / LABELING_NAME) as store:
        reasons = [item.reason for item in store.items.items(1) if item.reason]
    assert reasons in (
        [f"the same file as {first.relative_to(pictures).as_posix()}"],
        ["the same file as copy.png"],
    )
    first.unlink()
    assert main(command) == 130
    assert "images of this labeling whose files are gone: 1 (" in caplog.text


def test_equal_files_with_different_labels_are_said(
    served: list[Any], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_ = sorted(pictures.rglob("*.png"))
    (pictures / "copy.png").write_bytes(first.read_bytes())
    name = first.relative_to(pictures).as_posix()
    command = ["label", str(pictures), "--classes", "cat,dog"]
    assert main(command) == 130
    assert "different labels" not in capsys.readouterr().err
    with LabelingStore(pictures.with_name("pictures-labels") / LABELING_NAME) as store:
        numbers = store.items.numbers()
        for key, id, class_id in (("key-a", name, 1), ("key-b", "copy.png", 2)):
            store.answers.add(NewAnswer("anna", key, numbers[id], LabelKind.LABEL, class_id))
    assert main(command) == 130
    said = capsys.readouterr().err
    assert "byte-equal images with different labels: 1 (" in said
    assert f"{name} is cat" in said and "copy.png is dog" in said


def test_an_audit_is_asked_for_first_and_without_guesses(
    served: list[Any], pictures: Path, tiny_run: Path
) -> None:
    command = ["label", str(pictures), "--classes", "Cat,Dog,Emu", "--archive", str(tiny_run)]
    folder = pictures.with_name("pictures-labels")
    assert main([*command, "--audit", "2", "-k", "3"]) == 130
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        audit = store.audit.ids()
        shown = store.items.items(1)
        kept = store.answers.in_force([1])[1]
    assert len(audit) == 2
    assert len(shown) == 5, "the audit comes on top of -k"
    assert {item.id for item in shown[:2]} == audit
    assert all(item.reason is None and not item.guess for item in shown[:2])
    assert all(item.guess for item in shown[2:])
    assert len(kept) == 1
    # Grown later: an image that waited in the strategy's order loses its guess
    assert main([*command, "--audit", "5", "-k", "3"]) == 130
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        grown = store.audit.ids()
        waiting = [item for item in store.items.items(1) if not item.answers]
    assert audit < grown
    assert len(grown) == 5
    assert {item.id for item in waiting[: len(grown) - 1]} < grown
    assert all(not item.guess for item in waiting if item.id in grown)


def test_a_larger_audit_alone_asks_for_no_other_image(served: list[Any], pictures: Path) -> None:
    command = ["label", str(pictures), "--classes", "Cat", "--audit"]
    folder = pictures.with_name("pictures-labels")
    assert main([*command, "1", "-k", "2"]) == 130
    first = set(items(folder))
    assert main([*command, "3"]) == 130
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        audit = store.audit.ids()
    assert len(audit) == 3
    assert set(items(folder)) == first | audit, "five images would be all that are left"
    assert main(command[:-1]) == 130
    assert len(items(folder)) == 7, "without an audit or a number, all"
    Path(pictures / "later.png").write_bytes((pictures / items(folder)[0]).read_bytes() + b"0")
    assert main([*command, "3"]) == 130
    assert len(items(folder)) == 8, "a whole folder stays whole"


def test_an_audit_of_a_whole_folder_that_is_half_labeled_comes_first_and_blind(
    served: list[Any], pictures: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["label", str(pictures), "--classes", "Cat,Dog,Emu", "--archive", str(tiny_run)]
    folder = pictures.with_name("pictures-labels")
    assert main(command) == 130
    with monkeypatch.context() as patched:  # killed between the draw and the order
        patched.setattr(ItemStore, "ask_first", lambda *_: pytest.exit("killed"))
        with pytest.raises(pytest.exit.Exception):
            main([*command, "--audit", "4"])
    assert main([*command, "--audit", "4"]) == 130
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        audit, answered = store.audit.ids(), store.items.answered()
        left = [item for item in store.items.items(1) if item.id not in answered]
    waiting = audit - answered
    assert len(waiting) >= 3
    assert {item.id for item in left[: len(waiting)]} == waiting
    assert not any(item.guess or item.reason for item in left[: len(waiting)])


def test_copies_of_audited_images_are_not_asked_for(
    served: list[Any], pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = ["label", str(pictures), "--classes", "Cat", "--audit", "2"]
    assert main(command) == 130
    folder = pictures.with_name("pictures-labels")
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        audit = store.audit.ids()
    copy = "copy of an audited one.png"
    (pictures / copy).write_bytes((pictures / sorted(audit)[0]).read_bytes())
    assert main(command) == 130
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        grown = store.audit.ids()
    assert copy not in grown, "another name would be drawn: choose one for this test"
    assert copy not in items(folder)
    assert "audit: 1 byte-equal copies of its images are not asked for" in caplog.text


def test_the_table_marks_the_audit(
    served: list[Any], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures.with_name("pictures-labels")
    assert main(["label", str(pictures), "--classes", "Cat", "--audit", "2"]) == 130
    [keys] = re.findall(r"-o '(.*)'", capsys.readouterr().err)
    # The audit measures the model: the printed command works without validation images
    assert json.loads(keys) == {
        "dataset_reader.type": "manifest",
        "train_data_path": str(folder / "labels.csv"),
        "validation_data_path": None,
        "pool_data_path": str(pictures),
    }
    assert (folder / "labels.csv").read_text().splitlines()[0] == "path,label,use"
    assert ",Cat,audit" in (folder / "labels.csv").read_text()


def test_embeddings_are_kept_for_the_pages_of_many_images(
    served: list[Any], pictures: Path, tmp_path: Path
) -> None:
    ids = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))
    rows = np.random.default_rng(0).normal(size=(len(ids), 5)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", ids=np.array(ids), embeddings=rows)
    command = [
        "label",
        str(pictures),
        "--classes",
        "cat",
        "--embeddings",
        str(tmp_path / "rows.npz"),
    ]
    folder = pictures.with_name("pictures-labels")
    assert main([*command, "--strategy", "random", "-k", "3"]) == 130
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        assert len(store.vectors.load()) == 3
    assert main([*command, "--strategy", "random", "--map", "tsne"]) == 130
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        assert store.vectors.layouts()["tsne"].shape == (len(ids), 2)
        found, numbers = store.vectors.load(), store.items.numbers()
        assert len(found) == len(ids) == len(numbers)
        assert store.vectors.missing(str(tmp_path / "rows.npz")) == []


def test_a_model_of_other_labels_orders_the_images_and_guesses_nothing(
    pictures: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = "allencv_al.service.web.running.serve"
    monkeypatch.setattr(serve, lambda app, announce: app.close() or 130)
    command = ["label", str(pictures), "--task", "detection", "--archive", str(tiny_run)]
    assert main([*command, "-k", "3"]) == 130
    folder = pictures.with_name("pictures-labels")
    assert len(items(folder)) == 3
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        assert {item.guess for item in store.items.items(1)} == {()}
        assert set(store.classes.names().values()) == {"Cat", "Dog", "Emu"}
