"""Outputs from a store: the same as without, and no image of one content is encoded twice."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.encoded_images import note_encoded
from PIL import Image

from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.dataset_readers.vectors import VectorReader
from allencv_al.data.instance import Instance
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.predictors import Predictor
from allencv_al.selection import PoolOutputs, ScoringOptions, compute_outputs
from allencv_al.selection.pool.embedding_store import EmbeddingStore, StoredRows
from allencv_al.selection.pool.stored_outputs import content_key

Make = Callable[..., Predictor]

ALL = {"logits", "embeddings"}
DROPOUT = {"model.dropout": 0.5}


@pytest.fixture
def options(tmp_path: Path) -> ScoringOptions:
    return ScoringOptions(
        batch_size=3,
        block_size=4,
        mc_samples=3,
        description=None,
        precision="fp32",
        store=EmbeddingStore(tmp_path / "store"),
    )


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the sizes of the batches that are encoded."""
    return note_encoded(monkeypatch)


def same(one: PoolOutputs, other: PoolOutputs, exact: bool = False) -> None:
    assert list(one.ids) == list(other.ids)
    assert dict(one.unreadable) == dict(other.unreadable)
    for name in ("logits", "mc_logits", "embeddings"):
        mine, yours = getattr(one, name), getattr(other, name)
        assert (mine is None) == (yours is None), name
        if mine is not None:
            assert mine.dtype == np.float32
            tolerance = 0.0 if exact else 1e-5
            np.testing.assert_allclose(mine, yours, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("needs", [{"logits"}, ALL, {"embeddings"}], ids=["logits", "all", "rows"])
def test_outputs_are_those_without_a_store(
    make: Make, dataset: Dataset, options: ScoringOptions, needs: set[str]
) -> None:
    plain = compute_outputs(make(), dataset, needs, options=replace(options, store=None))
    first = compute_outputs(make(), dataset, needs, options=options)
    same(first, plain)
    again = compute_outputs(make(), dataset[::-1], needs, options=options)
    same(again, first.take(np.arange(len(dataset))[::-1]), exact=True)
    assert again.cost is not None
    assert (again.cost.encoded, again.cost.known) == (0, len(dataset))


def test_a_batch_that_does_not_fit_the_memory_is_encoded_in_halves(
    make: Make, dataset: Dataset, options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute_outputs(make(), dataset, ALL, options=replace(options, store=None))
    embed, sizes = BasicImageClassifier.embed, list[int]()

    def small_memory(self: BasicImageClassifier, image: torch.Tensor) -> torch.Tensor:
        sizes.append(len(image))
        if len(image) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(self, image)

    # Of the class: what encodes is a copy of the model
    monkeypatch.setattr(BasicImageClassifier, "embed", small_memory)
    same(compute_outputs(make(), dataset, ALL, options=replace(options, batch_size=8)), expected)
    assert [size for size in sizes if size > 1] == [len(dataset), len(dataset) // 2]


def test_an_ensemble_is_looked_up_model_by_model(
    make: Make, dataset: Dataset, options: ScoringOptions, encoded: list[int]
) -> None:
    members = [make(), make(seed=1)]
    needs = {"logits", "mc_logits", "embeddings"}
    plain = compute_outputs(members, dataset, needs, options=replace(options, store=None))
    same(compute_outputs(members, dataset, needs, options=options), plain)
    encoded.clear()
    same(
        compute_outputs(members[::-1], dataset, {"mc_logits"}, options=options).take([0]),
        PoolOutputs([dataset[0].id], logits=None, mc_logits=plain.mc_logits[:1, ::-1]),
    )
    assert encoded == []


def test_only_new_content_is_encoded(
    make: Make, dataset: Dataset, options: ScoringOptions, encoded: list[int], tmp_path: Path
) -> None:
    compute_outputs(make(), dataset[:4], ALL, options=options)
    encoded.clear()
    found = compute_outputs(make(), dataset, ALL, options=options)
    assert sum(encoded) == 3
    same(found, compute_outputs(make(), dataset, ALL, options=replace(options, store=None)))
    moved = tmp_path / "moved"
    moved.mkdir()
    names = [Path(shutil.copy(str(one.image), moved / f"{n}.png")) for n, one in enumerate(dataset)]
    encoded.clear()
    copied = compute_outputs(make(), [str(name) for name in names], ALL, options=options)
    assert encoded == []
    np.testing.assert_array_equal(copied.logits, found.logits)


def test_equal_images_are_encoded_once(
    make: Make, dataset: Dataset, options: ScoringOptions, encoded: list[int]
) -> None:
    twins = [*dataset[:2], Instance("twin of 1", dataset[1].image), *dataset[2:4]]
    found = compute_outputs(make(), twins, {"embeddings"}, options=options)
    assert sum(encoded) == 4
    assert found.embeddings is not None
    np.testing.assert_array_equal(found.embeddings[1], found.embeddings[2])
    assert found.cost is not None and (found.cost.encoded, found.cost.known) == (4, 1)


def test_a_changed_image_is_encoded_again(
    make: Make, dataset: Dataset, options: ScoringOptions, encoded: list[int]
) -> None:
    compute_outputs(make(), dataset, ALL, options=options)
    path = Path(str(dataset[2].image))
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    encoded.clear()
    found = compute_outputs(make(), dataset, ALL, options=options)
    assert encoded == [1]
    same(found, compute_outputs(make(), dataset, ALL, options=replace(options, store=None)))


def test_what_cannot_be_read_is_reported_each_time(
    make: Make, dataset: Dataset, options: ScoringOptions, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    images = [dataset[0], Instance("bad", bad), Instance("gone", tmp_path / "gone"), dataset[1]]
    plain = compute_outputs(make(), images, ALL, options=replace(options, store=None))
    for _ in range(2):
        same(compute_outputs(make(), images, ALL, options=options), plain)
    only = compute_outputs(make(), images[1:3], ALL, options=options)
    assert len(only) == 0 and set(only.unreadable) == {"bad", "gone"}
    assert len(compute_outputs(make(), [], ALL, options=options)) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "bf16"},
        {"seed": 1},
        {"overrides": {"validation_dataset_reader.augmentation.1.max_pixel_value": 9.0}},
    ],
    ids=str,
)
def test_other_weights_transforms_and_formats_have_rows_of_their_own(
    make: Make, dataset: Dataset, options: ScoringOptions, change: dict[str, Any]
) -> None:
    compute_outputs(make(), dataset, ALL, options=options)
    other = replace(options, precision=change.get("precision", "fp32"))
    predictor = make(change.get("overrides"), seed=change.get("seed", 0))
    found = compute_outputs(predictor, dataset, ALL, options=other)
    assert found.cost is not None and found.cost.encoded == len(dataset)
    same(found, compute_outputs(predictor, dataset, ALL, options=replace(other, store=None)))


def test_members_of_dropout_follow_where_the_encoder_is_fixed(
    make: Make, dataset: Dataset, options: ScoringOptions
) -> None:
    for frozen in (True, False):
        predictor = make(DROPOUT)
        if frozen:
            predictor.model.embedding_is_fixed = lambda: True  # type: ignore[method-assign]
        plain = replace(options, store=None)
        expected = compute_outputs(predictor, dataset, {"mc_logits"}, options=plain)
        found = compute_outputs(predictor, dataset, {"mc_logits"}, options=options)
        same(found, expected)
        assert (found.cost is not None) == frozen


def test_random_transforms_are_drawn_by_the_id(
    make: Make, dataset: Dataset, options: ScoringOptions
) -> None:
    key = "validation_dataset_reader.augmentation"
    predictor = make(
        {key: [{"type": "resize", "height": 8, "width": 8}, {"type": "flip", "p": 0.5}]}
    )
    images = [Instance(f"copy {number}", dataset[0].image) for number in range(8)]
    plain = compute_outputs(predictor, images, ALL, options=replace(options, store=None))
    assert plain.embeddings is not None and len(np.unique(plain.embeddings, axis=0)) > 1
    for _ in range(2):
        same(compute_outputs(predictor, images, ALL, options=options), plain)


def test_a_damaged_block_is_encoded_again(
    make: Make, dataset: Dataset, options: ScoringOptions, encoded: list[int]
) -> None:
    first = compute_outputs(make(), dataset, ALL, options=options)
    assert options.store is not None
    paths = sorted(options.store.folder.rglob("*.embeddings"))
    content = paths[0].read_bytes()
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
        paths[0].write_bytes(damaged)
        encoded.clear()
        same(compute_outputs(make(), dataset, ALL, options=options), first)
        assert 0 < sum(encoded) < len(dataset)
        paths = sorted(options.store.folder.rglob("*.embeddings"))
        content = paths[0].read_bytes()
    for path in paths:
        path.write_bytes(path.read_bytes()[:-1])
    same(compute_outputs(make(), dataset, ALL, options=options), first)


def test_a_full_disk_costs_a_warning_and_no_result(
    make: Make,
    dataset: Dataset,
    options: ScoringOptions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "the store")

    monkeypatch.setattr(StoredRows, "append", full)
    found = compute_outputs(make(), dataset, ALL, options=options)
    same(found, compute_outputs(make(), dataset, ALL, options=replace(options, store=None)))
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 1 and "the store: No space left on device" in warned[0]


def test_a_killed_call_encodes_nothing_twice(
    make: Make, dataset: Dataset, options: ScoringOptions, encoded: list[int]
) -> None:
    class Killed(BaseException):
        pass

    small = replace(options, batch_size=1, block_size=2)
    predictor = make()
    embed, left = predictor.model.embed, [5]

    def stopping(image: torch.Tensor) -> torch.Tensor:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return embed(image)

    predictor.model.embed = stopping  # type: ignore[method-assign]
    with pytest.raises(Killed):
        compute_outputs(predictor, dataset, ALL, options=small)
    encoded.clear()
    found = compute_outputs(make(), dataset, ALL, options=small)
    assert sum(encoded) == 3, "of 7 images, 4 were in finished blocks"
    same(found, compute_outputs(make(), dataset, ALL, options=replace(small, store=None)))


def test_results_over_the_memory_limit_are_in_files(
    make: Make, dataset: Dataset, options: ScoringOptions
) -> None:
    expected = compute_outputs(make(), dataset, ALL, options=options)
    small = replace(options, memory_limit_mb=1e-6)
    for images in (dataset, dataset[::-1]):
        found = compute_outputs(make(), images, ALL, options=small)
        same(found.rows(expected.ids), expected, exact=True)
        assert isinstance(found.embeddings, np.memmap)


def test_the_key_of_a_picture_in_memory_hangs_on_its_content_not_on_its_address() -> None:
    one, other = (Instance("a", Image.new("RGB", (3, 3))) for _ in range(2))
    reader = VectorReader(dimension=3)
    assert content_key(one, b"digest", reader) == content_key(other, b"digest", reader)
    elsewhere = Instance("a", Path("elsewhere.png"))
    assert content_key(elsewhere, b"digest", reader) != content_key(one, b"digest", reader)
