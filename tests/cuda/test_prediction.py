"""Predictors and pool scoring on a GPU: what the CPU says, in batches that fit."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from allencv_al.__main__ import main
from allencv_al.active_learning import ScoringOptions, compute_outputs
from allencv_al.common import ConfigurationError, Params
from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import load_archive
from allencv_al.models.model import Model
from allencv_al.predictors import ImagePredictor
from allencv_al.predictors.outcomes import PredictionError
from allencv_al.selection.cold_start import embedding_predictor
from allencv_al.training.evaluation import evaluate
from allencv_al.training.training_run import train

Make = Callable[..., Any]

# ||on the GPU - on the CPU|| / ||on the CPU||. TF32, which convolutions run in by torch's default,
# has 10 bits behind the point; float32 sums in another order differ by a few last bits.
OF_TF32, OF_FLOAT32 = 2e-3, 1e-5
READER = {"type": "image_classification_directory", "augmentation": [{"type": "normalize"}]}


@pytest.fixture
def full_float32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def images() -> Dataset:
    """Pictures in memory; every seventh is of another size."""
    generator = np.random.default_rng(0)
    sides = [40 if number % 7 == 0 else 32 for number in range(150)]
    pixels = [generator.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in sides]
    instances = [Instance(f"{number}.png", image) for number, image in enumerate(pixels)]
    return Dataset(DatasetReader.from_params(READER), instances)


def predictor(model: Model, device: str) -> ImagePredictor:
    return ImagePredictor(model.to(device).eval(), DatasetReader.from_params(READER))


def distance(found: Any, expected: Any) -> float:
    one, other = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert one.shape == other.shape and np.isfinite(one).all()
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.parametrize("batch_size", [1, 16, 64])
def test_logits_and_embeddings_are_those_of_the_cpu(
    make_model: Make, images: Dataset, batch_size: int, full_float32: None
) -> None:
    here, there = (predictor(make_model(), device) for device in ("cpu", "cuda"))
    for of in ("predict_logits", "embed"):
        found = getattr(there, of)(images, batch_size)
        assert distance(found, getattr(here, of)(images)) < OF_FLOAT32


def test_torch_s_default_of_tf32_stays_within_its_rounding(
    make_model: Make, images: Dataset
) -> None:
    here, there = (predictor(make_model(), device) for device in ("cpu", "cuda"))
    assert distance(there.predict_logits(images), here.predict_logits(images)) < OF_TF32


def test_every_answer_is_that_of_the_cpu(
    make_model: Make, images: Dataset, full_float32: None
) -> None:
    here, there = (predictor(make_model(), device) for device in ("cpu", "cuda"))
    for image in images[:3]:
        one, other = here.predict(image), there.predict(image)
        assert json.loads(json.dumps(other)) == other
        assert list(one) == list(other) and one["class"] == other["class"]
        assert other["logits"] == pytest.approx(one["logits"], abs=1e-4)


@pytest.mark.parametrize("kept", [False, True], ids=["in memory", "in a folder"])
@pytest.mark.parametrize("needs", [("logits", "embeddings"), ("logits", "mc_logits")], ids=str)
def test_scoring_is_that_of_the_cpu(
    make_model: Make,
    images: Dataset,
    tmp_path: Path,
    needs: tuple[str, ...],
    kept: bool,
    full_float32: None,
) -> None:
    options = ScoringOptions(
        batch_size=32, block_size=40, mc_samples=5, description=None, precision="fp32"
    )
    found = {}
    for device in ("cpu", "cuda"):
        folder = tmp_path / device if kept else None
        of = predictor(make_model(), device)
        found[device] = compute_outputs(of, images, needs, folder, options)
    assert found["cuda"].ids == found["cpu"].ids == [image.id for image in images]
    for name in needs:
        one, other = getattr(found["cuda"], name), getattr(found["cpu"], name)
        assert distance(one, other) < OF_FLOAT32


def test_an_ensemble_is_that_of_the_cpu(
    make_model: Make, images: Dataset, full_float32: None
) -> None:
    options = ScoringOptions(description=None, precision="fp32")
    found: dict[str, NDArray[Any]] = {}
    for device in ("cpu", "cuda"):
        members = [predictor(make_model(seed), device) for seed in range(3)]
        outputs = compute_outputs(members, images, {"mc_logits"}, None, options)
        found[device] = np.asarray(outputs.mc_logits)
    assert distance(found["cuda"], found["cpu"]) < OF_FLOAT32


@pytest.mark.parametrize(
    "model", [{"dropout": 0.5}, {"dropout": 0.5, "im2vec_encoder": {"type": "pool"}}], ids=len
)
def test_dropout_members_are_the_same_functions_in_any_batch(
    make_model: Make, images: Dataset, model: dict[str, Any], full_float32: None
) -> None:
    if "im2vec_encoder" in model:  # dropout before the embedding as well
        layer = {
            "type": "feedforward",
            "input_channels": 3,
            "num_layers": 1,
            "hidden_channels": 8,
            "activations": "relu",
            "dropout": 0.5,
        }
        model = {
            "dropout": 0.5,
            "im2im_encoder": layer,
            "im2vec_encoder": {"type": "pool", "input_channels": 8},
        }
    rows: list[NDArray[Any]] = []
    for device, batch_size in (("cpu", 32), ("cuda", 32), ("cuda", 7), ("cuda", 1)):
        torch.manual_seed(batch_size)
        of = predictor(make_model(**model), device)
        options = ScoringOptions(
            batch_size=batch_size, mc_samples=4, description=None, precision="fp32"
        )
        rows.append(np.asarray(compute_outputs(of, images, {"mc_logits"}, None, options).mc_logits))
    assert np.std(rows[0], axis=1).mean() > 0.01, "members differ"
    for other in rows[1:]:
        assert distance(other, rows[0]) < OF_FLOAT32


def test_batches_that_do_not_fit_are_halved_and_the_answers_stay(
    make_model: Make, little_memory: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (96, 224, 224, 3), dtype=np.uint8)
    instances = [Instance(f"{number}.png", image) for number, image in enumerate(pixels)]
    of = predictor(make_model(), "cuda")
    expected = of.predict_logits(instances[:8], 8)
    little_memory(160 << 20)  # an image takes some 1.6 MB in each layer's output
    with caplog.at_level(logging.WARNING):
        found = of.predict_logits(instances, 96)
    assert "out of memory: continuing with batches of 48" in caplog.text
    assert distance(found[:8], expected) < OF_TF32
    assert len(found) == 96 and np.isfinite(found).all()


def test_an_evaluation_that_does_not_fit_is_halved_and_measures_the_same(
    make_model: Make, vocab: Vocabulary, little_memory: Callable[[int], None]
) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (96, 224, 224, 3), dtype=np.uint8)
    items = [Instance(f"{i}.png", image, str(i % 10)) for i, image in enumerate(pixels)]
    dataset = Dataset(DatasetReader.from_params(READER), items)
    options = {"batch_size": 96, "evaluating": True}
    loader = DataLoader.from_params(options, dataset=dataset, vocab=vocab)
    sizes: list[int] = []
    whole = evaluate(make_model(), loader, 0, description=None)
    little_memory(160 << 20)
    found = evaluate(
        make_model(), loader, 0, on_batch=lambda ids, _: sizes.append(len(ids)), description=None
    )
    assert len(sizes) > 1 and sum(sizes) == 96
    assert found["loss"] == pytest.approx(whole["loss"], rel=OF_TF32)


def test_one_image_that_does_not_fit_is_an_error(
    make_model: Make, little_memory: Callable[[int], None]
) -> None:
    of = predictor(make_model(), "cuda")
    image = np.zeros((4096, 4096, 3), np.uint8)
    little_memory(64 << 20)
    with pytest.raises(PredictionError, match="one image does not fit"):
        of.predict_logits([image, image])


def test_the_cold_start_s_embeddings_are_those_of_the_cpu(
    tmp_path: Path, images: Dataset, full_float32: None
) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "weights.pth")
    rows = [
        embedding_predictor(
            "squeezenet1_1", tmp_path / "weights.pth", 96, cuda_device=device
        ).embed([image.image for image in images[:20]])
        for device in (-1, 0)
    ]
    assert distance(rows[1], rows[0]) < OF_FLOAT32 * 10


@pytest.fixture(scope="module")
def run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was trained on the GPU."""
    folder = tmp_path_factory.mktemp("run") / "run"
    config = {
        "dataset_reader": READER,
        "train_data_path": str(digits / "train"),
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "pool", "input_channels": 3},
        },
        "data_loader": {"batch_size": 64},
        "trainer": {"num_epochs": 1, "cuda_device": "auto"},
    }
    train(Params(config), folder)
    return folder


@pytest.mark.parametrize("number", [-2, 64])
def test_a_gpu_that_is_not_there_is_one_message(
    run: Path, digits: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    count = torch.cuda.device_count()
    message = f"GPU 64 was asked for, but torch finds {count} GPU(s) here; use -1 for the CPU"
    if number == 64:
        with pytest.raises(ConfigurationError) as refused:
            load_archive(run, cuda_device=number)
        assert message in str(refused.value)
    command = ["predict", str(run), str(digits / "test" / "0"), f"--cuda-device={number}"]
    try:
        code = main(command)
    except SystemExit as left:
        code = int(left.code or 0)
    said = capsys.readouterr()
    assert code == 2 and said.out == "" and "Traceback" not in said.err
    assert (message if number == 64 else "expected -1 (CPU), the number of a GPU") in said.err


@pytest.mark.parametrize("device", ["0", "auto"])
def test_the_commands_take_a_gpu(
    run: Path, digits: Path, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {}
    for where in (device, "-1"):
        command = ["predict", str(run), str(digits / "test" / "0"), f"--cuda-device={where}"]
        assert main(command) == 0
        lines = capsys.readouterr().out.splitlines()
        answers[where] = [json.loads(line)["probs"] for line in lines]
        command = ["evaluate", "--json", str(run), str(digits / "test"), f"--cuda-device={where}"]
        assert main(command) == 0
        answers[where].append([json.loads(capsys.readouterr().out)["loss"]])
    assert answers[device][0] == pytest.approx(answers["-1"][0], abs=1e-5)
    assert answers[device][-1] == pytest.approx(answers["-1"][-1], abs=1e-4)


def test_the_installation_s_check_names_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test-install"]) == 0
    said = capsys.readouterr().out
    assert torch.cuda.get_device_name(0) in said and "all checks passed" in said
