from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.common.config.params import Params
from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.data.dataset_readers.vectors import VectorReader, VectorsOfImages
from allencv_al.data.vector_files import read_vectors
from allencv_al.models.archive import load_archive
from allencv_al.predictors.predictor import Predictor
from allencv_al.training.training_run import train

CLASSES = ("ant", "bee")


def write(path: Path, count: int, dimension: int = 6) -> Path:
    """Write vectors of two classes whose means are apart."""
    labels = np.arange(count) % 2
    vectors = np.random.default_rng(count).normal(size=(count, dimension)) + 4 * labels[:, None]
    ids = [f"{path.stem}/{number}.png" for number in range(count)]
    np.savez(path, embeddings=vectors, ids=ids, labels=np.array(CLASSES)[labels])
    return path


def test_each_vector_is_an_image_of_one_pixel(tmp_path: Path) -> None:
    reader = VectorReader(dimension=6)
    dataset = reader.read(write(tmp_path / "v.npz", 5))
    assert dataset.labels() == ["ant", "bee", "ant", "bee", "ant"]
    sample = reader.load(dataset[3], seed=0)
    expected = read_vectors(tmp_path / "v.npz").vectors[3]
    assert np.array_equal(sample.image, expected.reshape(1, 1, 6))
    assert reader.image_shape() == (6, 1, 1)


def test_images_can_be_shown_where_their_folder_is_known(tmp_path: Path) -> None:
    reader = VectorReader(dimension=6, image_folder=tmp_path)
    dataset = reader.read(write(tmp_path / "v.npz", 2))
    assert dataset[1].image == tmp_path / "v/1.png"
    assert reader.load(dataset[1], seed=0).image.shape == (1, 1, 6)


def test_another_length_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"vectors of 7 numbers.* found 6"):
        VectorReader(dimension=7).read(write(tmp_path / "v.npz", 2))


def test_an_id_may_occur_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", embeddings=np.ones((2, 3)), ids=["a", "a"])
    with pytest.raises(DataError, match='the id "a" occurs 2 times'):
        VectorReader(dimension=3).read(tmp_path / "v.npz")


def test_an_image_is_no_vector() -> None:
    reader = VectorReader(dimension=3)
    with pytest.raises(ImageDecodeError, match="expected a vector of 3 numbers"):
        reader.decode(reader.make_instance(np.zeros((4, 4, 3), np.uint8)))


def test_images_of_a_folder_have_the_vectors_of_their_ids(tmp_path: Path) -> None:
    table = read_vectors(write(tmp_path / "v.npz", 3))
    reader = VectorsOfImages(table)
    instance = reader.make_instance(tmp_path / "x.png", id="v/2.png")
    assert np.array_equal(reader.load(instance, 0).image[0, 0], table.vectors[2])
    with pytest.raises(ImageDecodeError, match="none of this id"):
        reader.decode(reader.make_instance(tmp_path / "x.png", id="w/2.png"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    config: dict[str, Any] = {
        "dataset_reader": {"type": "vectors", "dimension": 6},
        "train_data_path": str(write(folder / "train.npz", 41)),
        "validation_data_path": str(write(folder / "validation.npz", 20)),
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "pool", "input_channels": 6},
        },
        "trainer": {"type": "logistic_regression"},
    }
    metrics = train(Params(config), folder / "run")
    assert metrics["best_validation_accuracy"] == 1.0
    return folder


def test_a_classifier_learns_from_vectors_and_predicts_for_others(run: Path) -> None:
    predictor = Predictor.from_archive(load_archive(run / "run"))
    table = read_vectors(write(run / "new.npz", 9))
    logits = predictor.predict_logits(predictor.dataset_reader.read(run / "new.npz"))
    assert [CLASSES[index] for index in logits.argmax(axis=1)] == list(table.labels)
    embeddings = predictor.embed(predictor.dataset_reader.read(run / "new.npz"))
    assert np.allclose(embeddings, table.vectors, atol=1e-6)
