"""Requests to the labeling server, as the models of its /openapi.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_ITEMS = 6
MOST_LISTED = 200
MOST_DECIDED = 1_000
MOST_NAME = 10_000

ItemId = Annotated[str, Field(pattern=r"^i[1-9][0-9]{0,15}$", description="An image: i1, i2 ...")]
ClassId = Annotated[str, Field(pattern=r"^c[1-9][0-9]{0,15}$", description="A class: c1, c2 ...")]
LabelingId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="Of the session.")]
ClientId = Annotated[
    str,
    Field(
        min_length=8,
        max_length=64,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Chosen by the client, new for each answer: what is sent twice is stored once.",
    ),
]
Said = Literal["label", "skip", "unsure", "unreadable"]
Decided = Literal["label", "unsure", "unreadable"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NextRequest(_Request):
    """Asks for images to label."""

    count: int = Field(1, ge=1, le=MOST_ITEMS, description="How many at most.")
    skipped: bool = Field(False, description="Those that were skipped, and no others.")
    but: list[ItemId] = Field(
        default_factory=list,
        max_length=MOST_LISTED,
        description="Images to leave out, because another window shows them.",
    )


class AnswerRequest(_Request):
    """Says what an image shows."""

    client_id: ClientId
    item: ItemId
    kind: Said
    class_id: ClassId | None = Field(None, description="The class, where `kind` is `label`.")
    seconds: float | None = Field(None, ge=0, le=86_400, description="How long it took.")
    labeling: LabelingId | None = Field(
        None, description="The labeling that the image is of; refused by any other (409)."
    )
    annotator: str | None = Field(
        None, max_length=64, description="Whose answer it is; refused from anybody else (409)."
    )
    image: str | None = Field(
        None,
        max_length=MOST_NAME,
        description="The `file_name` of the image; refused where `item` is another (409).",
    )
    is_first: bool = Field(
        False, description="Refuse it (409) where this annotator has answered the image already."
    )


class UndoRequest(_Request):
    """Undoes one of the caller's answers."""

    event_id: int = Field(ge=1, le=2**53)


class ReviewRequest(_Request):
    """Decides what images show, whatever the answers say."""

    client_id: ClientId
    items: list[ItemId] = Field(min_length=1, max_length=MOST_DECIDED)
    kind: Decided
    class_id: ClassId | None = None


class ReviewUndoRequest(_Request):
    """Undoes the decisions of one request of a review."""

    client_id: ClientId


class ClassRequest(_Request):
    """Names a class."""

    name: str = Field(min_length=1, max_length=400)


class GuessRequest(_Request):
    """Requests the model's prediction for an image."""

    item: ItemId


class FinishRequest(_Request):
    """Closes the batch."""


class HistoryQuery(_Request):
    """Selection among the caller's answers."""

    before: int | None = Field(None, ge=1, le=2**53, description="Only older ones than this event.")
    limit: int = Field(50, ge=1, le=MOST_LISTED)


class ReviewQuery(_Request):
    """Filters of the review."""

    batch: Literal["current", "all"] = "current"
    class_id: ClassId | None = None
    kind: Decided | None = None
    annotator: str | None = Field(None, max_length=64)
    conflicts: bool = False
    after: ItemId | None = Field(None, description="Only those behind this image.")
    limit: int = Field(60, ge=1, le=MOST_LISTED)


class ImageQuery(_Request):
    """Size of the returned image."""

    size: Literal["thumb", "full", "large", "whole"] = Field(
        "full", description="At most 256, 2,048, 4,096 or 8,192 pixels a side."
    )
    v: str | None = Field(
        None,
        max_length=80,
        description="The version in `image_url`: another labeling refuses it (409), and what is "
        "sent may be kept for an hour.",
    )
