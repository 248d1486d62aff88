"""The most likely label of images that several people labeled, and which image to ask about next.

CROWDLAB: Goh, Tkachenko & Mueller, arXiv:2210.06812; ActiveLab: Goh & Mueller, arXiv:2301.11856;
Dawid & Skene, "Maximum likelihood estimation of observer error-rates", Applied Statistics 28, 1979.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NONE = -1
"""Placeholder for an image that a person did not label."""

_LEAST = 1e-6  # of a weight: labels no better than the commonest class still break ties
_LEAST_PROBABILITY = 1e-6
_TEMPERATURES = np.geomspace(0.1, 8, 88)  # steps of 5 %
_SMOOTHING = 0.01  # of the counts of confusions: one label must not make a person infallible
_MOST_STEPS = 200
_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Consensus:
    """The labels that several people and a model agree on best.

    Args:
        labels: The most likely class of each image, `[N]`.
        probabilities: The probability of each class, `[N, C]`.
        annotator_weights: Weight of each person's label, `[J]`, at least 1e-6.
        model_weight: Weight of the model's probabilities; 0 without a model.
    """

    labels: Ints
    probabilities: Floats
    annotator_weights: Floats
    model_weight: float

    @property
    def quality(self) -> Floats:
        """The probability of the label of each image, `[N]`."""
        found: Floats = self.probabilities[np.arange(len(self.labels)), self.labels]
        return found


def class_votes(given: Ints, classes: int) -> Floats:
    """Return how many people gave each class, `[N, C]`.

    Args:
        given: Class index of each image by each person, `[N, J]`, or `NONE`.
        classes: The number of classes.
    """
    votes = np.zeros((len(given), classes))
    rows, people = np.nonzero(given != NONE)
    np.add.at(votes, (rows, given[rows, people]), 1)
    return votes


def majority_labels(given: Ints, classes: int, probabilities: Floats | None = None) -> Ints:
    """Return the class that most people gave each image, `[N]`.

    Of several, the one that the model finds most likely; then the one that is given least often in
    all, so that rare classes do not vanish; then the first.

    Args:
        given: Class index of each image by each person, `[N, J]`, or `NONE`; at least one a row.
        classes: The number of classes.
        probabilities: Those of a model, `[N, C]`.
    """
    votes = class_votes(given, classes)
    best = votes == votes.max(axis=1, keepdims=True)
    if probabilities is not None:
        likely = np.where(best, probabilities, -1)
        best = likely == likely.max(axis=1, keepdims=True)
    rarest = np.where(best, -votes.sum(axis=0), -np.inf)
    found: Ints = rarest.argmax(axis=1)
    return found


def crowdlab(given: Ints, probabilities: Floats) -> Consensus:
    """Return the consensus of several people and a model, by CROWDLAB.

    Weights come from the images with several labels: a person's is the share of agreement with
    others there, the model's the agreement with the majority, each beyond what the commonest class
    alone would reach. Without any such image, people and model have weight 1.

    Args:
        given: Class index of each image by each person, `[N, J]`, or `NONE`; at least one a row.
        probabilities: Those of a model that was not trained on these labels, `[N, C]`.
    """
    labels = majority_labels(given, probabilities.shape[1], probabilities)
    if probabilities.shape[1] < 2 or not ((given != NONE).sum(axis=1) > 1).any():
        return Consensus(labels, probabilities, np.ones(given.shape[1]), 1.0)
    first = _weighed(given, labels, probabilities)
    # The first weights correct the majority, the corrected labels the weights
    highest = first.probabilities.max(axis=1)
    is_tie = (first.probabilities == highest[:, None]).sum(axis=1) > 1
    better = np.where(is_tie, labels, first.probabilities.argmax(axis=1))
    return _weighed(given, better, probabilities)


def _weighed(given: Ints, labels: Ints, probabilities: Floats) -> Consensus:
    classes = probabilities.shape[1]
    is_given = given != NONE
    numbers = is_given.sum(axis=1)
    several = numbers > 1
    agreement = ((given == labels[:, None]) & is_given).sum(axis=1) / numbers
    agreed = float(agreement[several].mean())
    commonest = np.bincount(labels[several], minlength=classes).argmax()
    chance_error = max(float((labels[several] != commonest).mean()), _LEAST)
    with_others = _agreement_with_others(given, numbers)
    weights = np.maximum(1 - (1 - with_others) / chance_error, _LEAST)
    error = float((probabilities[several].argmax(axis=1) != labels[several]).mean())
    model_weight = max(1 - error / chance_error, _LEAST) * float(np.sqrt(numbers.mean()))
    posterior = probabilities * model_weight
    rows, people = np.nonzero(is_given)
    share = (1 - agreed) / (classes - 1)
    np.add.at(posterior, rows, (weights[people] * share)[:, None])
    np.add.at(posterior, (rows, given[rows, people]), weights[people] * (agreed - share))
    total = model_weight + is_given @ weights
    return Consensus(labels, posterior / total[:, None], weights, model_weight)


def _agreement_with_others(given: Ints, numbers: Ints) -> Floats:
    """Return each person's agreement with the others of the same images, `[J]`.

    Each other label counts once; those who share no image get the mean of those who do.
    """
    found = np.full(given.shape[1], np.nan)
    for person in range(given.shape[1]):
        mine = given[:, person]
        rows = np.flatnonzero((mine != NONE) & (numbers > 1))
        if len(rows):
            same = (given[rows] == mine[rows, None]).sum(axis=1) - 1
            found[person] = same.sum() / (numbers[rows] - 1).sum()
    found[np.isnan(found)] = np.nanmean(found)
    return found


def dawid_skene(given: Ints, classes: int) -> tuple[Consensus, Floats]:
    """Return the consensus of several people without a model, and how each confuses the classes.

    Expectation maximization of Dawid and Skene's model, from the shares of votes on; counts of
    confusions are smoothed by 0.01.

    Args:
        given: Class index of each image by each person, `[N, J]`, or `NONE`; at least one a row.
        classes: The number of classes.

    Returns:
        The consensus, whose weights are the people's estimated accuracies; and the probabilities
        of a given class by the true one, `[J, C, C]`: true class first.
    """
    votes = class_votes(given, classes)
    posterior = votes / votes.sum(axis=1, keepdims=True)
    people = [np.flatnonzero(given[:, person] != NONE) for person in range(given.shape[1])]
    confusions = np.empty((given.shape[1], classes, classes))
    for _ in range(_MOST_STEPS):
        prior = posterior.mean(axis=0)
        for person, rows in enumerate(people):
            counts = np.full((classes, classes), _SMOOTHING)
            np.add.at(counts.T, given[rows, person], posterior[rows])
            confusions[person] = counts / counts.sum(axis=1, keepdims=True)
        logarithms = np.tile(np.log(np.maximum(prior, _LEAST_PROBABILITY)), (len(given), 1))
        for person, rows in enumerate(people):
            logarithms[rows] += np.log(confusions[person])[:, given[rows, person]].T
        logarithms -= logarithms.max(axis=1, keepdims=True)
        before, posterior = posterior, np.exp(logarithms)
        posterior /= posterior.sum(axis=1, keepdims=True)
        if np.abs(posterior - before).max() < _TOLERANCE:
            break
    accuracies = np.einsum("jcc,c->j", confusions, posterior.mean(axis=0))
    return Consensus(posterior.argmax(axis=1), posterior, accuracies, 0.0), confusions


def fitted_temperature(given: Ints, probabilities: Floats) -> float:
    """Return the temperature at which a model's probabilities are nearest to the shares of votes.

    Nearest by the mean cross entropy, among 88 temperatures from 0.1 to 8.

    Args:
        given: Class index of each image by each person, `[N, J]`, or `NONE`; at least one a row.
        probabilities: Those of a model that was not trained on these labels, `[N, C]`.
    """
    votes = class_votes(given, probabilities.shape[1])
    shares = votes / votes.sum(axis=1, keepdims=True)
    losses = []
    for temperature in _TEMPERATURES:
        scaled = np.log(np.maximum(at_temperature(probabilities, temperature), _LEAST_PROBABILITY))
        losses.append(-(shares * scaled).sum(axis=1).mean())
    return float(_TEMPERATURES[int(np.argmin(losses))])


def at_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Return probabilities whose logarithms were divided by a temperature, `[N, C]`."""
    logarithms = np.log(np.maximum(probabilities, _LEAST_PROBABILITY)) / temperature
    scaled = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    found: Floats = scaled / scaled.sum(axis=1, keepdims=True)
    return found


def active_lab_scores(
    given: Ints, labeled: Floats, unlabeled: Floats, temperature: float | None = None
) -> tuple[Floats, Floats]:
    """Return the certainty of the label of each image, were one label more to come, by ActiveLab.

    Images with and without labels are on one scale: the lowest is to be asked about next.

    Args:
        given: Class index of each labeled image by each person, `[N, J]`, or `NONE`.
        labeled: A model's probabilities of the labeled images, `[N, C]`, as of a model that was not
            trained on them.
        unlabeled: Those of the others, `[M, C]`.
        temperature: Divisor of the logarithms of the probabilities. Null: where an image has
            several labels, the fitted one, else 1.

    Returns:
        Scores of the labeled images, `[N]`, and of the others, `[M]`, from 0 to 1.
    """
    classes = unlabeled.shape[1]
    if not len(given):
        return np.zeros(0), (unlabeled.max(axis=1) + 1 / classes) / 2
    several = bool(((given != NONE).sum(axis=1) > 1).any())
    if temperature is None:
        temperature = fitted_temperature(given, labeled) if several else 1.0
    consensus = crowdlab(given, at_temperature(labeled, temperature))
    of_one = float(consensus.annotator_weights.mean())
    weight = (given != NONE) @ consensus.annotator_weights + consensus.model_weight
    known = (weight * consensus.quality + of_one / classes) / (weight + of_one)
    highest = at_temperature(unlabeled, temperature).max(axis=1)
    model = consensus.model_weight
    return known, (model * highest + of_one / classes) / (model + of_one)
