"""The small residual networks for 32x32 images of He et al. 2015."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2im_encoders.base import FeatureEncoder, Im2ImEncoder
from allencv_al.modules.weights import NameMap

# The names of the PyTorch implementation whose published CIFAR-10 weights (resnet20-12fca82f.th
# and its sisters) reach the paper's numbers. Its prefix `module.` is taken off on reading.
_AKAMASTER_NAMES = NameMap(
    "akamaster's CIFAR-10 ResNets",
    {
        "conv1.": "model.0.",
        "bn1.": "model.1.",
        "layer1.": "model.3.",
        "layer2.": "model.4.",
        "layer3.": "model.5.",
    },
    head="linear.",
)


def _depth_of_blocks(depth: int) -> Iterator[tuple[str, str]]:
    # Three stages of n blocks with two convolutions each, the first one and the linear layer
    if depth < 8 or depth % 6 != 2:
        yield "depth", f"expected 6n + 2 (8, 14, 20, 32, 44, 56, 110 ...), found {depth}"


@Im2ImEncoder.register("cifar_resnet")
class CifarResnetEncoder(FeatureEncoder):
    """The residual network of He et al. 2015 (arXiv:1512.03385, section 4.2), before its pooling.

    A 3x3 convolution, then three stages of residual blocks with 1, 2 and 4 times `base_width`
    channels; the second and third halve the size. 3x32x32 becomes 64x8x8. With `im2vec_encoder:
    {"type": "pool"}` and ten classes it is the paper's network: 0.27 million parameters at depth
    20, 0.85 million at 56. Parameters are `model.0` (convolution), `.1` (batch norm), `.3`, `.4`,
    `.5` (stages).

    Args:
        depth: Number of layers with weights, 6n + 2 for n blocks a stage: 20, 32, 44, 56, 110. The
            last of them is the classifier, which is not in here.
        shortcut: Shortcut of a block where the size changes: "A", every other pixel and zeros for
            the new channels (no parameters, the paper's choice), or "B", a 1x1 convolution.
        base_width: Channels of the first stage; 16 in the paper.
        input_channels: Channels of the image.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        weights_file: Weights to begin with: the `model.safetensors` of a run of ours, or a file
            with the names of akamaster's CIFAR-10 ResNets (`resnet20-12fca82f.th`). The
            classification layer in it is left out; `basic_image_classifier` has a `weights_file`
            of its own, which reads it too.

    Raises:
        ConfigurationError: `depth` is not 6n + 2.
        WeightsError: The weights file is absent or does not fit.
    """

    joint_rules = (_depth_of_blocks,)

    def __init__(
        self,
        depth: int,
        shortcut: Literal["A", "B"] = "A",
        base_width: Count = 16,
        input_channels: Count = 3,
        requires_grad: bool = True,
        weights_file: Path | None = None,
    ) -> None:
        widths = [base_width, 2 * base_width, 4 * base_width]
        blocks = (depth - 2) // 6
        model = torch.nn.Sequential(
            torch.nn.Conv2d(input_channels, base_width, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(base_width),
            torch.nn.ReLU(),
            _stage(base_width, widths[0], blocks, 1, shortcut),
            _stage(widths[0], widths[1], blocks, 2, shortcut),
            _stage(widths[1], widths[2], blocks, 2, shortcut),
        )
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                # The paper's own (He et al. 2015, arXiv:1502.01852)
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        super().__init__(model, input_channels, requires_grad, (_AKAMASTER_NAMES,))
        self.read_weights_file(weights_file)
        self.warn_if_frozen_at_random(weights_file is not None)


class _BasicBlock(torch.nn.Module):
    def __init__(self, before: int, after: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(after)
        self.conv2 = torch.nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(after)
        self.shortcut = _shortcut(before, after, stride, shortcut)

    def forward(self, image: Tensor) -> Tensor:
        residual = F.relu(self.bn1(self.conv1(image)))
        residual = self.bn2(self.conv2(residual))
        return F.relu(residual + self.shortcut(image))


class _ZeroPaddedShortcut(torch.nn.Module):
    """Option A: every `stride`-th pixel, with zeros for the channels the block adds."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        # Half before and half behind, as the published weights were trained
        front = (after - before) // 2
        self.padding = (0, 0, 0, 0, front, after - before - front)

    def forward(self, image: Tensor) -> Tensor:
        return F.pad(image[:, :, :: self.stride, :: self.stride], self.padding)


def _shortcut(before: int, after: int, stride: int, option: str) -> torch.nn.Module:
    if stride == 1 and before == after:
        return torch.nn.Identity()
    if option == "A":
        return _ZeroPaddedShortcut(before, after, stride)
    return torch.nn.Sequential(
        torch.nn.Conv2d(before, after, 1, stride, bias=False), torch.nn.BatchNorm2d(after)
    )


def _stage(before: int, after: int, blocks: int, stride: int, shortcut: str) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        _BasicBlock(before, after, stride, shortcut),
        *(_BasicBlock(after, after, 1, shortcut) for _ in range(blocks - 1)),
    )
