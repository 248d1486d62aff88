"""Pools into stores: a shard is the same, by any process and after any number of attempts."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import ConfigurationFaults, DataError
from allencv_al.common.task_processes import Lost
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.instance import Instance
from allencv_al.data.vector_files import read_vectors
from allencv_al.data.vector_shards import ShardContent, ShardStore, claim_path, shard_folder
from allencv_al.models.archive import load_archive
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection import pool_encoding
from allencv_al.selection.cold_start import embedding_predictor
from allencv_al.selection.pool.pool_scorer import ScoringOptions
from allencv_al.selection.pool.scoring import compute_outputs
from allencv_al.selection.pool_encoding import Encoded, VectorSource, encode_pool


@pytest.fixture
def pool(tmp_path: Path) -> list[Instance]:
    """Eleven different images, of which the third cannot be read."""
    generator = np.random.default_rng(1)
    (tmp_path / "pool").mkdir()
    for number in range(11):
        pixels = generator.integers(0, 256, (8 + number, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pool" / f"{number:02d}.png")
    (tmp_path / "pool" / "02.png").write_text("no image")
    reader = ImageClassificationDirectory(unlabeled="always")
    return list(reader.read(tmp_path / "pool"))


@pytest.fixture
def source(tiny_run: Path) -> VectorSource:
    return VectorSource(archive=tiny_run, precision="fp32", batch_size=2)


def test_a_store_has_what_the_model_computes(
    pool: list[Instance], source: VectorSource, tmp_path: Path
) -> None:
    assert source.archive is not None
    store = tmp_path / "store"
    assert encode_pool(pool, store, source, shard_size=4) == Encoded(11, 1)
    predictor = Predictor.from_archive(load_archive(source.archive))
    options = ScoringOptions(precision="fp32")
    expected = compute_outputs(predictor, pool, {"embeddings", "logits"}, None, options)
    found = ShardStore(store)
    assert [id for id, _ in found.items()] == list(expected.ids)
    for name in ("embeddings", "logits"):
        wanted = getattr(expected, name)
        assert np.allclose(np.asarray(found.rows(name)), wanted, rtol=1e-3, atol=1e-4)
    assert found.unreadable() == dict(expected.unreadable)
    classes = predictor.model.vocab.get_index_to_token_vocabulary()
    assert list(found.manifest.classes) == list(classes.values())


def test_a_run_that_ended_early_goes_on_with_the_shards_that_are_not_there(
    pool: list[Instance],
    source: VectorSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "store"
    whole = tmp_path / "whole"
    encode_pool(pool, whole, source, shard_size=4)
    contents = pool_encoding.ShardWork._content

    def killed(self: object, shard: pool_encoding.Shard, tell: object) -> ShardContent:
        if shard.number == 1:
            raise KeyboardInterrupt
        return contents(self, shard, tell)  # type: ignore[arg-type]

    monkeypatch.setattr(pool_encoding.ShardWork, "_content", killed)
    with pytest.raises(KeyboardInterrupt):
        encode_pool(pool, store, source, shard_size=4)
    monkeypatch.undo()
    assert encode_pool(pool, store, source, shard_size=4) == Encoded(7, 0)
    assert encode_pool(pool, store, source, shard_size=4) == Encoded(0, 0)
    for file in sorted((whole / "shards").rglob("*.*")):
        assert (store / file.relative_to(whole)).read_bytes() == file.read_bytes()
    assert not list((store / "claims").iterdir())


def test_a_shard_of_another_process_is_waited_for(
    pool: list[Instance], source: VectorSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    encode_pool(pool, store, source, shard_size=4)
    first = shard_folder(store, 0)
    first.rename(tmp_path / "of another machine")
    claim_path(store, 0).write_text("another-machine 1 token")

    def sleep(seconds: float) -> None:
        (tmp_path / "of another machine").rename(first)

    monkeypatch.setattr("allencv_al.data.vector_shards.time.sleep", sleep)
    assert encode_pool(pool, store, source, shard_size=4) == Encoded(0, 0)
    assert len(ShardStore(store).hashes) == 10


def test_a_store_of_other_things_is_not_continued(
    pool: list[Instance], source: VectorSource, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    encode_pool(pool, store, source, shard_size=4)
    other = VectorSource(encoder="offline", image_size=32)
    with pytest.raises(ConfigurationFaults) as caught:
        encode_pool(pool[1:], store, other, shard_size=5)
    assert [fault.path for fault in caught.value.faults] == ["encoder", "pool", "shard_size"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other things"):
        encode_pool(pool, tmp_path / "full", source)


def test_shards_that_cannot_be_encoded_are_named_and_the_others_are(
    pool: list[Instance],
    source: VectorSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ended(shards: list[pool_encoding.Shard], *_: object) -> object:
        yield shards[0], Encoded(4, 1)
        yield shards[1], Lost("its process ended (exit code -11) in 3 attempts")
        yield shards[2], Encoded(problem="no space left on device")

    monkeypatch.setattr(pool_encoding, "run_in_processes", ended)
    with pytest.raises(DataError) as caught:
        encode_pool(pool, tmp_path / "store", source, workers=2, shard_size=4)
    message = str(caught.value)
    assert "shard 1 (images 4 to 8): its process ended (exit code -11) in 3 attempts" in message
    assert "shard 2 (images 8 to 11): no space left on device" in message
    assert "the same command tries these again" in message


def test_vectors_of_a_store_are_outputs_as_they_are(
    pool: list[Instance], source: VectorSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In any order of the pool, in float16, with the causes of those that cannot be read."""
    store = tmp_path / "store"
    encode_pool(pool, store, source, shard_size=4)
    caplog.set_level(logging.WARNING)
    predictor = embedding_predictor(str(store))
    asked = [*reversed(pool), Instance("new.png", "new.png")]
    outputs = compute_outputs(predictor, asked, {"embeddings"})
    assert outputs.embeddings is not None
    assert outputs.embeddings.dtype == np.float16
    assert outputs.ids == [item.id for item in asked if item.id not in ("02.png", "new.png")]
    rows = np.asarray(read_vectors(store).vectors)
    assert np.array_equal(np.asarray(outputs.embeddings), rows[::-1])
    assert "it is none of the known formats" in outputs.unreadable["02.png"]
    assert "has none of this id" in outputs.unreadable["new.png"]
