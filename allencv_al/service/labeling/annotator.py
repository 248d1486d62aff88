"""Labels that people give on a page while the loop waits."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from overrides import overrides
from PIL import Image

from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.data.image_io import load_image
from allencv_al.data.instance import Instance
from allencv_al.labels.annotators.base import Annotator, LabelRequest
from allencv_al.labels.label_store import NewLabel
from allencv_al.labels.label_table import pick_text
from allencv_al.labels.run_database import Query
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

logger = logging.getLogger(__name__)

_NAME = "labeling_server"
_PAUSE_SECONDS = 0.25
_SAID_SECONDS = 30.0
_OWNER = "config"
_END_SECONDS = 5.0
"""Seconds that a finished loop waits for the pages to poll; they do so every three seconds."""


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
        labels_per_image: How many people look at each image. The most frequent answer counts; where
            there is none, a review on the page decides.
        token_file: A file with the token that the page asks for; made where it is missing.
        allowed_hosts: Names under which browsers call the page, besides IP addresses.
        settle_seconds: How long all images must have been labeled before the round is over, so that
            the last answer can be undone.
    """

    def __init__(
        self,
        port: int = 8010,
        host: str = "127.0.0.1",
        labels_per_image: int = 1,
        token_file: Path | None = None,
        allowed_hosts: Sequence[str] = (),
        settle_seconds: float = 5.0,
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

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        for name, least, most in (
            ("port", 0, 65535),
            ("labels_per_image", 1, 100),
            ("settle_seconds", 0, 3600),
        ):
            if config.sound(name) and not least <= config.get(name) <= most:
                found = config.get(name)
                yield config.fault(name, f"expected {least} to {most}, found {found}")
        is_open = config.sound("token_file") and config.get("token_file") is None
        if config.sound("host") and is_open and not is_loopback(config.get("host")):
            yield config.fault(
                "token_file", "others can reach this host, so a file with a token is needed"
            )

    @overrides
    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        if not request.items:
            return []
        store = self._opened(request.folder)
        store.classes.add(list(request.classes or request.seen), _OWNER)
        batch = store.items.open_batch(
            [
                _new_item(*pair, request)
                for pair in zip(request.items, request.queries, strict=True)
            ],
            request.round,
            self.labels_per_image,
            has_fixed_classes=request.classes is not None,
        )
        if batch.is_open:
            self._wait(store, batch, request.folder)
        # The store holds names composed and stripped; the data may write them otherwise
        given = {check_class_name(name): name for name in request.classes or request.seen}
        return [_label(final, batch, given) for final in store.agreed_labels(batch.batch)]

    @overrides
    def close(self) -> None:
        if self._server is not None:
            if self._loop_is_done():
                self._audience.wait(_END_SECONDS)  # the pages ask how it ended
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
        """Wait until a batch is closed, and close it when nothing is left to say."""
        said = -_SAID_SECONDS
        shown = newest_event = -1
        quiet_since = time.monotonic()  # not by the clock on the wall, which may be set back
        while True:
            newest = store.items.batch()
            if newest is None or newest.batch != batch.batch or not newest.is_open:
                return
            if self._server is not None:  # whatever a clock that was set says of its heartbeat
                url = self._server.url
            else:
                url = store.server() or self._serve(store, folder)
            done = store.counts.progress(batch.batch, "").done
            if done != shown and time.monotonic() - said > _SAID_SECONDS:
                total = store.counts.progress(batch.batch, "").total
                logger.info("round %s: %d of %d labeled at %s", batch.round, done, total, url)
                said, shown = time.monotonic(), done
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


def _new_item(item: Instance, query: Query, request: LabelRequest) -> NewItem:
    predicted = request.predicted.get(item.id)
    probability = request.probabilities.get(item.id)
    guess = [] if predicted is None or probability is None else [(predicted, float(probability))]
    return NewItem(
        item.id,
        _image(item),
        pick_text(query.rank, len(request.items), query.score, query.reason),
        guess,
    )


def _image(item: Instance) -> Path | bytes:
    if isinstance(item.image, str | Path):
        return Path(item.image)
    if isinstance(item.image, bytes):
        return item.image
    buffer = io.BytesIO()
    Image.fromarray(load_image(item.image)).save(buffer, "PNG")
    return buffer.getvalue()


def _label(final: AgreedLabel, batch: LabelBatch, given: Mapping[str, str]) -> NewLabel:
    key = f"labeling:{final.event_id or f'{batch.batch}:{final.id}'}"
    return NewLabel(
        id=final.id,
        label=None if final.label is None else given.get(final.label, final.label),
        annotator=final.annotator or _NAME,
        round=batch.round or 0,
        source=_NAME,
        kind=final.kind,
        client_key=key,
        seconds=final.seconds,
    )
