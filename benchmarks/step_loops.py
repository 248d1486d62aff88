"""The contenders of `step_overhead.py`: one small training, written once for each framework.

Each trains the same network from the same weights on the same batches, and returns it.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from step_work import LEARNING_RATE, MOMENTUM, TRAINER, Pair, Stopwatch, Work
from torch import Tensor, nn
from torch.nn import functional as F

Loop = Callable[[Work, Stopwatch], nn.Module]


@dataclass(frozen=True)
class Contender:
    """A loop and its line in the table.

    Args:
        name: What the table calls it.
        loop: The loop; None where its framework is not installed.
        scheduled: Whether it has a schedule, and so ends with other weights than the bare loop.
        framework: Whose line it is in the comparison of frameworks, if it is in it.
    """

    name: str
    loop: Loop | None
    scheduled: bool = False
    framework: str = ""


def contenders() -> list[Contender]:
    """Return the contenders; the first is the floor, and the second is the same once more."""
    if find_spec("lightning"):
        _silence_lightning()
    logging_twice = partial(lightning, logs=True)
    return [
        Contender("bare loop", bare),
        Contender("bare loop, again (A/A)", bare),
        Contender("bare loop, our data loader", our_loader),
        Contender("bare loop, our model (counts accuracy)", our_model),
        Contender("by hand: loss, accuracy, schedule", by_hand, scheduled=True),
        Contender("**allencv_al**, defaults and schedule", ours, True, "allencv_al"),
        Contender("Ignite, engine alone", _of("ignite", ignite_alone)),
        Contender("**Ignite**, metrics and schedule", _of("ignite", ignite), True, "Ignite"),
        Contender("Lightning, barebones", _of("lightning", lightning_barebones)),
        Contender(
            "**Lightning**, metrics by hand and schedule",
            _of("lightning", partial(lightning, logs=False)),
            True,
            "Lightning",
        ),
        Contender("Lightning, two self.log and schedule", _of("lightning", logging_twice), True),
    ]


def bare(work: Work, watch: Stopwatch) -> nn.Module:
    """Train without anything else: no metric, no schedule, no callback."""
    network, optimizer = work.network()
    for image, label in watch(work.batches()):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(image), label)
        loss.backward()
        optimizer.step()
    return network


def our_loader(work: Work, watch: Stopwatch) -> nn.Module:
    """Train by the bare loop, but take the batches from our data loader."""
    network, optimizer = work.network()
    loader, cpu = work.loader(), torch.device("cpu")
    for batch in watch(loader.batches(0)):
        tensors = loader.to_device(batch, cpu)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(tensors["image"]), tensors["label"])
        loss.backward()
        optimizer.step()
    return network


def our_model(work: Work, watch: Stopwatch) -> nn.Module:
    """Train our model by the bare loop; it makes loss and probabilities and counts accuracy."""
    model: nn.Module = work.model()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
    for image, label in watch(work.batches()):
        optimizer.zero_grad()
        loss = model(image, label)["loss"]
        loss.backward()
        optimizer.step()
    return model


def by_hand(work: Work, watch: Stopwatch) -> nn.Module:
    """Train with the metrics and the schedule that a user would write."""
    network, optimizer = work.network()
    total, correct, count = torch.zeros(()), torch.zeros((), dtype=torch.int64), 0
    for step, (image, label) in enumerate(watch(work.batches())):
        optimizer.zero_grad()
        logits = network(image)
        loss = F.cross_entropy(logits, label)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * work.factor(step)
        optimizer.step()
        total += loss.detach()
        correct += (logits.detach().argmax(-1) == label).sum()
        count += len(label)
    _expect_learning(total.item() / work.steps, correct.item() / count)
    return network


def ours(work: Work, watch: Stopwatch) -> nn.Module:
    """Train by our trainer with its defaults: progress, callbacks, a run folder, checkpoints."""
    from allencv_al.training.trainers.base import Trainer

    model, loader = work.model(), work.loader()
    batches = loader.batches
    loader.batches = lambda epoch, start=0: iter(watch(batches(epoch, start)))
    with tempfile.TemporaryDirectory() as folder:
        parts = {"model": model, "data_loader": loader, "serialization_dir": folder}
        metrics = Trainer.from_params(TRAINER, **parts).train()
    _expect_learning(metrics["training_loss"], metrics["training_accuracy"])
    trained: nn.Module = model
    return trained


def ignite_alone(work: Work, watch: Stopwatch) -> nn.Module:
    """Train by an Ignite engine that does nothing but the steps."""
    from ignite.engine import create_supervised_trainer

    network, optimizer = work.network()
    trainer = create_supervised_trainer(network, optimizer, F.cross_entropy)
    trainer.run(watch(work.batches()), max_epochs=1)
    return network


def ignite(work: Work, watch: Stopwatch) -> nn.Module:
    """Train by an Ignite engine with Ignite's metrics and schedule."""
    from ignite.engine import Events, create_supervised_trainer
    from ignite.handlers import PiecewiseLinear
    from ignite.metrics import Accuracy, Average

    network, optimizer = work.network()
    trainer = create_supervised_trainer(
        network,
        optimizer,
        F.cross_entropy,
        output_transform=lambda x, y, y_pred, loss: (y_pred, y, loss.detach()),
    )
    Accuracy(output_transform=lambda output: output[:2]).attach(trainer, "accuracy")
    Average(output_transform=lambda output: output[2]).attach(trainer, "loss")
    line = [(step, LEARNING_RATE * work.factor(step)) for step in (0, work.steps - 1)]
    schedule = PiecewiseLinear(optimizer, "lr", milestones_values=line)
    trainer.add_event_handler(Events.ITERATION_STARTED, schedule)
    state = trainer.run(watch(work.batches()), max_epochs=1)
    _expect_learning(state.metrics["loss"], state.metrics["accuracy"])
    return network


def lightning_barebones(work: Work, watch: Stopwatch) -> nn.Module:
    """Train by Lightning with `barebones`, which allows neither metrics nor logging."""
    import lightning.pytorch as pl

    network, optimizer = work.network()

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
            image, label = batch
            return F.cross_entropy(self.network(image), label)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer

    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, barebones=True)
    trainer.fit(Module(), watch(work.batches()))
    return network


def lightning(work: Work, watch: Stopwatch, logs: bool) -> nn.Module:
    """Train by Lightning with a schedule and with metrics: by hand, or by two `self.log`."""
    import lightning.pytorch as pl

    network, optimizer = work.network()

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.total, self.count = torch.zeros(()), 0
            self.correct = torch.zeros((), dtype=torch.int64)

        def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
            image, label = batch
            logits = self.network(image)
            loss = F.cross_entropy(logits, label)
            hits = logits.detach().argmax(-1) == label
            if logs:
                self.log("loss", loss, on_step=False, on_epoch=True)
                self.log("accuracy", hits.float().mean(), on_step=False, on_epoch=True)
            else:
                self.total += loss.detach()
                self.correct += hits.sum()
                self.count += len(label)
            return loss

        def configure_optimizers(self) -> Any:
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, work.factor)
            return [optimizer], [{"scheduler": schedule, "interval": "step"}]

        def means(self) -> tuple[float, float]:
            return self.total.item() / work.steps, self.correct.item() / self.count

    switched_off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, **dict.fromkeys(switched_off, False))
    module = Module()
    trainer.fit(module, watch(work.batches()))
    logged = trainer.callback_metrics
    loss, accuracy = (logged["loss"], logged["accuracy"]) if logs else module.means()
    _expect_learning(float(loss), float(accuracy))
    return network


def _of(package: str, loop: Loop) -> Loop | None:
    return loop if find_spec(package) else None


def _expect_learning(loss: float, accuracy: float) -> None:
    """Check that the metrics came out, so that nobody is spared their work."""
    assert 0 < loss < 2.5, loss
    assert 0 < accuracy < 1, accuracy


def _silence_lightning() -> None:
    import lightning.pytorch  # noqa: F401  it sets the levels of its loggers when it is imported

    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
