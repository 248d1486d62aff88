"""The classifier whose last part is a vote of stored images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.loop_projects import Project
from sklearn.neighbors import KNeighborsClassifier

from allencv_al.__main__ import main
from allencv_al.common import Params
from allencv_al.common.errors import WeightsError
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.archive import load_archive
from allencv_al.models.model import Model
from allencv_al.models.nearest_neighbors_classifier import NeighborVote
from allencv_al.modules.weights import load_weights
from allencv_al.service.demo.app import create_app

CLASSES = ("ant", "bee", "cat")


def stored(count: int, neighbors: int = 5) -> tuple[NeighborVote, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % len(CLASSES)
    centers = torch.randn(len(CLASSES), 6, generator=generator)
    embeddings = centers[labels] + 2 * torch.randn(count, 6, generator=generator)
    vote = NeighborVote(6, len(CLASSES), neighbors, temperature=0.1)
    vote.store(embeddings, labels)
    return vote, embeddings, labels


@pytest.mark.parametrize(("count", "neighbors"), [(60, 1), (60, 5), (4, 20)])
def test_votes_are_scikit_learns(count: int, neighbors: int) -> None:
    vote, embeddings, labels = stored(count, neighbors)
    images = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    oracle = KNeighborsClassifier(
        min(neighbors, count),
        metric="cosine",
        weights=lambda distances: np.exp((distances[:, :1] - distances) / 0.1),
    ).fit(embeddings, labels)
    shares = vote(images).exp().numpy()
    sums = np.exp((oracle.kneighbors(images)[0][:, :1] - oracle.kneighbors(images)[0]) / 0.1).sum(
        axis=1, keepdims=True
    )
    free = 0.01
    expected = (sums * oracle.predict_proba(images) + free) / (sums + 3 * free)
    np.testing.assert_allclose(shares, expected, rtol=1e-4)


def test_without_images_all_classes_are_alike() -> None:
    logits = NeighborVote(6, 3, 5, 0.1)(torch.randn(2, 6))
    np.testing.assert_allclose(logits.exp(), 1 / 3, rtol=1e-6)


def test_a_state_of_any_number_of_images_is_loaded() -> None:
    vote, _, _ = stored(12)
    other, _, _ = stored(30)
    load_weights(other, vote.state_dict(), "weights.safetensors")
    images = torch.randn(4, 6)
    torch.testing.assert_close(other(images), vote(images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "12 embeddings have 3 labels"),
        ({"labels": torch.full((12,), 3)}, "expected labels from 0 to 2"),
        ({"embeddings": torch.zeros(12, 7)}, "embeddings is 12x7"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(
    change: dict[str, torch.Tensor], message: str
) -> None:
    vote, _, _ = stored(12)
    with pytest.raises(WeightsError, match=message):
        load_weights(NeighborVote(6, 3, 5, 0.1), {**vote.state_dict(), **change}, "a file")


def model(**changes: Any) -> Model:
    config = {
        "type": "nearest_neighbors_classifier",
        "im2vec_encoder": {"type": "pool", "input_channels": 3, "mode": "average"},
        **changes,
    }
    vocabulary = Vocabulary({"labels": dict.fromkeys(CLASSES, 1)})
    return Model.from_params(Params(config), vocab=vocabulary)


def test_no_layer_of_it_is_linear() -> None:
    assert model().linear_layer is None


def neighbors_of(project: Project) -> None:
    project.config["model"]["type"] = "nearest_neighbors_classifier"
    project.config["trainer"] = {"type": "nearest_neighbors", "cuda_device": -1}


def test_an_archive_keeps_the_images_that_vote(project: Project) -> None:
    neighbors_of(project)
    del project.config["active_learning"]
    assert project.run(command="train") == 0
    archive = project.run_folder / "model.tar.gz"
    vote = load_archive(archive).model.neighbor_vote
    assert len(vote.labels) == 30
    out = project.folder / "figures.json"
    pictures = project.config["train_data_path"]
    assert main(["evaluate", str(archive), pictures, "--output-file", str(out)]) == 0
    assert json.loads(out.read_text())["accuracy"] == 1.0
    selected = project.folder / "selected.csv"
    arguments = ["--strategy", "margin", "-k", "3", "--output", str(selected)]
    assert main(["select", str(archive), pictures, *arguments]) == 0
    assert len(selected.read_text().splitlines()) == 4


def test_an_archive_of_it_predicts_and_is_served_alike(project: Project) -> None:
    neighbors_of(project)
    del project.config["active_learning"]
    assert project.run(command="train") == 0
    archive = project.run_folder / "model.tar.gz"
    pictures = sorted(Path(project.config["train_data_path"]).rglob("*.png"))
    out = project.folder / "predicted.jsonl"
    listed = project.folder / "pictures.txt"
    listed.write_text("".join(f"{picture}\n" for picture in pictures))
    assert main(["predict", str(archive), str(listed), "--output-file", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["class"] for row in rows] == [picture.parent.name for picture in pictures]
    app = create_app(archive)
    try:
        found = app.test_client().post("/predict", data=pictures[0].read_bytes()).get_json()
    finally:
        app.close()
    assert found["class"] == pictures[0].parent.name
    np.testing.assert_allclose(found["probs"], rows[0]["probs"], rtol=1e-5)


def test_a_loop_stores_the_images_of_each_round(project: Project) -> None:
    neighbors_of(project)
    assert project.run() == 0
    vote = load_archive(project.run_folder / "model.tar.gz").model.neighbor_vote
    assert len(vote.labels) == 9
    project.block["budget"] = 12
    assert project.run("--recover") == 0
    vote = load_archive(project.run_folder / "model.tar.gz").model.neighbor_vote
    assert len(vote.labels) == 12
