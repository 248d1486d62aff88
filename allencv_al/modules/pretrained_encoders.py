"""Pretrained networks by name, and the size, crop and normalization that each was trained with.

torch and the libraries of networks are imported where a network is asked for: configs are completed
before anything else is imported.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from allencv_al.common.errors import AllenCVError, ConfigurationError, Fault, WeightsError
from allencv_al.common.files.paths import expanded
from allencv_al.modules.packaged_weights import PACKAGES, PREFIX, packaged_weights

OFFLINE = "offline"
"""Name of the network whose weights the extra `[offline]` installs."""

LIBRARIES = ("timm", "torchvision", "open_clip")

_WORD = "pretrained"  # the transform that is completed
_READERS = ("dataset_reader", "validation_dataset_reader")
_ENCODERS = ("im2im_encoder", "im2vec_encoder")
_PUBLISHED = "DEFAULT"


@dataclass(frozen=True)
class Preprocessing:
    """Size, crop and normalization that a network expects of an image.

    Args:
        height: Height, in pixels.
        width: Width, in pixels.
        resize: Length of the shorter side before the middle is cut out, in pixels.
        mean: Mean of R, G and B, as a share of white.
        std: Standard deviation of R, G and B, as a share of white.
    """

    height: int
    width: int
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def transform(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the config of the transform `pretrained` with all of its numbers.

        Args:
            given: Arguments of the transform, which win. A size changes `resize` in proportion.
        """
        given = {key: value for key, value in (given or {}).items() if value is not None}
        sides = [given[key] for key in ("height", "width") if key in given]
        numbers: dict[str, Any] = {"height": self.height, "width": self.width}
        longest = max(self.height, self.width)
        resize = self.resize
        # Other values are faults, which the transform's own check names
        if sides and all(type(side) is int for side in sides):
            numbers = {"height": sides[0], "width": sides[-1]}
            # The crop keeps its share of the image
            resize = max(sides) * self.resize // longest
        numbers |= {
            "resize": resize,
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": "smooth",  # as the libraries' own resizing is
        }
        return {"type": _WORD, **numbers, **given}


@dataclass(frozen=True)
class EncoderName:
    """A pretrained network: its library, its name there, and its weights if not the published ones.

    Args:
        library: `timm`, `torchvision` or `open_clip`.
        model: Name of the network in the library; empty where a folder of weights says it.
        weights: A source of weights, or the name of published ones; None for the library's default.
    """

    library: str
    model: str
    weights: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the network of `LIBRARY:NAME`, a torchvision name, or `offline`.

        Args:
            text: The name; a source of weights may stand behind a further colon:
                `timm:resnet18:weights.pth`, `squeezenet1_1:~/squeezenet.pth`. A folder instead
                of a name of open_clip is its weights.
        """
        if text == OFFLINE:
            name, package = next(iter(PACKAGES.items()))
            return cls("timm", package.model, f"{PREFIX}{name}")
        library, _, rest = text.partition(":")
        if library not in LIBRARIES:
            library, rest = "torchvision", text
        # A path may hold colons, and the folder itself says which model it is of
        if library == "open_clip" and rest and expanded(rest).is_dir():
            return cls(library, "", rest)
        model, _, weights = rest.partition(":")
        return cls(library, model, weights or None)

    @classmethod
    def of_config(cls, encoder: object) -> Self | None:
        """Return the network that the config of an encoder names, if it is one of a library."""
        if not isinstance(encoder, Mapping):
            return None
        kind, model, weights = encoder.get("type"), encoder.get("model"), encoder.get("weights")
        if kind == "timm":
            weights = encoder.get("weights_file")
        if kind == "pretrained_resnet":
            kind, model = "torchvision", encoder.get("resnet_model")
        if kind == "open_clip" and not isinstance(model, str):
            model = ""  # said by a folder of weights
        if kind not in LIBRARIES or not isinstance(model, str):
            return None
        return cls(str(kind), model, None if weights is None else str(weights))

    def preprocessing(self) -> Preprocessing | None:
        """Return what the network expects; None where its library does not know it.

        Raises:
            WeightsError: The `config.json` in the folder of its weights cannot be read.
        """
        if self.library == "open_clip":
            return self._of_open_clip()
        return self._of_timm() if self.library == "timm" else self._of_torchvision()

    def config(self) -> dict[str, Any]:
        """Return the config of a frozen encoder with pretrained weights.

        Raises:
            ConfigurationError: It is of open_clip, which has no default weights, and names none.
        """
        config: dict[str, Any] = {"type": self.library, "model": self.model, "requires_grad": False}
        if self.library == "open_clip":
            if self.weights is None:
                raise ConfigurationError(
                    f"open_clip:{self.model}: names no weights; expected "
                    f"open_clip:{self.model or 'NAME'}:WEIGHTS or open_clip:FOLDER"
                )
            return {**config, "model": self.model or None, "weights": self.weights}
        if self.library == "torchvision":
            return {**config, "weights": self.weights or _PUBLISHED}
        if self.weights is None:
            return {**config, "pretrained": True}
        return {**config, "weights_file": self.weights}

    def _of_timm(self) -> Preprocessing | None:
        import timm
        from timm.data.config import resolve_data_config

        if not is_timm_model(self.model):
            return None
        known = timm.get_pretrained_cfg(self.model)
        settings = {} if known is None else dataclasses.asdict(known)
        # What the weights themselves say goes before what timm publishes
        settings |= self._given()
        try:
            data: dict[str, Any] = resolve_data_config(pretrained_cfg=settings)  # type: ignore[no-untyped-call]
            _, height, width = map(operator.index, data["input_size"])
            return Preprocessing(
                height=height,
                width=width,
                resize=math.floor(max(height, width) / data["crop_pct"]),
                mean=tuple(map(float, data["mean"])),
                std=tuple(map(float, data["std"])),
            )
        except (ArithmeticError, AssertionError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{self.weights}: its config.json has a pretrained_cfg that is not timm's: {error}"
            ) from error

    def _given(self) -> dict[str, Any]:
        """Return what is known of the weights in a package or a folder, in timm's names."""
        package = packaged_weights(self.weights or "")
        if package is not None:
            return {"mean": package.mean, "std": package.std}
        folder = expanded(self.weights or "")
        if self.weights is None or not folder.is_dir():
            return {}
        from allencv_al.modules.foreign_weights import folder_config

        config = folder_config(folder).get("pretrained_cfg")
        return config if isinstance(config, dict) else {}

    def _of_open_clip(self) -> Preprocessing | None:
        from allencv_al.modules.im2vec_encoders.open_clip_vectors import image_settings

        found = image_settings(self.model or None, self.weights)
        if found is None:
            return None
        try:
            size = found["size"]
            height, width = map(operator.index, (size, size) if isinstance(size, int) else size)
            mean, std = (tuple(map(float, found[name])) for name in ("mean", "std"))
        except (TypeError, ValueError) as error:
            raise WeightsError(
                f"{self.weights}: its preprocess_cfg is not open_clip's: {error}"
            ) from error
        # "squash" (SigLIP) and "longest" would keep the borders; here images are cropped
        return Preprocessing(height, width, max(height, width), mean, std)

    def _of_torchvision(self) -> Preprocessing | None:
        from torchvision import models

        try:
            published = models.get_model_weights(self.model)
        except ValueError:  # its word for an unknown name
            return None
        # Of a file it is not known which ones it holds: the first that were published are usual
        first = next(iter(published.__members__), None)
        name = self.weights if self.weights in published.__members__ else first
        preset: Any = published[name].transforms() if name else None
        if not hasattr(preset, "crop_size"):
            return None
        crop, resize = preset.crop_size[0], preset.resize_size[0]
        return Preprocessing(crop, crop, resize, tuple(preset.mean), tuple(preset.std))


def is_timm_model(model: str) -> bool:
    """Return whether timm has a network of this name, and weights of its tag (`resnet18.a1_in1k`).

    Args:
        model: The name.
    """
    import timm

    if not timm.is_model(model):
        return False
    try:
        timm.get_pretrained_cfg(model)
    except RuntimeError:  # its word for an unknown tag
        return False
    return True


def complete_preprocessing(config: dict[str, Any]) -> None:
    """Write the numbers of a pretrained network into each transform `pretrained` of a config.

    Likewise what the folder of an `open_clip` model says of its layers, into the encoder: an
    archive then needs no folder.

    Args:
        config: The config of an experiment; it is changed. What has no network, or none that is
            known, stays as it is: the check of the config reports it.
    """
    _complete_model(config.get("model"))
    for _, steps, index, given in _incomplete(config):
        found = _preprocessing_for(given.get("model"), config.get("model"))
        if found is not None:
            steps[index] = found.transform(_with_size(given, config.get("model")))


def without_consequences(config: Mapping[str, Any], faults: Sequence[Fault]) -> list[Fault]:
    """Return the faults of a config, with the reason where `pretrained` could not be completed.

    A network that the model's encoder misnames is the encoder's fault alone, and not also one of
    each transform that waits for its numbers.

    Args:
        config: The config of an experiment, after `complete_preprocessing`.
        faults: Its faults.
    """
    is_misnamed = any(fault.path.startswith("model.") for fault in faults)
    reasons: dict[str, str | None] = {}
    for path, _, _, given in _incomplete(config):
        try:
            for network in _networks(given.get("model"), config.get("model")):
                network.preprocessing()
        except AllenCVError as error:
            reasons[path] = str(error)
        else:
            # It follows from a fault in the model, which is among the faults already
            if is_misnamed and given.get("model") is None:
                reasons[path] = None
    kept = []
    for fault in faults:
        reason = reasons.get(fault.path, fault.message)
        if reason is not None:
            kept.append(Fault(fault.path, reason))
    return kept


def _incomplete(
    config: Mapping[str, Any],
) -> Iterator[tuple[str, list[Any], int, Mapping[str, Any]]]:
    """Yield the path, list, place and arguments of each transform that lacks its numbers."""
    for key in _READERS:
        reader = config.get(key)
        steps = reader.get("augmentation") if isinstance(reader, Mapping) else None
        if not isinstance(steps, list):
            continue
        for index, step in enumerate(steps):
            given = {"type": step} if isinstance(step, str) else step
            if not isinstance(given, dict) or given.get("type") != _WORD or _is_complete(given):
                continue
            yield f"{key}.augmentation.{index}", steps, index, given


def _complete_model(model: object) -> None:
    encoder = model.get("im2vec_encoder") if isinstance(model, Mapping) else None
    if not isinstance(encoder, dict) or encoder.get("type") != "open_clip":
        return
    weights = encoder.get("weights")
    if encoder.get("model") is not None or not isinstance(weights, str):
        return
    folder = expanded(weights)
    if not folder.is_dir():
        return
    from allencv_al.modules.im2vec_encoders.open_clip_vectors import folder_settings, image_part

    try:
        encoder["model"] = image_part(folder_settings(folder)["model_cfg"])
    except AllenCVError:  # the check of the encoder reports it
        return


def _with_size(given: Mapping[str, Any], model: object) -> Mapping[str, Any]:
    """Return a transform's arguments, with the size that the model's encoder is built for."""
    if any(given.get(key) is not None for key in ("height", "width", "model")):
        return given
    encoders = [model.get(key) for key in _ENCODERS] if isinstance(model, Mapping) else []
    sizes = [encoder.get("img_size") for encoder in encoders if isinstance(encoder, Mapping)]
    size = next((size for size in sizes if size is not None), None)
    return given if size is None else {**given, "height": size, "width": size}


def _is_complete(given: Mapping[str, Any]) -> bool:
    """Return whether a transform has its numbers, as in an archive: no library is asked."""
    return all(given.get(key) is not None for key in ("height", "width", "mean", "std"))


def _preprocessing_for(name: object, model: object) -> Preprocessing | None:
    for network in _networks(name, model):
        try:
            found = network.preprocessing()
        except AllenCVError:  # `without_consequences` reports it
            found = None
        if found is not None:
            return found
    return None


def _networks(name: object, model: object) -> list[EncoderName]:
    """Return the network of a name; without one, those of a model's encoders."""
    if isinstance(name, str):
        return [EncoderName.parse(name)]
    encoders = [model.get(key) for key in _ENCODERS] if isinstance(model, Mapping) else []
    return [network for network in map(EncoderName.of_config, encoders) if network is not None]
