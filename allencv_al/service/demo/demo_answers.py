"""Answers of the demo server, as the models of its /openapi.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, RootModel


class PredictionAnswer(BaseModel):
    """The prediction of an image; custom models may return other fields."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    logits: list[float | None] = Field(default=[], description="One number per class.")
    probs: list[float | None] = Field(default=[], description="The probability of each class.")
    prediction: int | None = Field(None, description="The index of the most probable class.")
    class_name: str | None = Field(None, alias="class", description="The name of that class.")


class ImageFault(BaseModel):
    """Why there is no prediction for one image."""

    code: str = Field(description="`image`, or `model` where the model cannot take it.")
    message: str = Field(description="What was found, and what would be right.")


class FailedAnswer(BaseModel):
    """The entry of an image that cannot be predicted, in a list of predictions."""

    error: ImageFault


class PredictionsAnswer(RootModel[list[PredictionAnswer | FailedAnswer]]):
    """One answer per image, in the order in which they were sent."""


class ModelInfoAnswer(BaseModel):
    """Facts about the model and the server for the page."""

    title: str = Field(description="The heading of the page.")
    classes: list[str] = Field(description="The names of the classes, by index.")
    samples: int = Field(description="How many sample images there are.")
    max_body_bytes: int = Field(description="The largest body that is taken.")
    max_images: int = Field(description="The most images in one request.")
    draws_boxes: bool = Field(description="Whether the page draws the boxes of an answer.")
    input_size: tuple[int, int] | None = Field(
        description="Height and width of what the model sees; null where they vary."
    )
