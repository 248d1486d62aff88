"""Modules under their names of version 0.1.

Importing such a name works until version 0.4, with a `FutureWarning` that names today's module. The
finder is asked first: a folder that an upgrade left behind would be found as a namespace package.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from allencv_al.common.config import REMOVED_IN, translators

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_PACKAGE = "allencv_al."

# (old folder, new folder): modules with public classes or functions, `old=new` where renamed
_MOVED = {
    ("active_learning", "active_learning"): (
        "experiment=active_learning_experiment loop_experiment=active_learning_experiment"
    ),
    ("active_learning.learners", "active_learning.learners"): "embedding_cache=cached_embeddings",
    ("active_learning.stop_rules", "active_learning.stop_rules"): (
        "budget=rules metric_rules=rules stable_predictions=rules"
    ),
    ("active_learning", "active_learning.rounds"): (
        "round_metrics round_record round_records=round_record"
    ),
    ("active_learning", "labels"): (
        "database label_store label_table picked_image=label_table round_store=run_database "
        "run_database"
    ),
    ("active_learning", "selection"): "selection selector",
    ("active_learning", "selection.pool"): (
        "fingerprints output_store pool=unlabeled_pool pool_outputs pool_scorer scoring"
    ),
    ("active_learning.annotators", "labels.annotators"): "base file ground_truth",
    ("active_learning.comparison", "active_learning.rounds"): "curves",
    ("active_learning.comparison", "comparison"): (
        "bootstrap=significance cells compare=comparison label_savings paired_tests=significance "
        "penalty_matrix=rankings performance_profile=rankings statistics"
    ),
    ("active_learning.labeling", "labels.sessions"): "store=labeling_store",
    ("active_learning.strategies", "selection.strategies"): (
        "badge bands base batch_bald clue cluster_margin combining coverage ensemble epig "
        "k_center narrowing random typiclust uncertainty"
    ),
    ("active_learning.strategies", "selection.strategies.shared"): "wrapping=batch_parts",
    ("common", "common.config"): (
        "config_check from_params=registrable lazy=configurable params plugins registrable"
    ),
    ("common", "common.files"): "atomic_file tables",
    ("common", "common"): "class_names=names",
    ("common.config", "common"): "names",
    ("data.dataset_readers", "data.dataset_readers"): (
        "dataset=base path_rows=image_tables skipped=image_files split_rows=image_tables"
    ),
    ("data.dataset_readers", "data.dataset_readers.objects"): "image_annotation",
    ("data.dataset_readers", "data"): "decode_instance=instance instance_ids=instance",
    ("data.dataset_readers", "common.files"): "split_path=paths",
    ("data", "data"): "sample=instance",
    ("data.transforms", "data.transforms"): "pipeline=transform_pipeline",
    ("metrics", "metrics"): (
        "categorical_accuracy=classification class_range=base confusion_matrix=classification "
        "expected_calibration_error=classification"
    ),
    ("modules.im2im_encoders", "modules.im2im_encoders"): (
        "feature_encoder=base feedforward=feedforward_encoder"
    ),
    ("modules.im2vec_encoders", "modules.im2vec_encoders"): "pool=pooling",
    ("service.driver", "service.driver"): "experiment=pipeline_experiment",
    ("service.pipeline", "service.pipeline"): "errors=pipeline_errors",
    ("training", "training"): "run=training_run",
    ("training", "training.checkpoints"): "checkpointer",
    ("training.optimizers", "training.optimizers"): (
        "adam_family=torch_optimizers adaptive=torch_optimizers parameter_groups=base "
        "sgd=torch_optimizers"
    ),
    ("training", "training.trainers"): (
        "gradient_descent_trainer logistic_regression_trainer metric_tracker=epoch_metrics "
        "moving_average no_op_trainer trainer=base training_loop"
    ),
    ("training.callbacks", "training.callbacks"): (
        "confidence_checks=standard_callbacks console_logger=standard_callbacks "
        "metrics_jsonl=standard_callbacks run_pictures=standard_callbacks "
        "track_epoch=standard_callbacks"
    ),
    ("training.trainers", "training.trainers"): "metric_tracker=epoch_metrics",
}
_RENAMED = {"allencv_al.selection.selector": {"Pick": "SelectedImage"}}
_MOVED_PACKAGES = {
    "active_learning.annotators": "labels.annotators",
    "active_learning.comparison": "comparison",
    "active_learning.exchange": "labels.exchange",
    "active_learning.labeling": "labels.sessions",
    "active_learning.reports": "reports",
    "active_learning.strategies": "selection.strategies",
}


@cache
def moved_modules() -> dict[str, str]:
    """Return today's name of each module by its name of version 0.1."""
    found = dict(_MOVED_PACKAGES)
    for (old_folder, new_folder), names in _MOVED.items():
        for pair in names.split():
            old, _, new = pair.partition("=")
            found[f"{old_folder}.{old}"] = f"{new_folder}.{new or old}"
    return {_PACKAGE + old: _PACKAGE + new for old, new in found.items()}


def _name_today(name: str) -> str | None:
    """Return today's name of a module by its old name, or None for any other name."""
    if name in moved_modules():
        return moved_modules()[name]
    folder, _, last = name.removeprefix(_PACKAGE).rpartition(".")
    if folder not in _MOVED_PACKAGES:
        return None
    from importlib.util import find_spec

    # Else Python would find the file in today's folder and load it a second time
    found = f"{_PACKAGE}{_MOVED_PACKAGES[folder]}.{last}"
    return found if find_spec(found) is not None else None


class OldModuleFinder:
    """Finds modules of this package by their names of version 0.1, and loads today's."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return a spec that loads today's module, or None for any other name."""
        if not fullname.startswith(_PACKAGE) or _name_today(fullname) is None:
            return None
        from importlib.machinery import ModuleSpec

        # A package, so that Python looks for modules below it
        return ModuleSpec(fullname, OldModuleFinder(), is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return today's module itself, so that its classes exist once."""
        import importlib
        import warnings

        name = _name_today(spec.name)
        assert name is not None, "find_spec has found it"
        message = f"{spec.name} is now {name}; the old name will be removed in {REMOVED_IN}"
        warnings.warn(message, FutureWarning, stacklevel=2)
        module = importlib.import_module(name)
        for old, new in _RENAMED.get(name, {}).items():
            setattr(module, old, getattr(module, new))
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore what the import system has set: the module has run under today's name."""
        module.__spec__ = self._spec


def install() -> None:
    """Add the finder and the translation of old configs, once."""
    if OldModuleFinder not in sys.meta_path:
        sys.meta_path.insert(0, OldModuleFinder)
        translators.append("allencv_al.compat.allennlp:translate")
