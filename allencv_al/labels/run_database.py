"""`RunDatabase`: the one SQLite file of a run."""

from __future__ import annotations

from pathlib import Path

from allencv_al.labels.database import Database
from allencv_al.labels.run_schema import RUN_SCHEMA

DATABASE_NAME = "run.sqlite"
"""What the file is called in the folder of a run."""


class RunDatabase(Database):
    """The file that holds the label events and the recorded states of one run.

    Its tables are drawn in `allencv_al.labels.run_schema`.

    Args:
        path: The file. Its folder is made where it is missing.
        create: Whether to make the file where it is missing.

    Raises:
        DataError: It is missing, damaged, no database of a run, or of a newer version.
    """

    def __init__(self, path: str | Path, create: bool = True) -> None:
        super().__init__(path, RUN_SCHEMA, create)
