"""A classifier from the names of its classes: predictions before the first label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from overrides import overrides
from torch import Tensor

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.data.instance import LABEL_NAMESPACE
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder
from allencv_al.modules.im2vec_encoders.open_clip_vectors import OpenClipEncoder
from allencv_al.modules.image_shape import ImageShape

_PLACE = "{}"
# CLIP's authors found that these do nearly as well as their 80
# (github.com/openai/CLIP, notebooks/Prompt_Engineering_for_ImageNet.ipynb)
_PROMPTS = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
_NO_TEXTS = (
    'expected an encoder of type "open_clip" with weights, whose text part makes the last layer; '
    "found {}"
)


def _have_places(prompts: Sequence[str]) -> Iterator[tuple[str, str]]:
    without = [prompt for prompt in prompts if prompt.count(_PLACE) != 1]
    if without:
        yield "prompts", f"expected one {_PLACE} for the class in each, found {without}"


@Model.register("zero_shot_classifier")
class ZeroShotClassifier(BasicImageClassifier):
    """Classify images by the texts that their vectors are nearest to (CLIP, arXiv:2103.00020).

    The last layer begins at the vectors of the classes' texts, so the model predicts without a
    label: the trainer `no_op` makes an archive of it, and `logistic_regression` with the prior
    "texts" improves it with labels. An archive holds the layer, not the text part. Vectors of
    images have length 1 (`embedding_scaling` "l2"), logits are their cosines times the factor that
    the image-text model was trained with. A constant that SigLIP adds to each logit is left out:
    it changes no probability of classes of which one is right.

    Args:
        vocab: The names of the classes.
        im2vec_encoder: The encoder `open_clip`, with weights.
        prompts: Texts of a class, with `{}` for its name; their vectors are averaged.
            Those of the data's own kind do best: `a satellite photo of {}.` The default are the
            seven that CLIP's authors recommend for photographs.
        class_descriptions: By class, the word or words to put into the prompts, one or several.
            By default the class's name, with blanks for `_`: `boxer, a breed of dog` says more.
        metrics: Registered metrics beside those of `basic_image_classifier`.
        image_shape: Channels, height and width of the images, None for a size that varies.

    Raises:
        ConfigurationError: The encoder has no texts, or a description is of no class.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """

    joint_rules = (_have_places,)
    predicts_untrained = True

    def __init__(
        self,
        vocab: Vocabulary,
        im2vec_encoder: Lazy[Im2VecEncoder],
        prompts: Annotated[list[str], MinLen(1)] = list(_PROMPTS),  # noqa: B006  never changed
        class_descriptions: dict[str, str | Annotated[list[str], MinLen(1)]] | None = None,
        metrics: AddableMetrics = None,
        image_shape: ImageShape | None = None,
    ) -> None:
        super().__init__(
            vocab, im2vec_encoder, embedding_scaling="l2", metrics=metrics, image_shape=image_shape
        )
        layer = self.linear_layer
        assert layer is not None
        self._text_layer: Tensor
        # Saved with the weights: rounds of training are pulled to it, also after a restart
        self.register_buffer("_text_layer", torch.zeros_like(layer.weight))
        groups = _texts(_names(vocab), prompts, class_descriptions or {})
        encoder = self._im2vec_encoder
        if not isinstance(encoder, OpenClipEncoder) or not encoder.has_weights:
            raise ConfigurationError(f"im2vec_encoder: {_NO_TEXTS.format(type(encoder).__name__)}")
        if encoder.reads_weights:  # else all weights are loaded afterwards, or none at all
            vectors, factor = encoder.encode_texts(groups)
            self._text_layer.copy_(vectors * factor)
        with torch.no_grad():
            layer.weight.copy_(self._text_layer)
            layer.bias.zero_()

    @property
    def text_layer(self) -> Tensor:
        """The weights that the last layer begins with, `[C, D]`; its biases begin at 0."""
        return self._text_layer

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        encoder = config.child("im2vec_encoder")
        if encoder is None:
            return
        if encoder.cls is not OpenClipEncoder:
            name = getattr(encoder.cls, "__name__", str(encoder.cls))
            yield config.fault("im2vec_encoder", _NO_TEXTS.format(name))
        elif encoder.get("weights") is None:
            yield encoder.fault("weights", _NO_TEXTS.format("none"))


def _names(vocab: Vocabulary) -> list[str]:
    names = vocab.get_index_to_token_vocabulary(LABEL_NAMESPACE)
    return [names[index] for index in range(len(names))]


def _texts(
    names: Sequence[str],
    prompts: Sequence[str],
    descriptions: dict[str, str | list[str]],
) -> list[list[str]]:
    """Return the texts of each class."""
    given = {class_name(name): words for name, words in descriptions.items()}
    for name in given:
        if name not in names:
            hint = did_you_mean(name, names) or f"; known: {', '.join(names)}"
            raise ConfigurationError(f'class_descriptions: "{name}" is no class{hint}')
    groups = []
    for name in names:
        words = given.get(name, name.replace("_", " "))
        several = [words] if isinstance(words, str) else words
        # Not `format`, which reads braces in a class's name
        groups.append([prompt.replace(_PLACE, word) for word in several for prompt in prompts])
    return groups
