"""The training loop: epochs, validation, checkpoints, and resuming after an interruption."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import torch
from annotated_types import Ge
from overrides import overrides

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import CheckpointError, TrainingError
from allencv_al.common.files.atomic_file import write_json
from allencv_al.common.seeding import random_state, restore_random_state
from allencv_al.data.data_loaders import DataLoader
from allencv_al.models.model import Model, flushed_denormals, resolve_device
from allencv_al.models.precision import Precision, StepPrecision, deterministic_algorithms
from allencv_al.training.evaluation import FirstBatch, evaluate
from allencv_al.training.heads.label_spreading import PoolEmbeddings
from allencv_al.training.interruption import (
    SignalReceivedError,
    SignalWatch,
    TrainingInterrupted,
)
from allencv_al.training.learning_rate_schedulers.base import plan_text, warn_of_more_epochs
from allencv_al.training.run_records import device_name, write_environment
from allencv_al.training.trainers.base import EpochTrainer
from allencv_al.training.trainers.epoch_metrics import (
    LossProgress,
    MetricTracker,
    RunningLoss,
    duration,
    parse_metric_names,
    peak_memory,
    with_prefix,
)

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView, Fault
    from allencv_al.data.batch import Batch
    from allencv_al.training.callbacks.base import CallbackList

logger = logging.getLogger(__name__)

Metrics = dict[str, Any]

# How long after a signal a batch may take, so that the step is still done. One that takes longer
# may never come: a stopped worker, a network disk that is gone.
_GRACE_SECONDS = 2.0

DEFAULT_EPOCHS = 20


class TrainingLoop(EpochTrainer):
    """Train epoch by epoch; the constructor of a subclass makes the optimizer and what follows it.

    Args:
        model: The model.
        data_loader: The training data.
        validation_data_loader: The data that chooses the best epoch.
        serialization_dir: Folder of the run; without one nothing is written.
        patience: After how many epochs without improvement to stop; null never stops.
        validation_metric: The metric that chooses the best epoch, after `+` if it grows as the
            model improves or `-` if it falls (`-loss`); the scores of a list are added up. Default:
            the `main_metric` of the model's task, `-loss` for one class per image, else
            `+macro_f1`, `+miou` or `+mAP`.
        num_epochs: The most epochs.
        num_gradient_accumulation_steps: Number of batches per optimizer step, whose loss is that of
            one batch with all their items, however they are cut: memory for a batch size that does
            not fit.
        cuda_device: -1 is the CPU, n the n-th GPU, "auto" the first GPU if there is one.
        enable_default_callbacks: Whether `console_logger`, `metrics_jsonl` and `pictures` take
            part, and a progress bar is shown.
        precision: Number format of the forward pass in training and validation; parameters stay
            float32. "auto" is bf16 where the device has it in hardware, else fp32; "mixed" is fp16
            on a GPU and bf16 on the CPU; "fp16" needs a GPU. Test metrics and `allencv-al evaluate`
            are always in fp32.
        channels_last: Whether weights and images are laid out channels-last, which mixed precision
            is fast in. Default: with bf16 and fp16.
        deterministic: Whether to use only operations that give the same bits each time, which a
            GPU needs for recovery to be exact. Slower there.
        grad_scaling: Whether to scale the loss under fp16.
        pool_embeddings: Returns the embeddings of all images to learn from, labeled or not.
    """

    callbacks: CallbackList
    needs_several_items: bool = False  # a batch norm cannot learn from one image

    def __init__(
        self,
        model: Model,
        data_loader: DataLoader,
        validation_data_loader: DataLoader | None = None,
        serialization_dir: str | Path | None = None,
        patience: Annotated[int, Ge(1)] | None = None,
        validation_metric: str | list[str] | None = None,
        num_epochs: Annotated[int, Ge(1)] = DEFAULT_EPOCHS,
        num_gradient_accumulation_steps: Annotated[int, Ge(1)] = 1,
        cuda_device: int | Literal["auto"] | None = "auto",
        enable_default_callbacks: bool = True,
        precision: Precision = "auto",
        channels_last: bool | None = None,
        deterministic: bool = False,
        grad_scaling: bool = True,
        pool_embeddings: Callable[[], PoolEmbeddings] | None = None,
    ) -> None:
        super().__init__(model, serialization_dir, resolve_device(cuda_device), pool_embeddings)
        self.data_loader = data_loader
        self.validation_data_loader = validation_data_loader
        self.num_epochs = num_epochs
        self.batches_per_step = num_gradient_accumulation_steps
        self.validation_metric = validation_metric or model.task.main_metric
        self.metric_tracker = MetricTracker(self.validation_metric, patience)
        if patience is not None and validation_data_loader is None:
            logger.warning("patience has no effect: there is no validation data to look at")
        self.show_progress = enable_default_callbacks
        self.deterministic = deterministic
        self.precision = StepPrecision(precision, self.device, grad_scaling)
        self.channels_last = self.precision.is_mixed if channels_last is None else channels_last
        if self.channels_last:
            # Before anything refers to the parameters: in another layout they have other memory
            model.to(memory_format=torch.channels_last)
        self.epochs_completed = 0
        self.learning_rates = []
        self._batch = 0  # batches of the current epoch that are done
        self._loss = RunningLoss()
        self._metrics: Metrics = {}
        self._best_in_memory: dict[str, torch.Tensor] | None = None
        self._seconds_before = 0.0  # of earlier processes of this run
        self._started = time.monotonic()
        self._signals = SignalWatch()

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from super().config_faults(config)
        names = config.get("validation_metric")
        if names is not None and config.sound("validation_metric"):
            try:
                parse_metric_names([names] if isinstance(names, str) else names)
            except ConfigurationError as error:
                message = str(error).removeprefix("validation_metric: ")
                yield config.fault("validation_metric", message)

    @overrides
    def train(self, recover: bool = False) -> Metrics:
        metrics: Metrics | None = None
        failed: Exception | None = None
        with SignalWatch() as self._signals, deterministic_algorithms(self.deterministic):
            try:
                metrics = self._train(recover)
            except torch.OutOfMemoryError as error:
                raise TrainingError(self._describe_memory(error)) from error
            except TrainingInterrupted:
                raise
            except Exception:
                self._finish_writing()
                raise
            finally:
                last = self.epochs_completed - 1 if self.epochs_completed else None
                failed = self.callbacks.on_end(self, metrics, last)
        if failed is not None:
            raise failed
        return metrics

    def _train(self, recover: bool) -> Metrics:
        self._begin(recover)
        while self.epochs_completed < self.num_epochs:
            if self.metric_tracker.should_stop_early():
                logger.info("no improvement for as many epochs as patience allows: stopping early")
                break
            self._train_epoch()
            before = self._state()  # for a signal during validation, which resets metrics
            training_metrics = {**self.model.collect_metrics(reset=True), "loss": self._loss.mean()}
            try:
                validation_metrics = self._validate()
            except SignalReceivedError:
                self._stop(before)
            self._end_epoch(training_metrics, validation_metrics)
        return self._conclude()

    def _begin(self, recover: bool) -> None:
        self._started = time.monotonic()
        name = device_name(self.device)
        logger.info("training on %s in %s", name, self.precision.name)
        if self.serialization_dir is not None:
            write_environment(self.serialization_dir, device=name, precision=self.precision.name)
        random = random_state()
        if recover:
            random = self._recover() or random
        elif self.checkpointer is not None:
            self.checkpointer.check_unused()
        self.balance_classes(self.data_loader)
        self.fit_embedding_scaling(self.data_loader)
        self._check_metric()
        self.callbacks.on_start(self)
        # After all that may draw numbers: a resumed run must continue with those of its checkpoint
        restore_random_state(random)
        if self.checkpointer is not None and self.steps_completed == 0:
            self._save()  # the initial weights: another process may not draw the same
            self.checkpointer.wait()  # a full disk must be known now, not in an hour

    def _names_before_a_batch(self) -> set[str]:
        """Return the metrics that the model reports before its first batch.

        Raises:
            ConfigurationError: The validation metric is not a single number.
        """
        was_training = self.model.training
        known = self.model.eval().collect_metrics()
        self.model.train(was_training)
        self.metric_tracker.require_numbers(known)
        return {"loss", *known}

    def _check_metric(self) -> None:
        """Raise before the first epoch if the model does not report the validation metric.

        Most models report their metrics before any batch; others are tried on the first batch.
        """
        loader = self.validation_data_loader
        if loader is None or self.epochs_completed:
            return
        if not {*self.metric_tracker.names} <= self._names_before_a_batch():
            state = self.model.metric_state()
            found = evaluate(self.model, FirstBatch(loader), self.device, description=None)
            self.model.load_metric_state(state)
            self.metric_tracker.require(found)
            self.metric_tracker.require_numbers(found)

    def _train_epoch(self) -> None:
        self._log_plan()
        self.model.train()
        with self._progress() as progress, flushed_denormals():
            batches = self._open_batches()
            while group := self._wait_for(batches, self.batches_per_step):
                loss = self.step(group)
                self._loss.add(loss, _ids(group))
                # The loader's index, not a count: unreadable images may have removed whole batches
                self._batch = group[-1].index + 1
                if self.callbacks.watches_batches:
                    self.callbacks.on_batch(self, loss, self._loss.count)
                # After the callbacks, so that the checkpoint has their state of this step
                if self._signals.received is not None:
                    self._stop(self._state())
                if self.checkpointer is not None and self.checkpointer.due():
                    self._save()
                if progress.due():
                    progress.show(self._loss.mean())
            progress.show(self._loss.mean())
        if not self._batch:
            raise TrainingError("the data loader gave no batches: is there any training data?")

    def _validate(self) -> Metrics | None:
        if self.validation_data_loader is None:
            return None
        if self.checkpointer is not None:
            self.checkpointer.wait()  # the loader may fork, which a writing thread does not survive
        with self._averaged(), self._signals.waiting():
            return evaluate(
                self.model,
                self.validation_data_loader,
                self.device,
                precision=self.precision.name,
                channels_last=self.channels_last,
                description="validating" if self.show_progress else None,
            )

    def _end_epoch(self, training: Metrics, validation: Metrics | None) -> None:
        epoch, tracker = self.epochs_completed, self.metric_tracker
        score = None
        if validation is not None:
            tracker.require_numbers(validation)
            tracker.add_metrics(validation)
            score = tracker.scheduler_metric(validation)
        self._metrics = self._describe_epoch(training, validation)
        if self.serialization_dir is not None:
            write_json(self.serialization_dir / f"metrics_epoch_{epoch}.json", self._metrics)
        # The rates of the last step; `scheduler.step` below sets those of the next epoch
        self.learning_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        for scheduler in (self.learning_rate_scheduler, self.momentum_scheduler):
            if scheduler is not None:
                scheduler.step(score)
        # Before the checkpoint, which holds their state: a resumed run does not repeat them
        self.callbacks.on_epoch(self, self._metrics, epoch)
        self.epochs_completed, self._batch, self._loss = epoch + 1, 0, RunningLoss()
        # Without validation data the last epoch is the result
        is_best = validation is None or tracker.is_best_so_far()
        self._save_epoch(self._result_weights() if is_best else None)

    def _conclude(self) -> Metrics:
        best = self._best_in_memory
        if self.checkpointer is not None:
            best = self.checkpointer.load_best()
        if best is not None:
            self.model.load_state_dict(best)
        # An archive, and later users of the model, expect the usual memory layout
        if self.channels_last:
            self.model.to(memory_format=torch.contiguous_format)
        self._metrics.update(self._measurements())
        if self.serialization_dir is not None:
            write_json(self.serialization_dir / "metrics.json", self._metrics)
        # A signal during the last writes: the result is complete, but the command must still stop
        if self._signals.received is not None:
            message = "training was complete; --recover does what comes after it"
            raise TrainingInterrupted(self._signals.received, message)
        self.has_result = True
        return self._metrics

    # State: all that later steps depend on, so that a resumed run repeats every bit.

    def _state(self) -> dict[str, Any]:
        return {
            "num_epochs": self.num_epochs,
            "epochs_completed": self.epochs_completed,
            "batch": self._batch,
            "loss": self._loss.state_dict(),
            "model_metrics": self.model.metric_state(),
            "metrics": self._metrics,
            "tracker": self.metric_tracker.state_dict(),
            "step": self.step.state_dict(),
            "callbacks": self.callbacks.state_dict(),
            "seconds": self._seconds(),
            "random": random_state(),
        }

    def _recover(self) -> dict[str, Any] | None:
        """Restore the newest checkpoint; return its state of the random number generators."""
        if self.checkpointer is None:
            raise ConfigurationError("recover: needs the serialization_dir of the run")
        checkpoint = self.checkpointer.load()
        if checkpoint is None:
            if self.checkpointer.load_best() is not None:
                raise CheckpointError(
                    f"{self.serialization_dir}: has trained weights but no checkpoint to resume "
                    "from; start over with --force"
                )
            logger.info("there is no checkpoint yet: starting from the beginning")
            return None
        logger.info("recovering from checkpoint %s", checkpoint.name)
        state = checkpoint.state
        try:
            self.model.load_state_dict(checkpoint.model)
            self.model.load_metric_state(state["model_metrics"])
            # After the weights: averages and schedules refer to the parameters
            self.step.load_state_dict(state["step"])
            self.metric_tracker.load_state_dict(state["tracker"])
            self._loss.load_state_dict(state["loss"])
            self.callbacks.load_state_dict(state["callbacks"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"checkpoint {checkpoint.name} does not fit this model and trainer: {error}"
            ) from error
        self.epochs_completed, self._batch = state["epochs_completed"], state["batch"]
        self._metrics, self._seconds_before = state["metrics"], state["seconds"]
        before = state.get("num_epochs", self.num_epochs)
        for scheduler in (self.learning_rate_scheduler, self.momentum_scheduler):
            if scheduler is not None and self.num_epochs > before:
                warn_of_more_epochs(scheduler, before)
        random: dict[str, Any] = state["random"]
        return random

    def _save(self, state: Mapping[str, Any] | None = None) -> None:
        assert self.checkpointer is not None
        state = self._state() if state is None else state
        epochs, batch = state["epochs_completed"], state["batch"]
        self.checkpointer.save(epochs, batch, self.model.state_dict(), state)

    def _save_epoch(self, best: Mapping[str, torch.Tensor] | None) -> None:
        if self.checkpointer is None:
            if best is not None:  # cloned: training continues in the same tensors
                self._best_in_memory = {name: value.clone() for name, value in best.items()}
        elif self.checkpointer.save_completed_epochs:
            state = self._state()  # reads the loss, and so finds a NaN before anything is saved
            model = self.model.state_dict()
            self.checkpointer.save(self.epochs_completed, 0, model, state, best)
        elif best is not None:
            self.checkpointer.save_best(best)

    def _result_weights(self) -> Mapping[str, torch.Tensor]:
        """Return the weights that were validated: the averages if there are any."""
        if self.moving_average is None:
            return self.model.state_dict()
        with self._averaged():
            return {name: value.clone() for name, value in self.model.state_dict().items()}

    # The small parts.

    def _open_batches(self) -> Iterator[Batch]:
        """Open the rest of the epoch without advancing the random number generators.

        A loader's workers draw a seed when they start. In a resumed epoch they start once more,
        which must not shift the numbers that the model draws.
        """
        random = random_state()
        batches = iter(self.data_loader.batches(self.epochs_completed, self._batch))
        try:
            first = self._wait_for(batches, 1)
        finally:
            restore_random_state(random)
        return filter(self._can_learn_from, chain(first, batches))

    def _can_learn_from(self, batch: Batch) -> bool:
        """Return whether a batch has more than one readable image, if the model needs that."""
        if len(batch) > 1 or not batch.unreadable or not self.needs_several_items:
            return True
        logger.warning(
            "epoch %s without %s: the one readable image of its batch, and batch norms need more",
            self.epoch_text(self.epochs_completed),
            batch.ids[0],
        )
        return False

    def _wait_for(self, batches: Iterator[Batch], number: int) -> list[Batch]:
        """Return the next batches; a signal during the wait ends the training."""
        try:
            with self._signals.waiting(_GRACE_SECONDS):
                return list(islice(batches, number))
        except SignalReceivedError:
            self._stop(self._state())

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.moving_average is None else self.moving_average.averaged()

    def _progress(self) -> LossProgress:
        title = f"epoch {self.epoch_text(self.epochs_completed)}"
        total = math.ceil(len(self.data_loader) / self.batches_per_step)
        return LossProgress(title if self.show_progress else None, total, self._loss.count)

    def _log_plan(self) -> None:
        scheduler = self.learning_rate_scheduler
        if scheduler is None:
            return
        plan = plan_text(scheduler.describe_epoch())
        logger.info("epoch %s begins: %s", self.epoch_text(self.epochs_completed), plan)

    def _describe_epoch(self, training: Metrics, validation: Metrics | None) -> Metrics:
        epoch, best = self.epochs_completed, self.metric_tracker.best_epoch
        return {
            **({} if best is None else {"best_epoch": best}),
            **self._measurements(),
            "training_start_epoch": 0,  # of the whole run, however often it was interrupted
            "training_epochs": epoch + 1,
            "epoch": epoch,
            **with_prefix("training", training),
            **with_prefix("validation", validation or {}),
            **with_prefix("best_validation", self.metric_tracker.best_epoch_metrics),
        }

    def _measurements(self) -> Metrics:
        return {"training_duration": duration(self._seconds()), **peak_memory()}

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def _stop(self, state: Mapping[str, Any]) -> NoReturn:
        received = self._signals.received
        assert received is not None
        where = f"stopped in epoch {self.epochs_completed} after batch {self._batch}"
        if self.checkpointer is None:
            raise TrainingInterrupted(received, f"{where}; without a folder nothing was saved")
        self._save(state)
        self.checkpointer.wait()
        raise TrainingInterrupted(received, f"{where}; --recover resumes from there")

    def _finish_writing(self) -> None:
        """Wait for the last checkpoint while another error propagates; only log its own."""
        try:
            if self.checkpointer is not None:
                self.checkpointer.wait()
        except CheckpointError as error:
            logger.error("%s", error)

    def _describe_memory(self, error: torch.OutOfMemoryError) -> str:
        peak = max(peak_memory().values(), default=0.0)
        return (
            f"out of memory in epoch {self.epochs_completed} after batch {self._batch}, with "
            f"{peak:.0f} MB in use at most; a smaller batch_size in the data loader needs less, "
            "and with num_gradient_accumulation_steps the optimizer's steps stay the same "
            f"({error})"
        )


def _ids(group: Sequence[Batch]) -> Sequence[str]:
    return group[0].ids if len(group) == 1 else [id for batch in group for id in batch.ids]
