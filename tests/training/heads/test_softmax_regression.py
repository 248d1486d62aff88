"""Logistic regression, against scikit-learn and against its own limits."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss

from allencv_al.training.heads.softmax_regression import (
    LinearLayer,
    SoftmaxRegression,
    log_loss,
)


def draw(count, width, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = generator.normal(size=(classes, width))[labels] + generator.normal(
        0, 2, (count, width)
    )
    return features, labels, np.eye(classes)[labels]


@pytest.mark.parametrize("width", [4, 60], ids=["more images", "more values"])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_the_layer_is_scikit_learns(width, strength):
    features, labels, targets = draw(40, width)
    layer = SoftmaxRegression(features, targets).fit(strength, tolerance=1e-7)
    oracle = LogisticRegression(C=strength, tol=1e-7, max_iter=2000).fit(features, labels)
    np.testing.assert_allclose(layer.weights, oracle.coef_, atol=1e-4)
    np.testing.assert_allclose(
        layer.biases - layer.biases.mean(), oracle.intercept_ - oracle.intercept_.mean(), atol=1e-4
    )


@pytest.mark.parametrize("width", [4, 60], ids=["more images", "more values"])
def test_some_rows_give_the_layer_of_those_alone(width):
    features, _, targets = draw(40, width)
    rows = np.arange(0, 40, 2)
    found = SoftmaxRegression(features, targets).fit(1.0, rows=rows, tolerance=1e-7)
    alone = SoftmaxRegression(features[rows], targets[rows]).fit(1.0, tolerance=1e-7)
    np.testing.assert_allclose(found.weights, alone.weights, atol=1e-4)


@pytest.mark.parametrize("width", [4, 60], ids=["more images", "more values"])
def test_a_prior_shifts_what_the_penalty_pulls_to(width):
    features, _, targets = draw(40, width)
    generator = np.random.default_rng(1)
    prior = LinearLayer(generator.normal(size=(3, width)), generator.normal(size=3))
    problem = SoftmaxRegression(features, targets)
    near = problem.fit(1e-9, prior)
    np.testing.assert_allclose(near.weights, prior.weights, atol=1e-6)
    # At the minimum the gradient is 0: sum of (p - y) x' + (W - W0) / C
    layer = problem.fit(0.5, prior, tolerance=1e-8)
    logits = layer.logits(features)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    slope = (p - targets).T @ features + (layer.weights - prior.weights) / 0.5
    np.testing.assert_allclose(slope, 0.0, atol=1e-4)


def test_classes_are_pulled_to_the_prior_by_their_own_factors():
    features, _, targets = draw(40, 4)
    generator = np.random.default_rng(1)
    prior = LinearLayer(generator.normal(size=(3, 4)), generator.normal(size=3))
    factors = np.array([0.3, 4.0, np.inf])
    layer = SoftmaxRegression(features, targets).fit(
        0.5, prior, tolerance=1e-8, class_penalties=factors
    )
    logits = layer.logits(features)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    slope = (p - targets).T @ features
    pull = factors[:2, None] * (layer.weights - prior.weights)[:2] / 0.5
    np.testing.assert_allclose(slope[:2] + pull, 0.0, atol=1e-4)
    np.testing.assert_array_equal(layer.weights[2], prior.weights[2])
    assert layer.biases[2] == prior.biases[2]


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("width", [4, 60], ids=["more images", "more values"])
def test_the_start_does_not_change_the_result(width, with_prior):
    features, _, targets = draw(40, width)
    problem = SoftmaxRegression(features, targets)
    prior = LinearLayer(np.ones((3, width)), np.zeros(3)) if with_prior else None
    cold = problem.fit(1.0, prior, tolerance=1e-8)
    warm = problem.fit(1.0, prior, start=problem.fit(10.0, prior), tolerance=1e-8)
    np.testing.assert_allclose(warm.logits(features), cold.logits(features), atol=1e-4)


def test_equal_images_and_images_of_zeros_are_fitted():
    features = np.zeros((6, 50))
    features[:3, 0] = 1.0
    labels = np.array([0, 0, 0, 1, 1, 1])
    layer = SoftmaxRegression(features, np.eye(2)[labels]).fit(100.0)
    assert (layer.logits(features).argmax(axis=1) == labels).all()
    nothing = SoftmaxRegression(np.zeros((6, 50)), np.eye(2)[labels]).fit(1.0)
    np.testing.assert_array_equal(nothing.weights, 0.0)


def test_the_log_loss_is_scikit_learns():
    features, labels, _ = draw(30, 3)
    probabilities = np.exp(features) / np.exp(features).sum(axis=1, keepdims=True)
    assert log_loss(features, labels).mean() == pytest.approx(
        sklearn_log_loss(labels, probabilities)
    )
