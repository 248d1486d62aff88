"""The trainers without a search, against scikit-learn."""

from typing import Any

import numpy as np
import pytest
import torch
from fixtures.colored_images import Images, model
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from allencv_al.common import ConfigurationError, Params
from allencv_al.training.heads.label_spreading import PoolEmbeddings
from allencv_al.training.trainers.base import Trainer

ENCODER = {"type": "cifar_resnet", "depth": 20, "requires_grad": True}
MOVING = {"im2im_encoder": ENCODER, "im2vec_encoder": {"type": "pool", "input_channels": 64}}


def trained(name: str, loader: Images, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Return predictions for the training images, and the metrics."""
    config = Params({"type": name, "cuda_device": -1, **options})
    trainer = Trainer.from_params(config, model=model(), data_loader=loader)
    metrics = trainer.train()
    outputs = trainer.model.eval()(embedding=torch.from_numpy(loader.pixels))
    return outputs["logits"].argmax(dim=1).numpy(), metrics


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (0, 3, 3, 3), (1, 3)], ids=str)
def test_class_means_predict_the_nearest_mean(classes: tuple[int, ...]) -> None:
    loader = Images(classes)
    found, metrics = trained("class_means", loader)
    oracle = NearestCentroid().fit(loader.pixels, loader.labels)
    np.testing.assert_array_equal(found, oracle.predict(loader.pixels))
    assert metrics["held_out_log_loss"] < np.log(len(set(classes)))


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (0, 3, 3, 3), (1, 3)], ids=str)
@pytest.mark.parametrize("shrinkage", [0.05, 0.6])
def test_discriminant_analysis_predicts_what_scikit_learn_does(
    classes: tuple[int, ...], shrinkage: float
) -> None:
    loader = Images(classes)
    loader.pixels[:, 2] *= 3  # else the covariance is nearly a sphere
    found, _ = trained("discriminant_analysis", loader, shrinkage=shrinkage)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    logits = oracle.fit(loader.pixels.astype(float), loader.labels).decision_function(loader.pixels)
    logits = np.stack([0 * logits, logits], axis=1) if logits.ndim == 1 else logits
    expected = oracle.classes_[(logits - np.log(oracle.priors_)).argmax(axis=1)]
    np.testing.assert_array_equal(found, expected)
    if shrinkage < 0.1:
        assert (found != trained("class_means", loader)[0]).any()


@pytest.mark.parametrize("name", ["class_means", "discriminant_analysis"])
def test_one_class_alone_is_always_predicted(name: str) -> None:
    found, _ = trained(name, Images((2,)))
    assert (found == 2).all()


@pytest.mark.parametrize("name", ["class_means", "discriminant_analysis"])
def test_one_image_a_class_leaves_nothing_to_hold_out(name: str) -> None:
    loader = Images((0, 1, 2, 3), count=4)
    loader.labels = np.arange(4)
    found, metrics = trained(name, loader)
    np.testing.assert_array_equal(found, loader.labels)
    assert metrics["held_out_log_loss"] is None


@pytest.mark.parametrize("name", ["class_means", "discriminant_analysis"])
def test_an_encoder_that_trains_is_refused(name: str) -> None:
    config = Params({"type": name, "cuda_device": -1})
    with pytest.raises(ConfigurationError, match="requires_grad: false"):
        Trainer.from_params(config, model=model(**MOVING), data_loader=Images((0, 1)))


@pytest.mark.parametrize("changes", [{}, {"type": "nearest_neighbors_classifier", **MOVING}])
def test_neighbors_need_their_model_and_a_frozen_encoder(changes: dict[str, Any]) -> None:
    changes = {**changes, "embedding_scaling": "l2"}
    config = Params({"type": "nearest_neighbors", "cuda_device": -1})
    with pytest.raises(ConfigurationError, match='"nearest_neighbors_classifier" with an encoder'):
        Trainer.from_params(config, model=model(**changes), data_loader=Images((0, 1)))


@pytest.mark.parametrize("name", ["class_means", "discriminant_analysis"])
def test_the_scaling_has_the_statistics_of_the_pool(name: str) -> None:
    loader = Images((0, 1, 2, 3))
    rows = np.random.default_rng(0).normal(3, 1, (50, loader.pixels.shape[1])).astype(np.float32)
    pool = PoolEmbeddings([str(row) for row in range(50)], rows)
    trainer = Trainer.from_params(
        Params({"type": name, "cuda_device": -1}),
        model=model(embedding_scaling="center_l2"),
        data_loader=loader,
        pool_embeddings=lambda: pool,
    )
    trainer.train()
    scaling = trainer.model.embedding_scaling
    assert scaling is not None
    np.testing.assert_allclose(scaling.mean, rows.mean(axis=0), rtol=1e-4)
