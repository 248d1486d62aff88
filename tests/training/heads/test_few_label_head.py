"""The choice of prior and strength."""

from collections import Counter

import numpy as np
import pytest
import torch

from allencv_al.training.heads.few_label_head import (
    HeadFitter,
    LabeledEmbeddings,
    stratified_folds,
)
from allencv_al.training.heads.label_spreading import PoolEmbeddings
from allencv_al.training.heads.softmax_regression import LinearLayer, log_loss


def draw(per_class, width=20, noise=1.0, seed=0, classes=3):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    centers = np.random.default_rng(9).normal(size=(classes, width))
    features = centers[labels] + generator.normal(0, noise, (len(labels), width))
    ids = [f"{row}.jpg" for row in range(len(labels))]
    return LabeledEmbeddings(ids, features, labels, np.ones(classes))


def test_the_chosen_fit_has_the_smallest_held_out_loss():
    labeled = draw(8)
    fitter = HeadFitter(labeled)
    head = fitter.fit(["class_means", "none"], None)
    each = [fitter.fit([prior], None) for prior in ("class_means", "none")]
    assert head.log_loss == min(fit.log_loss for fit in each)
    assert head.prior == min(each, key=lambda fit: fit.log_loss).prior


def test_the_held_out_loss_is_that_of_scikit_learns_cross_validation():
    from sklearn.linear_model import LogisticRegression

    labeled = draw(2)
    strengths = [0.1, 1.0]
    head = HeadFitter(labeled, tolerance=1e-7).fit(["none"], strengths)
    losses = []
    for strength in strengths:
        found = []
        for kept, held in stratified_folds(labeled.labels):
            oracle = LogisticRegression(C=strength, tol=1e-7, max_iter=2000)
            oracle.fit(labeled.features[kept], labeled.labels[kept])
            logits = oracle.decision_function(labeled.features[held])
            found.append(log_loss(logits, labeled.labels[held]).mean())
        losses.append(np.mean(found))
    assert head.log_loss == pytest.approx(min(losses), abs=1e-4)
    assert head.inverse_regularization == strengths[int(np.argmin(losses))]


def test_strengths_do_not_depend_on_the_scale_of_the_features():
    labeled = draw(5)
    larger = LabeledEmbeddings(
        labeled.ids, 1000 * labeled.features, labeled.labels, labeled.class_weights
    )
    for prior in ("none", "class_means"):
        one, other = (HeadFitter(which).fit([prior], None) for which in (labeled, larger))
        assert one.log_loss == pytest.approx(other.log_loss, rel=1e-3)
        np.testing.assert_allclose(
            one.layer.logits(labeled.features), other.layer.logits(larger.features), atol=0.02
        )


def test_one_image_of_a_class_leaves_nothing_to_choose():
    head = HeadFitter(draw(1)).fit(["class_means", "none"], None)
    assert (head.prior, head.log_loss) == ("class_means", None)


def test_the_same_labels_make_the_same_choice():
    first, second = (HeadFitter(draw(4)).fit(["class_means", "none"], None) for _ in range(2))
    np.testing.assert_array_equal(first.layer.weights, second.layer.weights)


@pytest.mark.parametrize("per_class", [2, 3, 7])
def test_folds_hold_out_each_image_equally_often_and_keep_each_class(per_class):
    labels = np.repeat(np.arange(3), [per_class, per_class + 1, 2 * per_class])
    held_out = Counter()
    for kept, held in stratified_folds(labels):
        assert set(labels[kept]) == {0, 1, 2}
        assert sorted([*kept, *held]) == list(range(len(labels)))
        held_out.update(held.tolist())
    assert len(set(held_out.values())) == 1
    assert len(held_out) == len(labels)


@pytest.mark.parametrize(("count", "folds"), [(60, 10), (600, 5), (6000, 1)])
def test_more_labels_need_fewer_folds(count, folds):
    labels = np.arange(count) % 3
    assert len(list(stratified_folds(labels))) == folds


def test_images_of_the_pool_help_where_classes_are_clouds():
    pool, few = draw(60, noise=1.4), draw(1, noise=1.4)
    pool_embeddings = PoolEmbeddings(pool.ids, pool.features.astype(np.float32))
    rows = np.array([0, 60, 120])
    labeled = LabeledEmbeddings(
        [pool.ids[row] for row in rows], pool.features[rows], few.labels, few.class_weights
    )
    fitter = HeadFitter(labeled, pool_embeddings)
    test = draw(100, noise=1.4, seed=3)
    accuracy = {
        prior: (fitter.fit([prior], None).layer.logits(test.features).argmax(1) == test.labels)
        for prior in ("none", "class_means", "label_spreading")
    }
    assert accuracy["label_spreading"].mean() > accuracy["none"].mean() + 0.1


def test_a_label_outside_the_pool_still_makes_a_class():
    pool = draw(30)
    labeled = LabeledEmbeddings(
        [pool.ids[0], pool.ids[30], "elsewhere.jpg"],
        pool.features[[0, 30, 60]],
        np.array([0, 1, 2]),
        np.ones(3),
    )
    embeddings = PoolEmbeddings(pool.ids, pool.features.astype(np.float32))
    head = HeadFitter(labeled, embeddings).fit(["label_spreading"], None)
    assert set(head.layer.logits(pool.features).argmax(axis=1)) == {0, 1, 2}


def test_the_prior_of_texts_is_the_minimum_of_claps_loss() -> None:
    """Twin by torch: the loss of CLAP, with biases, and without the length 1 of class vectors."""
    generator = np.random.default_rng(2)
    scale, classes, width = 5.0, 4, 6
    features = generator.normal(size=(9, width))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    texts = generator.normal(size=(classes, width))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    labels = np.array([0, 0, 1, 1, 2, 0, 1, 2, 0])  # none of the last class
    labeled = LabeledEmbeddings([str(i) for i in range(9)], features, labels, np.ones(classes))
    text_layer = LinearLayer(scale * texts, np.zeros(classes))
    fitter = HeadFitter(labeled, tolerance=1e-9, text_layer=text_layer)
    found = fitter.fit(["texts"], None)
    assert found.prior == "texts"
    assert found.log_loss is None
    np.testing.assert_array_equal(found.layer.weights[3], text_layer.weights[3])

    x, y, t = torch.tensor(features), torch.tensor(labels), torch.tensor(texts)
    zero_shot = (scale * x @ t.T).softmax(dim=1)[torch.arange(9), y]
    alpha = torch.stack([zero_shot[y == c].mean() for c in range(3)])

    def claps_loss(w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        logits = scale * (x @ w.T + b)
        distances = (w - t).square().sum(dim=1) + b.square()
        fit = torch.nn.functional.cross_entropy(logits, y)
        return fit + (alpha * distances[:3]).sum() / classes

    w = torch.tensor(found.layer.weights / scale, requires_grad=True)
    b = torch.tensor(found.layer.biases / scale, requires_grad=True)
    claps_loss(w, b).backward()
    assert w.grad is not None
    assert b.grad is not None
    np.testing.assert_allclose(w.grad[:3], 0.0, atol=1e-5)
    np.testing.assert_allclose(b.grad[:3], 0.0, atol=1e-5)


def stretched(per_class, seed=0, classes=3, width=20):
    """Return images that differ within a class along some directions much more than others."""
    labeled = draw(per_class, width, noise=0.0, seed=seed, classes=classes)
    generator = np.random.default_rng(100 + seed)
    noise = generator.normal(size=labeled.features.shape) * np.geomspace(0.1, 8, width)
    return LabeledEmbeddings(
        labeled.ids, labeled.features + noise, labeled.labels, labeled.class_weights
    )


def test_discriminant_analysis_is_chosen_where_classes_are_stretched():
    labeled, test = stretched(8), stretched(200, seed=3)
    head = HeadFitter(labeled).fit(["class_means", "discriminant_analysis"], None)
    assert head.prior == "discriminant_analysis"
    other = HeadFitter(labeled).fit(["class_means"], None)
    accuracy = [
        (fit.layer.logits(test.features).argmax(axis=1) == test.labels).mean()
        for fit in (head, other)
    ]
    assert accuracy[0] > accuracy[1]


@pytest.mark.parametrize("prior", ["class_means", "discriminant_analysis"])
def test_a_closed_form_has_the_probabilities_with_the_smallest_held_out_loss(prior):
    labeled = stretched(6)
    fitter = HeadFitter(labeled)
    layer, loss = fitter.closed_form(prior)
    bare = fitter.prior_layer(prior)
    factor = (layer.weights / bare.weights).mean()
    np.testing.assert_allclose(layer.biases, factor * bare.biases)
    losses = {}
    for tried in (0.1, 1.0, 10.0, factor):
        found = [
            log_loss(
                tried * fitter.prior_layer(prior, kept).logits(labeled.features[held]),
                labeled.labels[held],
            )
            for kept, held in stratified_folds(labeled.labels)
        ]
        losses[tried] = np.concatenate(found).mean()
    assert loss == pytest.approx(losses[factor])
    assert loss <= min(losses.values()) + 1e-12


def test_with_a_pool_discriminant_analysis_takes_the_means_of_it():
    pool = draw(60, noise=1.4)
    rows = np.array([0, 1, 60, 61, 120, 121])
    labeled = LabeledEmbeddings(
        [pool.ids[row] for row in rows], pool.features[rows], pool.labels[rows], np.ones(3)
    )
    fitter = HeadFitter(labeled, PoolEmbeddings(pool.ids, pool.features.astype(np.float32)))
    alone = HeadFitter(labeled).prior_layer("discriminant_analysis")
    found = fitter.prior_layer("discriminant_analysis")
    test = draw(100, noise=1.4, seed=3)
    accuracy = [
        (layer.logits(test.features).argmax(axis=1) == test.labels).mean()
        for layer in (found, alone)
    ]
    assert accuracy[0] > accuracy[1]


def test_from_100_labels_on_discriminant_analysis_may_stay_as_it_is():
    labeled, test = stretched(12, 0, 10, 60), stretched(100, 3, 10, 60)
    assert len(labeled.labels) >= 100
    fitter = HeadFitter(labeled)
    head = fitter.fit(["discriminant_analysis", "none"], None)
    layer, loss = fitter.closed_form("discriminant_analysis")
    assert (head.prior, head.inverse_regularization) == ("discriminant_analysis", 0.0)
    assert head.log_loss == pytest.approx(loss)
    np.testing.assert_allclose(head.layer.weights, layer.weights)
    np.testing.assert_allclose(head.layer.biases, layer.biases)
    fitted = fitter.fit(["discriminant_analysis", "none"], [1.0, 10.0])
    assert fitted.inverse_regularization > 0, "a strength that is given is taken"
    losses = [
        log_loss(one.layer.logits(test.features), test.labels).mean() for one in (head, fitted)
    ]
    assert losses[0] < losses[1]


def test_with_fewer_labels_a_fit_follows_the_prior():
    head = HeadFitter(stretched(9, 0, 10, 60)).fit(["discriminant_analysis", "none"], None)
    assert head.inverse_regularization > 0
