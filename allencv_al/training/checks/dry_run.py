"""`--dry-run`: everything that can be found out before the first image is read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from allencv_al.common import Params
from allencv_al.common.errors import DataError
from allencv_al.common.seeding import seeded_globals

if TYPE_CHECKING:
    from allencv_al.data.dataset_readers.dataset import Dataset

logger = logging.getLogger(__name__)

_MOST_NAMED = 5
# Callbacks may open files; their configs were checked
_LEFT_OUT = ("callbacks", "checkpointer")


class Rehearsed(Protocol):
    """The parts of an experiment, built without the trainer's callbacks."""

    def rehearse(self) -> None:
        """Read the data sets' tables and build what is trained; decode and write nothing."""


def dry_run(params: Params, source: str, experiment: type[Any]) -> None:
    """Raise with what is wrong with a config, its data and what it builds; warn of the rest.

    Args:
        params: The config.
        source: What to call it in messages.
        experiment: What it describes.

    Raises:
        AllenCVError: What is wrong, all faults of the config at once.
    """
    from allencv_al.training.experiment import check_experiment

    check_experiment(params, source, experiment)
    config = params.duplicate().as_dict()
    if isinstance(config.get("trainer"), dict):
        for name in _LEFT_OUT:
            config["trainer"].pop(name, None)
    built: Rehearsed = experiment.from_checked(Params(config))
    with seeded_globals(0):
        built.rehearse()


def check_files(datasets: Mapping[str, Dataset | None]) -> None:
    """Raise where more image files are absent than the reader allows; warn of fewer.

    Args:
        datasets: By the key of the config that names them.

    Raises:
        DataError: Training would end with them.
    """
    for key, dataset in datasets.items():
        if dataset is None:
            continue
        absent = [
            f"{instance.id} ({instance.image})"
            for instance in dataset
            if isinstance(instance.image, str | Path) and not Path(instance.image).exists()
        ]
        if not absent:
            continue
        more = f" and {len(absent) - _MOST_NAMED} more" if len(absent) > _MOST_NAMED else ""
        message = (
            f"{key}: {len(absent)} of {len(dataset)} images do not exist: "
            f"{', '.join(absent[:_MOST_NAMED])}{more}"
        )
        reader = dataset.reader
        if reader.on_error == "raise" or len(absent) > reader.max_unreadable * len(dataset):
            raise DataError(
                f"{message}; correct the paths, or set max_unreadable (now "
                f"{reader.max_unreadable:g}) of the dataset reader higher to leave them out"
            )
        logger.warning("%s: they will be left out", message)
