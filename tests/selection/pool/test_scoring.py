"""Scoring a pool: what is needed, once, in blocks that a kill cannot take back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.pool_scores import Stopped, same, stop_after
from overrides import overrides
from PIL import Image

from allencv_al.active_learning import ScoringOptions, compute_outputs
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.predictors import ImagePredictor, Predictor
from allencv_al.selection.pool import scoring as scoring_module
from allencv_al.selection.pool.output_store import OutputStore

QUIET = ScoringOptions(batch_size=3, block_size=4, mc_samples=5, description=None, precision="fp32")
DROPOUT = {"model.dropout": 0.5}
EARLY_DROPOUT = {"model.dropout": 0.5, "model.im2im_encoder.dropout": 0.5}

Make = Callable[..., Predictor]


def torch_noise(model: Model, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def broken(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "broken.png").write_bytes(b"broken")
    return folder / "broken.png"


# -- What is computed -----------------------------------------------------------------------------


def test_outputs_are_those_of_the_predictor_in_the_order_given(
    make: Make, dataset: Dataset
) -> None:
    predictor = make()
    outputs = compute_outputs(predictor, dataset, {"logits", "embeddings"}, options=QUIET)
    assert list(outputs.ids) == [instance.id for instance in dataset]
    assert np.allclose(outputs.logits, predictor.predict_logits(dataset), atol=1e-5)
    assert np.allclose(outputs.embeddings, predictor.embed(dataset), atol=1e-5)
    assert outputs.mc_logits is None and not outputs.unreadable


@pytest.mark.parametrize("needs", [{"logits"}, {"embeddings"}, {"mc_logits"}])
def test_only_what_is_needed_is_there(make: Make, dataset: Dataset, needs: set[str]) -> None:
    outputs = compute_outputs(make(DROPOUT), dataset, needs, options=QUIET)
    found = {n for n in ("logits", "mc_logits", "embeddings") if getattr(outputs, n) is not None}
    assert found == needs


def test_nothing_needed_decodes_nothing(make: Make, decoded: Any) -> None:
    outputs = compute_outputs(make(), ["absent/a.png", "absent/b.png"], ())
    assert list(outputs.ids) == ["absent/a.png", "absent/b.png"]
    assert outputs.logits is None and decoded.ids == []


def test_a_strategys_needs_can_be_given_as_they_are(make: Make, dataset: Dataset) -> None:
    needs = {"embeddings", "labeled_embeddings"}
    assert compute_outputs(make(), dataset, needs, options=QUIET).embeddings is not None
    with pytest.raises(ConfigurationError, match=r"expected some of logits.*found probs"):
        compute_outputs(make(), dataset, {"probs"})


@pytest.mark.parametrize(
    ("config", "needs", "encoded"),
    [
        ({}, {"logits"}, 1),
        ({}, {"logits", "embeddings"}, 1),
        (DROPOUT, {"logits", "embeddings", "mc_logits"}, 1),
        (DROPOUT, {"mc_logits"}, 1),
        (EARLY_DROPOUT, {"mc_logits"}, 5),
        (EARLY_DROPOUT, {"logits", "embeddings", "mc_logits"}, 6),
    ],
)
def test_each_image_is_encoded_as_often_as_it_must_be(
    make: Make, dataset: Dataset, config: Any, needs: set[str], encoded: int
) -> None:
    predictor = make(config)
    images = 0

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal images
        images += len(output)

    predictor.model.get_submodule("_im2im_encoder").register_forward_hook(count)
    compute_outputs(predictor, dataset, needs, options=QUIET)
    probes = 2  # of noise, to fold the batch norms
    if "mc_logits" in needs:
        probes += 1  # of an image, to see where the dropout is
    assert images == encoded * len(dataset) + probes


def test_each_image_is_decoded_once(make: Make, dataset: Dataset, decoded: Any) -> None:
    needs = {"logits", "embeddings", "mc_logits"}
    compute_outputs(make(DROPOUT), dataset, needs, options=QUIET)
    assert sorted(decoded.ids) == sorted(instance.id for instance in dataset)


def test_blocks_and_batches_change_nothing(make: Make, dataset: Dataset, tmp_path: Path) -> None:
    needs = {"logits", "embeddings", "mc_logits"}
    expected = compute_outputs(make(DROPOUT), dataset, needs, options=QUIET)
    for batch_size, block_size in ((1, 1), (2, 3), (7, 2), (100, 100)):
        options = replace(QUIET, batch_size=batch_size, block_size=block_size)
        folder = tmp_path / f"{batch_size}"
        same(compute_outputs(make(DROPOUT), dataset, needs, folder, options), expected)
        same(compute_outputs(make(DROPOUT), dataset, needs, None, options), expected)


def test_images_of_different_sizes_keep_their_order(tiny_run: Path, pictures: Path) -> None:
    config = {
        "validation_dataset_reader": {"type": "image_classification_directory"},
        "model.im2vec_encoder": {"type": "pool", "input_channels": 4, "mode": "average"},
    }
    reader = DatasetReader.from_params({"type": "image_classification_directory"})
    archive_config = json.loads((tiny_run / "config.json").read_text())["model"]
    archive_config["im2vec_encoder"] = config["model.im2vec_encoder"]
    vocabulary = Vocabulary({"labels": {"Cat": 1, "Dog": 1}})
    model = Model.from_params(archive_config, vocab=vocabulary)
    predictor = ImagePredictor(model, reader)
    images = [image for image in reader.read(pictures) for _ in range(2)]
    images = [replace(image, id=f"{place}") for place, image in enumerate(images)]
    outputs = compute_outputs(predictor, images, {"logits"}, options=QUIET)
    alone = [predictor.predict_logits([image])[0] for image in images]
    assert list(outputs.ids) == [image.id for image in images]
    assert np.allclose(outputs.logits, alone, atol=1e-5)


def test_a_model_that_takes_no_embeddings_is_asked_for_each(
    pictures: Path, dataset: Dataset
) -> None:
    class Brightness(Model):
        def __init__(self, vocab: Vocabulary) -> None:
            super().__init__(vocab)
            self.drop = torch.nn.Dropout(0.5)
            self.scale = torch.nn.Parameter(torch.tensor(2.0))

        @overrides
        def forward(self, image: torch.Tensor, label: Any = None) -> dict[str, torch.Tensor]:
            return {"logits": self.drop(self.embed(image)) * self.scale}

        @overrides
        def embed(self, image: torch.Tensor) -> torch.Tensor:
            return image.mean(dim=(2, 3))

    predictor = ImagePredictor(Brightness(Vocabulary.empty()).train(), dataset.reader)
    needs = {"logits", "embeddings", "mc_logits"}
    outputs = compute_outputs(predictor, dataset, needs, options=QUIET)
    assert outputs.embeddings is not None and outputs.mc_logits is not None
    assert np.allclose(outputs.logits, outputs.embeddings * 2, atol=1e-5)
    ratios = outputs.mc_logits / outputs.embeddings[:, None, :]
    assert np.allclose(ratios, ratios[:1], atol=1e-4)
    assert predictor.model.training and predictor.model.drop.training  # put back


# -- What is given --------------------------------------------------------------------------------


def test_unreadable_images_are_reported_and_the_others_go_on(
    make: Make, dataset: Dataset, tmp_path: Path
) -> None:
    bad = broken(tmp_path / "bad")
    images = [dataset[0], bad, dataset[1], Path("absent.png"), dataset[2]]
    predictor = make()
    for folder in (None, tmp_path / "outputs"):
        outputs = compute_outputs(predictor, images, {"logits"}, folder, QUIET)
        assert list(outputs.ids) == [dataset[index].id for index in range(3)]
        assert list(outputs.unreadable) == [bad.as_posix(), "absent.png"]
        assert "none of the known formats" in outputs.unreadable[bad.as_posix()]
        assert outputs.unreadable["absent.png"] == "No such file or directory"
        assert np.allclose(outputs.logits, predictor.predict_logits(dataset[:3]), atol=1e-5)


def test_no_readable_image_gives_arrays_without_rows(make: Make, tmp_path: Path) -> None:
    needs = {"logits", "mc_logits", "embeddings"}
    for folder in (None, tmp_path / "outputs"):
        for images in ([], [broken(tmp_path / "bad")]):
            outputs = compute_outputs(make(DROPOUT), images, needs, folder, QUIET)
            assert outputs.logits is not None and outputs.logits.shape == (0, 3)
            assert outputs.mc_logits is not None and outputs.mc_logits.shape == (0, 5, 3)
            assert outputs.embeddings is not None and len(outputs.embeddings) == 0
            assert len(outputs.unreadable) == len(images)


def test_no_predictor_is_an_error(dataset: Dataset) -> None:
    with pytest.raises(ConfigurationError, match="predictors: expected at least one"):
        compute_outputs([], dataset, {"logits"})


# -- Where it is kept -----------------------------------------------------------------------------


def test_a_folder_keeps_what_was_computed(
    make: Make, dataset: Dataset, tmp_path: Path, decoded: Any
) -> None:
    needs = {"logits", "embeddings"}
    first = compute_outputs(make(), dataset, needs, tmp_path, QUIET)
    assert isinstance(first.logits, np.memmap)
    count = len(decoded.ids)
    again = compute_outputs(make(), dataset, needs, tmp_path, QUIET)
    assert len(decoded.ids) == count
    same(again, first)


def test_a_pool_that_grows_costs_what_is_new(
    make: Make, dataset: Dataset, tmp_path: Path, decoded: Any
) -> None:
    compute_outputs(make(), dataset[:3], {"logits"}, tmp_path, QUIET)
    decoded.ids.clear()
    outputs = compute_outputs(make(), dataset, {"logits"}, tmp_path, QUIET)
    assert sorted(decoded.ids) == sorted(instance.id for instance in dataset[3:])
    same(outputs, compute_outputs(make(), dataset, {"logits"}, options=QUIET))


@pytest.mark.parametrize("memory_limit_mb", [100, 1e-5])
def test_any_part_in_any_order_can_be_asked_for(
    make: Make, dataset: Dataset, tmp_path: Path, memory_limit_mb: float
) -> None:
    options = replace(QUIET, memory_limit_mb=memory_limit_mb)
    compute_outputs(make(), dataset, {"logits"}, tmp_path, options)
    for part in ([5, 2, 4], [0, 1, 2], [6], [2, 3, 4], []):
        images = [dataset[index] for index in part]
        found = compute_outputs(make(), images, {"logits"}, tmp_path, options)
        same(found, compute_outputs(make(), images, {"logits"}, options=QUIET))


@pytest.mark.parametrize(
    ("config", "needs", "options"),
    [
        ({"model.dropout": 0.4}, {"mc_logits"}, QUIET),
        (DROPOUT, {"mc_logits"}, replace(QUIET, seed=1)),
        (DROPOUT, {"mc_logits"}, replace(QUIET, mc_samples=6)),
        (DROPOUT, {"mc_logits", "logits"}, QUIET),
        (
            {**DROPOUT, "validation_dataset_reader.augmentation.1.mean": [0, 0, 0]},
            {"mc_logits"},
            QUIET,
        ),
    ],
)
def test_what_would_give_other_numbers_is_computed_anew(
    make: Make, dataset: Dataset, tmp_path: Path, config: Any, needs: set[str], options: Any
) -> None:
    compute_outputs(make(DROPOUT), dataset, {"mc_logits"}, tmp_path, QUIET)
    found = compute_outputs(make(config), dataset, needs, tmp_path, options)
    same(found, compute_outputs(make(config), dataset, needs, options=options))


def test_other_weights_are_computed_anew(make: Make, dataset: Dataset, tmp_path: Path) -> None:
    compute_outputs(make(), dataset, {"logits"}, tmp_path, QUIET)
    found = compute_outputs(make(seed=1), dataset, {"logits"}, tmp_path, QUIET)
    same(found, compute_outputs(make(seed=1), dataset, {"logits"}, options=QUIET))


def test_what_cannot_change_the_numbers_is_not(
    make: Make, dataset: Dataset, tmp_path: Path, decoded: Any
) -> None:
    compute_outputs(make(DROPOUT), dataset, {"logits"}, tmp_path, QUIET)
    decoded.ids.clear()
    options = replace(QUIET, seed=3, mc_samples=2, batch_size=2, block_size=1)
    compute_outputs(make(DROPOUT), dataset, {"logits"}, tmp_path, options)
    assert decoded.ids == []


def test_a_caller_may_say_what_the_numbers_depend_on(
    make: Make, dataset: Dataset, tmp_path: Path, decoded: Any
) -> None:
    options = replace(QUIET, fingerprint="the encoder, whatever the head")
    compute_outputs(make(), dataset, {"embeddings"}, tmp_path, options)
    decoded.ids.clear()
    changed = make()
    torch_noise(changed.model.linear_layer, 1)  # type: ignore[arg-type]
    compute_outputs(changed, dataset, {"embeddings"}, tmp_path, options)
    assert decoded.ids == []


def test_a_call_that_failed_goes_on_where_it_stopped(
    make: Make, dataset: Dataset, tmp_path: Path, decoded: Any
) -> None:
    options = replace(QUIET, batch_size=1, block_size=2)
    stopped = make()
    stop_after(stopped, 5)
    with pytest.raises(Stopped):
        compute_outputs(stopped, dataset, {"logits"}, tmp_path, options)
    decoded.ids.clear()
    outputs = compute_outputs(make(), dataset, {"logits"}, tmp_path, options)
    assert sorted(decoded.ids) == sorted(instance.id for instance in dataset[4:])
    expected = compute_outputs(make(), dataset, {"logits"}, options=options)
    assert np.array_equal(outputs.logits, expected.logits)  # type: ignore[arg-type]


def test_a_disk_that_refuses_ends_the_call_with_an_error(
    make: Make, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = OutputStore.append, 0

    def full(*args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise DataError("outputs: No space left on device")
        append(*args, **kwargs)

    monkeypatch.setattr(OutputStore, "append", full)
    options = replace(QUIET, batch_size=1, block_size=1)
    with pytest.raises(DataError, match="No space left"):
        compute_outputs(make(), dataset, {"logits"}, tmp_path, options)
    assert not [thread for thread in threading.enumerate() if "outputs" in thread.name]
    found = compute_outputs(make(), dataset, {"logits"}, tmp_path, options)
    same(found, compute_outputs(make(), dataset, {"logits"}, options=options))


SCORING = """
import sys
from pathlib import Path
from allencv_al.active_learning import ScoringOptions, compute_outputs
from allencv_al.models import load_archive
from allencv_al.predictors import Predictor
run, pictures, folder = sys.argv[1:]
predictor = Predictor.from_path(run, overrides={"model.dropout": 0.5})
images = predictor.dataset_reader.read(pictures)
print("ready", flush=True)
options = ScoringOptions(batch_size=2, block_size=4, mc_samples=3, description=None)
compute_outputs(predictor, images, {"logits", "mc_logits"}, folder, options)
print("done", flush=True)
"""


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_nothing(
    tiny_run: Path, make: Make, tmp_path: Path
) -> None:
    pictures, generator = tmp_path / "many", np.random.default_rng(0)
    for index in range(400):
        pixels = generator.integers(0, 256, (60, 60, 3), dtype=np.uint8)
        (pictures / "Cat").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(pictures / "Cat" / f"{index}.png")
    folder, kills = tmp_path / "outputs", 0
    command = [sys.executable, "-c", SCORING, str(tiny_run), str(pictures), str(folder)]
    for _ in range(4):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            process.wait(generator.uniform(0.05, 0.3))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        finally:
            process.stdout.close()
        if process.returncode == 0:
            break
    predictor = make(DROPOUT)
    images = predictor.dataset_reader.read(pictures)
    options = ScoringOptions(batch_size=2, block_size=4, mc_samples=3, description=None)
    needs = {"logits", "mc_logits"}
    found = compute_outputs(predictor, images, needs, folder, options)
    same(found, compute_outputs(predictor, images, needs, options=options))
    assert kills >= 2, "it ended too early to be killed; choose shorter delays"


# -- Dropout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [DROPOUT, EARLY_DROPOUT])
def test_members_say_the_same_of_an_image_alone_and_in_any_pool(
    make: Make, dataset: Dataset, config: Any
) -> None:
    predictor = make(config)
    whole = compute_outputs(predictor, dataset, {"mc_logits"}, options=QUIET)
    assert whole.mc_logits is not None and whole.mc_logits.shape == (7, 5, 3)
    backwards = compute_outputs(make(config), dataset[::-1], {"mc_logits"}, options=QUIET)
    same(backwards.rows(whole.ids), whole)
    for index in (0, 4):
        alone = compute_outputs(
            make(config), dataset[index : index + 1], {"mc_logits"}, options=QUIET
        )
        same(alone, whole.take([index]))
    fewer = compute_outputs(predictor, dataset, {"mc_logits"}, options=replace(QUIET, mc_samples=2))
    assert np.allclose(fewer.mc_logits, whole.mc_logits[:, :2], atol=1e-5)  # type: ignore[arg-type]


# -- Ensembles ------------------------------------------------------------------------------------


def test_an_ensemble_is_kept_and_resumed_like_one_model(
    make: Make, dataset: Dataset, tmp_path: Path, decoded: Any
) -> None:
    members = [make(), make(seed=1)]
    first = compute_outputs(members, dataset, {"mc_logits"}, tmp_path, QUIET)
    decoded.ids.clear()
    same(compute_outputs(members, dataset, {"mc_logits"}, tmp_path, QUIET), first)
    assert decoded.ids == []
    swapped = compute_outputs(members[::-1], dataset, {"mc_logits"}, tmp_path, QUIET)
    assert np.allclose(swapped.mc_logits, first.mc_logits[:, ::-1], atol=1e-5)  # type: ignore[index]


# -- Progress -------------------------------------------------------------------------------------


def test_progress_counts_every_image(
    make: Make, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Recorded(scoring_module.Progress):
        def __init__(self, *args: Any) -> None:
            seen.append(args)
            super().__init__(*args)

        @overrides
        def advance(self, count: int = 1, note: str = "") -> None:
            seen.append(count)

    monkeypatch.setattr(scoring_module, "Progress", Recorded)
    options = replace(QUIET, description="looking")
    images = [*dataset, broken(tmp_path / "bad")]
    compute_outputs(make(), images, {"logits"}, tmp_path / "outputs", options)
    assert seen == [("looking", 8, "images"), 3, 3, 2]
