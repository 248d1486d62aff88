"""`LabelTask`: one kind of label and all that depends on it; and its default, one class."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from overrides import overrides

from allencv_al.common import Registrable
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.data.instance import Instance
from allencv_al.tasks.score_axes import Aggregate

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor

    from allencv_al.data.frame import Frame
    from allencv_al.data.vocabulary import Vocabulary

_HERE = "allencv_al.tasks"


class Judgment(NamedTuple):
    """A part of a prediction beside the same part of the label: a class, a box, an area.

    Args:
        expected: Its class in the label; empty where the label has nothing there.
        predicted: Its class in the prediction; empty where the prediction has nothing there.
        certainty: Certainty of the model, 0 to 1; of areas their share of the image.
    """

    expected: str
    predicted: str
    certainty: float


class LabelTask(Registrable):
    """One kind of label.

    A label is text wherever it is stored, written to a table or compared with another one: equal
    labels have equal texts. A task translates between the text and the fields of an `Instance`,
    and says what else depends on the kind of label.

    The methods here serve a task whose text stands in `Instance.label` as it is, and has no classes
    in it: a number, for example. Subclasses replace what differs.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "single_label": f"{_HERE}.base",
        "multi_label": f"{_HERE}.multi_label",
        "segmentation": f"{_HERE}.segmentation_task",
        "detection": f"{_HERE}.detection_task",
    }
    default_implementation = "single_label"

    targets: ClassVar[tuple[str, ...]] = ("label",)
    """Entries of a batch that the loss needs."""

    main_metric: ClassVar[str] = "-loss"
    """Metric that chooses the best epoch unless the trainer names one, with its direction.

    The loss of few validation images tells more epochs apart than a share of right answers does, so
    it stands for one class per image, too. Other tasks name what their results are compared by.
    """

    record_names: ClassVar[Mapping[str, str]] = {}
    """Names in the records of rounds for metrics of a model that have another meaning there."""

    outputs: ClassVar[tuple[str, ...]] = ("scores", "embeddings")
    """Outputs that a model of the task can give for a strategy."""

    aggregate: ClassVar[Aggregate] = "mean"
    """The way from units to an image that strategies take unless they name one."""

    widget: ClassVar[str | None] = None
    """Part of the labeling page that edits such a label; None where the page cannot."""

    writing: ClassVar[str] = ""
    """For people who fill in a table, whatever `read` takes beside the name of a class."""

    names_image: ClassVar[bool] = True
    """Whether the classes of a label are those of the whole image, not of places in it.

    An image that shows a class which the model does not know then measures nothing.
    """

    def is_labeled(self, instance: Instance) -> bool:
        """Return whether an instance has a label of the task."""
        return self.text_of(instance) is not None

    def classes_in(self, instance: Instance) -> tuple[str, ...]:
        """Return the class names in the label of an instance; none for an unlabeled one."""
        text = self.text_of(instance)
        return () if text is None else self.class_names(text)

    def text_of(self, instance: Instance) -> str | None:
        """Return the label of an instance as text; None for an unlabeled one."""
        return instance.label

    def labeled(self, instance: Instance, text: str) -> Instance:
        """Return the instance with the label `text` in place of its own.

        Raises:
            DataError: The text is no label of the task.
        """
        return replace(instance.unlabeled(), label=text)

    def target(self, instance: Instance, vocab: Vocabulary) -> Mapping[str, Any]:
        """Return the entries of a batch that the label of an image makes; none without a label.

        Masks and boxes are not among them: they come from the transformed image.

        Args:
            instance: The image.
            vocab: Gives the class names their indices.

        Raises:
            DataError: A class is not in the vocabulary.
        """
        from allencv_al.data.batch import class_targets  # needs torch, which labels do not

        return class_targets(instance, vocab, self.targets)

    def problem(self, text: str, classes: Collection[str] | None = None) -> str | None:
        """Return what is wrong with a text as a label; None if nothing is.

        Args:
            text: The text.
            classes: The allowed class names; None allows any.
        """
        return None

    def read(self, written: str) -> str:
        """Return the text of the label that a person wrote, who may write it in a shorter way.

        What cannot be read comes back as it is: `problem` explains it.

        Args:
            written: A cell of a table, without blanks around it.
        """
        return written

    def class_names(self, text: str) -> tuple[str, ...]:
        """Return the class names in a label, in order, repeated as often as they occur there."""
        return ()

    def renamed(self, text: str, rename: Callable[[str], str]) -> str:
        """Return a label with other names for its classes.

        Args:
            text: The text of the label.
            rename: Returns the new name of a class.
        """
        return text

    def shown(self, text: str) -> str:
        """Return the label as a person reads it."""
        return text

    def value(self, text: str) -> Any:
        """Return the label as a JSON value."""
        return text

    def predicted(self, readable: Mapping[str, Any]) -> list[str] | None:
        """Return the text of the predicted label of each image; None if a model has none.

        Args:
            readable: The result of the model's `make_output_human_readable` for a batch.
        """
        return None

    def judged(
        self, instance: Instance, prediction: Mapping[str, Any], class_names: Sequence[str]
    ) -> list[Judgment]:
        """Return the parts of a prediction beside those of the label, right and wrong ones.

        Nothing for an image without a label, or where nothing is simply right or wrong.

        Args:
            instance: The image with its label.
            prediction: As `Predictor.predict` returns it for the image.
            class_names: The names of the model's classes, by index.
        """
        return []

    def stratum(self, text: str) -> str:
        """Return the group of a label, from each of which a split takes its share."""
        return ""

    def in_image(self, prediction: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
        """Return a prediction with its places in pixels of the image that was decoded.

        Args:
            prediction: One image's part of what the model's `make_output_human_readable` returned.
            frame: The place of the transformed image in the decoded one.
        """
        return dict(prediction)

    def caption(self, prediction: Mapping[str, Any]) -> str | None:
        """Return a prediction as a person reads it, in a line; None if it cannot be read.

        Args:
            prediction: One image's prediction, as `Predictor.predict` returns it.
        """
        return None

    def draft(self, prediction: Mapping[str, Any]) -> tuple[str, float] | None:
        """Return a prediction as the text of a label, and the probability that all of it is right.

        None where the task has no such text, or the prediction is of another kind. The parts of a
        label count as independent.

        Args:
            prediction: As above, with places in pixels of the upright image.
        """
        return None

    def mask_png(self, text: str, image: str | Path | bytes) -> bytes | None:
        """Return the mask of a label as a palette PNG of class indices; None if it is no mask.

        Args:
            text: The text of the label.
            image: The file of the image, or its content.

        Raises:
            ImageDecodeError: The file of the mask cannot be read.
        """
        return None

    def drawn(self, image: Image, prediction: Mapping[str, Any], scale: float = 1.0) -> Image:
        """Return an image with a prediction drawn over it, where it has places.

        Args:
            image: The image, RGB, or a smaller copy.
            prediction: As above.
            scale: Pixels of the copy for each pixel of the image.
        """
        return image

    def label_drawn(self, image: Image, instance: Instance, scale: float = 1.0) -> Image:
        """Return an image with its label drawn over it, likewise.

        Args:
            image: As above.
            instance: The image with its label.
            scale: As above.
        """
        return image

    def unit_scores(self, outputs: Mapping[str, Any]) -> Tensor:
        """Return the uncertainty of each image of a batch, float `[B, 3, 4]`.

        The axes are those of `UNIT_SCORES` and `AGGREGATES`; `aggregated` makes them of units. It
        is computed on the device, so that nothing of the size of an image is kept.

        Args:
            outputs: The result of the model's `forward` for the images.
        """
        raise NotImplementedError(f"{type(self).__name__} has no scores")

    def mean_outputs(self, members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return outputs whose probabilities are the means of those of several models.

        Args:
            members: The results of `forward` of each model for the same images.

        Raises:
            ConfigurationError: The task has no such mean.
        """
        raise ConfigurationError(
            f'ensemble: labels of the kind "{self.name()}" have no mean of several models; '
            "expected one model"
        )

    @classmethod
    def name(cls) -> str:
        """Return the registered name of the task, else the name of its class."""
        names = LabelTask.list_available()
        return next((n for n in names if LabelTask.by_name(n) is cls), cls.__name__)

    @classmethod
    def of_instances(cls, instances: Sequence[Instance]) -> Self:
        """Return the task of labeled images, by the fields that the first of them has."""
        for instance in instances:
            if instance.labels is not None:
                return label_task("multi_label")  # type: ignore[return-value]
            if instance.label is None and instance.is_labeled:
                name = "segmentation" if instance.boxes is None else "detection"
                return label_task(name)  # type: ignore[return-value]
            if instance.label is not None:
                break
        return label_task()  # type: ignore[return-value]


def label_task(task: LabelTask | str | None = None) -> LabelTask:
    """Return a label task, by its registered name unless it is one; None is one class per image.

    Raises:
        ConfigurationError: The name is not registered.
    """
    if isinstance(task, LabelTask):
        return task
    if task is None:
        task = LabelTask.default_implementation
    if not isinstance(task, str):
        raise ConfigurationError(f"label_task: expected a registered name, found {task!r}")
    found: LabelTask = LabelTask.by_name(task)()
    return found


@LabelTask.register("single_label")
class SingleLabel(LabelTask):
    """One class per image; the text of a label is the name of the class."""

    outputs: ClassVar[tuple[str, ...]] = ("logits", "mc_logits", "embeddings")
    widget: ClassVar[str | None] = "choices"

    @overrides
    def labeled(self, instance: Instance, text: str) -> Instance:
        # Masks and boxes stay: a model of the user's own may take them beside the class
        return replace(instance, label=text)

    @overrides
    def read(self, written: str) -> str:
        return class_name(written)

    @overrides
    def problem(self, text: str, classes: Collection[str] | None = None) -> str | None:
        if classes is None or text in classes:
            return None
        return f"{repr_json(text)} is no class{did_you_mean(text, classes)}"

    @overrides
    def class_names(self, text: str) -> tuple[str, ...]:
        return (text,)

    @overrides
    def renamed(self, text: str, rename: Callable[[str], str]) -> str:
        return rename(text)

    @overrides
    def predicted(self, readable: Mapping[str, Any]) -> list[str] | None:
        return readable.get("class")

    @overrides
    def judged(
        self, instance: Instance, prediction: Mapping[str, Any], class_names: Sequence[str]
    ) -> list[Judgment]:
        predicted, probabilities = prediction.get("class"), prediction.get("probs")
        if instance.label is None or not isinstance(predicted, str):
            return []
        # A decision threshold may say another class than the likeliest
        certainty = probabilities[prediction["prediction"]] if probabilities else None
        return [Judgment(instance.label, predicted, certainty or 0.0)]

    @overrides
    def stratum(self, text: str) -> str:
        return text

    @overrides
    def unit_scores(self, outputs: Mapping[str, Any]) -> Tensor:
        from allencv_al.tasks.unit_scores import aggregated, softmax_scores

        # One unit: the image
        return aggregated(softmax_scores(outputs["logits"]).unsqueeze(1))

    @overrides
    def mean_outputs(self, members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        from allencv_al.tasks.unit_scores import log_mean

        return {"logits": log_mean([one["logits"] for one in members])}
