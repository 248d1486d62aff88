"""Runs a script that was written for the Alectio SDK, with replacements for its modules."""

from __future__ import annotations

import importlib.util
import logging
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.lazy_exports import lazy_exports
from allencv_al.compat.alectio_dataset import AlectioDataset
from allencv_al.compat.legacy_pipeline import LegacyPipeline, Options
from allencv_al.service.pipeline import sql_client

logger = logging.getLogger(__name__)

# Members of each module of the SDK that scripts import
_MODULES: dict[str, dict[str, object]] = {
    "alectio_sdk": {},
    "alectio_sdk.flask_wrapper": {"Pipeline": LegacyPipeline},
    "alectio_sdk.sdk": {"Pipeline": LegacyPipeline},
    "alectio_sdk.sdk.alectio_dataset": {"AlectioDataset": AlectioDataset},
    "alectio_sdk.sdk.sql_client": {
        name: getattr(sql_client, name)
        for name in ("create_database", "create_connection", "create_table", "add_index")
    },
    "alectio_sdk.torch_utils": {},
    "alectio_sdk.torch_utils.utils": {},
}
_TORCH_UTILS = ("non_max_suppression", "bbox_iou", "setpytorchreproduceability")


def run(path: Path, arguments: Sequence[str], options: Options | None = None) -> int:
    """Run a script as `python PATH ARGUMENTS` would.

    A pipeline that the script creates and does not start is served after the script has ended.

    Args:
        path: The script.
        arguments: Its arguments in `sys.argv`.
        options: Options of its pipelines, which override those of the script.

    Returns:
        Exit code of the pipeline.

    Raises:
        ConfigurationError: The file is missing, or creates no pipeline.
    """
    _execute(path, arguments, "__main__", options or Options())
    pipeline = _last(path)
    return 0 if pipeline.was_served else pipeline()


def app(path: str = "main.py", *arguments: str, key_policy: str = "auto") -> Any:
    """Return the WSGI application of the pipeline that a script creates, for gunicorn.

    ::

        gunicorn "allencv_al.compat:app('main.py', '--config', 'config.yaml')"

    Args:
        path: The script; code under `if __name__ == "__main__"` is not run.
        arguments: Its arguments in `sys.argv`, such as `"--config", "config.yaml"`.
        key_policy: Matching of outputs of infer to records: auto or positional.

    Raises:
        ConfigurationError: The file is missing, or creates no pipeline.
    """
    _execute(Path(path), arguments, Path(path).stem, Options(key_policy=key_policy))
    return _last(Path(path)).app


def _execute(path: Path, arguments: Sequence[str], name: str, options: Options) -> None:
    if not path.is_file():
        raise ConfigurationError(f"{path}: expected a Python script, found none")
    _replace_sdk()
    LegacyPipeline.made.clear()
    LegacyPipeline.options = options
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    runpy.run_path(str(path), run_name=name)


def _last(path: Path) -> LegacyPipeline:
    if not LegacyPipeline.made:
        raise ConfigurationError(
            f"{path}: it made no Pipeline; expected one of alectio_sdk.sdk, or of "
            "alectio_sdk.flask_wrapper"
        )
    return LegacyPipeline.made[-1]


def _replace_sdk() -> None:
    """Make `import alectio_sdk...` import the replacements, in this process only."""
    if "alectio_sdk" not in sys.modules and importlib.util.find_spec("alectio_sdk") is not None:
        logger.warning("the installed alectio_sdk is not used by this process")
    for name, members in _MODULES.items():
        module = ModuleType(name, "Replacement for a module of the Alectio SDK.")
        module.__path__ = []  # a package, so that Python looks for modules below it
        vars(module).update(members)
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
    # Lazily: these functions import torch, which other scripts do without
    exports = dict.fromkeys(_TORCH_UTILS, "allencv_al.compat.legacy_detection")
    utils = sys.modules["alectio_sdk.torch_utils.utils"]
    names = ("__getattr__", "__dir__", "__all__")
    vars(utils).update(zip(names, lazy_exports(utils.__name__, exports), strict=True))
