"""Requests to the labeling server, as the models of its /openapi.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_ITEMS = 6  # a page loads a few images ahead; more would be leased in vain
MOST_LISTED = 200
MOST_DECIDED = 1_000  # one transaction, during which other annotators wait
MOST_LABEL = 100_000  # characters: a thousand boxes
MOST_GROUPED = 60  # images of one page: more are not seen at a glance
MOST_NAME = 10_000  # characters of an image id
MOST_CHOSEN = 10_000  # images that are chosen on the map

ItemId = Annotated[str, Field(pattern=r"^i[1-9][0-9]{0,15}$", description="An image: i1, i2 ...")]
ClassId = Annotated[str, Field(pattern=r"^c[1-9][0-9]{0,15}$", description="A class: c1, c2 ...")]
LabelingId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="Of the session.")]
ClientId = Annotated[
    str,
    Field(
        min_length=8,
        max_length=64,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Chosen by the client, new for each answer: sent twice, it is stored once.",
    ),
]
AnswerKind = Literal["label", "skip", "unsure", "unreadable", "hand_over"]
DecisionKind = Literal["label", "unsure", "unreadable"]


class _LabelingRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NextImagesRequest(_LabelingRequest):
    """Asks for images to label."""

    count: int = Field(1, ge=1, le=MOST_ITEMS, description="Maximal number of images.")
    skipped: bool = Field(False, description="Only images that this annotator has skipped.")
    but: list[ItemId] = Field(
        default_factory=list,
        max_length=MOST_LISTED,
        description="Images to leave out, because another window shows them.",
    )


class AnswerRequest(_LabelingRequest):
    """The label of an image."""

    client_id: ClientId
    item: ItemId
    kind: AnswerKind
    class_id: ClassId | None = Field(None, description="The class, if `kind` is `label`.")
    label: str | None = Field(
        None,
        max_length=MOST_LABEL,
        description="In place of `class_id`, where the session has a `task`: the text of the label "
        "with ids of classes in place of names.",
    )
    seconds: float | None = Field(None, ge=0, le=86_400, description="Time spent on the image.")
    labeling: LabelingId | None = Field(
        None, description="The labeling of the image; refused by any other (409)."
    )
    annotator: str | None = Field(
        None, max_length=64, description="The author; refused from other annotators (409)."
    )
    image: str | None = Field(
        None,
        max_length=MOST_NAME,
        description="The `file_name` of the image; refused if `item` is another image (409).",
    )
    is_first: bool = Field(
        False,
        description="Refuse the answer (409) if this annotator has answered the image already.",
    )


class DeniedClass(_LabelingRequest):
    """A class that an image was taken out of."""

    item: ItemId
    class_name: str = Field(max_length=400)


class GroupImagesRequest(_LabelingRequest):
    """Asks for a page of images that belong together."""

    count: int = Field(24, ge=1, le=MOST_GROUPED, description="Maximal number of images.")
    by: Literal["class", "alike", "text", "order"] | None = Field(
        None,
        description="`class`: the surest images of one class; `alike`: images that look alike; "
        "`text`: those nearest to `text`; `order`: those that come next. By default what promises "
        "the fewest odd ones.",
    )
    text: str | None = Field(
        None, min_length=1, max_length=300, description="Words that the images are to show."
    )
    class_name: str | None = Field(
        None, max_length=400, description="The predicted class, by default the surest one."
    )
    like: ItemId | None = Field(None, description="The image that the others are to be like.")
    among: list[ItemId] | None = Field(
        None, max_length=MOST_CHOSEN, description="The only images to choose from."
    )
    but: list[ItemId] = Field(
        default_factory=list, max_length=MOST_DECIDED, description="Images to leave out."
    )
    denied: list[DeniedClass] = Field(
        default_factory=list,
        max_length=MOST_DECIDED,
        description="Classes that images were taken out of: such an image comes up for other "
        "classes, and for none after two.",
    )
    give_back: list[ItemId] = Field(
        default_factory=list,
        max_length=MOST_DECIDED,
        description="Leased images that are not wanted any more.",
    )


class NamedImage(_LabelingRequest):
    """An image with its name."""

    item: ItemId
    image: str | None = Field(
        None,
        max_length=MOST_NAME,
        description="The `file_name` of the image; refused if `item` is another image (409).",
    )


class GroupAnswerRequest(_LabelingRequest):
    """One label for a page of images; images that are answered already keep their answers."""

    client_id: ClientId
    items: list[NamedImage] = Field(min_length=1, max_length=MOST_GROUPED)
    kind: DecisionKind
    class_id: ClassId | None = Field(None, description="The class, if `kind` is `label`.")
    seconds: float | None = Field(None, ge=0, le=86_400, description="Time spent on the page.")
    labeling: LabelingId | None = Field(
        None, description="The labeling of the images; refused by any other (409)."
    )
    annotator: str | None = Field(
        None, max_length=64, description="The author; refused from other annotators (409)."
    )


class GroupUndoRequest(_LabelingRequest):
    """Undoes the labels of one page."""

    client_id: ClientId


class AcceptQuery(_LabelingRequest):
    """The threshold to look up."""

    threshold: float | None = Field(
        None, gt=0, le=1, description="Counts the predictions with this probability or more."
    )


class AcceptStartRequest(_LabelingRequest):
    """Draws a random sample of the predictions above a threshold."""

    threshold: float = Field(gt=0, le=1)
    sample: int = Field(50, ge=10, le=MOST_LISTED, description="Images to label first.")


class AcceptRequest(_LabelingRequest):
    """Names predictions that are to be accepted."""

    id: int = Field(ge=1, le=2**53)


class AcceptCheckRequest(AcceptRequest):
    """Asks for the images of the sample."""

    give_back: list[ItemId] = Field(
        default_factory=list,
        max_length=MOST_DECIDED,
        description="Leased images that come later than the sample.",
    )


class MapQuery(_LabelingRequest):
    """The map that is meant."""

    version: str = Field(max_length=16, description="Of `/api/map`; refused if it is old (409).")


class MapPlacesQuery(MapQuery):
    """A layout of the map."""

    layout: Literal["pca", "tsne", "umap"] = "pca"


class MapImageQuery(_LabelingRequest):
    """An image of the map."""

    item: ItemId


class ChosenRequest(_LabelingRequest):
    """Images that were chosen on the map."""

    items: list[ItemId] = Field(min_length=1, max_length=MOST_CHOSEN)


class AskFirstRequest(ChosenRequest):
    """Asks for chosen images one by one."""

    give_back: list[ItemId] = Field(
        default_factory=list,
        max_length=MOST_DECIDED,
        description="Leased images that come later than these.",
    )


class UndoRequest(_LabelingRequest):
    """Undoes one of the caller's answers."""

    event_id: int = Field(ge=1, le=2**53)


class ReviewRequest(_LabelingRequest):
    """The label of images, overriding their answers."""

    client_id: ClientId
    items: list[ItemId] = Field(min_length=1, max_length=MOST_DECIDED)
    kind: DecisionKind
    class_id: ClassId | None = None


class ReviewUndoRequest(_LabelingRequest):
    """Undoes the decisions of one request of a review."""

    client_id: ClientId


class ClassRequest(_LabelingRequest):
    """Names a class."""

    name: str = Field(min_length=1, max_length=400)


class GuessRequest(_LabelingRequest):
    """Requests the model's prediction for an image."""

    item: ItemId


class FinishRequest(_LabelingRequest):
    """Closes the batch."""


class HistoryQuery(_LabelingRequest):
    """Selection among the caller's answers."""

    before: int | None = Field(None, ge=1, le=2**53, description="Only answers before this event.")
    limit: int = Field(50, ge=1, le=MOST_LISTED)


class ReviewQuery(_LabelingRequest):
    """Filters of the review."""

    batch: Literal["current", "all"] = "current"
    class_id: ClassId | None = None
    kind: DecisionKind | None = None
    annotator: str | None = Field(None, max_length=64)
    conflicts: bool = False
    accepted: bool = Field(False, description="Only predictions that were accepted unseen.")
    predicted: str | None = Field(
        None, max_length=400, description="Only images that the model predicts to be of this class."
    )
    disagrees: bool = Field(False, description="Only labels that are not what the model predicts.")
    sort: Literal["surest", "least"] | None = Field(
        None, description="By the probability of the predicted class; default: order of asking."
    )
    like: ItemId | None = Field(None, description="Images that are most like this one first.")
    after: ItemId | None = Field(None, description="Only images behind this one.")
    limit: int = Field(60, ge=1, le=MOST_LISTED)


class ImageQuery(_LabelingRequest):
    """Size of the returned image."""

    size: Literal["thumb", "full", "large", "whole"] = Field(
        "full", description="At most 256, 2,048, 4,096 or 8,192 pixels a side."
    )
    v: str | None = Field(
        None,
        max_length=80,
        description="The version in `image_url`: another labeling refuses it (409), and the "
        "response may be cached for an hour.",
    )
