"""A trainer that leaves the model as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from overrides import overrides

from allencv_al.common.files.atomic_file import write_json
from allencv_al.data.data_loaders import DataLoader
from allencv_al.models.model import Model, resolve_device
from allencv_al.training.checkpoints.checkpoint_files import write_weights
from allencv_al.training.checkpoints.checkpointer import BEST_WEIGHTS
from allencv_al.training.datasets import Datasets
from allencv_al.training.run_records import device_name, write_environment
from allencv_al.training.trainers.base import Trainer


@Trainer.register("no_op")
class NoOpTrainer(Trainer):
    """Save the model as it was built: to evaluate or archive weights that came from elsewhere.

    Options that only training uses (the data, a regularizer, dropout) have no effect, so that the
    config of a training works unchanged; class weights and label smoothing are part of the
    evaluated loss. No image needs a label where the config names the classes
    (`vocabulary: { tokens_to_add: { labels: ["cat", "dog"] } }`).

    Args:
        model: The model.
        data_loader: The training data; not used.
        validation_data_loader: The validation data; not used.
        serialization_dir: Folder of the run.
        cuda_device: Device of the model: -1 is the CPU, n the n-th GPU, "auto" the first GPU if
            there is one.
    """

    goes_on: ClassVar[bool] = False

    def __init__(
        self,
        model: Model,
        data_loader: DataLoader | None = None,
        validation_data_loader: DataLoader | None = None,
        serialization_dir: str | Path | None = None,
        cuda_device: int | Literal["auto"] | None = "auto",
    ) -> None:
        super().__init__(model, serialization_dir, resolve_device(cuda_device))

    @overrides
    def check_data(self, datasets: Datasets) -> None:
        """Accept data sets without labels: there is nothing to learn."""

    @overrides
    def train(self, recover: bool = False) -> dict[str, Any]:
        if self.serialization_dir is not None:
            write_environment(self.serialization_dir, device=device_name(self.device))
            weights = {name: value.cpu().clone() for name, value in self.model.state_dict().items()}
            write_weights(self.serialization_dir / BEST_WEIGHTS, weights)
            write_json(self.serialization_dir / "metrics.json", {})
        return {}
