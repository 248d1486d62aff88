"""Runs a user's script with the module names of the Alectio SDK."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from allencv_al.common.errors import ConfigurationError
from allencv_al.compat.aliases import install
from allencv_al.compat.legacy_pipeline import LegacyPipeline, Options


def run(path: Path, arguments: Sequence[str], options: Options | None = None) -> int:
    """Run a script as `python PATH ARGUMENTS` would.

    A pipeline that it makes and does not start itself is served when the script has ended.

    Args:
        path: The script.
        arguments: What it finds in `sys.argv`.
        options: Options of its pipelines, which override those of the script.

    Returns:
        What it ended with.

    Raises:
        ConfigurationError: There is no such file, or it makes no pipeline.
    """
    _execute(path, arguments, "__main__", options or Options())
    pipeline = _last(path)
    return 0 if pipeline.was_served else pipeline()


def app(path: str = "main.py", *arguments: str, key_policy: str = "auto") -> Any:
    """Return the WSGI application of the pipeline that a script makes, for gunicorn.

    ::

        gunicorn "allencv_al.compat:app('main.py', '--config', 'config.yaml')"

    Args:
        path: The script; what it does under `if __name__ == "__main__"` is left out.
        arguments: What it finds in `sys.argv`, such as `"--config", "config.yaml"`.
        key_policy: Matching of outputs of infer to records: auto or positional.

    Raises:
        ConfigurationError: There is no such file, or it makes no pipeline.
    """
    _execute(Path(path), arguments, Path(path).stem, Options(key_policy=key_policy))
    return _last(Path(path)).app


def _execute(path: Path, arguments: Sequence[str], name: str, options: Options) -> None:
    if not path.is_file():
        raise ConfigurationError(f"{path}: expected a Python script, found none")
    install()
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
