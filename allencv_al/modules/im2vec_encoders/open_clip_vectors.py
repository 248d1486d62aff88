"""Image-text models of the open_clip library: vectors of images, and vectors of texts beside them.

The only module that imports open_clip, which the extra `[clip]` installs.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from overrides import overrides
from torch import Tensor
from torch.nn import functional as F

from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.errors import ConfigurationError, Fault, WeightsError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.paths import expanded
from allencv_al.common.names import did_you_mean, listed
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder, VectorEncoder
from allencv_al.modules.weights import downloading_enabled, is_source, reading_enabled

FOLDER_CONFIG = "open_clip_config.json"

_NOT_INSTALLED = 'needs the library open_clip: pip install "allencv-al[clip]"'
_WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth")  # in a folder, as open_clip looks for them
_IMAGE_PART = ("embed_dim", "vision_cfg", "quick_gelu")
_Problems = Iterator[tuple[str, str]]


def _known_model(model: str | dict[str, Any] | None, weights: str | None) -> _Problems:
    try:
        library = _open_clip()
    except ConfigurationError as error:
        yield "", str(error)
        return
    is_folder = weights is not None and expanded(weights).is_dir()
    if isinstance(model, dict):
        missing = [name for name in _IMAGE_PART[:2] if name not in model]
        if missing:
            yield "model", f"expected the model_cfg of open_clip, with {listed(missing)}"
        return
    if is_folder and model is not None:
        yield "model", f"the folder {weights} says which model it is of: leave this out"
    elif model is None and not is_folder:
        yield "model", f"expected a name, or as weights a folder with {FOLDER_CONFIG}"
    if is_folder or model is None:
        return
    names = library.list_models()
    if model not in names:
        yield "model", f'open_clip has no model "{model}"{did_you_mean(model, names)}'
    elif weights is not None and not is_source(weights):
        yield from _tag_problems(library, model, weights)


def _tag_problems(library: Any, model: str, tag: str) -> _Problems:
    known = library.list_pretrained_tags_by_model(model)
    if tag not in known:
        found = f"published ones: {listed(known)}" if known else "open_clip publishes none"
        yield "weights", f'no weights "{tag}" of {model}; {found}; or name a file or a folder'
        return
    published = library.get_pretrained_cfg(model, tag).get("quick_gelu", False)
    if published != library.get_model_config(model).get("quick_gelu", False):
        # open_clip only warns, and the vectors are poor
        plain = model.removesuffix("-quickgelu")
        other = f"{plain}-quickgelu" if published else plain
        yield "model", f'the weights "{tag}" have another activation function: expected "{other}"'


@Im2VecEncoder.register("open_clip")
class OpenClipEncoder(VectorEncoder):
    """The image part of an image-text model (CLIP, SigLIP, CoCa) of the open_clip library.

    It stands alone in a model, without an `im2im_encoder`, and takes images of the size that the
    model was trained with. The model `zero_shot_classifier` uses the text part too. Parameters are
    `model.` and open_clip's names below `visual.`. It needs the extra `[clip]`.

    Args:
        model: The model's name in open_clip, for example `ViT-B-32`. A folder of weights says it
            itself; its `model_cfg` then stands here in the config that a run and its archive keep,
            so that an archive needs no folder.
        weights: Initial weights: the name of weights that open_clip publishes for the model
            ("laion2b_s34b_b79k"; downloaded once), a file, or a folder in the layout of the model
            hub (`open_clip_config.json` beside `open_clip_model.safetensors`, and the files of the
            tokenizer where the model has one of its own); null for random weights.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.

    Raises:
        ConfigurationError: open_clip is not installed, or has no such model or weights.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """

    joint_rules = (_known_model,)

    def __init__(
        self,
        model: str | dict[str, Any] | None = None,
        weights: str | None = None,
        requires_grad: bool = True,
    ) -> None:
        source = _Source(model, weights)
        description = source.description()
        network = source.whole().visual if source.is_read else _network(description)
        size = _image_size(description)
        height, width = (size, size) if isinstance(size, int) else tuple(size)
        super().__init__(network, 3, requires_grad, (height, width))
        self._source = source
        self.warn_if_frozen_at_random(weights is not None)

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        weights = config.get("weights") if config.sound("weights") else None
        if weights is not None and is_source(weights) and reading_enabled():
            problem = _source_problem(expanded(weights))
            if problem:
                yield config.fault("weights", problem)

    @overrides
    def encode(self, image: Tensor) -> Tensor:
        vectors = self.model(image)
        # CoCa's image part also returns the tokens that its captions come from
        pooled: Tensor = vectors[0] if isinstance(vectors, tuple) else vectors
        return pooled

    @property
    def has_weights(self) -> bool:
        """Whether the model has weights, wherever they are."""
        return self._source.weights is not None

    @property
    def reads_weights(self) -> bool:
        """Whether weights are read now, as `encode_texts` does."""
        return self._source.is_read

    @torch.no_grad()
    def encode_texts(self, groups: Sequence[Sequence[str]]) -> tuple[Tensor, float]:
        """Return a vector for each group of texts, and the factor that makes cosines logits.

        A vector is the mean of the group's vectors of length 1, at length 1 again: the same as
        open_clip's `build_zero_shot_classifier`. The whole model is read for it, and not kept.

        Args:
            groups: The texts of each class.

        Returns:
            `[len(groups), D]`, float32 on the CPU, and the factor (near 100 in a trained model).

        Raises:
            WeightsError: The weights are absent, cannot be downloaded, or do not fit.
            ConfigurationError: A text is longer than the model reads.
        """
        network, tokenizer = self._source.whole().eval(), self._source.tokenizer()
        vectors = []
        for texts in groups:
            _check_lengths(texts, tokenizer)
            found = network.encode_text(tokenizer(list(texts)), normalize=True).float()
            # The mean of unit vectors, made one again: the ensemble of prompts of the CLIP paper
            vectors.append(F.normalize(found.mean(dim=0), dim=0))
        # CLIP learns the logarithm of the factor
        return torch.stack(vectors), float(network.logit_scale.exp())


class TextEncoder:
    """The text part of an image-text model.

    Args:
        model: As of `OpenClipEncoder`.
        weights: Likewise.

    Raises:
        ConfigurationError: open_clip is not installed.
        WeightsError: The weights are absent, or do not fit.
    """

    def __init__(self, model: str | dict[str, Any] | None, weights: str) -> None:
        source = _Source(model, weights)
        self._network, self._tokenizer = source.whole().eval(), source.tokenizer()
        self._network.visual = None  # half of the memory, which texts do not need

    @classmethod
    def from_json(cls, source: str) -> Self:
        """Return the encoder whose arguments a JSON object has."""
        return cls(**json.loads(source))

    @torch.no_grad()
    def vector(self, text: str) -> NDArray[np.float32]:
        """Return the vector of a text, of length 1, `[D]`.

        Raises:
            ConfigurationError: It is longer than the model reads.
        """
        _check_lengths([text], self._tokenizer)
        found = self._network.encode_text(self._tokenizer([text]), normalize=True)
        vector: NDArray[np.float32] = found[0].float().numpy()
        return vector


class _Source:
    """A model of open_clip, by the arguments of the encoder.

    Args:
        model: Its name or `model_cfg`, or None where the weights' folder says it.
        weights: As the encoder takes them.
    """

    def __init__(self, model: str | dict[str, Any] | None, weights: str | None) -> None:
        self._model = model
        self.weights = weights
        folder = None if weights is None else expanded(weights)
        self._folder = folder if folder is not None and folder.is_dir() else None

    @property
    def is_read(self) -> bool:
        """Whether weights are to be read now; in a check none are downloaded."""
        if self.weights is None or not reading_enabled():
            return False
        return is_source(self.weights) or downloading_enabled()

    def description(self) -> dict[str, Any]:
        """Return the size and layers of the image part, in open_clip's words."""
        if isinstance(self._model, dict):
            return image_part(self._model)
        if self._folder is not None:
            return image_part(folder_settings(self._folder)["model_cfg"])
        return image_part(_open_clip().get_model_config(self._model))

    def whole(self) -> Any:
        """Return the whole model with its weights, on the CPU."""
        name, tag = self._name(), self.weights
        if self._folder is not None:
            tag = None
        elif tag is not None and is_source(tag):
            tag = str(expanded(tag))
        library = _open_clip()
        try:
            with _quiet():
                # Without require_pretrained, random weights are a line in the log and no error
                return library.create_model(name, tag, require_pretrained=True)
        except Exception as error:  # open_clip has no errors of its own
            raise WeightsError(f"{self.weights}: open_clip cannot load it: {error}") from error

    def tokenizer(self) -> Any:
        """Return the function from texts to tokens `[N, length]`."""
        library, name = _open_clip(), self._name()
        try:
            with _quiet():
                return library.get_tokenizer(name)
        except Exception as error:  # likewise; one of the hub needs transformers and its files
            raise WeightsError(f"{self.weights}: no tokenizer of {name}: {error}") from error

    def _name(self) -> str:
        if self._folder is not None:
            return f"local-dir:{self._folder}"
        if isinstance(self._model, str):
            return self._model
        raise WeightsError(
            f"{self.weights}: expected the folder that the model's description came from"
        )


def folder_settings(folder: Path) -> dict[str, Any]:
    """Return the `open_clip_config.json` of a folder: `model_cfg` and `preprocess_cfg`.

    Raises:
        WeightsError: It is absent or damaged.
    """
    path = folder / FOLDER_CONFIG
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error
    model = found.get("model_cfg") if isinstance(found, dict) else None
    if not isinstance(model, dict) or not {*_IMAGE_PART[:2]} <= model.keys():
        raise WeightsError(f"{path}: expected model_cfg with {' and '.join(_IMAGE_PART[:2])}")
    if not isinstance(model["vision_cfg"], dict):
        found_cfg = repr_json(model["vision_cfg"])
        raise WeightsError(f"{path}: expected an object as model_cfg.vision_cfg, found {found_cfg}")
    return found


def image_part(model_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return those entries of a `model_cfg` that describe the image part."""
    return {name: model_cfg[name] for name in _IMAGE_PART if name in model_cfg}


def image_settings(model: str | None, weights: str | None) -> dict[str, Any] | None:
    """Return open_clip's preprocessing of images (`size`, `mean`, `std`); None if not known.

    Args:
        model: The model's name, if any.
        weights: As the encoder takes them.

    Raises:
        WeightsError: The description in a folder of weights cannot be read.
    """
    folder = None if weights is None else expanded(weights)
    if folder is not None and folder.is_dir():
        found = folder_settings(folder)
        size, given = _image_size(found["model_cfg"]), found.get("preprocess_cfg", {})
        if not isinstance(given, dict):
            raise WeightsError(
                f"{folder / FOLDER_CONFIG}: expected an object as preprocess_cfg, found "
                f"{repr_json(given)}"
            )
        return {"size": size, **_usual(), **given}
    library = _open_clip()
    if model not in library.list_models():
        return None
    size = _image_size(library.get_model_config(model))
    published = None if weights is None else library.get_pretrained_cfg(model, weights)
    known = {name: value for name, value in (published or {}).items() if value is not None}
    return {**_usual(), **known, "size": known.get("size", size)}


def _image_size(model_cfg: Mapping[str, Any]) -> Any:
    """Return the height and width of the images in a `model_cfg`: a number, or two."""
    # 224 is open_clip's own default
    return model_cfg["vision_cfg"].get("image_size", 224)


def _usual() -> dict[str, Any]:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD}


def _source_problem(path: Path) -> str | None:
    if not path.exists():
        return f"no such file or folder: {path}"
    if not path.is_dir():
        return None
    if not (path / FOLDER_CONFIG).is_file():
        return f"the folder {path} has no {FOLDER_CONFIG}, which says what it is the weights of"
    if not any(file.suffix in _WEIGHTS_SUFFIXES for file in path.iterdir()):
        return f"the folder {path} has no weights ({', '.join(_WEIGHTS_SUFFIXES)})"
    return None


def _network(description: Mapping[str, Any]) -> torch.nn.Module:
    """Return the image part alone: an archive needs no text part, and a check no time for one."""
    _open_clip()
    import timm
    from open_clip.model import _build_vision_tower

    vision = dict(description["vision_cfg"])
    vision["timm_model_pretrained"] = False  # weights come from elsewhere, never by download
    name = vision.get("timm_model_name")
    if name is not None and not timm.is_model(name):  # timm would look for it on the hub
        raise ConfigurationError(f'model: timm has no model "{name}"')
    try:
        network: torch.nn.Module = _build_vision_tower(
            description["embed_dim"], vision, description.get("quick_gelu", False)
        )
    except Exception as error:  # whatever wrong numbers lead to
        raise ConfigurationError(f"model: open_clip cannot build it: {error}") from error
    return network


def _check_lengths(texts: Sequence[str], tokenizer: Any) -> None:
    # Only open_clip's own tokenizer says how many tokens a text has before it is cut
    encode, most = getattr(tokenizer, "encode", None), getattr(tokenizer, "context_length", None)
    if encode is None or most is None:
        return
    for text in texts:
        count = len(encode(text)) + 2  # a token at the start and one at the end
        if count > most:
            raise ConfigurationError(
                f'"{text}" has {count} tokens, and the model reads {most}: shorten it'
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what open_clip does not mean for users of this package out of their terminal."""
    root, handler = logging.getLogger(), logging.NullHandler()
    # Without a handler its `logging.info` would install one, which prints all logs a second time
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries about themselves
            yield
    finally:
        root.removeHandler(handler)


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise ConfigurationError(_NOT_INSTALLED) from error
    return open_clip
