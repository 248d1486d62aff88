"""Labels that annotators give on a page while the loop waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from overrides import overrides

from allencv_al.labels.annotators.base import Annotator, LabelRequest
from allencv_al.labels.label_store import NewLabel
from allencv_al.labels.sessions.classes import check_class_name
from allencv_al.labels.sessions.items import LabelBatch, NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, AgreedLabel, LabelingStore
from allencv_al.service.labeling.app import create_app
from allencv_al.service.labeling.keeper import Keeper
from allencv_al.service.labeling.loop_state import Audience, LoopState
from allencv_al.service.web.access import (
    Access,
    Identity,
    OpenAccess,
    TokenAccess,
    load_or_make_token,
)
from allencv_al.service.web.running import ServerThread, start_in_thread
from allencv_al.service.web.web_settings import WebSettings, is_loopback
from allencv_al.tasks.base import LabelTask

logger = logging.getLogger(__name__)

_NAME = "labeling_server"
_PAUSE_SECONDS = 0.25
_LOG_SECONDS = 30.0
_OWNER = "config"
_END_SECONDS = 5.0
"""Seconds that a finished loop waits for the pages to poll; they do so every three seconds."""


def _token_for_others(host: str, token_file: Path | None) -> Iterator[tuple[str, str]]:
    if token_file is None and not is_loopback(host):
        yield "token_file", "others can reach this host, so a file with a token is needed"


@Annotator.register("labeling_server")
class LabelingServerAnnotator(Annotator):
    """Shows the images of a round on a page, and waits until they are labeled.

    The page is at http://127.0.0.1:8010/ while the loop runs. Several annotators may label at once,
    on several machines if there is a token. A round ends when all images are labeled and no answer
    has changed for some seconds; if images were skipped, an annotator ends it by a button. While
    the loop is interrupted, `allencv-al label RUN` serves the same page; a resumed loop uses the
    answers given in the meantime.

    Args:
        port: The port of the page; 0 takes a free one.
        host: The address to listen on; any but this machine needs a `token_file`.
        labels_per_image: Number of annotators per image. The most frequent answer counts; a review
            on the page decides ties.
        token_file: File with the token that the page asks for; created if missing.
        allowed_hosts: Host names of the page, besides IP addresses.
        settle_seconds: Seconds without a change before a completely labeled round ends, so that the
            last answer can be undone.
    """

    joint_rules = (_token_for_others,)
    people = None
    shows_drafts = True

    def __init__(
        self,
        port: Annotated[int, Interval(ge=0, le=65535)] = 8010,
        host: str = "127.0.0.1",
        labels_per_image: Annotated[int, Interval(ge=1, le=100)] = 1,
        token_file: Path | None = None,
        allowed_hosts: Sequence[str] = (),
        settle_seconds: Annotated[float, Interval(ge=0, le=3600)] = 5.0,
    ) -> None:
        self.port = port
        self.host = host
        self.labels_per_image = labels_per_image
        self.token_file = token_file
        self.allowed_hosts = tuple(allowed_hosts)
        self.settle_seconds = settle_seconds
        self._server: ServerThread | None = None
        self._store: LabelingStore | None = None
        self._audience = Audience()

    @overrides
    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        if not request.items:
            return []
        store = self._opened(request.folder)
        store.values.set_task(request.task.name())
        store.classes.add(list(request.classes or request.seen), _OWNER)
        items = [NewItem.picked(pick, len(request.items)) for pick in request.picks()]
        batch = store.items.open_batch(
            items,
            request.round,
            self.labels_per_image,
            has_fixed_classes=request.classes is not None,
            again=request.labeled_by,
        )
        if batch.is_open:
            self._wait(store, batch, request.folder)
        # The store normalizes names; the data may spell them otherwise
        given = {check_class_name(name): name for name in request.classes or request.seen}
        return [
            _label(agreed, batch, request.task, given)
            for agreed in store.agreed_labels(batch.batch)
        ]

    @overrides
    def close(self) -> None:
        if self._server is not None:
            if self._loop_is_done():
                self._audience.wait(_END_SECONDS)  # the pages poll how it ended
            self._server.close()
            self._server = None
        if self._store is not None:
            self._store.close()
            self._store = None

    def _opened(self, folder: Path) -> LabelingStore:
        if self._store is None:
            self._store = LabelingStore(folder / LABELING_NAME)
        return self._store

    def _loop_is_done(self) -> bool:
        """Return whether the run has ended, and was not only interrupted."""
        if self._store is None:
            return False
        loop = LoopState(self._store.database.path.parent, is_here=True)
        try:
            return loop.read(batch_is_open=False).state == "finished"
        finally:
            loop.close()

    def _wait(self, store: LabelingStore, batch: LabelBatch, folder: Path) -> None:
        """Wait until a batch is closed; close it when all images are labeled."""
        logged = -_LOG_SECONDS
        shown = newest_event = -1
        quiet_since = time.monotonic()  # monotonic: the system clock may be set back
        while True:
            newest = store.items.batch()
            if newest is None or newest.batch != batch.batch or not newest.is_open:
                return
            # Our own heartbeat is not asked: after a change of the clock it would look old
            server = self._server
            url = (store.server() or self._serve(store, folder)) if server is None else server.url
            progress = store.counts.progress(batch.batch, "")
            if progress.done != shown and time.monotonic() - logged > _LOG_SECONDS:
                counts = (progress.done, progress.total)
                logger.info("round %s: %d of %d labeled at %s", batch.round, *counts, url)
                logged, shown = time.monotonic(), progress.done
            event = store.last_event(batch.batch)
            if event != newest_event:
                newest_event, quiet_since = event, time.monotonic()
            elif (
                time.monotonic() - quiet_since > self.settle_seconds
                and store.is_complete(batch.batch)
                and store.finish(batch.batch, allow_skips=False)
            ):
                return
            time.sleep(_PAUSE_SECONDS)

    def _serve(self, store: LabelingStore, folder: Path) -> str:
        settings = WebSettings(
            host=self.host,
            port=self.port,
            access=self._access(),
            allowed_hosts=self.allowed_hosts,
        )
        app = create_app(
            folder,
            title=folder.resolve().name,
            has_loop=True,
            settings=settings,
            audience=self._audience,
        )
        self._server = start_in_thread(app)
        keeper = Keeper(store, self._server.url)
        app.on_close(keeper.close)
        return self._server.url

    def _access(self) -> Access:
        if self.token_file is None:
            return OpenAccess()
        token, is_new = load_or_make_token(self.token_file)
        if is_new:
            logger.warning("made a token, kept in %s: %s", self.token_file, token)
        return TokenAccess({token: Identity("")})


def _label(
    agreed: AgreedLabel, batch: LabelBatch, task: LabelTask, given: Mapping[str, str]
) -> NewLabel:
    key = f"labeling:{agreed.event_id or f'{batch.batch}:{agreed.id}'}"
    return NewLabel(
        id=agreed.id,
        label=None
        if agreed.label is None
        else task.renamed(agreed.label, lambda name: given.get(name, name)),
        annotator=agreed.annotator or _NAME,
        round=batch.round or 0,
        source=_NAME,
        kind=agreed.kind,
        client_key=key,
        seconds=agreed.seconds,
    )
