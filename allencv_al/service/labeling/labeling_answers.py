"""Answers of the labeling server, as the models of its /openapi.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class ImageAnswer(BaseModel):
    """An image to label."""

    id: str = Field(description="Its number, for addresses; never a path.")
    file_name: str = Field(description="The id of the image in the data, to be shown.")
    image_url: str = Field(description="Changes with the file, so that it can be cached.")
    thumb_url: str
    reason: str | None = Field(description="Why it was picked.")
    has_guess: bool = Field(description="Whether the model has looked at it.")
    lease_expires: float | None = Field(description="End of its lease, seconds since 1970.")
    width: int | None = Field(
        description="Pixels of the upright image, for places in it; null without need of them, or "
        "for an image that does not open."
    )
    height: int | None


class GivenAnswer(BaseModel):
    """An annotator's answer about an image."""

    event_id: int
    item: str
    file_name: str
    image_url: str
    thumb_url: str
    kind: str
    class_id: str | None
    class_name: str | None = Field(description="The label as a person reads it.")
    label: str | None = Field(
        description="The text of the label with ids of classes; null where it is one class."
    )
    annotator: str
    seconds: float | None
    time: float
    in_force: bool
    source: str = Field(
        description="`page`, `model` for an accepted prediction, `review`, or `handed over` for a "
        "skipped image that another program is to label."
    )
    group: str | None = Field(description="The `client_id` of the page of images, if any.")


class ClassAnswer(BaseModel):
    """A class."""

    id: str
    name: str
    key: str | None = Field(description="The key that chooses it.")
    count: int = Field(description="Number of images with this agreed label.")


class ClassesAnswer(BaseModel):
    """All classes."""

    classes: list[ClassAnswer]


class ClassChangeAnswer(BaseModel):
    """A change of a class."""

    id: str
    old: str | None
    new: str
    annotator: str
    time: float


class ClassHistoryAnswer(BaseModel):
    """The changes of classes, oldest first."""

    changes: list[ClassChangeAnswer]


class ProgressAnswer(BaseModel):
    """Progress of the batch."""

    total: int
    done: int = Field(description="Images with an agreed label.")
    mine: int = Field(description="Those that the asking annotator has answered.")
    skipped: int = Field(description="Those that were only skipped.")
    unsure: int = Field(description="Those done that are marked not sure.")
    unreadable: int = Field(description="Those done that are marked unreadable.")
    conflicts: int = Field(description="Those that a review has to decide.")
    handed_over: int = Field(description="Those that another program is to label.")
    labels_per_minute: float | None
    seconds_left: float | None


class LabelBatchAnswer(BaseModel):
    """The batch: images that are labeled together."""

    id: int | None
    round: int | None = Field(description="The round of the loop; null for a folder.")
    state: Literal["open", "done", "none"]
    labels_per_image: int


class RoundAnswer(BaseModel):
    """A round of the loop."""

    round: int
    labels: int
    accuracy: float | None
    tested: str | None = Field(
        None, description="Accuracy with its interval, by the test images if their number is known."
    )
    audited: str | None = Field(None, description="Accuracy with its interval, by the audit.")


class LoopStateAnswer(BaseModel):
    """State of the loop."""

    state: Literal["waiting", "training", "finished", "absent"]
    rounds: list[RoundAnswer]
    forecast: str = Field(
        default="", description="The labels that a target needs; empty without one."
    )
    files: list[str] = Field(description="The files for people that the run directory has by now.")


class SessionAnswer(BaseModel):
    """Current state of the labeling (polled by the page every few seconds)."""

    labeling: str = Field(description="The id of this labeling, which no other has.")
    annotator: str
    needs_name: bool = Field(description="Whether the page has to ask who labels.")
    title: str
    task: str = Field(description="The kind of labels: `single_label`, `detection` ...")
    widget: str = Field(
        description="The part of the page that edits them: `choices`, `boxes`, `tags` or `mask`."
    )
    folder: str = Field(description="The folder with the labels, as the server names it.")
    batch: LabelBatchAnswer
    classes: list[ClassAnswer]
    may_edit_classes: bool
    progress: ProgressAnswer
    loop: LoopStateAnswer | None = Field(description="Null where a folder is labeled.")
    annotators: list[str]


class NextImagesAnswer(BaseModel):
    """Images to label; none where nothing is left for this annotator."""

    items: list[ImageAnswer]


class GroupImagesAnswer(BaseModel):
    """Images that belong together, leased to the caller; none where no such image is left."""

    items: list[ImageAnswer]
    by: Literal["class", "alike", "text", "order"]
    class_name: str | None = Field(description="The class that they are predicted to be of.")
    kinds: list[Literal["class", "alike", "text", "order"]] = Field(
        description="The groups that this labeling allows by now."
    )


class RefusedImage(BaseModel):
    """An image that got no label."""

    item: str
    file_name: str
    reason: str


class StoredGroup(BaseModel):
    """The stored labels of a page; they are on the disk."""

    stored: int
    refused: list[RefusedImage]
    progress: ProgressAnswer


class UndoneGroup(BaseModel):
    """The images of a page whose labels were undone, leased to the caller."""

    items: list[ImageAnswer]
    progress: ProgressAnswer


class MapAnswer(BaseModel):
    """The map: what its points are; places and values come in binary form."""

    version: str = Field(description="Changes with its images; empty without vectors of them.")
    points: int
    images: int = Field(description="Images of the labeling, with a vector or without.")
    layouts: list[Literal["pca", "tsne", "umap"]] = Field(
        description="Those that have been computed, the best one first."
    )
    classes: list[str] = Field(description="The values count them from 1.")
    rounds: dict[int, str] = Field(description="Names of the batches, by number.")


class MapImageAnswer(BaseModel):
    """An image of the map."""

    item: ImageAnswer
    kind: str | None = Field(description="Kind of the agreed label; null while there is none.")
    label: str | None = Field(description="The agreed label as a person reads it.")
    conflict: bool
    predicted: str | None
    probability: float | None = Field(description="Of the predicted class.")


class LeasedAnswer(BaseModel):
    """The number of images that are leased to the caller."""

    leased: int


class AcceptanceAnswer(BaseModel):
    """Predictions above a threshold, and what a random sample of them has shown."""

    id: int
    annotator: str
    threshold: float
    state: Literal["open", "stored", "dropped"]
    total: int
    sample: int
    checked: int = Field(description="Images of the sample that have been labeled.")
    wrong: int = Field(description="Those of them whose label is not the prediction.")
    error_low: float | None = Field(description="Wilson's 95 % interval of the error rate.")
    error_high: float | None
    left: int = Field(description="Predictions that are stored when they are accepted.")


class AcceptAnswer(BaseModel):
    """The predictions that can be accepted."""

    above: int | None = Field(description="Images above the threshold, if one was given.")
    current: AcceptanceAnswer | None


class AcceptedAnswer(BaseModel):
    """The predictions after a step, and the number of images that it changed."""

    changed: int
    current: AcceptanceAnswer | None
    progress: ProgressAnswer


class StoredAnswer(BaseModel):
    """The stored answer; it is on the disk."""

    answer: GivenAnswer
    progress: ProgressAnswer


class UndoneAnswer(BaseModel):
    """The undone answer and its image."""

    answer: GivenAnswer
    item: ImageAnswer
    progress: ProgressAnswer


class HistoryAnswer(BaseModel):
    """The caller's answers that were not undone, newest first."""

    answers: list[GivenAnswer]


class ReviewedAnswer(BaseModel):
    """An image with all of its answers."""

    item: ImageAnswer
    answers: list[GivenAnswer]
    decision: GivenAnswer | None
    kind: str | None = Field(description="Kind of the agreed label; null while there is none.")
    class_id: str | None
    class_name: str | None = Field(description="The agreed label as a person reads it.")
    label: str | None = Field(description="Its text with ids of classes; null for one class.")
    conflict: bool
    predicted: str | None = Field(
        None, description="The predicted class, if images are chosen or sorted by predictions."
    )
    probability: float | None = Field(None, description="Of the predicted class.")


class ReviewAnswer(BaseModel):
    """Images to review."""

    items: list[ReviewedAnswer]
    next: str | None = Field(description="The value of `after` for the next page.")
    has_likeness: bool = Field(description="Whether images can be sorted by their likeness to one.")


class DecidedAnswer(BaseModel):
    """The number of decided images."""

    decided: int
    progress: ProgressAnswer


class PairAnswer(BaseModel):
    """Agreement of two annotators."""

    first: str
    second: str
    both: int
    agreed: int
    kappa: float | None = Field(description="Cohen's kappa.")


class CountAnswer(BaseModel):
    """The number of answers of an annotator."""

    name: str
    answers: int


class AgreementAnswer(BaseModel):
    """Agreement of all annotators."""

    pairs: list[PairAnswer]
    annotators: list[CountAnswer]
    conflicts: int


class GuessedClass(BaseModel):
    """A class with its probability."""

    class_name: str
    probability: float


class GuessAnswer(BaseModel):
    """The model's prediction for an image, most probable class first."""

    probabilities: list[GuessedClass]
    label: str | None = Field(
        description="The predicted label with ids of classes; null where it is one class."
    )
    mask: str | None = Field(
        description="The predicted mask as a palette PNG of class indices in base64; null for "
        "other labels."
    )


class FinishedAnswer(BaseModel):
    """The batch, closed."""

    batch: LabelBatchAnswer
