"""The routes that Label Studio calls: /health, /setup, /predict and /webhook.

As in `label_studio_ml/api.py` of github.com/HumanSignal/label-studio-ml-backend. Nothing is ever
fetched: an image comes as a data URL, or lies in the folder that the server was started with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from allencv_al.common.errors import AllenCVError, DataError
from allencv_al.service.demo.batcher import Prediction
from allencv_al.service.demo.data_url import decode_data_url, is_data_url
from allencv_al.service.demo.image_root import ImageRoot
from allencv_al.service.label_studio.config import LabelingConfig, parse_config
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.errors import without_paths
from allencv_al.service.web.images import check_image

PREFIX = "/label-studio"
_MEDIA = "/data/"
_LOCAL_FILES = "/data/local-files/"


class _Lenient(BaseModel):
    """Label Studio sends more from version to version."""

    model_config = ConfigDict(extra="ignore")


class SetupRequest(_Lenient):
    """Sent when the backend is connected to a project."""

    schema_: str = Field("", alias="schema", description="The labeling config.")


class Task(_Lenient):
    """A task of Label Studio."""

    id: int | str | None = None
    data: dict[str, Any]


class PredictRequest(_Lenient):
    """Asks for predictions."""

    tasks: list[Task]
    label_config: str


class WebhookRequest(_Lenient):
    """Tells what has happened in a project."""

    action: str = Field(max_length=100)


class HealthAnswer(BaseModel):
    """That the model is there."""

    status: str
    model_class: str


class VersionAnswer(BaseModel):
    """Which model it is."""

    model_version: str


class TaskPrediction(BaseModel):
    """What the model says of a task."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    score: float = Field(
        description="By how much the most probable class is before the second, 0 to 1: what has "
        "the lowest score is most worth labeling."
    )
    result: list[dict[str, Any]]
    error: str | None = Field(None, description="Why there is no result.")


class PredictAnswer(BaseModel):
    """The predictions, one per task."""

    model_config = ConfigDict(protected_namespaces=())

    results: list[TaskPrediction]
    model_version: str


class WebhookAnswer(BaseModel):
    """That it was heard."""

    status: str


class LabelStudioRoutes:
    """The routes of a machine-learning backend.

    Args:
        predict: Runs the model on the bytes of images.
        classes: The names of the classes, by index.
        image_root: The folder in which images may be named; None for none.
        version: What Label Studio calls the model.
        max_pixels: The largest image.
        max_images: The most tasks of one request.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[object]], list[Prediction]],
        classes: Sequence[str],
        image_root: ImageRoot | None,
        version: str,
        max_pixels: int,
        max_images: int,
    ) -> None:
        self._predict = predict
        self._classes = classes
        self._image_root = image_root
        self._version = version
        self._max_pixels = max_pixels
        self._max_images = max_images

    def add_to(self, app: WebApp) -> None:
        """Add them to an application."""

        @app.operation(
            "GET",
            f"{PREFIX}/health",
            answer=HealthAnswer,
            summary="For Label Studio: whether the model is there.",
        )
        def health() -> HealthAnswer:
            return HealthAnswer(status="UP", model_class="allencv_al")

        @app.operation(
            "POST",
            f"{PREFIX}/setup",
            body=SetupRequest,
            answer=VersionAnswer,
            summary="For Label Studio: the model is connected to a project.",
        )
        def setup(body: SetupRequest) -> VersionAnswer:
            if body.schema_.strip():
                parse_config(body.schema_)
            return VersionAnswer(model_version=self._version)

        @app.operation(
            "POST",
            f"{PREFIX}/predict",
            body=PredictRequest,
            answer=PredictAnswer,
            summary="For Label Studio: predictions for tasks, with a score to sort them by.",
            responses=(503,),
        )
        def predict(body: PredictRequest) -> PredictAnswer:
            config = parse_config(body.label_config)
            if len(body.tasks) > self._max_images:
                raise DataError(
                    f"tasks: expected at most {self._max_images}, found {len(body.tasks)}"
                )
            results = self._results(body.tasks, config)
            return PredictAnswer(results=results, model_version=self._version)

        @app.operation(
            "POST",
            f"{PREFIX}/webhook",
            body=WebhookRequest,
            answer=WebhookAnswer,
            summary="For Label Studio: something has happened there. Nothing follows from it here: "
            "labels come in by import-labels.",
        )
        def webhook(body: WebhookRequest) -> WebhookAnswer:
            return WebhookAnswer(status="ignored")

    def _results(self, tasks: Sequence[Task], config: LabelingConfig) -> list[TaskPrediction]:
        inputs: list[bytes | AllenCVError] = [self._input(task, config) for task in tasks]
        good = [content for content in inputs if isinstance(content, bytes)]
        predictions = iter(self._predict(good) if good else [])
        return [
            self._failed(str(content))
            if isinstance(content, AllenCVError)
            else self._prediction(next(predictions), config)
            for content in inputs
        ]

    def _input(self, task: Task, config: LabelingConfig) -> bytes | AllenCVError:
        value = task.data.get(config.key)
        try:
            if not isinstance(value, str):
                raise DataError(f"data.{config.key}: expected the image, found none")
            content = self._content(value)
            check_image(content, self._max_pixels)
            return content
        except AllenCVError as error:
            return error

    def _content(self, value: str) -> bytes:
        data = value.encode("utf-8", "surrogatepass")
        if is_data_url(data):
            return decode_data_url(data)
        parts = urlsplit(value)
        if parts.scheme or parts.netloc:
            raise DataError("this server fetches nothing: expected a data URL or a local file")
        if self._image_root is None:
            raise DataError("this server opens no files; start it with --image-root DIR")
        if parts.path == _LOCAL_FILES:
            return self._image_root.read(parse_qs(parts.query).get("d", [""])[0])
        return self._image_root.read(value.removeprefix(_MEDIA))

    def _prediction(self, prediction: Prediction, config: LabelingConfig) -> TaskPrediction:
        if prediction.error is not None:
            if not isinstance(prediction.error, AllenCVError):
                raise prediction.error
            return self._failed(str(prediction.error))
        row: Any = prediction.row
        if not isinstance(row, Mapping) or "probs" not in row:
            return self._failed("the model answers no probabilities")
        name = str(row["class"])
        if name not in config.choices:
            return self._failed(f'the class "{name}" is no choice of the labeling config')
        probabilities = sorted((float(one) for one in row["probs"]), reverse=True)
        margin = probabilities[0] - (probabilities[1] if len(probabilities) > 1 else 0.0)
        result = {
            "from_name": config.control,
            "to_name": config.target,
            "type": "choices",
            "value": {"choices": [name]},
        }
        return TaskPrediction(
            model_version=self._version, score=margin, result=[result], error=None
        )

    def _failed(self, cause: str) -> TaskPrediction:
        return TaskPrediction(
            model_version=self._version, score=0.0, result=[], error=without_paths(cause)
        )
