"""Labelings of several people: the weight of each, and the images that need another label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.audited_sets import scene
from fixtures.session_answers import CAT, DOG, label

from allencv_al.data_audit.audited_images import read_audited, seconds_of_annotators
from allencv_al.data_audit.inspection import DataAudit, audit_images
from allencv_al.data_audit.second_opinions import SecondOpinions
from allencv_al.labels.consensus import NONE
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import ItemStore, NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.selection.cold_start import embedding_predictor

COUNT = 24
OF_BOTH = "07.png"


@pytest.fixture
def labeling(tmp_path: Path) -> Path:
    """A labeling folder: Anna and Ben are right but for one image, and Eve guesses."""
    folder = tmp_path / "labeling"
    folder.mkdir()
    ids = [f"{number:02d}.png" for number in range(COUNT)]
    for number, id in enumerate(ids):
        scene(number).save(tmp_path / id)
    vectors = np.random.default_rng(0).normal(size=(COUNT, 4)).astype(np.float32)
    vectors[::2] += 4
    both = [*ids, *(f"../{id}" for id in ids)]  # as the labeling and as its table name them
    twice = np.concatenate([vectors, vectors])
    np.savez(tmp_path / "vectors.npz", embeddings=twice, ids=np.array(both))
    with LabelingStore(folder / LABELING_NAME) as store:
        store.classes.add(["cat", "dog"], "Anna")
        items = [NewItem(id, tmp_path / id) for id in ids]
        store.items.open_batch(items, labels_per_image=2)
        numbers = store.items.numbers()
        for number, id in enumerate(ids):
            right, wrong = (CAT, DOG) if number % 2 == 0 else (DOG, CAT)
            label(store, "Anna", numbers[id], right)
            second = "Ben" if number % 3 else "Eve"
            guessed = number % 4 < 2 if second == "Eve" else id == OF_BOTH
            label(store, second, numbers[id], wrong if guessed else right)
        store.write_table(folder / "labels.csv")
    return folder


def audit(folder: Path) -> DataAudit:
    predictor = embedding_predictor(str(folder.parent / "vectors.npz"))
    images = read_audited(str(folder))
    return audit_images(images, predictor, seconds=seconds_of_annotators(str(folder)))


def test_an_image_in_conflict_is_to_be_labeled_again(labeling: Path) -> None:
    found = {one.id: one for one in audit(labeling).findings if one.kind == "second_opinion"}
    one = found[OF_BOTH]
    assert (one.suggestion, one.suggested_label, one.label) == ("relabel", "dog", "")
    assert one.detail.startswith("Anna: dog, Ben: cat; most likely dog (")
    assert "../01.png" not in found  # both agree


def test_labels_that_are_guessed_weigh_least(labeling: Path) -> None:
    anna, ben, eve = audit(labeling).annotators
    assert (anna.name, anna.labels, anna.shared) == ("Anna", 24, 24)
    assert eve.agreement is not None and ben.agreement is not None
    assert eve.agreement < ben.agreement
    assert eve.weight < ben.weight
    assert str(eve).startswith("Eve: 8 labels, ")


def test_a_decided_image_needs_no_further_opinion(labeling: Path) -> None:
    with LabelingStore(labeling / LABELING_NAME, create=False) as store:
        item = store.items.numbers()[OF_BOTH]
        store.reviews.decide("Anna", "key", [item], LabelKind.LABEL, DOG)
        store.write_table(labeling / "labels.csv")
    images = {Path(str(one.instance.image)).name: one for one in read_audited(str(labeling))}
    assert len(images) == COUNT
    assert images[OF_BOTH].given == {} and images[OF_BOTH].instance.label == "dog"
    found = [one.path for one in audit(labeling).findings if one.kind == "second_opinion"]
    assert not any(path.endswith(OF_BOTH) for path in found)


def test_the_labels_of_one_person_are_compared_with_predictions_only(labeling: Path) -> None:
    images = read_audited(str(labeling))
    for image in images:
        assert set(image.given) == {"Anna", "Ben"} or set(image.given) == {"Anna", "Eve"}
    alone = [type(image)(image.instance, given={"Anna": image.given["Anna"]}) for image in images]
    predictor = embedding_predictor(str(labeling.parent / "vectors.npz"))
    found = audit_images(alone, predictor)
    assert found.annotators == []
    assert "second_opinion" not in found.counts()


def test_a_labeling_of_one_person_is_read_by_its_table_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(0).save(tmp_path / "a.png")
    with LabelingStore(tmp_path / LABELING_NAME) as store:
        store.classes.add(["cat"], "Anna")
        store.items.open_batch([NewItem("a.png", tmp_path / "a.png")])
        label(store, "Anna", 1)
        store.write_table(tmp_path / "labels.csv")
    monkeypatch.setattr(ItemStore, "image", lambda *_: pytest.fail("a picture was read"))
    [image] = read_audited(str(tmp_path))
    assert (image.instance.label, image.given) == ("cat", {})


def test_times_are_those_of_each_annotator(labeling: Path) -> None:
    with LabelingStore(labeling / LABELING_NAME, create=False) as store:
        item = store.items.numbers()["01.png"]
        for who, seconds in (("Anna", 2.0), ("Anna", 4.0), ("Ben", 1.0)):
            key = f"{who}{seconds}"
            store.answers.add(NewAnswer(who, key, item, LabelKind.LABEL, DOG, seconds=seconds))
    assert seconds_of_annotators(str(labeling)) == {"Anna": 3.0, "Ben": 1.0}
    assert [one.seconds for one in audit(labeling).annotators] == [3.0, 1.0, None]


def test_all_agree_on_one_class_but_one_person() -> None:
    given = np.array([[0, 0], [0, 1], [0, NONE]])
    found = SecondOpinions(given, ["Anna", "Ben"], np.full((3, 2), 0.5))
    unsure = list(found.unsure(np.array([0, NONE, 0])))
    assert [one.row for one in unsure] == [1]
    assert 0 <= unsure[0].urgency <= 1
