"""Images nearest to a text: equal to what open_clip's own vectors say, and loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.common.errors import ConfigurationError, WeightsError
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.selection.cold_start import text_source
from allencv_al.selection.page_groups import GroupRequest, PageGroups
from allencv_al.selection.text_search import TextSearch

TEXTS = ("a dog on a beach", "zebra", "Ein Käfer auf Moos")
COUNT = 30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelingStore]:
    """A labeling of thirty images without vectors."""
    with LabelingStore(tmp_path / LABELING_NAME) as opened:
        opened.classes.add(["cat", "dog"], "owner")
        names = [f"{number:02d}.png" for number in range(COUNT)]
        Image.new("RGB", (8, 8)).save(tmp_path / "00.png")
        opened.items.open_batch([NewItem(name, tmp_path / name) for name in names])
        yield opened


class Clip:
    """A small image-text model in a folder, and its vectors by open_clip itself."""

    def __init__(self, folder: Path) -> None:
        open_clip: Any = pytest.importorskip("open_clip")
        from fixtures.tiny_clip import SIZE, write_tiny_clip

        folder.mkdir()
        self.folder = write_tiny_clip(folder)
        self._network = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
        self._network.eval()
        self._tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(COUNT, 3, SIZE, SIZE, generator=generator)
        with torch.no_grad():
            self.images: np.ndarray = self._network.encode_image(images).numpy()

    def text(self, text: str) -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = self._network.encode_text(self._tokenizer([text])).numpy()[0]
        return found


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return Clip(tmp_path / "clip")


def add_vectors(store: LabelingStore, clip: Clip) -> None:
    ids = [f"{number:02d}.png" for number in range(COUNT)]
    store.vectors.add("fingerprint", ids, clip.images)
    source = text_source(f"open_clip:{clip.folder}")
    assert source is not None
    store.vectors.keep_text_model("fingerprint", source)


@pytest.mark.slow
def test_the_order_is_that_of_the_models_own_vectors(store: LabelingStore, clip: Clip) -> None:
    add_vectors(store, clip)
    search, groups = TextSearch(store), PageGroups(store)
    assert search.is_offered() and "text" in groups.kinds()
    centered = clip.images - clip.images.mean(axis=0)
    lengths = np.linalg.norm(centered, axis=1)
    for text in TEXTS:
        expected = centered @ clip.text(text) / lengths  # all 12 axes are kept
        expected /= np.linalg.norm(clip.text(text))
        found = search.cosines(text)
        assert np.abs(found - expected).max() < 5e-3  # vectors are kept in half precision
        page = groups.group("Ann", GroupRequest(6, "text", text))
        names = {item.id for item, _ in page.items}
        nearest = [f"{number:02d}.png" for number in np.argsort(-found)[:6]]
        assert page.by == "text" and names == set(nearest)
        for item, _ in page.items:
            store.leases.take("Ann", [], 0, give_back=[item.item])


@pytest.mark.slow
def test_the_model_is_loaded_by_the_first_search_and_once(
    store: LabelingStore, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allencv_al.modules.im2vec_encoders.open_clip_vectors import TextEncoder

    add_vectors(store, clip)
    loaded, made = [], TextEncoder.from_json
    monkeypatch.setattr(
        TextEncoder, "from_json", lambda source: loaded.append(source) or made(source)
    )
    search = TextSearch(store)
    assert not loaded
    first = search.cosines(TEXTS[0])
    for text in (*TEXTS, *TEXTS):
        search.cosines(text)
    assert len(loaded) == 1 and (search.cosines(TEXTS[0]) == first).all()


@pytest.mark.slow
def test_faults_of_a_search_are_named(store: LabelingStore, clip: Clip) -> None:
    add_vectors(store, clip)
    with pytest.raises(ConfigurationError, match="tokens, and the model reads 24"):
        TextSearch(store).cosines("word " * 50)
    (clip.folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(WeightsError, match="clip"):
        TextSearch(store).cosines("dog")


def test_it_is_offered_only_where_texts_and_images_are_of_one_model(
    store: LabelingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offered() -> bool:
        return TextSearch(store).is_offered()

    monkeypatch.setattr("allencv_al.selection.text_search.find_spec", lambda name: object())
    assert not offered()
    store.vectors.keep_text_model("a", "{}")
    assert not offered(), "no vectors"
    rows = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    store.vectors.add("b", ["00.png", "01.png"], rows)
    assert not offered(), "of another model"
    store.vectors.add("a", ["00.png", "01.png"], rows)
    assert offered()
    monkeypatch.setattr("allencv_al.selection.text_search.find_spec", lambda name: None)
    assert not offered() and PageGroups(store).kinds() == ["alike", "order"]
    asked = PageGroups(store).group("Ann", GroupRequest(6, "text", "dog"))
    assert asked.by == "text" and not asked.items


@pytest.mark.parametrize("name", ["offline", "timm:resnet18", "resnet18", "vectors.npz"])
def test_other_encoders_read_no_texts(name: str) -> None:
    assert text_source(name) is None
