"""The routes of a machine-learning backend of Label Studio: /health, /setup, /predict, /webhook.

The protocol is that of `label_studio_ml/api.py` (github.com/HumanSignal/label-studio-ml-backend).
`label_studio/ml/models.py` (github.com/HumanSignal/label-studio) reads the answers: the tasks of a
project come in one request, and an answer without `result` makes no prediction. Nothing is fetched:
an image comes as a data URL, or from the folder that the server was started with. The tags of a
labeling config: https://labelstud.io/tags/choices and https://labelstud.io/tags/choice.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from allencv_al.common.errors import AllenCVError, DataError
from allencv_al.service.demo.batcher import Prediction
from allencv_al.service.demo.image_sources import ImageRoot, decode_data_url, is_data_url
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.images import check_image
from allencv_al.service.web.web_errors import without_paths

PREFIX = "/label-studio"
_MEDIA, _UPLOADS = "/data/", "/data/upload/"
_LOCAL_FILES = "/data/local-files"
_NO_KEY = "$undefined$"  # data key of tasks imported from a storage
_AT_ONCE = 32  # images in memory at once; the default batch size of a GPU
_MOST_TASKS = 10_000
_MOST_CONFIG_CHARACTERS = 200_000


class _Lenient(BaseModel):
    """Ignores unknown keys, which new versions of Label Studio add."""

    model_config = ConfigDict(extra="ignore")


class SetupRequest(_Lenient):
    """Sent when the backend is connected to a project."""

    schema_: str = Field("", alias="schema", description="The labeling config.")


class LabelStudioTask(_Lenient):
    """A task of Label Studio."""

    id: int | str | None = None
    data: dict[str, Any]


class PredictRequest(_Lenient):
    """A request for predictions."""

    tasks: list[LabelStudioTask] = Field(max_length=_MOST_TASKS)
    label_config: str


class WebhookRequest(_Lenient):
    """An event of a project."""

    action: str = Field(max_length=100)


class HealthAnswer(BaseModel):
    """Confirmation that the model is available."""

    status: str
    model_class: str


class VersionAnswer(BaseModel):
    """The version of the model."""

    model_version: str


class TaskPrediction(BaseModel):
    """The prediction for a task."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    score: float = Field(
        description="Margin between the two highest probabilities, 0 to 1; label the tasks with "
        "the lowest scores first."
    )
    result: list[dict[str, Any]]


class TaskFault(BaseModel):
    """The error of a task."""

    error: str


class PredictAnswer(BaseModel):
    """The predictions, one per task."""

    model_config = ConfigDict(protected_namespaces=())

    results: list[TaskPrediction | TaskFault]
    model_version: str


class WebhookAnswer(BaseModel):
    """Acknowledgment."""

    status: str


class LabelStudioRoutes:
    """The routes of a machine-learning backend.

    Args:
        predict: Runs the model on the bytes of images.
        classes: Class names, by index.
        image_root: Reads local files; None to refuse them.
        version: Version of the model in Label Studio.
        max_pixels: Maximum number of pixels of an image.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[object]], list[Prediction]],
        classes: Sequence[str],
        image_root: ImageRoot | None,
        version: str,
        max_pixels: int,
    ) -> None:
        self._run_model = predict
        self._classes = classes
        self._image_root = image_root
        self._version = version
        self._max_pixels = max_pixels

    def add_to(self, app: WebApp) -> None:
        """Add the routes to an application."""
        add = app.operation
        add("GET", f"{PREFIX}/health")(self.health)
        add("POST", f"{PREFIX}/setup")(self.setup)
        add("POST", f"{PREFIX}/predict", responses=(503,))(self.predict)
        add("POST", f"{PREFIX}/webhook")(self.webhook)

    def health(self) -> HealthAnswer:
        """For Label Studio: report that the model is available."""
        return HealthAnswer(status="UP", model_class="allencv_al")

    def setup(self, body: SetupRequest) -> VersionAnswer:
        """For Label Studio: connect the model to a project."""
        if body.schema_.strip():
            parse_config(body.schema_)
        return VersionAnswer(model_version=self._version)

    def predict(self, body: PredictRequest) -> PredictAnswer:
        """For Label Studio: predict tasks, with a score to sort them by."""
        config = parse_config(body.label_config)
        results = [
            result
            for start in range(0, len(body.tasks), _AT_ONCE)
            for result in self._results(body.tasks[start : start + _AT_ONCE], config)
        ]
        return PredictAnswer(results=results, model_version=self._version)

    def webhook(self, body: WebhookRequest) -> WebhookAnswer:
        """For Label Studio: ignore an event of a project; labels come by import-labels."""
        return WebhookAnswer(status="ignored")

    def _results(
        self, tasks: Sequence[LabelStudioTask], config: LabelingConfig
    ) -> list[TaskPrediction | TaskFault]:
        inputs: list[bytes | AllenCVError] = [self._input(task, config) for task in tasks]
        good = [content for content in inputs if isinstance(content, bytes)]
        predictions = iter(self._run_model(good) if good else [])
        return [
            _fault(content)
            if isinstance(content, AllenCVError)
            else self._prediction(next(predictions), config)
            for content in inputs
        ]

    def _input(self, task: LabelStudioTask, config: LabelingConfig) -> bytes | AllenCVError:
        value = task.data.get(config.key, task.data.get(_NO_KEY))
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
        name = _file_of(value)
        if name is None:
            raise DataError("this server fetches no URLs: expected a data URL or a local file")
        if self._image_root is None:
            raise DataError("this server opens no files; start it with --image-root DIR")
        return self._image_root.read(name)

    def _prediction(
        self, prediction: Prediction, config: LabelingConfig
    ) -> TaskPrediction | TaskFault:
        if prediction.error is not None:
            if not isinstance(prediction.error, AllenCVError):
                raise prediction.error
            return _fault(prediction.error)
        row: Any = prediction.row
        if not isinstance(row, Mapping) or "probs" not in row:
            return TaskFault(error="the model returns no probabilities")
        name = config.written(str(row["class"]))
        if name is None:
            cause = f'the class "{row["class"]}" is not a choice of the labeling config'
            return TaskFault(error=cause)
        probabilities = sorted((float(one) for one in row["probs"]), reverse=True)
        margin = probabilities[0] - (probabilities[1] if len(probabilities) > 1 else 0.0)
        result = {
            "from_name": config.control,
            "to_name": config.target,
            "type": "choices",
            "value": {"choices": [name]},
        }
        return TaskPrediction(model_version=self._version, score=margin, result=[result])


def _file_of(value: str) -> str | None:
    """Return the file that a task names, or None for a URL of another server.

    URLs of Label Studio itself name files, with or without its host name.
    """
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    is_address = parts.scheme in ("http", "https") and bool(parts.netloc)
    if (parts.scheme or parts.netloc) and not is_address:
        return None
    if parts.path.rstrip("/").endswith(_LOCAL_FILES):
        return parse_qs(parts.query).get("d", [""])[0]
    _, found, name = parts.path.partition(_UPLOADS)
    if found:
        return unquote(f"{_UPLOADS.removeprefix(_MEDIA)}{name}")
    return None if is_address else value.removeprefix(_MEDIA)


def _fault(error: AllenCVError) -> TaskFault:
    return TaskFault(error=without_paths(str(error)))


# -- The labeling config ---------------------------------------------------------------------


@dataclass(frozen=True)
class LabelingConfig:
    """The names in a labeling config that predictions refer to.

    Args:
        control: The `name` of the `Choices` tag.
        target: The `name` of its `Image` tag.
        key: Key of the image in the data of a task.
        choices: The name of each choice in results, by value and by alias; None if each task has
            its own choices.
    """

    control: str
    target: str
    key: str
    choices: Mapping[str, str] | None

    def written(self, name: str) -> str | None:
        """Return the name of a class in results, or None if it is not a choice."""
        return name if self.choices is None else self.choices.get(name)


def parse_config(text: str) -> LabelingConfig:
    """Parse a labeling config.

    Raises:
        DataError: It is not XML, declares entities, or has no choices for an image.
    """
    if len(text) > _MOST_CONFIG_CHARACTERS or "<!" in text.replace("<!--", ""):
        raise DataError("label_config: expected the tags of a labeling config, and no declarations")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  no declarations, so no entities
    except ElementTree.ParseError as error:
        raise DataError(f"label_config: expected XML: {error}") from None
    images = {tag.get("name"): tag.get("value", "") for tag in root.iter("Image")}
    for control in root.iter("Choices"):
        name, target = control.get("name"), control.get("toName")
        if name and target in images and target is not None:
            return LabelingConfig(name, target, images[target].lstrip("$"), _choices(control))
    raise DataError('label_config: expected <Choices toName="..."> of an <Image name="...">')


def _choices(control: ElementTree.Element) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for choice in control.iter("Choice"):
        value, alias = choice.get("value", ""), choice.get("alias", "")
        if value or alias:  # results hold the alias, if there is one
            found[alias or value] = found[value or alias] = alias or value
    return None if not found and control.get("value", "").startswith("$") else found
