"""Determine the annotator and the labeling of a request."""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote

import flask

from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.service.labeling.labeling_messages import AnswerRequest, GroupAnswerRequest
from allencv_al.service.labeling.presenter import number_of
from allencv_al.service.web.app import current_identity
from allencv_al.service.web.web_errors import WebError

DEFAULT_ANNOTATOR = "annotator"
ANNOTATOR_HEADER = "X-Annotator"
LABELING_HEADER = "X-Labeling"
_MOST_CHARACTERS = 64


def current_annotator() -> str:
    """Return the author of this request: the owner of its token, or the name that it sends."""
    name = current_identity().name
    if name:
        return name
    sent = flask.request.headers.get(ANNOTATOR_HEADER)
    if sent is None:
        return DEFAULT_ANNOTATOR
    # Header values are latin-1, so the page sends percent-encoded UTF-8
    return check_annotator_name(unquote(sent, errors="replace"))


def check_annotator_name(name: str) -> str:
    """Return the name of an annotator in its normalized spelling.

    Raises:
        WebError: It is empty, too long, or has unprintable characters.
    """
    name = unicodedata.normalize("NFC", name.strip())
    is_plain = not any(unicodedata.category(mark) in ("Cc", "Cs") for mark in name)
    if not 0 < len(name) <= _MOST_CHARACTERS or not is_plain:
        raise WebError(
            422,
            "annotator",
            f"{ANNOTATOR_HEADER}: expected a name of 1 to {_MOST_CHARACTERS} characters",
            field=ANNOTATOR_HEADER,
        )
    return name


def check_labeling(store: LabelingStore, id: str | None) -> None:
    """Refuse a request that is meant for another labeling, as from a page that was left open.

    Args:
        store: The labeling that is served.
        id: The id that the request names, or the beginning of it, if any.

    Raises:
        WebError: The request names another labeling (409).
    """
    if id is not None and not (id and store.id().startswith(id)):
        raise WebError(
            409,
            "other_labeling",
            "this address serves another labeling now; nothing was stored here",
        )


def check_is_meant(
    store: LabelingStore, body: AnswerRequest | GroupAnswerRequest, annotator: str
) -> None:
    """Refuse an answer that is meant for another labeling, annotator or image.

    Raises:
        WebError: The answer names another one (409).
    """
    check_labeling(store, body.labeling)
    if body.annotator is not None and body.annotator != annotator:
        raise WebError(
            409,
            "other_annotator",
            f"expected an answer of {annotator}, found one of {body.annotator}",
            field="annotator",
        )
    for named in body.items if isinstance(body, GroupAnswerRequest) else [body]:
        if named.image is None:
            continue
        found = store.items.item(number_of(named.item)).id
        if named.image != found:
            raise WebError(
                409,
                "other_image",
                f"{named.item} is the image {found} here, not {named.image}",
                field="image",
            )
