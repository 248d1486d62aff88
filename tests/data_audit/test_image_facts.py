"""Facts of images, and how they are kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures.audited_sets import scene
from PIL import Image

from allencv_al.data.instance import Instance
from allencv_al.data_audit import image_facts
from allencv_al.data_audit.image_facts import facts_of_images
from allencv_al.selection.pool.embedding_store import EmbeddingStore


def facts(*images: object) -> image_facts.FoundFacts:
    instances = [Instance(str(place), one) for place, one in enumerate(images)]  # type: ignore[arg-type]
    return facts_of_images(instances, description=None)


def test_sizes_are_those_of_the_file_and_not_of_a_smaller_decoding(tmp_path: Path) -> None:
    scene(0, 1600, 1200).save(tmp_path / "large.jpg")
    found = facts(tmp_path / "large.jpg", np.asarray(scene(1, 30, 20))).facts
    assert found.sizes.tolist() == [[1600, 1200], [30, 20]]


def test_brightness_and_sharpness() -> None:
    black, white = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    board = (np.indices((40, 40)).sum(axis=0) % 2 * 255).astype(np.uint8)
    ramp = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (40, 1))
    found = facts(black, white, board, ramp).facts
    assert found.brightest.tolist() == pytest.approx([0, 1, 1, 1], abs=0.05)
    assert found.darkest.tolist() == pytest.approx([0, 1, 0, 0], abs=0.06)
    assert np.isnan(found.sharpness[:2]).all()
    # A chessboard's Laplacian is eight times its deviation; a ramp has none but rounding
    assert found.sharpness[2] == pytest.approx(8, abs=0.01)
    assert found.sharpness[3] < 0.02


def test_copies_are_means_of_areas() -> None:
    generator = np.random.default_rng(0)
    gray = generator.integers(0, 256, (64, 96), dtype=np.uint8)
    expected = gray.reshape(32, 2, 32, 3).mean(axis=(1, 3))
    assert np.abs(facts(gray).facts.copies[0] - expected).max() <= 1


def test_an_unreadable_image_has_a_cause_and_its_copies_too(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    found = facts(tmp_path / "a.png", np.asarray(scene(0)), tmp_path / "b.png")
    assert found.readable.tolist() == [1]
    assert set(found.unreadable) == {0, 2}
    assert found.contents[0] == found.contents[2]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    measured = image_facts._measured

    def noted(instance: Instance) -> object:
        names.append(instance.id)
        return measured(instance)

    monkeypatch.setattr(image_facts, "_measured", noted)
    return names


def test_a_store_keeps_facts_by_content(tmp_path: Path, decoded: list[str]) -> None:
    store = EmbeddingStore(tmp_path / "store")
    for name in "abc":
        scene(ord(name)).save(tmp_path / f"{name}.png")
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes())
    for file in tmp_path.glob("*.png"):
        os.utime(file, (time.time() - 60,) * 2)
    items = [Instance(name, tmp_path / f"{name}.png") for name in "abcd"]
    first = facts_of_images(items, store, description=None)
    assert sorted(decoded) == ["a", "b", "c"], "equal contents are decoded once"
    again = facts_of_images(items, store, description=None)
    assert len(decoded) == 3
    for name, values in vars(first.facts).items():
        assert np.array_equal(values, getattr(again.facts, name)), name
    assert np.array_equal(first.facts.copies[0], first.facts.copies[3])


def test_a_damaged_block_is_measured_again(tmp_path: Path, decoded: list[str]) -> None:
    store = EmbeddingStore(tmp_path / "store")
    items = [Instance("a", np.asarray(scene(0)))]
    first = facts_of_images(items, store, description=None)
    block = next((tmp_path / "store").rglob("*.embeddings"))
    content = bytearray(block.read_bytes())
    content[-1] ^= 1
    block.write_bytes(content)
    again = facts_of_images(items, store, description=None)
    assert decoded == ["a", "a"]
    assert np.array_equal(first.facts.copies, again.facts.copies)


def test_a_large_photograph_is_like_its_small_copy(tmp_path: Path) -> None:
    large = scene(3, 1200, 900)
    large.save(tmp_path / "large.jpg")
    large.resize((120, 90), Image.Resampling.BOX).save(tmp_path / "small.png")
    found = facts(tmp_path / "large.jpg", tmp_path / "small.png").facts
    one, other = found.copies.reshape(2, -1).astype(float)
    assert np.corrcoef(one, other)[0, 1] > 0.998
