"""The nearest class mean and discriminant analysis, against scikit-learn."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf, oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from allencv_al.training.heads.class_means import (
    class_mean_layer,
    class_means,
    discriminant_layer,
)


def test_the_layer_predicts_the_class_with_the_nearest_mean():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 4
    features = generator.normal(size=(4, 9))[labels] + generator.normal(0, 1.5, (60, 9))
    means = class_means(features, np.eye(4)[labels])
    found = class_mean_layer(means, 1.0).logits(features).argmax(axis=1)
    oracle = NearestCentroid().fit(features, labels)
    np.testing.assert_allclose(means, oracle.centroids_)
    np.testing.assert_array_equal(found, oracle.predict(features))


def test_differences_of_logits_are_those_of_squared_distances():
    generator = np.random.default_rng(0)
    means, features = generator.normal(size=(3, 5)), generator.normal(size=(7, 5))
    distances = ((features[:, None] - means) ** 2).sum(axis=2)
    logits = class_mean_layer(means, 2.0).logits(features)
    expected = -(distances - distances.mean(axis=1, keepdims=True)) / (2 * 0.05 * 2.0)
    np.testing.assert_allclose(logits - logits.mean(axis=1, keepdims=True), expected)


def test_a_class_without_weight_has_the_mean_of_all():
    features = np.array([[0.0, 2.0], [4.0, 0.0]])
    means = class_means(features, np.array([[1.0, 0.0], [3.0, 0.0]]))
    np.testing.assert_allclose(means, [[3.0, 0.5], [2.0, 1.0]])


def labeled(per_class, width, classes=3):
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(classes), per_class)
    noise = generator.normal(size=(len(labels), width)) * np.geomspace(0.3, 3, width)
    features = generator.normal(size=(classes, width))[labels] + noise
    means = class_means(features, np.eye(classes)[labels])
    return features, labels, means, features - means[labels]


@pytest.mark.parametrize(("per_class", "width"), [(4, 30), (40, 8), (10, 30)])
@pytest.mark.parametrize("shrinkage", [0.2, 0.9])
def test_discriminant_analysis_is_scikit_learns_but_for_the_unit(per_class, width, shrinkage):
    features, labels, means, residuals = labeled(per_class, width)
    found = discriminant_layer(means, residuals, 1.0, shrinkage).logits(features)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    expected = oracle.fit(features, labels).decision_function(features)
    expected = (expected - expected.mean(axis=1, keepdims=True)) * (residuals**2).mean() / 0.05
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(("kind", "estimator"), [("ledoit_wolf", ledoit_wolf), ("oas", oas)])
def test_the_shrinkage_is_estimated_as_scikit_learn_does(kind, estimator):
    features, _, means, residuals = labeled(5, 12)
    _, shrinkage = estimator(residuals, assume_centered=True)
    found = discriminant_layer(means, residuals, 1.0, kind)
    expected = discriminant_layer(means, residuals, 1.0, shrinkage)
    np.testing.assert_allclose(found.logits(features), expected.logits(features))


def test_a_sphere_or_one_image_of_each_class_leaves_the_nearest_mean():
    features, _, means, residuals = labeled(4, 30)
    expected = class_mean_layer(means, 2.0).logits(features)
    whole = discriminant_layer(means, residuals, 2.0, 1.0)
    np.testing.assert_allclose(whole.logits(features), expected, atol=1e-9)
    single = discriminant_layer(means, np.zeros((3, 30)), 2.0, 0.5)
    np.testing.assert_array_equal(single.logits(features), expected)
