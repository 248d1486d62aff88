"""Print the oldest version of each dependency as a pin, except for torch and torchvision."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

FLOOR = re.compile(r"([\w-]+)>=([\w.]+)")
TOO_LARGE = {"torch", "torchvision"}  # gigabytes; the versions of the first environment stay


def pins(project: Path) -> list[str]:
    """Return `name==version` for the floor of each dependency."""
    dependencies = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    found = (FLOOR.match(dependency) for dependency in dependencies)
    return [f"{m[1]}=={m[2]}" for m in found if m is not None and m[1] not in TOO_LARGE]


if __name__ == "__main__":
    sys.stdout.write("\n".join(pins(Path(sys.argv[1]))) + "\n")
