"""The choice of prior and strength of a logistic regression from the labels there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.feature_scaling import mean_squared_norm
from allencv_al.training.heads.class_means import (
    Shrinkage,
    class_mean_layer,
    class_means,
    discriminant_layer,
)
from allencv_al.training.heads.label_spreading import PoolEmbeddings, weighted_means
from allencv_al.training.heads.softmax_regression import (
    Array,
    LinearLayer,
    SoftmaxRegression,
    log_loss,
)

Prior: TypeAlias = Literal[
    "none", "class_means", "label_spreading", "discriminant_analysis", "texts"
]
Rows: TypeAlias = NDArray[np.int64]

FROM_POOL: frozenset[Prior] = frozenset({"label_spreading", "discriminant_analysis"})
"""Priors that take means over the images of a pool."""

# C in units of 1 / (mean squared norm), so that it means the same for every encoder; from strong
# penalties to weak ones: a tie goes to the stronger
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
# Where labels are too few to choose: the best of the grid over docs/results/heads.md
_DEFAULT_STRENGTH: dict[Prior, float] = {
    "none": 100.0,
    "class_means": 10.0,
    "label_spreading": 10.0,
    "discriminant_analysis": 10.0,
}
_CLAP_SHARES = (0.01, 0.1, 1.0, 10.0)  # of CLAP's strength
_LEAST_FACTOR = 1e-3  # without any penalty there may be no minimum
# Factors of a layer of closed form that make probabilities of it
_FACTORS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# From here on, discriminant analysis may be the layer itself: with fewer labels the held-out ones
# are often all right, and its probabilities become far too sure (docs/results/heads.md)
_ENOUGH_FOR_CLOSED_FORM = 100
SHRINKAGE = 0.4
"""Of discriminant analysis: of 0.2, 0.4, 0.7 and 0.9 the most accurate from 2 to 10 labels a class.

That was with the embeddings of docs/results/heads.md.
"""
_MOST_FOLDS = 5
# Small folds differ much, so they are drawn several times; large ones take long and agree
_FOLDS_IN_ALL = ((200, 10), (2000, 5))


@dataclass(frozen=True)
class LabeledEmbeddings:
    """The labeled images.

    Args:
        ids: The images, `[N]`.
        features: Inputs of the last layer, `[N, D]`.
        labels: Class indices 0 to C - 1, `[N]`; only the prior "texts" has classes without images.
        class_weights: `[C]`, not all of them 0.
    """

    ids: Sequence[str]
    features: Array
    labels: Rows
    class_weights: Array

    @property
    def targets(self) -> Array:
        """The classes, one-hot `[N, C]`."""
        one_hot: Array = np.eye(len(self.class_weights))[self.labels]
        return one_hot


class FittedHead(NamedTuple):
    """A layer with the choices behind it.

    `inverse_regularization` is 0 where the layer is that of the prior, times a factor. `log_loss`
    is that of the held-out labels; None where nothing was chosen by it.
    """

    layer: LinearLayer
    prior: Prior
    inverse_regularization: float
    log_loss: float | None


class HeadFitter:
    """Fits the last layer to labeled images, with any prior and strength.

    Args:
        labeled: The labeled images.
        pool: All images that may be labeled: the means of the priors `label_spreading` and
            `discriminant_analysis` are those of its images, by label spreading.
        max_iterations: See `SoftmaxRegression.fit`.
        tolerance: Likewise.
        text_layer: The layer of the prior "texts".
        shrinkage: Of the prior `discriminant_analysis`.
    """

    def __init__(
        self,
        labeled: LabeledEmbeddings,
        pool: PoolEmbeddings | None = None,
        max_iterations: int = 1000,
        tolerance: float = 1e-4,
        text_layer: LinearLayer | None = None,
        shrinkage: Shrinkage = SHRINKAGE,
    ) -> None:
        self._labeled = labeled
        self._shrinkage = shrinkage
        self._text_layer = text_layer
        self._targets = labeled.targets
        self._pool = pool
        self._nodes: NDArray[np.float32] | None = None
        self._unit = mean_squared_norm(labeled.features)
        problem = SoftmaxRegression(labeled.features, self._targets * labeled.class_weights)
        self._fit = partial(problem.fit, max_iterations=max_iterations, tolerance=tolerance)
        self._rough = 10 * tolerance  # to compare strengths a decade apart

    def fit(self, priors: Sequence[Prior], strengths: Sequence[float] | None) -> FittedHead:
        """Return the fit with the smallest log-loss on labels that were held out.

        Folds are stratified: as many as the smallest class has images, 5 at most, drawn anew until
        there are 10; up to 2,000 images there are 5, beyond that one. With one image of some class
        nothing can be held out; the first prior is taken then, with the strength that was best over
        several data sets. From 100 labels on the layer of discriminant analysis as it is competes,
        too, where strengths are chosen.

        Args:
            priors: The priors to choose from, the one to take without a choice first.
            strengths: Values of `inverse_regularization`, small ones first; None for those of a
                grid in units of the features' mean squared norm.
        """
        grids = {name: self._grid(name) if strengths is None else strengths for name in priors}
        prior, loss = priors[0], None
        strength = self._default(prior) if strengths is None else strengths[0]
        if sum(map(len, grids.values())) > 1 and self._can_hold_out():
            factors = () if strengths is not None else self._factors()
            losses = {name: self._held_out_losses(name, grids[name], factors) for name in priors}
            prior = min(priors, key=lambda name: losses[name].min())
            place, loss = int(losses[prior].argmin()), float(losses[prior].min())
            if place >= len(grids[prior]):
                layer = _scaled(self._layer_of(prior), factors[place - len(grids[prior])])
                return FittedHead(layer, prior, 0.0, loss)
            strength = grids[prior][place]
        layer = self._fit(strength, self.prior_layer(prior), class_penalties=self._penalties(prior))
        return FittedHead(layer, prior, strength, loss)

    def _factors(self) -> Sequence[float]:
        return _FACTORS if len(self._targets) >= _ENOUGH_FOR_CLOSED_FORM else ()

    def closed_form(self, prior: Prior) -> tuple[LinearLayer, float | None]:
        """Return the layer of a prior as it is, and its log-loss on labels that were held out.

        It is multiplied by the factor with the smallest such loss, which changes no prediction but
        the probabilities; by 1 where nothing can be held out.
        """
        factor, loss = 1.0, None
        if self._can_hold_out():
            losses = self._mean_losses(lambda rows: self._scaled_layers(prior, rows), len(_FACTORS))
            factor, loss = _FACTORS[int(losses.argmin())], float(losses.min())
        return _scaled(self._layer_of(prior), factor), loss

    def _scaled_layers(self, prior: Prior, rows: Rows) -> Iterator[LinearLayer]:
        layer = self._layer_of(prior, rows)
        for factor in _FACTORS:
            yield _scaled(layer, factor)

    def _layer_of(self, prior: Prior, rows: Rows | None = None) -> LinearLayer:
        layer = self.prior_layer(prior, rows)
        assert layer is not None
        return layer

    def _can_hold_out(self) -> bool:
        counts = np.bincount(self._labeled.labels, minlength=len(self._labeled.class_weights))
        return bool(counts.min() > 1)

    def _default(self, prior: Prior) -> float:
        if prior != "texts":
            return _DEFAULT_STRENGTH[prior] / self._unit
        assert self._text_layer is not None
        # CLAP's: its penalty is a mean over classes, beside a mean loss, of vectors of length 1
        return (
            len(self._targets[0])
            * mean_squared_norm(self._text_layer.weights)
            / (2 * len(self._targets))
        )

    def _grid(self, prior: Prior) -> list[float]:
        if prior == "texts":
            return [share * self._default(prior) for share in _CLAP_SHARES]
        return [c / self._unit for c in _STRENGTHS]

    def _penalties(self, prior: Prior, rows: Rows | None = None) -> Array | None:
        """Return CLAP's factors `[C]`: the mean probability that the texts give a class's images.

        So images that the texts know well change little. A class without images keeps its texts.
        """
        if prior != "texts":
            return None
        assert self._text_layer is not None
        every = np.arange(len(self._targets)) if rows is None else rows
        targets = self._targets[every]
        logits = self._text_layer.logits(self._labeled.features[every])
        right = np.exp(-log_loss(logits, self._labeled.labels[every]))
        counts = targets.sum(axis=0)
        factors = (targets * right[:, None]).sum(axis=0) / np.maximum(counts, 1)
        return np.where(counts > 0, np.maximum(factors, _LEAST_FACTOR), np.inf)

    def prior_layer(self, prior: Prior, rows: Rows | None = None) -> LinearLayer | None:
        """Return the layer that a penalty pulls to, from the labels of some rows."""
        if prior == "none":
            return None
        if prior == "texts":
            return self._text_layer
        every = np.arange(len(self._targets)) if rows is None else rows
        features, targets = self._labeled.features[every], self._targets[every]
        own = means = class_means(features, targets)
        if self._pool is not None and prior in FROM_POOL:
            graph = self._pool.graph(self._labeled.ids)
            assigned = graph.assign([self._labeled.ids[row] for row in every], targets)
            reached = assigned.sum(axis=0) > 0
            if self._nodes is None:  # every fold takes means of the same ones
                self._nodes = graph.scaled_nodes()
            means = np.where(reached[:, None], weighted_means(self._nodes, assigned), own)
        if prior != "discriminant_analysis":
            return class_mean_layer(means, self._unit)
        residuals = features - own[self._labeled.labels[every]]
        return discriminant_layer(means, residuals, self._unit, self._shrinkage)

    def _held_out_losses(
        self, prior: Prior, grid: Sequence[float], factors: Sequence[float]
    ) -> Array:
        """Return the mean loss on held-out labels for each strength.

        Of discriminant analysis also that of its layer times each factor; of others they would not
        be worth their time.
        """
        factors = factors if prior == "discriminant_analysis" else ()

        def path(rows: Rows) -> Iterator[LinearLayer]:
            base, penalties = self.prior_layer(prior, rows), self._penalties(prior, rows)
            layer = None
            for strength in grid:
                layer = self._fit(
                    strength, base, rows, layer, tolerance=self._rough, class_penalties=penalties
                )
                yield layer
            for factor in factors:
                assert base is not None
                yield _scaled(base, factor)

        return self._mean_losses(path, len(grid) + len(factors))

    def _mean_losses(self, layers: Callable[[Rows], Iterator[LinearLayer]], count: int) -> Array:
        """Return the mean loss on held-out labels of each layer that rows give, `[count]`."""
        weights = self._labeled.class_weights[self._labeled.labels]
        losses, total = np.zeros(count), 0.0
        for kept, held in stratified_folds(self._labeled.labels):
            for place, layer in enumerate(layers(kept)):
                logits = layer.logits(self._labeled.features[held])
                found = log_loss(logits, self._labeled.labels[held])
                losses[place] += (found * weights[held]).sum()
            total += weights[held].sum()
        return losses / max(total, np.finfo(float).tiny)


def _scaled(layer: LinearLayer, factor: float) -> LinearLayer:
    return LinearLayer(factor * layer.weights, factor * layer.biases)


def stratified_folds(labels: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Yield pairs of rows to fit and rows to hold out; each class is in every part to fit."""
    smallest = int(np.bincount(labels).min())
    folds = min(_MOST_FOLDS, smallest)
    wanted = next((count for most, count in _FOLDS_IN_ALL if len(labels) <= most), 1)
    generator = np.random.default_rng(0)  # the same labels make the same choice
    for _ in range(max(1, wanted // folds)):
        order = generator.permutation(len(labels))
        by_class = order[np.argsort(labels[order], kind="stable")]
        fold = np.empty(len(labels), np.int64)
        fold[by_class] = np.arange(len(labels)) % folds
        for number in range(min(folds, wanted)):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)
