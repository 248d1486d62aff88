"""The route that sends the images of a labeling."""

from __future__ import annotations

import flask

from allencv_al.common.errors import ImageDecodeError, is_machine_fault
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.service.labeling import labeling_messages as messages
from allencv_al.service.labeling.presenter import number_of
from allencv_al.service.labeling.requester import check_labeling
from allencv_al.service.labeling.shown_images import kind_of, picture, tag
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.web_errors import WebError


def add_image_route(app: WebApp, store: LabelingStore) -> None:
    """Add the route.

    Args:
        app: Where it is added.
        store: The labeling.
    """

    @app.operation("GET", "/api/images/<id>", produces="image/jpeg", responses=(404, 409, 503))
    def image(id: str, query: messages.ImageQuery) -> flask.Response:
        """An image, upright and encoded anew, as JPEG or PNG."""
        if query.v is not None:
            check_labeling(store, query.v.partition("-")[0])
        item = store.items.item(number_of(id))
        source = store.items.image(item)
        try:
            entity = tag(source, query.size)
        except OSError as error:
            if is_machine_fault(error):
                raise
            raise WebError(404, "not_found", "the file of this image is gone") from None
        response = flask.Response(mimetype="image/jpeg")
        response.set_etag(entity)
        # Without a version, another labeling on the same port has another image at this address
        is_fixed = query.v is not None
        response.headers["Cache-Control"] = "private, max-age=3600" if is_fixed else "no-cache"
        if entity not in flask.request.if_none_match:
            try:
                content = picture(source, query.size, app.settings.max_pixels)
            except ImageDecodeError as error:
                cause = str(error).partition(": ")[2]
                raise WebError(422, "image", cause or "it cannot be read") from error
            response.data = content
            response.mimetype = kind_of(content)
        response.make_conditional(flask.request)
        return response
