"""The background thread of a labeling server: heartbeat and table of labels."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from allencv_al.common.errors import AllenCVError
from allencv_al.labels.sessions.labeling_store import HEARTBEAT_SECONDS, LabelingStore

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_MOST_SHARE = 20  # of the time that answers have, one in so many seconds goes into the table


class Keeper:
    """A thread that keeps what others find of a labeling up to date.

    Args:
        store: The labeling.
        url: The address of the server.
        table: A CSV table of the labels, written when something was said, once a second at most,
            and less often where writing it takes long; None for none.
    """

    def __init__(self, store: LabelingStore, url: str, table: Path | None = None) -> None:
        self._store = store
        self._url = url
        self._table = table
        self._written: tuple[int, int] | None = None
        self._next = self._beat = 0.0
        self._ending = threading.Event()
        store.claim_server(url)
        self._thread = threading.Thread(target=self._run, name="labeling-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; the table is as it should be afterwards."""
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
                    self._next = began + took * _MOST_SHARE
                if time.monotonic() - self._beat > HEARTBEAT_SECONDS:
                    self._store.claim_server(self._url)
                    self._beat = time.monotonic()
            except (AllenCVError, OSError) as error:  # the disk is full: it may not stay so
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
        self._store.write_table(self._table)
        self._written = (newest[0], newest[1])
