"""The background thread of a labeling server: heartbeat and table of labels."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from allencv_al.common.errors import AllenCVError
from allencv_al.labels.sessions.labeling_store import HEARTBEAT_SECONDS, LabelingStore

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_PAUSE_FACTOR = 20  # the table takes at most 1/20 of the time, so that answers stay fast


class Keeper:
    """A thread that writes the heartbeat of a server and the table of labels.

    Args:
        store: The labeling.
        url: The address of the server.
        table: CSV table of the labels, if any, written after changes: at most once a second, and
            less often if writing it takes long.
        write: Writes the table. Default: `store.write_table`.
    """

    def __init__(
        self,
        store: LabelingStore,
        url: str,
        table: Path | None = None,
        write: Callable[[Path], object] | None = None,
    ) -> None:
        self._store = store
        self._url = url
        self._table = table
        self._write_table = write or store.write_table
        self._written: tuple[int, int] | None = None
        self._next = self._beat = 0.0
        self._ending = threading.Event()
        store.claim_server(url)
        self._thread = threading.Thread(target=self._run, name="labeling-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and write the table a last time."""
        self._ending.set()
        self._thread.join()
        self._write()
        self._store.release_server()

    def _run(self) -> None:
        while not self._ending.wait(_PAUSE_SECONDS):
            try:
                if time.monotonic() >= self._next:
                    began = time.monotonic()
                    self._write()
                    took = time.monotonic() - began
                    self._next = began + took * _PAUSE_FACTOR
                if time.monotonic() - self._beat > HEARTBEAT_SECONDS:
                    self._store.claim_server(self._url)
                    self._beat = time.monotonic()
            except (AllenCVError, OSError) as error:  # try again: a full disk may be freed
                logger.warning("%s", error)

    def _write(self) -> None:
        if self._table is None:
            return
        [newest] = self._store.database.rows(
            "SELECT (SELECT coalesce(max(event_id), 0) FROM label_event), "
            "(SELECT coalesce(max(sequence), 0) FROM class_change)"
        )
        if newest == self._written:
            return
        self._write_table(self._table)
        self._written = (newest[0], newest[1])
