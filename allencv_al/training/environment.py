"""`environment.json`: versions and hardware of a run; runs are bit-equal only where both match."""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from allencv_al.common.config.names import listed
from allencv_al.common.files.atomic_file import write_json
from allencv_al.common.user_code import changed_code
from allencv_al.models.archive_contents import installed_versions

logger = logging.getLogger(__name__)

FILE_NAME = "environment.json"

# Two runs can be bit-equal only where all of these entries match
_DECISIVE = ("versions", "machine", "processor", "torch_threads", "device", "precision")


def describe_environment() -> dict[str, Any]:
    """Return what the results of a run depend on besides its config and data.

    Environment variables are left out: they hold secrets.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "processors": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "versions": installed_versions(),
    }


def write_environment(folder: str | Path, **found: Any) -> None:
    """Write `environment.json`; warn of differences from the environment the run began with.

    Args:
        folder: Folder of the run.
        **found: Entries that the caller knows: `device` and `precision` of the trainer, or the
            `code` of user modules that the config names (`user_code`).
    """
    now: dict[str, Any] = {**describe_environment(), **found}
    before = read_environment(folder) or {}
    for name in _DECISIVE:
        if name in before and name in now and before[name] != now[name]:
            logger.warning(
                "this run began with %s %s and resumes with %s: it will not be bit-equal to an "
                "uninterrupted run",
                name,
                before[name],
                now[name],
            )
    both = "code" in before and "code" in now  # only some callers know the code
    if both and (changed := changed_code(before["code"], now["code"])):
        logger.warning(
            "the code of %s has changed since this run began: what it did before is of the code "
            "of then",
            listed(changed),
        )
    if "started" in before:
        # Of a resumed run: when it began, and when it last continued
        now |= {"started": before["started"], "continued": now["started"]}
    write_json(Path(folder) / FILE_NAME, {**before, **now})


def read_environment(folder: str | Path) -> dict[str, Any] | None:
    """Return the `environment.json` of a run's folder; None where there is none."""
    try:
        found = json.loads((Path(folder) / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def device_name(device: torch.device) -> str:
    """Return the name of a device in `environment.json`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
