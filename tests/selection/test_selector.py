"""From a trained model and images to the ones worth labeling."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.active_learning import (
    Pool,
    QueryStrategy,
    SampleSelector,
    ScoringOptions,
    compute_outputs,
)
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.models import load_archive
from allencv_al.predictors import Predictor
from allencv_al.selection.selection import Picks
from allencv_al.selection.selector import SampleSelection

QUIET = ScoringOptions(batch_size=3, mc_samples=5, description=None, precision="fp32")

Make = Callable[..., Predictor]


@pytest.fixture
def make(tiny_run: Path) -> Make:
    def predictor(overrides: dict[str, Any] | None = None) -> Predictor:
        changes = {"model.dropout": 0.5, **(overrides or {})}
        return Predictor.from_archive(load_archive(tiny_run, overrides=changes))

    return predictor


@pytest.fixture
def dataset(make: Make, pictures: Path) -> Dataset:
    return make().dataset_reader.read(pictures)


class Watched(QueryStrategy):
    """Takes the first items, and shows the pool that it was given."""

    def __init__(self, *needs: str) -> None:
        super().__init__()
        self.needs = frozenset(needs)
        self.pool: Pool

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        self.pool = pool
        return Picks(np.arange(count), np.ones(count, np.float32))


def broken(folder: Path) -> Path:
    path = folder / "broken.png"
    path.write_bytes(b"broken")
    return path


# -- The picks ------------------------------------------------------------------------------------


def test_picks_are_those_of_the_strategy_on_the_outputs(make: Make, dataset: Dataset) -> None:
    chosen = SampleSelector(make(), "margin", QUIET).select(dataset, 3)
    outputs = compute_outputs(make(), dataset, {"logits"}, options=QUIET)
    expected = QueryStrategy.by_name("margin")().select(outputs.pool(), 3)
    assert chosen.ids == expected.ids
    assert np.allclose(chosen.scores, expected.scores, atol=1e-5)
    assert [reason["rank"] for reason in chosen.reasons] == [0, 1, 2]
    assert chosen.pool_size == 7 and len(chosen) == 3 and not chosen.unreadable


def test_a_pick_says_all_that_a_person_wants_to_know(make: Make, dataset: Dataset) -> None:
    predictor = make()
    chosen = SampleSelector(predictor, "entropy", QUIET).select(dataset, 4)
    for rank, pick in enumerate(chosen.picks):
        told = predictor.predict(pick.instance)
        assert pick.id == pick.instance.id == chosen.ids[rank]
        assert pick.predicted == told["class"]
        assert pick.probability == pytest.approx(max(told["probs"]), abs=1e-5)
        assert pick.score == pytest.approx(chosen.scores[rank])
        assert pick.reason["rank"] == rank


def test_members_predict_by_their_mean_probability(make: Make, dataset: Dataset) -> None:
    predictor = make()
    chosen = SampleSelector(predictor, "bald", QUIET).select(dataset, 2)
    outputs = compute_outputs(predictor, dataset, {"mc_logits"}, options=QUIET).rows(chosen.ids)
    assert outputs.mc_logits is not None
    exponentials = np.exp(outputs.mc_logits)
    mean = (exponentials / exponentials.sum(-1, keepdims=True)).mean(axis=1)
    for pick, row in zip(chosen.picks, mean, strict=True):
        assert pick.predicted == ["Cat", "Dog", "Emu"][row.argmax()]
        assert pick.probability == pytest.approx(row.max(), abs=1e-5)


def test_without_logits_no_class_is_predicted(make: Make, dataset: Dataset) -> None:
    for strategy in ("random", "k_center"):
        pick = SampleSelector(make(), strategy, QUIET).select(dataset, 1).picks[0]
        assert (pick.predicted, pick.probability) == (None, None)


def by_name(names: list[str]) -> list[str]:
    """Leave out the wrappers, which need strategies, and the bound of `compare`."""
    found = []
    for name in names:
        try:
            strategy = QueryStrategy.by_name(name)()
        except TypeError:
            continue
        # Those of several classes per image, or of boxes, have tests of their own
        if not strategy.needs_trials and not {"label_logits", "objects"} & strategy.needs:
            found.append(name)
    return found


@pytest.mark.parametrize("strategy", by_name(QueryStrategy.list_available()))
def test_every_strategy_works_by_its_name(make: Make, dataset: Dataset, strategy: str) -> None:
    selector = SampleSelector(make(), strategy, QUIET)
    chosen = selector.select(dataset, 3, labeled={dataset[0].id: "Cat"}, seed=5)
    assert len(set(chosen.ids)) == 3 and dataset[0].id not in chosen.ids
    backwards = selector.select(dataset[::-1], 3, labeled={dataset[0].id: "Cat"}, seed=5)
    assert backwards.ids == chosen.ids


def test_the_seed_decides(make: Make, dataset: Dataset) -> None:
    selector = SampleSelector(make(), "random", QUIET)
    assert selector.select(dataset, 3, seed=1).ids == selector.select(dataset, 3, seed=1).ids
    assert len({selector.select(dataset, 3, seed=seed).ids for seed in range(9)}) > 1


def test_more_than_there_are_gives_all(make: Make, dataset: Dataset) -> None:
    assert len(SampleSelector(make(), "margin", QUIET).select(dataset, 100)) == 7
    assert len(SampleSelector(make(), "margin", QUIET).select(dataset, 0)) == 0
    with pytest.raises(ConfigurationError, match="query_size: expected at least 0, found -1"):
        SampleSelector(make(), "margin", QUIET).select(dataset, -1)


@pytest.mark.parametrize("strategy", ["random", "margin", "k_center", "epig", "typiclust"])
def test_nothing_to_choose_from_gives_nothing(
    make: Make, dataset: Dataset, strategy: str, tmp_path: Path
) -> None:
    selector = SampleSelector(make(), strategy, QUIET)
    everything = {instance.id: "Cat" for instance in dataset}
    assert len(selector.select(dataset, 3, labeled=everything)) == 0
    assert len(selector.select([], 3)) == 0
    chosen = selector.select([broken(tmp_path)], 3)
    assert len(chosen) == 0 and len(chosen.unreadable) == 1 and chosen.pool_size == 0


def test_images_can_be_given_by_path(make: Make, pictures: Path) -> None:
    files = sorted(pictures.rglob("*.png"))
    chosen = SampleSelector(make(), "margin", QUIET).select(files, 2)
    assert set(chosen.ids) <= {file.as_posix() for file in files}
    assert chosen.picks[0].instance.image in files


def test_an_unknown_strategy_gets_a_suggestion(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="margin"):
        SampleSelector(make(), "margn")


# -- Unreadable images ----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["margin", "k_center", "random"])
def test_what_cannot_be_read_is_reported_and_not_chosen(
    make: Make, dataset: Dataset, tmp_path: Path, strategy: str
) -> None:
    images = [*dataset, Instance("bad", broken(tmp_path)), Instance("gone", Path("absent.png"))]
    chosen = SampleSelector(make(), strategy, QUIET).select(images, 9)
    assert sorted(chosen.ids) == sorted(instance.id for instance in dataset)
    assert set(chosen.unreadable) == {"bad", "gone"}
    assert "none of the known formats" in chosen.unreadable["bad"]
    assert chosen.pool_size == 7


def test_random_opens_no_more_than_it_picks(
    make: Make, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    selector, opened = SampleSelector(make(), "random", QUIET), []
    decode = DatasetReader.decode

    def counted(reader: DatasetReader, instance: Instance) -> Any:
        opened.append(instance.id)
        return decode(reader, instance)

    monkeypatch.setattr(DatasetReader, "decode", counted)
    chosen = selector.select(dataset, 3)
    assert sorted(opened) == sorted(chosen.ids)


def test_random_without_what_cannot_be_read_picks_what_it_picks_with_it(
    make: Make, dataset: Dataset, tmp_path: Path
) -> None:
    selector = SampleSelector(make(), "random", QUIET)
    bad = [Instance(f"bad {number}", broken(tmp_path)) for number in range(20)]
    for seed in range(5):
        without = selector.select(dataset, 3, seed=seed)
        assert selector.select([*dataset, *bad], 3, seed=seed).ids == without.ids


def test_what_an_eager_reader_passed_over_is_reported(pictures: Path, make: Make) -> None:
    broken(pictures / "Cat")
    config = {
        "type": "image_classification_directory",
        "lazy": False,
        "max_unreadable": 0.5,
        "augmentation": [{"type": "resize", "height": 8, "width": 8}],
    }
    images = DatasetReader.from_params(config).read(pictures)
    chosen = SampleSelector(make(), "margin", QUIET).select(images, 10)
    assert list(chosen.unreadable) == ["Cat/broken.png"] and len(chosen) == 7


# -- What is labeled already ----------------------------------------------------------------------


def test_labeled_items_are_not_chosen_and_their_embeddings_are_given(
    make: Make, dataset: Dataset
) -> None:
    strategy = Watched("embeddings", "labeled_embeddings")
    labels = {dataset[3].id: "Emu", dataset[1].id: "Cat"}
    predictor = make()
    chosen = SampleSelector(predictor, strategy, QUIET).select(dataset, 9, labels)
    assert sorted(chosen.ids) == sorted(dataset[index].id for index in (0, 2, 4, 5, 6))
    pool = strategy.pool
    assert pool.labeled_labels is not None and pool.labeled_labels.tolist() == [2, 0]
    expected = predictor.embed([dataset[3], dataset[1]])
    assert np.allclose(pool.labeled_embeddings, expected, atol=1e-5)


def test_labeled_items_can_be_others_than_the_images(make: Make, dataset: Dataset) -> None:
    strategy = Watched("embeddings", "labeled_embeddings")
    predictor = make()
    chosen = SampleSelector(predictor, strategy, QUIET).select(dataset[2:], 9, dataset[:3])
    assert sorted(chosen.ids) == sorted(instance.id for instance in dataset[3:])
    assert np.allclose(strategy.pool.labeled_embeddings, predictor.embed(dataset[:3]), atol=1e-5)
    assert strategy.pool.labeled_labels is not None
    assert strategy.pool.labeled_labels.tolist() == [0, 0, 0]  # three cats


def test_labels_are_given_where_no_embeddings_are_needed(make: Make, dataset: Dataset) -> None:
    strategy = Watched("logits")
    SampleSelector(make(), strategy, QUIET).select(dataset, 2, {dataset[0].id: "Dog"})
    assert strategy.pool.embeddings is None and strategy.pool.labeled_embeddings is None
    assert strategy.pool.labeled_labels is not None
    assert strategy.pool.labeled_labels.tolist() == [1]


def test_nothing_labeled_is_an_empty_array(make: Make, dataset: Dataset) -> None:
    strategy = Watched("embeddings", "labeled_embeddings")
    for labeled in (None, [], {}):
        SampleSelector(make(), strategy, QUIET).select(dataset, 2, labeled)
        assert strategy.pool.labeled_embeddings is not None
        assert strategy.pool.labeled_embeddings.shape == (0, 64)
        assert strategy.pool.labeled_labels is not None
        assert strategy.pool.labeled_labels.shape == (0,)


def test_a_labeled_item_that_cannot_be_read_is_reported(
    make: Make, dataset: Dataset, tmp_path: Path
) -> None:
    strategy = Watched("embeddings", "labeled_embeddings")
    labeled = [Instance("bad", broken(tmp_path), "Dog"), *dataset[:1]]
    chosen = SampleSelector(make(), strategy, QUIET).select(dataset, 9, labeled)
    assert set(chosen.unreadable) == {"bad"}
    assert strategy.pool.labeled_embeddings is not None
    assert len(strategy.pool.labeled_embeddings) == 1
    assert strategy.pool.labeled_labels is not None
    assert strategy.pool.labeled_labels.tolist() == [0]


def test_a_class_that_the_model_has_not_seen_is_no_fault(
    make: Make, dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = Watched("logits")
    labels = {dataset[0].id: "Yak", dataset[1].id: "Fox", dataset[2].id: "Emu"}
    SampleSelector(make(), strategy, QUIET).select(dataset, 2, labels)
    assert strategy.pool.labeled_labels is not None
    assert strategy.pool.labeled_labels.tolist() == [4, 3, 2]
    assert "the model has no class Fox, Yak; it has Cat, Dog, Emu" in caplog.text


def test_wrong_labels_are_explained(make: Make, dataset: Dataset) -> None:
    selector = SampleSelector(make(), "margin", QUIET)
    with pytest.raises(DataError, match="labeled: expected ids of the images, found others: x, y"):
        selector.select(dataset, 2, {"x": "Cat", dataset[0].id: "Cat", "y": "Cat"})
    with pytest.raises(DataError, match=f"found none of {dataset[0].id}"):
        selector.select(dataset, 2, [replace(dataset[0], label=None)])
    with pytest.raises(DataError, match="duplicate ids: Cat"):
        selector.select(dataset, 2, [dataset[0], dataset[0]])
    with pytest.raises(DataError, match="duplicate ids: Cat"):
        selector.select([dataset[0], dataset[0]], 2)


# -- Members and targets --------------------------------------------------------------------------


def test_targets_are_seen_by_the_same_members(make: Make, dataset: Dataset) -> None:
    strategy = Watched("mc_logits", "target_mc_logits")
    selector = SampleSelector(make(), strategy, QUIET)
    selector.select(dataset, 2, target=[dataset[4], dataset[2]])
    pool = strategy.pool
    assert pool.mc_logits is not None
    assert np.allclose(pool.target_mc_logits, pool.mc_logits[[4, 2]], atol=1e-5)


def test_the_pool_stands_for_the_targets_that_are_not_given(
    make: Make, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = Watched("mc_logits", "target_mc_logits")
    selector = SampleSelector(make(), strategy, QUIET)
    found = []
    for most in (1000, 3):
        monkeypatch.setattr("allencv_al.selection.selector._MOST_TARGETS", most)
        for images in (dataset, dataset[::-1]):
            selector.select(images, 2, seed=3)
            assert strategy.pool.target_mc_logits is not None
            found.append(strategy.pool.target_mc_logits)
    assert [len(targets) for targets in found] == [7, 7, 3, 3]
    assert np.allclose(found[0], found[1], atol=1e-5)  # whatever the order of the pool
    assert np.allclose(found[2], found[3], atol=1e-5)
    assert np.allclose(found[0][:3], found[2], atol=1e-5)


def test_an_ensemble_disagrees(make: Make, dataset: Dataset) -> None:
    one, other = make(), make()
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(-1)
    chosen = SampleSelector([one, other], "bald", QUIET).select(dataset, 3)
    assert (chosen.scores > 0.001).all()
    assert np.allclose(SampleSelector([one, one], "bald", QUIET).select(dataset, 3).scores, 0)


# -- Without a model, and with a folder -----------------------------------------------------------


def test_what_looks_at_no_pixels_needs_no_model(
    dataset: Dataset, make: Make, tmp_path: Path
) -> None:
    images = [*dataset, Instance("bad", broken(tmp_path))]
    chosen = SampleSelector(None, "random").select(images, 3, labeled=dataset[:1], seed=4)
    assert chosen.ids == SampleSelector(make(), "random").select(images, 3, dataset[:1], 4).ids
    with pytest.raises(ConfigurationError, match="Margin needs logits, so expected a model"):
        SampleSelector(None, "margin")


def test_a_folder_keeps_everything_for_the_next_time(
    make: Make, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = Watched("embeddings", "labeled_embeddings", "mc_logits", "target_mc_logits")
    folder = tmp_path / "outputs"

    def select(images: Dataset) -> SampleSelection:
        selector = SampleSelector(make(), strategy, QUIET)
        return selector.select(images, 3, dataset[:2], folder=folder, target=dataset[5:])

    first = select(dataset)
    assert {path.name for path in folder.iterdir()} == {"pool", "labeled", "target"}
    monkeypatch.setattr(DatasetReader, "decode", None)
    assert select(dataset).ids == first.ids


def test_progress_names_each_part(
    make: Make, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    original = compute_outputs

    def recorded(*args: Any, **kwargs: Any) -> Any:
        said.append(args[4].description)
        return original(*args, **kwargs)

    monkeypatch.setattr("allencv_al.selection.selector.compute_outputs", recorded)
    options = replace(QUIET, description="looking")
    strategy = Watched("embeddings", "labeled_embeddings", "mc_logits", "target_mc_logits")
    SampleSelector(make(), strategy, options).select(dataset, 1, dataset[:2], target=dataset[5:])
    assert said == ["looking", "looking (labeled)", "looking (target)"]


def test_strategies_of_ones_own_take_part(make: Make, dataset: Dataset) -> None:
    class Brightest(QueryStrategy):
        needs = frozenset({"embeddings"})

        @overrides
        def score(self, pool: Pool) -> NDArray[np.float32]:
            assert pool.embeddings is not None
            return np.asarray(pool.embeddings.sum(axis=1), np.float32)

    sums = make().embed(dataset).sum(axis=1)
    chosen = SampleSelector(make(), Brightest(), QUIET).select(dataset, 1)
    assert chosen.ids == (dataset[int(sums.argmax())].id,)


MEASURED = """
import sys
from allencv_al.active_learning import SampleSelector, ScoringOptions
from allencv_al.common.process import peak_bytes
from allencv_al.predictors import Predictor
overrides = {"validation_dataset_reader.type": "cifar_binary", "model.dropout": 0.5}
predictor = Predictor.from_path(sys.argv[1], overrides=overrides)
images = predictor.dataset_reader.read(sys.argv[2])
selector = SampleSelector(predictor, sys.argv[3], ScoringOptions(description=None))
assert len(images) == 10_000 and len(selector.select(images, 100)) == 100
print(peak_bytes() // 2**20)
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["margin", "badge", "bald"])
def test_ten_thousand_records_fit_into_the_memory_that_is_promised(
    tiny_run: Path, shared_data: Path, strategy: str
) -> None:
    """Below 1.5 GB, most of which is torch itself."""
    records = shared_data / "cifar10" / "test_batch.bin"
    command = [sys.executable, "-c", MEASURED, str(tiny_run), str(records), strategy]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1500
