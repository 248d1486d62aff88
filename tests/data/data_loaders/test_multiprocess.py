"""The data loader: the content of a batch, in whatever process it is made."""

from __future__ import annotations

import errno
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from overrides import overrides
from PIL import Image

from allencv_al.common.errors import ConfigurationError, DataError, ImageDecodeError
from allencv_al.common.seeding import item_seed, random_state, restore_random_state
from allencv_al.data.data_loaders import DataLoader, MultiprocessDataLoader
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.transforms import ImageTransform
from allencv_al.data.vocabulary import Vocabulary
from tests.data.data_loaders.conftest import (
    VOCAB,
    CountingReader,
    ListedReader,
    MakeLoader,
    content,
    contents,
)

MakeDataset = Callable[..., Dataset]


# Every way of making batches: on demand, by threads, by one and by two processes.
WAYS = {
    "on demand": {"prefetch_factor": 0},
    "threads": {},
    "1 worker": {"num_workers": 1},
    "2 workers": {"num_workers": 2, "prefetch_factor": 1},
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def ids(loader: DataLoader, epoch: int = 0) -> list[str]:
    return [id for batch in loader.batches(epoch) for id in batch.ids]


# -- What an epoch holds ----------------------------------------------------------------------


@every_way
def test_every_item_comes_once_an_epoch_with_its_own_pixels_and_label(
    in_memory: MakeDataset, make_loader: MakeLoader, way: dict[str, Any]
) -> None:
    dataset = in_memory(11)
    loader = make_loader(dataset, seed=5, **way)
    by_id = {instance.id: instance for instance in dataset}
    seen: Counter[str] = Counter()
    for batch in loader.batches(epoch=2):
        seen.update(batch.ids)
        for id, image, label in zip(
            batch.ids, batch.tensors["image"], batch.tensors["label"], strict=True
        ):
            sample = dataset.reader.load(by_id[id], item_seed(5, 2, id))
            assert np.array_equal(image.permute(1, 2, 0).numpy(), sample.image)
            assert VOCAB.get_token_from_index(int(label)) == by_id[id].label
    assert seen == Counter(list(by_id))
    assert len(loader) == 4


def test_order_and_augmentation_change_from_epoch_to_epoch(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    loader = make_loader(in_memory(20))
    assert ids(loader, 0) != ids(loader, 1)
    unshuffled = make_loader(in_memory(20), shuffle=False)
    first, second = contents(unshuffled, 0), contents(unshuffled, 1)
    assert [batch[1] for batch in first] == [batch[1] for batch in second]
    assert first != second
    assert first == contents(unshuffled, 0)


def test_without_shuffle_items_come_in_the_datasets_order(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    dataset = in_memory(7)
    expected = [instance.id for instance in dataset]
    assert ids(make_loader(dataset, shuffle=False)) == expected


def test_batches_are_not_sorted_by_class(in_memory: MakeDataset, make_loader: MakeLoader) -> None:
    """AllenCV's lazy reader gave runs of batches of one class."""
    loader = make_loader(in_memory(200), batch_size=20)
    shares = [batch.tensors["label"].float().mean() for batch in loader.batches(0)]
    assert all(0.1 < share < 0.9 for share in shares)


def test_batches_per_epoch_walks_on_through_the_passes(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    """6 items make 3 batches a pass; 2 batches an epoch: 3 epochs are 2 passes."""
    loader = make_loader(in_memory(6), batch_size=2, batches_per_epoch=2)
    assert len(loader) == 2
    epochs = [batch for epoch in range(3) for batch in loader.batches(epoch)]
    assert [batch.index for batch in epochs] == [0, 1, 0, 1, 0, 1]
    assert Counter(id for batch in epochs for id in batch.ids) == dict.fromkeys(
        [f"{i:03d}" for i in range(6)], 2
    )
    passes = make_loader(in_memory(6), batch_size=2)
    expected = [content(b)[1:] for epoch in range(2) for b in passes.batches(epoch)]
    assert [content(batch)[1:] for batch in epochs] == expected


def test_drop_last(in_memory: MakeDataset, make_loader: MakeLoader) -> None:
    loader = make_loader(in_memory(11), drop_last=True)
    assert len(loader) == 3
    assert [len(batch) for batch in loader.batches(0)] == [3, 3, 3]
    with pytest.raises(DataError, match="drop_last: leaves out the only batch"):
        make_loader(in_memory(2), drop_last=True)


def test_evaluation_sees_every_item_once_in_order(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    """`data_loader` of a config serves validation too, where it is the only one."""
    options = {"drop_last": True, "batches_per_epoch": 2}
    loader = make_loader(in_memory(11), **options, evaluating=True)
    assert ids(loader) == [instance.id for instance in in_memory(11)]
    assert len(loader) == 4


def test_shuffling_can_be_switched(in_memory: MakeDataset, make_loader: MakeLoader) -> None:
    loader, other = make_loader(in_memory(11)), make_loader(in_memory(11), shuffle=False)
    assert (loader.shuffle, other.shuffle) == (True, False)
    shuffled = contents(loader)
    loader.shuffle, other.shuffle = False, True
    assert contents(other) == shuffled
    assert ids(loader) == [instance.id for instance in in_memory(11)]


def test_an_empty_dataset_has_no_batches(in_memory: MakeDataset, make_loader: MakeLoader) -> None:
    loader = make_loader(in_memory(0))
    assert len(loader) == 0
    assert list(loader.batches(0)) == []
    with pytest.raises(DataError, match="batches_per_epoch"):
        make_loader(in_memory(0), batches_per_epoch=3)


# -- The same in every process ----------------------------------------------------------------


@pytest.mark.parametrize("source", ["in_memory", "on_disk"])
def test_any_number_of_workers_gives_the_same_batches(
    source: str, request: pytest.FixtureRequest, make_loader: MakeLoader
) -> None:
    dataset = request.getfixturevalue(source)(17)
    epochs = {
        name: [contents(loader, epoch) for epoch in (0, 1)]
        for name, way in WAYS.items()
        for loader in [make_loader(dataset, **way)]
    }
    assert epochs["on demand"][0] != epochs["on demand"][1]
    for name in WAYS:
        assert epochs[name] == epochs["on demand"], name


def _bytes(image: torch.Tensor) -> bytes:
    return bytes(image.numpy().tobytes())


class GlobalSpeckle(ImageTransform):
    """Draws as the code of many users does: from the global generators."""

    @overrides
    def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
        shape = sample.image.shape
        noise = np.random.randint(0, 256, shape) + random.randrange(256)  # noqa: NPY002
        noise = noise + torch.randint(0, 256, shape).numpy()
        return Sample((sample.image + noise).astype(np.uint8))


@pytest.mark.parametrize(
    ("kind", "prefetch_factor"), [("transform", 0), ("transform", 2), ("load", 2)]
)
def test_draws_from_global_generators_are_those_of_the_item(
    on_disk: MakeDataset, kind: str, prefetch_factor: int
) -> None:
    class Loading(ListedReader):
        @overrides
        def load(self, instance: Instance, seed: int) -> Sample:
            return GlobalSpeckle().apply(super().load(instance, seed), np.random.default_rng(0))

    def epoch(number: int, workers: int, ahead: int = 2, start: int = 0) -> dict[str, bytes]:
        reader = ListedReader([GlobalSpeckle()]) if kind == "transform" else Loading([])
        loader = MultiprocessDataLoader(
            on_disk(reader=reader), VOCAB, batch_size=3, num_workers=workers, prefetch_factor=ahead
        )
        found: dict[str, bytes] = {}
        before = random_state()
        for batch in loader.batches(number, start):
            torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002  the model's own
            found |= dict(zip(batch.ids, map(_bytes, batch.tensors["image"]), strict=True))
        after = random_state()
        restore_random_state(before)
        for _ in range(len(loader) - start):
            torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
        mine = random_state()
        assert torch.equal(after["torch"], mine["torch"]) and after["python"] == mine["python"]
        assert torch.equal(after["numpy"][1], mine["numpy"][1])
        loader.close()
        return found

    first = epoch(0, 0, prefetch_factor)
    assert first == epoch(0, 2)
    assert len(set(first.values())) == len(first) == 11
    again = epoch(1, 0)
    assert not set(again.values()) & set(first.values())
    part = epoch(0, 0, start=2)
    assert part == {id: first[id] for id in part}


@every_way
def test_an_epoch_goes_on_from_any_batch(
    in_memory: MakeDataset, make_loader: MakeLoader, way: dict[str, Any]
) -> None:
    loader = make_loader(in_memory(11), batches_per_epoch=6, **way)
    whole = contents(loader, epoch=1)
    for start in range(7):
        assert contents(loader, epoch=1, start=start) == whole[start:]


def test_batches_before_the_start_are_not_decoded(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    reader = CountingReader()
    loader = make_loader(in_memory(11, reader))
    expected = [id for batch in loader.batches(3) for id in batch.ids][6:]
    reader.loaded.clear()
    assert [id for batch in loader.batches(3, start=2) for id in batch.ids] == expected
    assert reader.loaded == expected


@every_way
def test_the_global_random_generators_are_left_alone(
    in_memory: MakeDataset, make_loader: MakeLoader, way: dict[str, Any]
) -> None:
    """Else dropout would depend on the number of workers, and on where a run was resumed."""
    loader = make_loader(in_memory(), **way)
    before = torch.get_rng_state(), random.getstate(), random_state()["numpy"]
    list(loader.batches(0))
    list(loader.batches(0, start=2))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert torch.equal(random_state()["numpy"][1], before[2][1])


def test_two_iterations_at_once_do_not_disturb_each_other(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    expected = contents(make_loader(in_memory()), 0), contents(make_loader(in_memory()), 1)
    for way in WAYS.values():
        loader = make_loader(in_memory(), **way)
        pairs = zip(loader.batches(0), loader.batches(1), strict=True)
        both = [(content(a), content(b)) for a, b in pairs]
        assert ([a for a, _ in both], [b for _, b in both]) == expected


# -- Unreadable images ------------------------------------------------------------------------


@every_way
def test_unreadable_images_are_left_out_listed_and_logged_once(
    on_disk: MakeDataset,
    make_loader: MakeLoader,
    way: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = type(on_disk(1).reader)(max_unreadable=0.2)
    loader = make_loader(on_disk(11, reader, broken=[2, 7]), **way)
    for epoch in range(2):
        seen = Counter(ids(loader, epoch))
        assert seen == Counter({f"{i:03d}.png": 1 for i in range(11) if i not in (2, 7)})
    assert sorted(loader.unreadable) == ["002.png", "007.png"]
    assert loader.unreadable["002.png"].path.endswith("002.png")
    assert "known formats" in loader.unreadable["002.png"].cause
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "002.png" in caplog.text


@every_way
def test_a_batch_without_readable_images_leaves_a_gap_in_the_numbers(
    on_disk: MakeDataset, make_loader: MakeLoader, way: dict[str, Any]
) -> None:
    reader = type(on_disk(1).reader)(max_unreadable=1)
    loader = make_loader(on_disk(9, reader, broken=[3, 4, 5]), shuffle=False, **way)
    assert [batch.index for batch in loader.batches(0)] == [0, 2]
    assert [batch.index for batch in loader.batches(0, start=1)] == [2]
    assert len(loader.unreadable) == 3


@every_way
def test_too_many_unreadable_images_end_the_run(
    on_disk: MakeDataset, make_loader: MakeLoader, way: dict[str, Any]
) -> None:
    reader = type(on_disk(1).reader)(max_unreadable=0.1)
    loader = make_loader(on_disk(11, reader, broken=[0, 1]), shuffle=False, **way)
    message = r"(?s)2 of 11 images.*max_unreadable = 0\.1.*on_error.*000\.png.*known formats"
    with pytest.raises(DataError, match=message):
        list(loader.batches(0))


def test_one_in_a_hundred_is_the_default_limit(
    on_disk: MakeDataset, make_loader: MakeLoader
) -> None:
    assert len(ids(make_loader(on_disk(100, broken=[50])))) == 99
    with pytest.raises(DataError, match="2 of 100 images"):
        list(make_loader(on_disk(100, broken=[50, 51])).batches(0))


@every_way
def test_on_error_raise_ends_the_run_at_the_first(
    on_disk: MakeDataset, make_loader: MakeLoader, way: dict[str, Any]
) -> None:
    reader = type(on_disk(1).reader)(on_error="raise")
    loader = make_loader(on_disk(11, reader, broken=[4]), shuffle=False, **way)
    batches = loader.batches(0)
    assert next(batches).ids == ["000.png", "001.png", "002.png"]
    with pytest.raises(ImageDecodeError, match=r"004\.png.*known formats") as caught:
        next(batches)
    assert caught.value.source.endswith("004.png")


@every_way
def test_a_fault_of_the_machine_ends_the_run_whole(
    on_disk: MakeDataset,
    make_loader: MakeLoader,
    way: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    loader = make_loader(on_disk(11), shuffle=False, **way)
    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(OSError, match="Too many open files") as caught:
        next(loader.batches(0))
    assert caught.value.errno == errno.EMFILE
    assert str(caught.value.filename).endswith(".png")


def test_images_found_unreadable_by_the_reader_are_listed_too(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    found = {"gone": ImageDecodeError("data/gone.jpg", "it is empty")}
    dataset = Dataset(in_memory(1).reader, in_memory(5).instances, unreadable=found)
    loader = make_loader(dataset)
    assert str(loader.unreadable["gone"]) == "data/gone.jpg: it is empty"


# -- Other errors -----------------------------------------------------------------------------


@every_way
def test_a_label_that_the_vocabulary_lacks_is_found_before_the_first_batch(
    in_memory: MakeDataset, way: dict[str, Any]
) -> None:
    cats = Vocabulary({"labels": {"cat": 1}})
    with pytest.raises(DataError, match=r'005: the label "dog".*\(cat\)'):
        MultiprocessDataLoader(in_memory(11), cats, **way)


def test_without_a_vocabulary_there_are_no_labels(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(in_memory(11), batch_size=4)
    assert all(set(batch.tensors) == {"image"} for batch in loader.batches(0))


def test_a_dataset_labeled_in_part_is_remarked_on(
    in_memory: MakeDataset, make_loader: MakeLoader, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = [*in_memory(11)[:10], *in_memory(11, labeled=False)[10:]]
    make_loader(Dataset(in_memory(1).reader, mixed))
    assert "1 of 11 images have no label" in caplog.text


@every_way
def test_images_of_different_sizes_name_both(
    in_memory: MakeDataset, make_loader: MakeLoader, way: dict[str, Any]
) -> None:
    odd = Instance("odd", np.zeros((5, 6, 3), dtype=np.uint8), label="cat")
    dataset = Dataset(in_memory(1).reader, [*in_memory(2), odd])
    with pytest.raises(DataError, match="000 is 4x4, odd is 6x5"):
        list(make_loader(dataset, shuffle=False, **way).batches(0))


class Fails(ImageTransform):
    """A user's transform with a bug."""

    @overrides
    def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
        raise IndexError("out of bounds")


@every_way
def test_a_bug_in_a_transform_comes_up_with_the_name_of_the_item(
    in_memory: MakeDataset, make_loader: MakeLoader, way: dict[str, Any]
) -> None:
    reader = type(in_memory(1).reader)([Fails()])
    loader = make_loader(in_memory(11, reader), shuffle=False, **way)
    with pytest.raises(IndexError, match="out of bounds") as caught:
        list(loader.batches(0))
    told = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert "item '000'" in "\n".join(told)


# -- Configs ----------------------------------------------------------------------------------


# -- Shares of classes ------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["in_memory", "on_disk"])
def test_a_rare_image_comes_often_and_augmented_anew(
    source: str, request: pytest.FixtureRequest, make_loader: MakeLoader
) -> None:
    whole = request.getfixturevalue(source)(13)
    dataset = Dataset(whole.reader, list(whole)[5:])  # one cat, seven dogs
    options = {"class_sampling": "balanced", "seed": 3}
    epochs = {
        name: [contents(loader, epoch) for epoch in (0, 1)]
        for name, way in WAYS.items()
        for loader in [make_loader(dataset, **way, **options)]
    }
    for name in WAYS:
        assert epochs[name] == epochs["on demand"], name
    loader = make_loader(dataset, **options)
    assert contents(loader, 1, start=2) == epochs["threads"][1][2:]
    cats = [
        _bytes(image)
        for epoch in (0, 1)
        for batch in loader.batches(epoch)
        for image, label in zip(batch.tensors["image"], batch.tensors["label"], strict=True)
        if label == VOCAB.get_token_index("cat")
    ]
    assert len(cats) == len(set(cats)) == 8


def test_a_transform_of_the_users_own_sees_each_repeat(on_disk: MakeDataset) -> None:
    whole = on_disk(13, reader=ListedReader([GlobalSpeckle()]), broken=[6])
    dataset = Dataset(whole.reader, list(whole)[5:])
    dataset.reader.max_unreadable = 1.0
    loader = MultiprocessDataLoader(dataset, VOCAB, batch_size=8, class_sampling="balanced")
    (batch,) = loader.batches(0)
    images = [_bytes(image) for image in batch.tensors["image"]]
    assert batch.ids.count("005.png") == 4 and len(set(images)) == len(images)


def test_data_that_measures_is_never_sampled(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(
        in_memory(11), VOCAB, class_sampling="balanced", evaluating=True
    )
    assert ids(loader) == [f"{index:03d}" for index in range(11)]


def test_sampling_in_order_is_a_fault(in_memory: MakeDataset) -> None:
    with pytest.raises(ConfigurationError, match=r"class_sampling: .*; set shuffle to true"):
        MultiprocessDataLoader(in_memory(11), VOCAB, class_sampling="balanced", shuffle=False)
