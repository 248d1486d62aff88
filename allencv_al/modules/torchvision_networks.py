"""torchvision's classifiers up to their last layer, and the weights torchvision publishes."""

from __future__ import annotations

import contextlib
import logging
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor
from torchvision import models

from allencv_al.common.errors import ConfigurationError, WeightsError
from allencv_al.common.names import did_you_mean
from allencv_al.modules.foreign_weights import SUFFIXES
from allencv_al.modules.network_encoder import NetworkEncoder
from allencv_al.modules.weights import (
    NameMap,
    downloading_enabled,
    is_source,
    load_weights,
    reading_enabled,
    source_problem,
    unreachable,
)

logger = logging.getLogger(__name__)

# Where the feature part ends: every classifier of torchvision calls what follows by one of these.
_HEADS = frozenset({"avgpool", "classifier", "fc", "head"})
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # training-only outputs, in the published weights
_NO_FEATURE_MAP = "vit_"
# Old names in the published densenet weights, which torchvision renames on loading too.
_DENSENET_NAMES = {r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)": r"\1\2"}


def classifier_names(with_feature_map: bool = True) -> list[str]:
    """Return the names of torchvision's classifiers.

    Args:
        with_feature_map: Whether to leave out those that have none.
    """
    names = models.list_models(module=models)
    return [n for n in names if not (with_feature_map and n.startswith(_NO_FEATURE_MAP))]


def name_problem(model: str, with_feature_map: bool = True) -> str | None:
    """Return what is wrong with the name of a classifier, or None.

    Args:
        model: The name.
        with_feature_map: Whether it must have one.
    """
    known = classifier_names(with_feature_map)
    if model in known:
        return None
    if model in classifier_names(with_feature_map=False):
        return (
            f'"{model}" is a vision transformer: it gives tokens, not a feature map; without an '
            'im2im_encoder, the im2vec_encoder "torchvision" takes it'
        )
    hint = did_you_mean(model, known) or f"; known: {', '.join(known)}"
    return f'torchvision has no classifier "{model}"{hint}'


@dataclass(frozen=True)
class FeaturePart:
    """The modules of a classifier up to its pooling, in order.

    Args:
        modules: Each with its path in the classifier, to which the names of its weights belong.
        dropped: Prefixes of the weights that are not among them.
        head: Prefix of the last linear layer, where nothing else in the head has weights.
    """

    modules: tuple[tuple[str, torch.nn.Module], ...]
    dropped: tuple[str, ...]
    head: str

    def sequential(self) -> torch.nn.Sequential:
        """Return the modules in a row."""
        return torch.nn.Sequential(*(module for _, module in self.modules))

    def up_to(self, count: int) -> FeaturePart:
        """Return the first `count` modules only; the weights of the others are dropped."""
        left_out = tuple(f"{path}." for path, _ in self.modules[count:])
        return replace(self, modules=self.modules[:count], dropped=self.dropped + left_out)

    def name_map(self, origin: str) -> NameMap:
        """Return the import rule from the classifier's names to `model.N`."""
        prefixes = {f"{path}.": f"model.{i}." for i, (path, _) in enumerate(self.modules)}
        return NameMap(origin, prefixes, self.dropped, self.head, _DENSENET_NAMES)


def build_classifier(model: str, **options: int) -> torch.nn.Module:
    """Return a classifier of torchvision with random weights.

    Args:
        model: Its name.
        **options: Arguments of its constructor (`image_size` of a vision transformer).

    Raises:
        ConfigurationError: torchvision has no such classifier.
    """
    problem = name_problem(model, with_feature_map=False)
    if problem:
        raise ConfigurationError(f"model: {problem}")
    arguments: dict[str, Any] = dict(options)
    if model in ("googlenet", "inception_v3"):
        # Outputs for training only are left out; to leave init_weights open brings a warning
        arguments |= {"aux_logits": False, "init_weights": True}
    try:
        network: torch.nn.Module = models.get_model(model, weights=None, **arguments)
    except NotImplementedError:  # the regnets compute their widths with tensors: not on "meta"
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            network = models.get_model(model, weights=None, **arguments).to("meta")
    return network


def vector_part(network: torch.nn.Module) -> NameMap:
    """Take the classification layer out of a classifier, so that it ends with a vector.

    Args:
        network: The return value of `build_classifier`; it is changed.

    Returns:
        The import rule from the classifier's names to `model.…`.
    """
    head = [name for name, part in network.named_modules() if isinstance(part, torch.nn.Linear)]
    ignored: tuple[str, ...] = _AUXILIARY
    if isinstance(network, models.SqueezeNet):
        # Its classification layer is a convolution, and pooling comes last
        network.classifier = torch.nn.AdaptiveAvgPool2d(1)
        ignored, prefix = (*ignored, "classifier."), ""
    else:
        parent, _, name = head[-1].rpartition(".")
        setattr(network.get_submodule(parent), name, torch.nn.Identity())
        prefix = f"{head[-1]}."
    if isinstance(network, models.GoogLeNet | models.Inception3):
        network.transform_input = True  # as torchvision sets it for the published weights
    return NameMap("torchvision", {"": "model."}, ignored, prefix, _DENSENET_NAMES)


def load_initial_weights(encoder: NetworkEncoder, model: str, weights: str | None) -> None:
    """Load what the parameter `weights` of the encoders names; random weights stay for None.

    Args:
        encoder: The encoder around the classifier, or a part of it.
        model: The classifier's name.
        weights: A file, folder or package, or a name in `weight_names`.

    Raises:
        WeightsError: They are absent, cannot be downloaded, or do not fit.
    """
    encoder.warn_if_frozen_at_random(weights is not None)
    if weights is None or not reading_enabled():
        return
    if is_source(weights):
        encoder.read_weights_file(weights)
        return
    tensors = published_weights(model, weights)
    if tensors is not None:
        load_weights(encoder, tensors, f"torchvision's {model}", encoder.name_maps)


def weights_problem(model: str, weights: str | None) -> str | None:
    """Return why there are no such weights for a classifier; None if there are."""
    if weights is None or not reading_enabled():
        return None
    if is_source(weights):
        return source_problem(weights)
    names = weight_names(model) if model in classifier_names(with_feature_map=False) else [weights]
    if weights in names:
        return None
    return (
        f"expected one of {', '.join(names)}, or a file ending in {', '.join(sorted(SUFFIXES))}; "
        f'found "{weights}"'
    )


def feature_part(model: str, network: torch.nn.Module) -> FeaturePart:
    """Split a classifier of torchvision.

    Args:
        model: Its name.
        network: The return value of `build_classifier`.
    """
    children = dict(network.named_children())
    first_head = next(i for i, name in enumerate(children) if name in _HEADS)
    kept = list(children)[:first_head]
    modules: list[tuple[str, torch.nn.Module]] = []
    for name in kept:
        child = children[name]
        alone = len(kept) == 1 and isinstance(child, torch.nn.Sequential)
        if alone or isinstance(child, torch.nn.ModuleList):
            modules += [(f"{name}.{inner}", part) for inner, part in child.named_children()]
        else:
            modules.append((name, child))
    if model.startswith("densenet"):
        modules.append(("relu", torch.nn.ReLU()))  # densenets apply it in `forward`
    if model in ("googlenet", "inception_v3"):
        # torchvision applies it in `forward`, for the published weights
        modules.insert(0, ("transform_input", _InceptionInput()))
    dropped = [f"{name}." for name in list(children)[first_head:]]
    return FeaturePart(tuple(modules), (*dropped, *_AUXILIARY), _linear_head(network, dropped))


def published_weights(model: str, weights: str) -> dict[str, Tensor] | None:
    """Return weights that torchvision publishes, from its cache or downloaded into it.

    None inside `without_downloads`, where they could be downloaded.

    Args:
        model: The classifier they are for.
        weights: Their name there: `DEFAULT`, `IMAGENET1K_V1` ...

    Raises:
        WeightsError: They are not on this machine and cannot be downloaded; the message says
            which file to put where.
    """
    entry = models.get_model_weights(model)[weights]
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    file_name = PurePosixPath(urlsplit(entry.url).path).name
    try:
        if not downloading_enabled() and not (cache / file_name).exists():
            if cause := unreachable(entry.url):
                raise OSError(cause)
            return None
        # torch.hub reports on stdout, which is for results here.
        with contextlib.redirect_stdout(sys.stderr):
            tensors: Mapping[str, Tensor] = entry.get_state_dict(
                progress=sys.stderr.isatty(), check_hash=True, weights_only=True, map_location="cpu"
            )
    except Exception as error:  # anything between here and the server, and damaged files
        raise WeightsError(
            f"torchvision's weights {entry.name} for {model} cannot be read from {cache} nor "
            f"downloaded ({error}). Put the file {file_name} into that folder (TORCH_HOME moves "
            "it), or name a local copy in the config, or go without pretrained weights"
        ) from error
    return dict(tensors)


def network_with_weights(
    model: str, weights: str | None, weights_backbone: str | None, **options: Any
) -> torch.nn.Module:
    """Return a network for masks or boxes of torchvision.

    Tensors of `weights` whose shape is another one, as for another number of classes, start at
    random; the log names them.

    Args:
        model: The network's name.
        weights: Name of published weights of the whole network.
        weights_backbone: Name of published weights of its backbone, where there are no others.
        **options: Further arguments of its constructor.

    Raises:
        WeightsError: The weights are not on this machine and cannot be downloaded.
    """
    reads = reading_enabled()
    backbone = weights_backbone if reads and downloading_enabled() and weights is None else None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            network: torch.nn.Module = models.get_model(
                model, weights=None, weights_backbone=backbone, **options
            )
    except OSError as error:
        raise WeightsError(
            f"torchvision's weights {backbone} for the backbone of {model} cannot be downloaded "
            f"({error}). Set weights_backbone to null, or fill torch's cache (TORCH_HOME moves it)"
        ) from error
    tensors = published_weights(model, weights) if reads and weights is not None else None
    if tensors is not None:
        own = network.state_dict()
        fitting = {name: t for name, t in tensors.items() if own[name].shape == t.shape}
        left = sorted(tensors.keys() - fitting.keys())
        if left:
            logger.info("%s: of another shape, so at random: %s", model, ", ".join(left))
        network.load_state_dict(fitting, strict=False)
    return network


def network_weights_faults(
    model: str, weights: str | None, weights_backbone: str | None
) -> Iterator[tuple[str, str]]:
    """Yield the names of weights that torchvision does not publish; a joint rule.

    Args:
        model: A network for masks or boxes.
        weights: Name of published weights of the whole network.
        weights_backbone: Name of published weights of its backbone.
    """
    hints = typing.get_type_hints(models.get_model_builder(model))
    of_backbone = typing.get_args(hints["weights_backbone"])[0]  # an enumeration, or None
    kinds = {
        "weights": list(models.get_model_weights(model).__members__),
        "weights_backbone": list(of_backbone.__members__),
    }
    for name, given in (("weights", weights), ("weights_backbone", weights_backbone)):
        if given is not None and given not in kinds[name]:
            yield name, f'expected null or one of {", ".join(kinds[name])}; found "{given}"'


def weight_names(model: str) -> list[str]:
    """Return the names of the weights that torchvision publishes for a classifier."""
    return list(models.get_model_weights(model).__members__)


class _InceptionInput(torch.nn.Module):
    """From ImageNet normalization to the [-1, 1] that the published inception weights expect.

    torchvision's GoogLeNet and Inception v3 do it in `forward` (`transform_input`).
    """

    _SCALE_AND_SHIFT = tuple(
        (std / 0.5, (mean - 0.5) / 0.5)
        for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    )

    def forward(self, image: Tensor) -> Tensor:
        channels = [
            image[:, i] * scale + shift for i, (scale, shift) in enumerate(self._SCALE_AND_SHIFT)
        ]
        return torch.stack(channels, dim=1)


def _linear_head(network: torch.nn.Module, dropped: list[str]) -> str:
    """Return the prefix of the only layer with weights in the head, if it is linear."""
    layers = [
        (f"{name}.", module)
        for name, module in network.named_modules()
        if f"{name}.".startswith(tuple(dropped)) and list(module.parameters(recurse=False))
    ]
    if len(layers) == 1 and isinstance(layers[0][1], torch.nn.Linear):
        return layers[0][0]
    return ""
