"""k-fold cross-validation: one training for each part of the training images."""

from __future__ import annotations

import json
import logging
import shutil
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.atomic_file import write_json
from allencv_al.training.run_folder import METRICS_NAME, check_run_folder, read_config
from allencv_al.training.training_run import WITHOUT_EFFECT, Encoded, train, unchanged_loader

logger = logging.getLogger(__name__)

FOLDS_NAME = "folds.json"
_FOLD = "fold-"


def cross_validate(
    params: Params,
    serialization_dir: str | Path,
    folds: int,
    recover: bool = False,
    force: bool = False,
    source: str = "the configuration",
    encoded: Encoded = unchanged_loader,
) -> dict[str, Any]:
    """Train once for each fold, which validates, on the others; return mean and deviation.

    Folds have the classes in proportion, and the groups of `group_by` whole. The mean says how good
    a training on the labels is where these were drawn at random. Of labels that a strategy chose it
    may rank configs, but is no accuracy of the pool (docs/explanation/audit.md).

    Args:
        params: The config, without `validation_data_path`.
        serialization_dir: The folder; each fold has a run directory in it, and `folds.json` the
            figures.
        folds: Number of folds, from 2.
        recover: Keep the folds that are done, and resume the one that was interrupted.
        force: Replace the folds in the folder, also those of a larger number of folds.
        source: The name of the config in messages.
        encoded: See `train`; by default each fold encodes all images anew.

    Returns:
        What folds.json holds: `folds`, the metrics of each, `mean` and `deviation` by metric.

    Raises:
        ConfigurationError: The config says what validates, or a fold that is done has another one.
        ConfigurationFaults: The config is wrong; nothing was read or written.
        AllenCVError: Any other error that a user can fix.
    """
    folder = Path(serialization_dir)
    runs = _runs(params.as_dict(), folds, folder, source)
    done = {place for place, _ in runs if recover and (place / METRICS_NAME).is_file()}
    for place, changed in runs:
        if place in done:  # a mean over folds of several configs would say nothing
            check_run_folder(place, changed, recover, force, WITHOUT_EFFECT)
    found = []
    for fold, (place, changed) in enumerate(runs):
        if place in done:
            found.append(json.loads((place / METRICS_NAME).read_text(encoding="utf-8")))
            continue
        logger.info("fold %d of %d", fold + 1, folds)
        found.append(train(changed, place, recover and place.is_dir(), force, source, encoded))
        if force and not fold:  # the config works: what another one left goes with its fold 0
            _remove_others(folder, {place for place, _ in runs})
    result = {"folds": found, **_mean_and_deviation(found)}
    write_json(folder / FOLDS_NAME, result)
    return result


def _runs(
    config: Mapping[str, Any], folds: int, folder: Path, source: str
) -> list[tuple[Path, Params]]:
    """Return the run directory and the config of each fold."""
    keys = ("validation_data_path", "validation_fraction", "validation_fold")
    given = [name for name in keys if config.get(name) is not None]
    if given:
        raise ConfigurationError(
            f"{source}: {', '.join(given)}: with --folds each part of the images validates "
            "once; leave it out"
        )
    changes = [{"validation_fraction": 1 / folds, "validation_fold": k} for k in range(folds)]
    return [
        (folder / f"{_FOLD}{fold}", Params({**config, **change}))
        for fold, change in enumerate(changes)
    ]


def _mean_and_deviation(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation of each figure, over the folds that have it."""
    # A fold has no ROC AUC, say, where all of its images are of one class
    figures = [{k: float(v) for k, v in one.items() if _is_figure(k, v)} for one in found]
    names = dict.fromkeys(name for one in figures for name in one)
    columns = {name: [one[name] for one in figures if name in one] for name in names}
    return {
        "mean": {name: statistics.fmean(values) for name, values in columns.items()},
        "deviation": {
            name: statistics.stdev(values) for name, values in columns.items() if len(values) > 1
        },
    }


def _remove_others(folder: Path, folds: Collection[Path]) -> None:
    """Remove the folds that are none of `folds`, and the figures of all."""
    (folder / FOLDS_NAME).unlink(missing_ok=True)
    for other in folder.glob(f"{_FOLD}*"):
        is_number = other.name.removeprefix(_FOLD).isdecimal()
        if other not in folds and is_number and read_config(other) is not None:
            logger.info("%s: removed, there are %d folds now", other, len(folds))
            shutil.rmtree(other)


def _is_figure(name: str, value: Any) -> bool:
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    is_number = is_number and not name.endswith(("_low", "_high", "_images"))
    return is_number and name.startswith(("best_validation_", "test_", "audit_"))
