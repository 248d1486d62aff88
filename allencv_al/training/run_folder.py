"""The run directory: new, replaced or resumed."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files import atomic_file
from allencv_al.common.files.atomic_file import TEMPORARY_PREFIX, sweep_temporaries
from allencv_al.common.files.run_lock import LOCK_NAME, check_not_locked, locked_folder
from allencv_al.common.names import listed

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.json"
METRICS_NAME = "metrics.json"
MISTAKES_NAME = "mistakes.html"
VOCABULARY_NAME = "vocabulary"

# What train, active-learn, compare and find-lr write there: all that --force may remove. Anything
# else belongs to other programs.
RUN_CONTENTS = (
    *(CONFIG_NAME, "environment.json", VOCABULARY_NAME, "samples", "model.tar.gz", "log"),
    *("best.safetensors", "checkpoints", "metrics*.json", "metrics.jsonl"),
    *(
        "training_curves.png",
        "confusion_matrix.png",
        MISTAKES_NAME,
        "unreadable_images.jsonl",
        "lr-losses.*",
    ),
    *("run.sqlite*", "labeling.sqlite*", "labels.csv", "to_label.csv", "picks.png", "embeddings"),
    *("rounds", "report.html", "learning_curve.png"),
    *("comparison.json", "cells", "results.csv", "results.md", "summary.json"),
    *("learning_curves.*", "picks.csv", "picks.parquet", "results.parquet", "results.tex"),
    *("test_images.csv", "encoding.json"),
)

_ASIDE = ".replaced-run"
"""Folder of the replaced run until the new one has begun. Its name is not that of a temporary,
because other processes delete those."""
_GONE = f"{TEMPORARY_PREFIX}replaced-run"
_BEFORE = ".before.json"
_KEYS_OF_A_RUN = {"trainer", "active_learning"}
_ABSENT = object()


def check_run_folder(
    folder: Path, params: Params, recover: bool, force: bool, changeable: Collection[str] = ()
) -> None:
    """Raise where `folder` cannot take a run of `params`; nothing is written.

    Args:
        folder: The run directory.
        params: The config, overrides included.
        recover: Resume the existing run; its config must be the same.
        force: Replace the existing run.
        changeable: Dotted keys that a recovered run may have changed, with all below them.

    Raises:
        ConfigurationError: The folder holds something else, nothing to recover, or a run of
            another config (every difference is listed).
        DataError: Another process is at work there.
    """
    if recover and force:
        raise ConfigurationError("--recover resumes a run and --force replaces it: choose one")
    _check_place(folder)
    if folder.exists():
        check_not_locked(folder)
    # One that a killed process left is restored first, by `opened_run_folder`
    if not (folder / _ASIDE).exists():
        _check_content(folder, params, recover, force, changeable)


class RunFolder:
    """The folder of a run, open and locked; see `opened_run_folder`.

    Args:
        path: The folder.
        params: The config of the run.
    """

    def __init__(self, path: Path, params: Params) -> None:
        self.path = path
        self.has_begun = False
        self._params = params

    def begin(self) -> None:
        """Record the start of the run: from now on an error keeps its files."""
        self._params.to_file(self.path / CONFIG_NAME)
        aside = self.path / _ASIDE
        if aside.is_dir():  # renamed at once: a kill while it is removed must not bring half back
            aside.replace(self.path / _GONE)
            atomic_file.flush(self.path)  # before a state of the new run counts
            shutil.rmtree(self.path / _GONE, ignore_errors=True)
        self.has_begun = True


@contextmanager
def opened_run_folder(
    folder: Path, params: Params, recover: bool, force: bool, changeable: Collection[str] = ()
) -> Iterator[RunFolder]:
    """Prepare `folder`, write the config, and lock the folder for the duration of the block.

    All writes to the folder happen in the block. Until `RunFolder.begin` is called, an error
    restores the previous content: after a mistake the same command works again, and a run that was
    to be replaced still exists. For arguments and errors see `check_run_folder`.
    """
    check_run_folder(folder, params, recover, force, changeable)
    with locked_folder(folder):
        sweep_temporaries(folder)
        if (folder / _ASIDE).exists():  # killed before its run had begun
            if recover and not (folder / _ASIDE / CONFIG_NAME).exists():
                shutil.rmtree(folder / _ASIDE)  # it replaced none: it starts from the beginning
            else:
                _put_back(folder)
        # Once more: a run may have begun and ended there meanwhile
        _check_content(folder, params, recover, force, changeable)
        opened = RunFolder(folder, params)
        if recover:
            yield opened
            return
        try:
            _set_aside(folder)
            params.to_file(folder / CONFIG_NAME)
            yield opened
        except BaseException:
            if not opened.has_begun:
                _put_back(folder)
            raise


def is_of_a_run(name: str) -> bool:
    """Return whether runs write something of this name into their folder."""
    return any(fnmatchcase(name, pattern) for pattern in RUN_CONTENTS)


def _set_aside(folder: Path) -> None:
    """Move the run that is to be replaced aside, and record the names in the folder."""
    aside, names = folder / _ASIDE, _names_in(folder)
    # Written first: after a kill it tells files of the old run from those of the new one
    atomic_file.write_json(aside / _BEFORE, names)
    for name in filter(is_of_a_run, names):
        (folder / name).replace(aside / name)
    atomic_file.flush(aside)
    foreign = [name for name in names if _counts(name) and not is_of_a_run(name)]
    if foreign:
        logger.warning("%s: left as they are, no run wrote them: %s", folder, listed(foreign))


def _put_back(folder: Path) -> None:
    """Undo `_set_aside` and all later writes; `_set_aside` may have been killed at any point."""
    aside = folder / _ASIDE
    try:
        before = json.loads((aside / _BEFORE).read_text(encoding="utf-8"))
    except FileNotFoundError:  # nothing was moved yet
        before = _names_in(folder)
    moved = set(filter(is_of_a_run, _names_in(aside)))
    for name in _names_in(folder):
        if name not in (_ASIDE, LOCK_NAME) and (name not in before or name in moved):
            _remove(folder / name)
    for name in moved:
        (aside / name).replace(folder / name)
    # The files must be back on disk before their only other trace goes
    atomic_file.flush(folder)
    shutil.rmtree(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _check_place(folder: Path) -> None:
    """Raise where no folder can be made or written to, before any data is read."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        where = "" if there == folder else f" at {there}"
        raise ConfigurationError(f"{folder}: expected a folder for the run, found a file{where}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{folder}: cannot be written: {there} is read-only")


def _counts(name: str) -> bool:
    """Return whether an entry makes a folder non-empty: hidden files such as .gitkeep do not."""
    return name != LOCK_NAME and not name.startswith(".")


def _check_content(
    folder: Path, params: Params, recover: bool, force: bool, changeable: Collection[str]
) -> None:
    names = list(filter(_counts, _names_in(folder))) if folder.exists() else []
    aside = folder / _ASIDE
    if aside.is_dir():  # killed before it had begun: the content will be restored
        names = [*(name for name in names if not is_of_a_run(name)), *_names_in(aside)]
    config = read_config(aside if aside.is_dir() else folder)
    if recover:
        if config is None:
            remedy = "choose the folder of the run with -s" if names else "start without --recover"
            raise ConfigurationError(
                f"{folder}: nothing to recover, it holds no {CONFIG_NAME} of a run; {remedy}"
            )
        _check_same_config(folder, config, params, changeable)
    elif names and config is None:
        raise ConfigurationError(
            f"{folder}: holds files already, and no run ({listed(names)}): choose another folder "
            f"with -s; --force replaces only the folder of a run, which has a {CONFIG_NAME}"
        )
    elif names and not force:
        raise ConfigurationError(
            f"{folder}: holds files already; --recover resumes the run in it, "
            "--force replaces it, or choose another folder with -s"
        )


def read_config(folder: Path) -> dict[str, Any] | None:
    """Return the config of the run in a folder; None where there is no run."""
    try:
        value = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # Other programs write files of this name too
    return value if isinstance(value, dict) and _KEYS_OF_A_RUN & value.keys() else None


def _check_same_config(
    folder: Path, config: dict[str, Any], params: Params, changeable: Collection[str]
) -> None:
    before, now = _comparable(Params(config)), _comparable(params)
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


def _comparable(params: Params) -> dict[str, Any]:
    """Return the flat config without the options of `tensorboard`, which only say what to log."""
    flat = params.as_flat_dict()
    callbacks = flat.get("trainer.callbacks")
    if isinstance(callbacks, list):
        flat["trainer.callbacks"] = [
            "tensorboard" if isinstance(c, dict) and c.get("type") == "tensorboard" else c
            for c in callbacks
        ]
    return flat


def _shown(flat: dict[str, object], key: str) -> str:
    return json.dumps(flat[key], ensure_ascii=False) if key in flat else "absent"
