"""What every predictor does: from archives, for one image and for many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.common.errors import ConfigurationError, DataError, ImageDecodeError
from allencv_al.data.image_io import load_image
from allencv_al.models.archive import Archive
from allencv_al.predictors import ImagePredictor, Predictor


def expected_logits(archive: Archive, file: Path) -> list[float]:
    """The straight way: decode, transform, normalize, model; one image at a time."""
    image = archive.validation_dataset_reader.augmentation[0](load_image(file))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = (image / 255 - mean) / std
    tensor = torch.tensor(normalized, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():
        row: list[float] = archive.model(image=tensor)["logits"][0].tolist()
    return row


def test_from_path_is_from_archive(tiny_run: Path, files: list[Path], predictor: Predictor) -> None:
    loaded = Predictor.from_path(tiny_run, "default_image")
    assert isinstance(loaded, ImagePredictor)
    assert loaded.predict(files[0]) == predictor.predict(files[0])


def test_the_transforms_of_validation_are_used_unless_asked(archive: Archive) -> None:
    assert len(Predictor.from_archive(archive).dataset_reader.augmentation) == 2
    training = Predictor.from_archive(archive, dataset_reader_to_load="train")
    assert training.dataset_reader is archive.dataset_reader


def test_random_transforms_give_the_same_each_time(archive: Archive, files: list[Path]) -> None:
    training = Predictor.from_archive(archive, dataset_reader_to_load="train")
    first = training.predict_logits(files)
    assert np.allclose(training.predict_logits(files, batch_size=2), first, atol=1e-5)


def test_a_wrong_reader_name_is_an_error(archive: Archive) -> None:
    with pytest.raises(ConfigurationError, match="dataset_reader_to_load"):
        Predictor.from_archive(archive, dataset_reader_to_load="test")  # type: ignore[arg-type]


def test_an_unknown_predictor_gets_a_suggestion(archive: Archive) -> None:
    with pytest.raises(ConfigurationError, match="default_image"):
        Predictor.from_archive(archive, "defualt_image")


def test_extra_arguments_reach_the_predictor(archive: Archive) -> None:
    predictor = Predictor.from_archive(archive, extra_args={"num_threads": 1})
    assert predictor.num_threads == 1
    with pytest.raises(ConfigurationError, match="num_thraeds"):
        Predictor.from_archive(archive, extra_args={"num_thraeds": 1})
    with pytest.raises(ConfigurationError, match="num_threads"):
        Predictor.from_archive(archive, extra_args={"num_threads": 0})


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_logits_of_many_images_are_those_of_each(
    archive: Archive, files: list[Path], batch_size: int, num_threads: int
) -> None:
    predictor = Predictor.from_archive(archive, extra_args={"num_threads": num_threads})
    logits = predictor.predict_logits(iter(files), batch_size=batch_size)
    assert logits.shape == (7, 3)
    assert logits.dtype == np.float32
    for row, file in zip(logits, files, strict=True):
        assert row.tolist() == pytest.approx(expected_logits(archive, file), abs=1e-5)


def test_embeddings_are_what_the_last_layer_sees(
    archive: Archive, predictor: Predictor, files: list[Path]
) -> None:
    vectors = predictor.embed(files, batch_size=3)
    assert vectors.shape == (7, 64)
    assert vectors.dtype == np.float32
    layer = archive.model.get_submodule("_classification_layer")
    with torch.no_grad():
        logits = layer(torch.from_numpy(vectors)).numpy()
    assert np.allclose(logits, predictor.predict_logits(files), atol=1e-5)


def test_no_images_give_no_rows(predictor: Predictor) -> None:
    assert predictor.predict_logits([]).shape == (0, 3)
    assert len(predictor.embed([])) == 0
    assert predictor.predict_batch_json([]) == []


def test_a_dataset_is_a_series_of_images(predictor: Predictor, pictures: Path) -> None:
    dataset = predictor.dataset_reader.read(pictures)
    paths = [instance.image for instance in dataset]
    logits = predictor.predict_logits(dataset)
    assert np.array_equal(logits, predictor.predict_logits(paths))  # type: ignore[arg-type]


def test_several_requests_keep_their_order(predictor: Predictor, files: list[Path]) -> None:
    requests = [{"image_path": str(file)} for file in reversed(files)]
    answers = predictor.predict_batch_json(requests)
    for answer, request in zip(answers, requests, strict=True):
        alone = predictor.predict_json(request)
        assert answer["class"] == alone["class"]
        assert answer["logits"] == pytest.approx(alone["logits"], abs=1e-5)


def test_a_wrong_request_among_several_is_numbered(predictor: Predictor, files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"input 1: .*found the keys \['wrong'\]"):
        predictor.predict_batch_json([{"image_path": str(files[0])}, {"wrong": 1}])


def test_an_unreadable_image_is_an_error_that_names_it(
    predictor: Predictor, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    for call in (predictor.predict_logits, predictor.embed):
        with pytest.raises(ImageDecodeError, match=r"broken\.jpg"):
            call([files[0], tmp_path / "broken.jpg"])
    with pytest.raises(ImageDecodeError, match=r"broken\.jpg"):
        predictor.predict(tmp_path / "broken.jpg")


def test_outcomes_go_on_behind_what_fails_and_keep_the_order(
    predictor: Predictor, files: list[Path]
) -> None:
    inputs: list[Any] = [
        files[0],
        Path("absent.png"),
        {"image_path": str(files[1])},
        {"image_path": 3},
        DataError("the source broke"),
        *files[2:],
    ]
    outcomes = list(predictor.outcomes(inputs, batch_size=2))
    assert [outcome.index for outcome in outcomes] == list(range(10))
    failed = {o.index: str(o.error) for o in outcomes if o.error is not None}
    assert set(failed) == {1, 3, 4}
    assert "absent.png" in failed[1]
    assert failed[4] == "the source broke"
    assert outcomes[1].id == "absent.png"
    assert outcomes[3].id is None
    good = [o.unwrap()["logits"] for o in outcomes if o.error is None]
    assert np.allclose(good, predictor.predict_logits(files), atol=1e-5)


def test_iterate_gives_vectors_and_errors(predictor: Predictor, files: list[Path]) -> None:
    outcomes = list(predictor.iterate([files[0], Path("absent.png")], "embeddings"))
    assert outcomes[0].unwrap().shape == (64,)
    with pytest.raises(ImageDecodeError):
        outcomes[1].unwrap()
    with pytest.raises(ConfigurationError, match="expected logits or embeddings"):
        predictor.iterate([], "probs")  # type: ignore[arg-type]


def test_a_predictor_of_ones_own_takes_part_by_a_decorator(
    archive: Archive, files: list[Path]
) -> None:
    @Predictor.register("by_number")
    class ByNumber(Predictor):
        def _json_to_instance(self, request: Any) -> Any:
            return self.dataset_reader.image_to_instance(files[request["number"]])

    predictor = Predictor.from_archive(archive, "by_number")
    expected = Predictor.from_archive(archive).predict(files[2])
    assert predictor.predict({"number": 2}) == expected


@pytest.mark.parametrize("container", [list, tuple, iter])
def test_predict_takes_one_image(predictor: Predictor, container: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"one image, found a .*iterate or outcomes"):
        predictor.predict(container(["a.jpg"]))


def test_the_two_halves_give_what_predict_gives(predictor: Predictor, files: list[Path]) -> None:
    inputs = [files[0], {"image": "no numbers"}, files[1].read_bytes(), b"no picture"]
    outcomes = predictor.predict_decoded([predictor.decode(item) for item in inputs])
    assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3]
    for place in (0, 2):
        expected = predictor.predict(inputs[place])
        assert outcomes[place].unwrap()["class"] == expected["class"]
        assert outcomes[place].unwrap()["logits"] == pytest.approx(expected["logits"], abs=1e-6)
    assert isinstance(outcomes[1].error, DataError)
    assert isinstance(outcomes[3].error, ImageDecodeError)
    assert predictor.predict_decoded([]) == []


def test_the_seed_s_three_ways_give_one_answer(archive: Archive, files: list[Path]) -> None:
    request = {"image_path": str(files[0])}
    by_name = Predictor.from_archive(archive, "default_image").predict(request)
    by_hand = ImagePredictor(archive.model, archive.validation_dataset_reader).predict(request)
    assert by_name == by_hand
    assert by_name["logits"] == pytest.approx(expected_logits(archive, files[0]), abs=1e-5)
