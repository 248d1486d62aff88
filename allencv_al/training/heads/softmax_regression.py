"""Multinomial logistic regression whose penalty may pull to a given layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.feature_scaling import mean_squared_norm

Array = NDArray[np.float64]

# Of the largest eigenvalue of the Gram matrix: below are directions made of rounding
_RANK_TOLERANCE = 1e-12


class LinearLayer(NamedTuple):
    """Weights `[C, D]` and biases `[C]`."""

    weights: Array
    biases: Array

    def logits(self, features: Array) -> Array:
        """Return the logits `[N, C]` of features `[N, D]`."""
        logits: Array = features @ self.weights.T + self.biases
        return logits


class SoftmaxRegression:
    """The problem of fitting a linear layer to labeled features, for any penalty.

    Args:
        features: `[N, D]`.
        targets: `[N, C]`: the weight of a row in the sum of losses, at its class.
    """

    def __init__(self, features: Array, targets: Array) -> None:
        self._features = features
        # In units of their length, so that the tolerance means the same for every encoder
        self._unit = float(np.sqrt(mean_squared_norm(features)))
        self._targets = targets
        # Fewer images than values: a solution lies in the span of the images, so the search is
        # over as many values as there are images, and exact
        self._basis = principal_axes(features)[1] if len(features) < features.shape[1] else None
        coordinates = features if self._basis is None else features @ self._basis
        self._coordinates = coordinates / self._unit

    def fit(
        self,
        inverse_regularization: float,
        prior: LinearLayer | None = None,
        rows: NDArray[np.int64] | None = None,
        start: LinearLayer | None = None,
        max_iterations: int = 1000,
        tolerance: float = 1e-4,
        class_penalties: Array | None = None,
    ) -> LinearLayer:
        """Return the layer that minimizes `C * sum of losses + |W - W0|^2 / 2`, by L-BFGS.

        Without a prior, W0 is 0 and biases are free, as in scikit-learn's `LogisticRegression`.
        With one, biases are penalized likewise, as the weights of a value as long as the features:
        few labels then change little of it.

        Args:
            inverse_regularization: C, above 0.
            prior: The layer that the penalty pulls to.
            rows: The rows that count; all by default.
            start: Start of the search: it changes the time, not the result.
            max_iterations: The most iterations.
            tolerance: The largest gradient of the mean loss at which the search stops.
            class_penalties: Factors `[C]` of each class's part of the penalty of a prior; infinity
                keeps the class's part of the layer as the prior has it. 1 by default.
        """
        from scipy.optimize import minimize  # 0.1 s, which no config check should pay

        every = slice(None) if rows is None else rows
        targets = self._targets[every]
        shape = (targets.shape[1], self._coordinates.shape[1])
        strength = 1.0 / (inverse_regularization * targets.sum() * self._unit**2)
        factors = np.ones(shape[0]) if class_penalties is None else class_penalties
        of_biases = factors if prior is not None else np.zeros(shape[0])
        objective = _Objective(
            self._coordinates[every],
            targets,
            0.0 if prior is None else prior.logits(self._features[every]),
            strength * np.concatenate([np.repeat(factors, shape[1]), of_biases]),
        )
        found = minimize(
            objective,
            self._start(start, prior, shape),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iterations, "gtol": tolerance, "ftol": 64 * _EPSILON},
        ).x
        weights, biases = objective.parts(found)
        weights = weights / self._unit
        if self._basis is not None:
            weights = weights @ self._basis.T
        if prior is None:
            return LinearLayer(weights, biases)
        return LinearLayer(prior.weights + weights, prior.biases + biases)

    def _start(
        self, start: LinearLayer | None, prior: LinearLayer | None, shape: tuple[int, int]
    ) -> Array:
        if start is None:
            return np.zeros(shape[0] * (shape[1] + 1))
        weights, biases = start
        if prior is not None:
            weights, biases = weights - prior.weights, biases - prior.biases
        if self._basis is not None:
            weights = weights @ self._basis
        return np.concatenate([weights.ravel() * self._unit, biases])


_EPSILON = float(np.finfo(np.float64).eps)


class _Objective:
    """The mean loss plus penalty of a layer's values, with its gradient, as SciPy takes them.

    Args:
        inputs: `[N, D]`.
        targets: `[N, C]`: the weight of a row in the loss, at its class.
        offsets: Logits `[N, C]` of the prior, to which those of the values are added.
        penalties: Factors of the squared values, weights by class, then biases, `[C * D + C]`; at
            infinity a value stays where it is.
    """

    def __init__(
        self, inputs: Array, targets: Array, offsets: Array | float, penalties: Array
    ) -> None:
        self._inputs, self._targets, self._offsets = inputs, targets, offsets
        self._total = targets.sum()
        self._row_weights = targets.sum(axis=1, keepdims=True)
        self._kept = np.isinf(penalties)
        self._penalties = np.where(self._kept, 0.0, penalties)

    def parts(self, values: Array) -> tuple[Array, Array]:
        """Return the weights `[C, D]` and biases `[C]` in a vector of values."""
        shape = self._targets.shape[1], self._inputs.shape[1]
        split = shape[0] * shape[1]
        return values[:split].reshape(shape), values[split:]

    def __call__(self, values: Array) -> tuple[float, Array]:
        weights, biases = self.parts(values)
        logits = self._inputs @ weights.T + biases + self._offsets
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        sums = exponentials.sum(axis=1, keepdims=True)
        loss = (self._row_weights * np.log(sums)).sum() - (self._targets * logits).sum()
        slope = (self._row_weights * exponentials / sums - self._targets) / self._total
        pull = self._penalties * values
        gradient = np.concatenate([(slope.T @ self._inputs).ravel(), slope.sum(axis=0)]) + pull
        gradient[self._kept] = 0.0  # they begin at the prior
        return loss / self._total + (pull @ values) / 2, gradient


def principal_axes(rows: Array) -> tuple[Array, Array]:
    """Return the nonzero eigenvalues `[R]` of `rows^T rows`, and their eigenvectors `[D, R]`.

    With fewer rows than columns they come from the smaller matrix `rows rows^T`.
    """
    is_wide = len(rows) < rows.shape[1]
    values, vectors = np.linalg.eigh(rows @ rows.T if is_wide else rows.T @ rows)
    kept = values > _RANK_TOLERANCE * max(values[-1], 0.0) if len(values) else values > 0
    values, vectors = values[kept], vectors[:, kept]
    return values, rows.T @ (vectors / np.sqrt(values)) if is_wide else vectors


def log_loss(logits: Array, labels: NDArray[np.int64]) -> Array:
    """Return the cross-entropy of each row `[N]`, in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(labels)), labels]
    losses: Array = np.log(np.exp(shifted).sum(axis=1)) - own
    return losses
