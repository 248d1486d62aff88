"""Networks of the timm library by name, and the weights that timm publishes for them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from allencv_al.common.errors import ConfigurationError, WeightsError
from allencv_al.common.names import did_you_mean
from allencv_al.modules.pretrained_encoders import is_timm_model
from allencv_al.modules.weights import NameMap, downloading_enabled, reading_enabled, unreachable


def known_model(model: str) -> Iterator[tuple[str, str]]:
    """Yield the problem with the name of a network; a joint rule of the encoders."""
    import timm  # 2 seconds, which no command waits for whose config has no such encoder

    if is_timm_model(model):
        return
    network = model.partition(".")[0]
    names = timm.list_models()
    if timm.is_model(network):
        # There is such a network, so the tag behind the dot is wrong
        names = timm.list_models(f"{network}.*", pretrained=True)
    yield "model", f'timm has no model "{model}"{did_you_mean(model, names)}'


def build_network(
    model: str,
    pretrained: bool,
    input_channels: int,
    img_size: int | None,
    global_pool: str | None = None,
) -> torch.nn.Module:
    """Return a network without its classification layer.

    Without `img_size` a plain vision transformer takes images of any size that its patches divide:
    the position embeddings are interpolated to it.

    Args:
        model: Its name in timm.
        pretrained: Whether to begin with timm's weights; not while reading is disabled.
        input_channels: Channels of the images.
        img_size: Height and width of the images, for which the network is built.
        global_pool: timm's name of the pooling; None for that of the network, which a network that
            refuses this one keeps, too.

    Raises:
        ConfigurationError: timm cannot build it so.
        WeightsError: The weights are absent and cannot be downloaded.
    """
    download = pretrained and reading_enabled()
    if download and not downloading_enabled():
        _check_download(model)
        download = False
    # Not every network has these options
    wishes: dict[str, Any] = {} if global_pool is None else {"global_pool": global_pool}
    if img_size is None:
        # Vision transformers then take images of every size that their patches divide
        wishes["dynamic_img_size"] = True
    arguments: dict[str, Any] = {"in_chans": input_channels, "num_classes": 0}
    if img_size is not None:
        arguments["img_size"] = img_size
    while True:
        try:
            network = _create(model, download, arguments | wishes)
        except _RefusedOptionError as refused:
            del wishes[refused.option]
            continue
        if "dynamic_img_size" not in wishes or _takes_own_size(network):
            return network
        del wishes["dynamic_img_size"]


def build_feature_maps(model: str, pretrained: bool, input_channels: int) -> torch.nn.Module:
    """Return a network that gives a feature map of each of its scales, finest first.

    Args:
        model: Its name in timm.
        pretrained: Whether to begin with timm's weights; not while reading is disabled.
        input_channels: Channels of the images.

    Raises:
        ConfigurationError: timm cannot build it so.
        WeightsError: The weights are absent and cannot be downloaded.
    """
    download = pretrained and reading_enabled()
    if download and not downloading_enabled():
        _check_download(model)
        download = False
    return _create(model, download, {"in_chans": input_channels, "features_only": True})


def published_names(network: torch.nn.Module) -> NameMap:
    """Return the import rule from timm's names to those of an encoder around the network."""
    # The network has no classifier, but files do
    head = network_config(network).get("classifier") or ""
    heads = [head] if isinstance(head, str) else [str(name) for name in head]
    first, *others = [f"{name}." for name in heads if name] or [""]
    return NameMap("timm", {"": "model."}, ignored=tuple(others), head=first)


# Not public in timm: functions of these names in the module of a family
_RULES = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")


def convert_checkpoint(
    tensors: Mapping[str, Tensor], network: torch.nn.Module
) -> dict[str, Tensor] | None:
    """Return tensors with timm's names and shapes, by timm's own rules for the network's family.

    The rules know the names of the original releases (CLIP, DINOv2, Swin, ConvNeXt ...), and fit
    position embeddings to the size that the network is built for.

    Args:
        tensors: The tensors of a checkpoint.
        network: The network.

    Returns:
        The tensors, or None where timm has no rules or they do not apply.
    """
    module = sys.modules[type(network).__module__]
    rules = next((getattr(module, name) for name in _RULES if hasattr(module, name)), None)
    if rules is None:
        return None
    # Some rules need no network
    more = (network,) if len(inspect.signature(rules).parameters) > 1 else ()
    try:
        found = rules(dict(tensors), *more)  # a copy: some rules take tensors out
    except Exception:  # whatever tensors of another network lead to; none of them fits then
        return None
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def network_config(network: torch.nn.Module) -> dict[str, Any]:
    """Return timm's description of a network: `input_size`, `mean`, `std`, `classifier` ..."""
    config = getattr(network, "pretrained_cfg", None)
    return dict(config) if isinstance(config, dict) else {}


def image_size(network: torch.nn.Module, img_size: int | None) -> tuple[int, int]:
    """Return height and width of the images that a network is for.

    Args:
        network: The network.
        img_size: The size that it was built for, if one was asked for.
    """
    if img_size is not None:
        return img_size, img_size
    _, height, width = network_config(network).get("input_size", (3, 224, 224))
    return int(height), int(width)


def _takes_own_size(network: torch.nn.Module) -> bool:
    """Return whether the patches of a network of dynamic sizes divide the size that it is for.

    Two of SigLIP are for 384 pixels with patches of 14: only a network of fixed size takes these.
    """
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if not isinstance(patch, tuple):
        return True
    sides = image_size(network, None)
    return all(side % one == 0 for side, one in zip(sides, patch, strict=True))


class _RefusedOptionError(Exception):
    """A network cannot be built with an option.

    Args:
        option: The option's name.
    """

    def __init__(self, option: str) -> None:
        super().__init__(option)
        self.option = option


def _create(model: str, pretrained: bool, arguments: dict[str, Any]) -> torch.nn.Module:
    import timm

    try:
        network: torch.nn.Module = timm.create_model(model, pretrained=pretrained, **arguments)
    except Exception as error:
        on_meta = torch.get_default_device().type == "meta"
        if on_meta and (isinstance(error, NotImplementedError) or "meta tensors" in str(error)):
            # It computes with tensors while it is built
            with torch.device("cpu"), torch.random.fork_rng(devices=[]):
                return _create(model, pretrained, arguments).to("meta")
        if "dynamic_img_size" in arguments and "dynamic_img_size" in str(error):
            raise _RefusedOptionError("dynamic_img_size") from error
        if "global_pool" in arguments and isinstance(error, AssertionError | ValueError):
            raise _RefusedOptionError("global_pool") from error
        if isinstance(error, TypeError) and "img_size" in str(error):
            raise ConfigurationError(
                f"img_size: {model} is not built for one size: leave it out"
            ) from error
        if not pretrained:
            raise ConfigurationError(f"model: timm cannot build {model!r}: {error}") from error
        raise WeightsError(_no_weights(model, error)) from error
    return network


def _check_download(model: str) -> None:
    """Raise a WeightsError if timm's weights are neither on this machine nor downloadable."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(model)
    hub_id = str(config.hf_hub_id or "") if config is not None else ""
    names = ("model.safetensors", "pytorch_model.bin")
    if hub_id and any(isinstance(try_to_load_from_cache(hub_id, name), str) for name in names):
        return
    url = f"https://huggingface.co/{hub_id}" if hub_id else str(getattr(config, "url", "") or "")
    if cause := unreachable(url):
        raise WeightsError(_no_weights(model, cause))


def _no_weights(model: str, cause: object) -> str:
    return (
        f"timm's weights for {model} are not on this machine and cannot be downloaded ({cause}). "
        "Name a local file in weights_file, or set pretrained to false"
    )
