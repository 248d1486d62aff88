"""The folder of a run: a new one, a replaced one, or one to go on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from allencv_al.common import Params, atomic_file
from allencv_al.common.atomic_file import TEMPORARY_PREFIX
from allencv_al.common.errors import ConfigurationError

CONFIG_NAME = "config.json"
METRICS_NAME = "metrics.json"
VOCABULARY_NAME = "vocabulary"

_ABSENT = object()


def check_run_folder(
    folder: Path, params: Params, recover: bool, force: bool, changeable: Collection[str] = ()
) -> None:
    """Raise where `folder` cannot take a run of `params`; nothing is written.

    Args:
        folder: Where the run will write.
        params: The config, overrides included.
        recover: Go on with the run that is there; its config must be the same.
        force: Replace the run that is there.
        changeable: Dotted keys that a recovered run may have changed, with all below them.

    Raises:
        ConfigurationError: The folder holds something else, nothing to recover, or a run of
            another config (every difference is listed).
    """
    if recover and force:
        raise ConfigurationError("--recover goes on with a run and --force replaces it: choose one")
    if recover:
        _check_recoverable(folder, params, changeable)
        return
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder}: expected a folder for the run, found a file")
    if folder.exists() and _holds_anything(folder):
        if not force:
            raise ConfigurationError(
                f"{folder}: holds files already; --recover goes on with the run in it, "
                "--force replaces it, or choose another folder with -s"
            )
        if not (folder / CONFIG_NAME).is_file():
            raise ConfigurationError(
                f"{folder}: --force replaces only the folder of a run, and this one holds no "
                f"{CONFIG_NAME}; remove it yourself if that is meant"
            )


def open_run_folder(
    folder: Path, params: Params, recover: bool, force: bool, changeable: Collection[str] = ()
) -> None:
    """Make `folder` ready, and write the config into it; see `check_run_folder`."""
    check_run_folder(folder, params, recover, force, changeable)
    if recover:
        atomic_file.sweep_temporaries(folder)
        if changeable:
            params.to_file(folder / CONFIG_NAME)
        return
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    params.to_file(folder / CONFIG_NAME)


def _holds_anything(folder: Path) -> bool:
    """Say whether there is more than what a process leaves that is killed before its first file."""
    return any(not entry.name.startswith(TEMPORARY_PREFIX) for entry in folder.iterdir())


def _check_recoverable(folder: Path, params: Params, changeable: Collection[str]) -> None:
    config = folder / CONFIG_NAME
    if not config.is_file():
        raise ConfigurationError(
            f"{folder}: nothing to recover, it holds no {CONFIG_NAME}; start without --recover"
        )
    before = Params(json.loads(config.read_text(encoding="utf-8"))).as_flat_dict()
    now = params.as_flat_dict()
    differences = [
        f"  {key}: {_shown(before, key)} before, {_shown(now, key)} now"
        for key in sorted({*before, *now})
        if before.get(key, _ABSENT) != now.get(key, _ABSENT)
        and not any(key == free or key.startswith(f"{free}.") for free in changeable)
    ]
    if differences:
        raise ConfigurationError(
            f"{folder}: its run had another config; --recover needs the same one:\n"
            + "\n".join(differences)
        )


def _shown(flat: dict[str, object], key: str) -> str:
    return json.dumps(flat[key], ensure_ascii=False) if key in flat else "absent"
