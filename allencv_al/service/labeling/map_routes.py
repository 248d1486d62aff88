"""Routes of the map: places and values of the images as arrays, and actions on chosen images."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import numpy as np

from allencv_al.common.files.tables import csv_bytes, csv_text
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.selection.pool_map import PoolMap
from allencv_al.service.labeling import labeling_answers as answers
from allencv_al.service.labeling import labeling_messages as messages
from allencv_al.service.labeling.presenter import Presenter, number_of
from allencv_al.service.labeling.requester import current_annotator
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.web_errors import WebError

CHOSEN = "chosen"
"""The kind of the rows of a list: `allencv-al label DATA --findings` asks for its images."""

_BINARY = "application/octet-stream"
_COLUMNS = ("kind", "score", "label", "id", "detail")
_LARGEST_BYTE = 255


class MapRoutes:
    """The routes of the map.

    Args:
        store: The labeling.
        presenter: Of the labeling.
        pool_map: Of the labeling.
    """

    def __init__(self, store: LabelingStore, presenter: Presenter, pool_map: PoolMap) -> None:
        self._store = store
        self._presenter = presenter
        self._map = pool_map

    def add(self, app: WebApp) -> None:
        """Add the routes to the application."""
        app.operation("GET", "/api/map")(self.describe)
        for rule, view in (("places", self.places), ("values", self.values)):
            app.operation("GET", f"/api/map/{rule}", produces=_BINARY, responses=(409,))(view)
        app.operation("GET", "/api/map/image", responses=(409,))(self.image)
        app.operation("POST", "/api/map/first", responses=(409,))(self.ask_first)
        app.operation("POST", "/api/map/list", produces="text/csv", responses=(409,))(self.listed)

    def describe(self) -> answers.MapAnswer:
        """The images of the map, and the names of their values."""
        [(images,)] = self._store.database.rows("SELECT count(*) FROM item")
        version = self._map.version
        return answers.MapAnswer(
            version=version,
            points=len(self._map.items()),
            images=images,
            layouts=self._map.layouts() if version else [],
            classes=list(self._map.values()[1].classes),
            rounds=self._rounds(),
        )

    def places(self, query: messages.MapPlacesQuery) -> flask.Response:
        """Numbers and places of the images: uint32 `[N]`, then uint16 `[N]` for x and for y."""
        self._check_version(query)
        points = self._map.points(query.layout)
        if points is None:
            raise WebError(409, "conflict", f"the layout {query.layout} has not been computed")
        columns = [points.items.astype("<u4"), *points.places.T.astype("<u2")]
        return _arrays(f"{query.layout}-{query.version}", columns)

    def values(self, query: messages.MapQuery) -> flask.Response:
        """Values of the images, in the order of their places.

        uint16 `[N]` for the label, the predicted class and the batch; uint8 `[N]` for the
        uncertainty (1 minus the probability of the predicted class, times 255) and the state
        (0 waiting, 1 labeled, 2 not sure, 3 unreadable, 4 in conflict).
        """
        self._check_version(query)
        tag, values = self._map.values()
        uncertainty = np.rint((1 - values.probabilities) * _LARGEST_BYTE)
        columns = [
            *(column.astype("<u2") for column in (values.labels, values.predicted, values.batches)),
            uncertainty.astype("u1"),
            values.states.astype("u1"),
        ]
        return _arrays(f"values-{tag}", columns)

    def image(self, query: messages.MapImageQuery) -> answers.MapImageAnswer:
        """An image of the map with its label and prediction."""
        item = self._store.items.item(number_of(query.item))
        labels = self._store.values.shown(self._store.values.texts([item.class_id]))
        predicted, probability = self._map.prediction(item.item) or (None, None)
        return answers.MapImageAnswer(
            item=self._presenter.image(item),
            kind=item.kind,
            label=labels.get(item.class_id or 0),
            conflict=item.is_conflict,
            predicted=predicted,
            probability=probability,
        )

    def ask_first(self, body: messages.AskFirstRequest) -> answers.LeasedAnswer:
        """Lease chosen images to the caller, up to 200: they are the next ones to label."""
        chosen = list(dict.fromkeys(number_of(item) for item in body.items))
        give_back = {number_of(item) for item in body.give_back}.difference(chosen)
        taken = self._store.leases.take(
            current_annotator(), chosen, messages.MOST_LISTED, sorted(give_back)
        )
        return answers.LeasedAnswer(leased=len(taken))

    def listed(self, body: messages.ChosenRequest) -> flask.Response:
        """Chosen images as a table, which `allencv-al label DATA --findings TABLE` asks for."""
        numbers = dict.fromkeys(number_of(item) for item in body.items)
        content = csv_bytes(csv_text(_COLUMNS, self._rows(list(numbers))))
        return flask.Response(content, mimetype="text/csv")

    def _rows(self, numbers: list[int]) -> Iterator[dict[str, object]]:
        items = [self._store.items.item(number) for number in numbers]
        shown = self._store.values.shown(self._store.values.texts([one.class_id for one in items]))
        for item in items:
            label = shown.get(item.class_id or 0)
            yield {
                "kind": CHOSEN,
                "score": 1,
                "label": label,
                "id": item.id,
                "detail": "on the map" if label is None else f"on the map, labeled {label}",
            }

    def _rounds(self) -> dict[int, str]:
        rows = self._store.database.rows("SELECT batch, round FROM batch ORDER BY batch")
        return {
            batch: f"Batch {batch}" if round is None else f"Round {round}" for batch, round in rows
        }

    def _check_version(self, query: messages.MapQuery) -> None:
        if query.version != self._map.version or not query.version:
            raise WebError(409, "other_version", "the images of the map have changed; load it anew")


def _arrays(tag: str, columns: list[np.ndarray]) -> flask.Response:
    """Return the response with the bytes of arrays, one after the other, and an ETag."""
    response = flask.Response(mimetype=_BINARY)
    response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache"
    if tag not in flask.request.if_none_match:
        response.data = b"".join(column.tobytes() for column in columns)
    response.make_conditional(flask.request)
    return response
