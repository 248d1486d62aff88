"""Learning rate range test: train with growing rates to find one that works.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv:1506.01186), section
3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.common import ConfigurationError, Params
from allencv_al.common.errors import DataError
from allencv_al.common.figures import write_figure
from allencv_al.common.progress import track
from allencv_al.common.seeding import seed_everything
from allencv_al.data.batch import Batch
from allencv_al.data.data_loaders.base import DataLoader
from allencv_al.training.experiment import Experiment, check_experiment
from allencv_al.training.trainers.gradient_descent_trainer import GradientDescentTrainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST_BATCHES = 11
# They would change the learning rate too, or have no effect within a hundred batches
_LEFT_OUT = (
    "learning_rate_scheduler",
    "momentum_scheduler",
    "moving_average",
    "callbacks",
    "checkpointer",
)
# Fraction of the losses that one point of the curve averages, to tell slope from noise.
_WINDOW = 0.1
# A difference from the start of the curve counts from this many standard errors on.
_CLEARLY = 3.0


@dataclass(frozen=True, slots=True)
class LearningRateCurve:
    """The loss at each learning rate.

    Args:
        learning_rates: The rates tried, ascending.
        losses: The loss of one step at each.
        linear: Whether the rates grow by equal steps, so that the axis is linear too.
    """

    learning_rates: list[float]
    losses: list[float]
    linear: bool = False

    def smoothed(self) -> list[float]:
        """Return the losses, each averaged with its neighbors."""
        averages: list[float] = _centered_average(np.array(self.losses)).tolist()
        return averages

    def suggestion(self) -> float | None:
        """Return the learning rate at which the smoothed curve, as drawn, falls fastest.

        The curve counts up to where it rises above its start. None if it does not fall below its
        start before. Both must exceed the noise of the batches.
        """
        smoothed = np.array(self.smoothed())
        noise = _CLEARLY * _error_of_average(np.array(self.losses))
        too_high = np.flatnonzero(smoothed > smoothed[0] + noise)
        end = int(too_high[0]) if len(too_high) else len(smoothed)
        lowest = int(smoothed[:end].argmin())
        if lowest < 2 or smoothed[lowest] >= smoothed[0] - noise:
            return None
        rates = np.array(self.learning_rates)
        slopes = np.gradient(smoothed, rates if self.linear else np.log(rates))[:lowest]
        steepest = int(np.where(smoothed[:lowest] > smoothed[0], np.inf, slopes).argmin())
        return self.learning_rates[steepest] if slopes[steepest] < 0 else None

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        rows = zip(self.learning_rates, self.losses, self.smoothed(), strict=True)
        return {
            "suggestion": self.suggestion(),
            "curve": [
                {"learning_rate": rate, "loss": loss, "smoothed_loss": smoothed}
                for rate, loss, smoothed in rows
            ],
        }

    def write_picture(self, path: Path) -> bool:
        """Draw losses over learning rates, with the suggestion; return whether it succeeded.

        A chart that cannot be drawn is a warning.
        """
        return write_figure(path, self._draw, width=7, height=4.5)

    def _draw(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(self.learning_rates, self.losses, color="0.75", label="loss of the batch")
        axes.plot(self.learning_rates, self.smoothed(), label="smoothed")
        suggestion = self.suggestion()
        if suggestion is not None:
            axes.axvline(suggestion, color="tab:red", ls=":", label=f"suggestion {suggestion:.1e}")
        # One batch that diverges must not flatten everything else.
        axes.set_ylim(min(self.losses) * 0.9, max(self.losses[0] * 2, np.median(self.losses) * 1.5))
        axes.set(xscale="linear" if self.linear else "log", xlabel="learning rate", ylabel="loss")
        axes.grid(alpha=0.3)
        axes.legend()


def curve_of_config(params: Params, source: str, **options: Any) -> LearningRateCurve:
    """Try learning rates on the model, the data and the trainer of a config.

    Args:
        params: The config; what schedules the rate, and what has no effect in so few steps, is
            left out.
        source: The name of the config in messages.
        **options: Those of `try_learning_rates`.

    Raises:
        ConfigurationFaults: The config is wrong.
        ConfigurationError: Its trainer has no optimizer.
    """
    check_experiment(params, source)
    config = params.as_dict()
    config["trainer"] = {k: v for k, v in config["trainer"].items() if k not in _LEFT_OUT}
    experiment = Experiment.from_checked(params)
    seed_everything(*experiment.seeds)
    datasets, vocabulary = experiment.prepare()
    model = experiment.make_model(vocabulary)
    loader = experiment.make_loader(datasets.train, vocabulary, training=True)
    trainer = experiment.make_trainer(model, loader, None, None)
    if not isinstance(trainer, GradientDescentTrainer):
        raise ConfigurationError("trainer: find-lr needs a trainer with an optimizer")
    trainer.check_data(datasets)
    trainer.balance_classes(loader)
    return try_learning_rates(trainer, loader, **options)


def try_learning_rates(
    trainer: GradientDescentTrainer,
    data_loader: DataLoader,
    start_lr: float = 1e-5,
    end_lr: float = 10.0,
    num_batches: int = 100,
    linear: bool = False,
    stopping_factor: float | None = None,
) -> LearningRateCurve:
    """Train one step at each of a series of growing learning rates; the model is unusable after.

    A step is the trainer's, with its precision, clipping and accumulated batches. Parameter groups
    keep the ratio of their rates; the largest is the rate that is tried.

    Args:
        trainer: The trainer whose model, optimizer and step are used, without its schedules.
        data_loader: The training data; it restarts when it ends.
        start_lr: The first rate.
        end_lr: The last rate.
        num_batches: Number of rates, more than 10; one step each.
        linear: Whether rates grow by a constant step instead of by a constant factor.
        stopping_factor: Stop when the loss is this many times the lowest so far. A loss that is not
            finite always stops.

    Raises:
        ConfigurationError: The rates or their number are invalid.
        DataError: The data loader gives no batches.
    """
    if not 0 < start_lr < end_lr:
        raise ConfigurationError(
            f"expected 0 < start_lr < end_lr, found start_lr {start_lr:g} and end_lr {end_lr:g}"
        )
    if num_batches < FEWEST_BATCHES:
        raise ConfigurationError(f"num_batches: expected more than 10, found {num_batches}")
    layout = torch.channels_last if trainer.channels_last else torch.contiguous_format
    step = trainer.step.without_schedules(
        lambda batch: data_loader.to_device(batch, trainer.device, layout)
    )
    groups = trainer.optimizer.param_groups
    largest = max(float(group["lr"]) for group in groups) or 1.0
    ratios = [float(group["lr"]) / largest for group in groups]
    rates = _rates(start_lr, end_lr, num_batches, linear)
    tried: list[float] = []
    losses: list[float] = []
    trainer.model.train()
    pairs = zip(rates, _endless_groups(data_loader, trainer.batches_per_step), strict=False)
    for rate, batches in track(pairs, num_batches, "trying learning rates", "steps"):
        for group, ratio in zip(groups, ratios, strict=True):
            group["lr"] = rate * ratio
        loss = step(batches).item()
        if not math.isfinite(loss):  # not a point of the curve
            break
        tried.append(rate)
        losses.append(loss)
        if stopping_factor is not None and loss > stopping_factor * min(losses):
            break
    return LearningRateCurve(tried, losses, linear)


def _rates(start: float, end: float, number: int, linear: bool) -> Sequence[float]:
    rates: NDArray[np.float64] = (
        np.linspace(start, end, number) if linear else np.geomspace(start, end, number)
    )
    return [float(rate) for rate in rates]


def _endless_groups(data_loader: DataLoader, size: int) -> Iterator[list[Batch]]:
    """Yield the batches of each step, epoch after epoch; as in training, none spans two epochs."""
    for epoch in count():
        empty = True
        batches = iter(data_loader.batches(epoch))
        while group := list(islice(batches, size)):
            empty = False
            yield group
        if empty:
            raise DataError("the data loader gave no batches: is there any training data?")


def _half_window(values: NDArray[np.float64]) -> int:
    return max(1, round(len(values) * _WINDOW / 2))


def _error_of_average(values: NDArray[np.float64]) -> float:
    """Return the standard error of the smoothed curve at its start, robust against a trend."""
    steps = np.diff(values)
    # 1.4826 scales the median absolute deviation to the standard deviation of a normal variable;
    # differences of neighbors have sqrt(2) times that of the losses, and no trend
    deviation = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / math.sqrt(2)
    return deviation / math.sqrt(_half_window(values) + 1)


def _centered_average(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Centered, because a trailing average is late: it would suggest too high a rate.
    half = _half_window(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    begins = np.maximum(np.arange(len(values)) - half, 0)
    ends = np.minimum(np.arange(len(values)) + half + 1, len(values))
    averages: NDArray[np.float64] = (sums[ends] - sums[begins]) / (ends - begins)
    return averages
