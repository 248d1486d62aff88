from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fixtures.colored_images import CLASSES, Images, model

from allencv_al.common import ConfigurationError
from allencv_al.training.trainers.logistic_regression_trainer import LogisticRegressionTrainer


def probabilities(trainer: LogisticRegressionTrainer, loader: Images) -> np.ndarray:
    embedding = torch.from_numpy(loader.pixels)
    return trainer.model.eval()(embedding=embedding)["probs"].detach().numpy()


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (0, 2, 3), (1, 3)], ids=str)
@pytest.mark.parametrize("standardize", [False, True])
def test_the_layer_says_what_scikit_learn_says(classes: tuple[int, ...], standardize: bool) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    loader = Images(classes)
    trainer = LogisticRegressionTrainer(
        model(),
        loader,
        inverse_regularization=4.0,
        standardize=standardize,
        tolerance=1e-7,
        cuda_device=-1,
    )
    metrics = trainer.train()

    regression = LogisticRegression(C=4.0, max_iter=1000, tol=1e-7)
    oracle = make_pipeline(StandardScaler(), regression) if standardize else regression
    oracle.fit(loader.pixels.astype(np.float64), loader.labels)
    found = probabilities(trainer, loader)
    np.testing.assert_allclose(found[:, classes], oracle.predict_proba(loader.pixels), atol=2e-4)
    absent = [index for index in range(len(CLASSES)) if index not in classes]
    assert found[:, absent].max(initial=0) < 1e-9
    assert metrics["training_accuracy"] == pytest.approx(oracle.score(loader.pixels, loader.labels))


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (0, 2, 3), (1, 3)], ids=str)
@pytest.mark.parametrize("weights", [[4.0, 1.0, 0.1, 2.0], {"bee": 3.0, "dog": 0.5}])
def test_class_weights_are_scikit_learns(
    classes: tuple[int, ...], weights: list[float] | dict[str, float]
) -> None:
    from sklearn.linear_model import LogisticRegression

    loader = Images(classes)
    trainer = LogisticRegressionTrainer(
        model(class_weights=weights), loader, tolerance=1e-7, cuda_device=-1
    )
    metrics = trainer.train()
    each = weights if isinstance(weights, list) else [weights.get(name, 1.0) for name in CLASSES]
    by_class = {c: each[c] for c in classes}
    oracle = LogisticRegression(max_iter=1000, class_weight=by_class, tol=1e-7)
    oracle.fit(loader.pixels.astype(np.float64), loader.labels)
    found = probabilities(trainer, loader)
    np.testing.assert_allclose(found[:, classes], oracle.predict_proba(loader.pixels), atol=2e-4)
    loss = torch.nn.functional.nll_loss(
        torch.from_numpy(found).log(), torch.from_numpy(loader.labels), torch.tensor(each)
    )
    assert metrics["training_loss"] == pytest.approx(loss.item(), abs=1e-5)


def test_balanced_classes_are_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression

    loader = Images((0, 1, 1, 1, 1, 3))
    LogisticRegressionTrainer(
        trained := model(class_weights="balanced"), loader, tolerance=1e-7, cuda_device=-1
    ).train()
    oracle = LogisticRegression(max_iter=1000, class_weight="balanced", tol=1e-7)
    oracle.fit(loader.pixels.astype(np.float64), loader.labels)
    probs = trained.eval()(embedding=torch.from_numpy(loader.pixels))["probs"].detach().numpy()
    expected = oracle.predict_proba(loader.pixels)
    np.testing.assert_allclose(probs[:, (0, 1, 3)], expected, atol=2e-4)


def test_a_prior_alone_predicts_the_class_with_the_nearest_mean() -> None:
    from sklearn.neighbors import NearestCentroid

    loader = Images((0, 1, 2, 3))
    trainer = LogisticRegressionTrainer(
        model(), loader, prior="class_means", inverse_regularization=1e-9, cuda_device=-1
    )
    trainer.train()
    oracle = NearestCentroid().fit(loader.pixels, loader.labels)
    found = probabilities(trainer, loader).argmax(axis=1)
    np.testing.assert_array_equal(found, oracle.predict(loader.pixels))


def test_what_was_chosen_stands_in_the_metrics() -> None:
    trainer = LogisticRegressionTrainer(
        model(), Images((0, 1)), prior="auto", inverse_regularization="auto", cuda_device=-1
    )
    metrics = trainer.train()
    assert metrics["prior"] in ("class_means", "none")
    assert metrics["held_out_log_loss"] < np.log(2)


def test_unscaled_images_are_scaled_by_the_training_images() -> None:
    loader = Images((0, 1, 2, 3))
    trained = model(embedding_scaling="center_l2")
    trainer = LogisticRegressionTrainer(trained, loader, cuda_device=-1)
    trainer.train()
    scaling = trained.embedding_scaling
    assert scaling is not None
    np.testing.assert_allclose(scaling.mean, loader.pixels.mean(axis=0), atol=1e-7)
    image = torch.from_numpy(loader.pixels)[:, :, None, None]
    np.testing.assert_allclose(trained.embed(image).norm(dim=1), 1.0, atol=1e-7)


def test_few_images_without_a_pool_have_no_mean(caplog: pytest.LogCaptureFixture) -> None:
    loader = Images((0, 1, 2, 3), count=19)
    trained = model(embedding_scaling="center_l2")
    LogisticRegressionTrainer(trained, loader, cuda_device=-1).train()
    assert trained.embedding_scaling is not None
    assert not trained.embedding_scaling.mean.any()
    assert "19 images are too few for a mean" in caplog.text


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("label_spreading", "embeddings of unlabeled images"),
        ("texts", "is for the model zero_shot_classifier"),
    ],
)
def test_a_prior_without_what_it_is_made_of_is_refused(prior: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        LogisticRegressionTrainer(model(), Images((0, 1)), cuda_device=-1, prior=prior)


def test_standardizing_beside_a_prior_is_a_fault_of_the_config() -> None:
    from allencv_al.common.config.config_check import check

    faults = check(LogisticRegressionTrainer, {"prior": "auto", "standardize": True})
    assert [fault.path for fault in faults] == ["standardize"]


def test_one_class_alone_is_always_predicted() -> None:
    loader = Images((2,))
    trainer = LogisticRegressionTrainer(model(), loader, cuda_device=-1)
    trainer.train()
    assert (probabilities(trainer, loader).argmax(axis=1) == 2).all()


@pytest.mark.parametrize("name", ["inverse_regularization", "max_iterations", "tolerance"])
def test_numbers_out_of_range_are_faults_of_the_config(name: str) -> None:
    from allencv_al.common.config.config_check import check

    faults = check(LogisticRegressionTrainer, {name: 0})
    assert [fault.path for fault in faults] == [name]


@pytest.mark.parametrize("prior", ["texts", "auto"])
def test_a_class_without_labels_keeps_its_text(prior: Any) -> None:
    loader = Images((0, 1, 2, 3))
    means = np.stack([loader.pixels[loader.labels == c].mean(axis=0) for c in range(4)])
    texts = 8 * torch.from_numpy(means - means.mean(axis=0))
    trained = model()
    trained.register_buffer("text_layer", texts)
    seen = Images((0, 1, 2))
    trainer = LogisticRegressionTrainer(
        trained, seen, prior=prior, inverse_regularization="auto", cuda_device=-1
    )
    assert trainer.train()["prior"] == "texts"
    layer = trained.linear_layer
    np.testing.assert_allclose(layer.weight[3].detach(), texts[3])
    assert probabilities(trainer, loader)[:, 3].mean() > 0.01  # 1e-13 without a text
    assert not torch.equal(layer.weight[:3].detach(), texts[:3])
