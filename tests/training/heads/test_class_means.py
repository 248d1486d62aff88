"""The nearest class mean, against scikit-learn."""

import numpy as np
from sklearn.neighbors import NearestCentroid

from allencv_al.training.heads.class_means import class_mean_layer, class_means


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
