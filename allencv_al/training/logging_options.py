"""What AllenNLP 0.9 told the trainer about its logs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoggingOptions:
    """The trainer's options that the TensorBoard callback reads; see the trainer for each."""

    summary_interval: int
    histogram_interval: int | None
    should_log_parameter_statistics: bool
    should_log_learning_rate: bool
    log_batch_size_period: int | None
