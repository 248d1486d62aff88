"""The demo server: an application for waitress (one process) or gunicorn (several)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flask
from prometheus_client import CollectorRegistry, Gauge
from pydantic import BaseModel, ConfigDict, Field, RootModel

from allencv_al.common.errors import AllenCVError, ConfigurationError
from allencv_al.labels.contact_sheet import png_bytes
from allencv_al.models.archive import load_archive
from allencv_al.predictors.outcomes import PredictionError
from allencv_al.predictors.prediction_json import to_json_value
from allencv_al.predictors.predictor import Predictor
from allencv_al.predictors.saliency import has_saliency, saliency_of
from allencv_al.service.demo.batcher import Batcher, BusyError, Prediction, in_a_thread
from allencv_al.service.demo.image_sources import ImageRoot
from allencv_al.service.demo.label_studio_backend import LabelStudioRoutes
from allencv_al.service.demo.request_images import BodyReader, RequestInputs
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.images import DECODING
from allencv_al.service.web.web_errors import WebError
from allencv_al.service.web.web_settings import WebSettings

STATIC = Path(__file__).parent / "static"
PREDICT_SECONDS = 60.0
# Gradients take the model from those who wait for predictions
SALIENCY_SECONDS = 5.0
SALIENCY_SIDE = 448  # pixels
_PNG = b"\x89PNG"


class PredictionAnswer(BaseModel):
    """The prediction of an image; custom models may return other fields."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    logits: list[float | None] = Field(default=[], description="One number per class.")
    probs: list[float | None] = Field(default=[], description="The probability of each class.")
    prediction: int | None = Field(None, description="The index of the most probable class.")
    class_name: str | None = Field(None, alias="class", description="The name of that class.")


class ImageFault(BaseModel):
    """The error of one image."""

    code: str = Field(description="`image`, or `model` if the model failed on the image.")
    message: str = Field(description="The problem and its remedy.")


class FailedAnswer(BaseModel):
    """The entry of an image that cannot be predicted, in a list of predictions."""

    error: ImageFault


class PredictionsAnswer(RootModel[list[PredictionAnswer | FailedAnswer]]):
    """One entry per image, in the order of the request."""


class ModelInfoAnswer(BaseModel):
    """Properties of the model and limits of the server."""

    title: str = Field(description="Heading of the page.")
    classes: list[str] = Field(description="Class names, by index.")
    samples: int = Field(description="Number of sample images.")
    max_body_bytes: int = Field(description="Largest request body in bytes.")
    max_images: int = Field(description="Maximum number of images per request.")
    draws_boxes: bool = Field(description="Whether the page draws the boxes in predictions.")
    explains: bool = Field(description="Whether `/saliency` answers for this kind of model.")
    input_size: tuple[int, int] | None = Field(
        description="Height and width of the model's input; null if they vary."
    )


class SaliencyQuery(BaseModel):
    """The class that a request for saliency is about."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    class_name: str | None = Field(
        None, alias="class", max_length=1000, description="Its name; the predicted one by default."
    )


def create_app(
    archive_path: str | Path,
    predictor: str | None = None,
    *,
    weights_file: str | Path | None = None,
    cuda_device: int | str = -1,
    overrides: str | Mapping[str, Any] = "",
    title: str = "Image classifier",
    static_dir: str | Path | None = None,
    image_root: str | Path | None = None,
    draws_boxes: bool = False,
    batch_size: int | None = None,
    settings: WebSettings | None = None,
) -> WebApp:
    """Load a model and return the application that serves it.

    `gunicorn 'allencv_al.service.demo.app:create_app("model.tar.gz")'` creates one in each worker
    (do not pass `--preload`: threads of torch do not survive a fork).

    Args:
        archive_path: A `model.tar.gz`, a folder with its contents, or a run directory.
        predictor: Registered name of the predictor (default: that of the model).
        weights_file: Weights to use instead of the archive's own.
        cuda_device: Device of the model: -1 is the CPU, n the n-th GPU, "auto" the first if any.
        overrides: Changes to the archive's config.
        title: Heading of the page.
        static_dir: Folder with a page (`index.html`) to show instead of the built-in one.
        image_root: Folder whose images requests may name by path.
        draws_boxes: Whether the page draws the boxes in predictions.
        batch_size: Maximum batch size.
        settings: Address, access rules and limits (default: this machine only).

    Raises:
        ArchiveError: The archive is absent, damaged or unsafe.
        ConfigurationError: A name, folder or option is invalid.
    """
    at = WebSettings() if settings is None else settings
    page = _page_of(STATIC if static_dir is None else Path(static_dir))
    root = None if image_root is None else ImageRoot(Path(image_root), at.max_body_bytes)
    archive = in_a_thread(lambda: load_archive(archive_path, cuda_device, overrides, weights_file))
    loaded = Predictor.from_archive(archive, predictor)
    batcher = Batcher(loaded, batch_size)
    info = _info(loaded, at, title, len(archive.samples), draws_boxes)
    app = WebApp("demo", at, title)
    bodies = BodyReader(RequestInputs(loaded, root), at)
    _add_routes(app, batcher, bodies, info, archive.samples)
    _add_saliency(app, batcher, bodies, loaded)
    LabelStudioRoutes(
        lambda inputs: _predictions(batcher, inputs),
        *(info.classes, root, _version(archive_path), at.max_pixels),
    ).add_to(app)
    app.page("/", page)
    app.folder("/static/demo/", STATIC, is_open=True)
    if static_dir is not None:
        app.folder("/", Path(static_dir))
    _add_metrics(app.metrics.registry, batcher)
    app.on_close(batcher.close)
    batcher.warm_up()  # before the server listens
    return app


def _add_routes(
    app: WebApp,
    batcher: Batcher,
    bodies: BodyReader,
    info: ModelInfoAnswer,
    samples: Sequence[bytes],
) -> None:
    @app.operation(
        "POST",
        "/predict",
        answer=PredictionAnswer,
        accepts=("*/*",),
        responses=(400, 413, 422, 503),
    )
    def predict() -> flask.Response:
        """Predict one image: its bytes, a form with one file, a data URL, or JSON {"image": data
        URL or numbers, "image_shape": [height, width, channels]}.
        """
        [found] = _predictions(batcher, [bodies.single()])
        if found.error is not None:
            raise _web_error(found.error)
        return _json(found.row, _timing([found]))

    @app.operation(
        "POST",
        "/predict_batch",
        answer=PredictionsAnswer,
        accepts=("*/*",),
        responses=(400, 413, 422, 503),
    )
    def predict_batch() -> flask.Response:
        """Predict several images: a form with files, or a JSON list of inputs of /predict. The
        entry of an image that cannot be predicted holds an error.
        """
        found = _predictions(batcher, bodies.several())
        return _json([_row_or_fault(prediction) for prediction in found], _timing(found))

    @app.operation("GET", "/api/info")
    def api_info() -> ModelInfoAnswer:
        """Describe the model for the page."""
        return info

    @app.operation("GET", "/api/samples/<int:number>", produces="image/jpeg", responses=(404,))
    def api_sample(number: int) -> flask.Response:
        """Return a sample image of the archive, as JPEG or PNG."""
        if number >= len(samples):
            raise WebError(404, "not_found", f"there are {len(samples)} samples, from 0 on")
        content = samples[number]
        # Samples carry no names, so that the first bytes tell
        kind = "image/png" if content.startswith(_PNG) else "image/jpeg"
        return flask.Response(content, mimetype=kind)


def _add_saliency(app: WebApp, batcher: Batcher, bodies: BodyReader, predictor: Predictor) -> None:
    @app.operation(
        "POST", "/saliency", accepts=("*/*",), produces="image/png", responses=(400, 413, 422, 503)
    )
    def saliency(query: SaliencyQuery) -> flask.Response:
        """Return a picture to lay over an image: the redder, the more a place speaks for a class.
        Bodies as for /predict; the longer side of the picture has 448 pixels.
        """
        item = bodies.single()

        def overlay() -> bytes:
            with DECODING.hold(item):
                found = saliency_of(predictor, item, query.class_name, SALIENCY_SECONDS)
            width, height = found.frame.size
            scale = SALIENCY_SIDE / max(width, height)
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            return png_bytes(found.overlay(size))

        try:
            return flask.Response(batcher.call(overlay, PREDICT_SECONDS), mimetype="image/png")
        except BusyError as error:
            raise _busy(error) from error
        except AllenCVError as error:
            raise _web_error(error) from error


def _add_metrics(registry: CollectorRegistry, batcher: Batcher) -> None:
    def gauge(name: str, what: str, value: Callable[[], float]) -> None:
        Gauge(name, what, registry=registry).set_function(value)

    gauge("demo_images_waiting", "Images that wait for a prediction.", lambda: batcher.waiting)
    gauge("demo_batches", "Batches run by the model.", lambda: batcher.batches)
    gauge("demo_images", "Images in these batches.", lambda: batcher.images)


def _predictions(batcher: Batcher, inputs: Sequence[object]) -> list[Prediction]:
    try:
        return batcher.predict(inputs, PREDICT_SECONDS)
    except BusyError as error:
        raise _busy(error) from error


def _busy(error: BusyError) -> WebError:
    return WebError(503, "busy", str(error), retry_after=error.retry_after)


def _web_error(error: Exception) -> Exception:
    if isinstance(error, PredictionError):
        return WebError(422, "model", str(error))
    return WebError(422, "image", str(error)) if isinstance(error, AllenCVError) else error


def _row_or_fault(prediction: Prediction) -> object:
    if prediction.error is None:
        return prediction.row
    fault = _web_error(prediction.error)
    if not isinstance(fault, WebError):
        raise fault
    return {"error": {"code": fault.code, "message": str(fault)}}


def _json(value: object, timing: str) -> flask.Response:
    response = flask.jsonify(to_json_value(value))
    response.headers["Server-Timing"] = timing
    return response


def _timing(predictions: Sequence[Prediction]) -> str:
    decode = sum(prediction.decode_seconds for prediction in predictions)
    # Images of a batch share one run of the model
    model = max((prediction.model_seconds for prediction in predictions), default=0.0)
    return f"decode;dur={1000 * decode:.1f}, model;dur={1000 * model:.1f}"


def _info(
    predictor: Predictor, at: WebSettings, title: str, samples: int, draws_boxes: bool
) -> ModelInfoAnswer:
    _, height, width = predictor.dataset_reader.image_shape()
    return ModelInfoAnswer(
        title=title,
        classes=_classes_of(predictor),
        samples=samples,
        max_body_bytes=at.max_body_bytes,
        max_images=at.max_images,
        draws_boxes=draws_boxes,
        explains=has_saliency(predictor),
        input_size=None if height is None or width is None else (height, width),
    )


def _classes_of(predictor: Predictor) -> list[str]:
    return list(predictor.model.class_names())


def _version(archive_path: str | Path) -> str:
    """Return the version of the model: the name of its run directory."""
    path = Path(archive_path).resolve()
    return path.parent.name if path.name.startswith("model.") else path.name


def _page_of(folder: Path) -> Path:
    page = folder / "index.html"
    if not page.is_file():
        raise ConfigurationError(f"--static-dir: expected a folder with index.html, found {folder}")
    return page
