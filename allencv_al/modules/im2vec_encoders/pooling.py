"""One number per channel of a feature map."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Gt
from overrides import overrides
from torch import Tensor

from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder


@Im2VecEncoder.register("pool")
class PoolEncoder(Im2VecEncoder):
    """One number per channel, from a feature map of any height and width.

    In a model, `input_channels` need not be given: it is that of the encoder before it.

    Args:
        input_channels: Channels of the map; also the length of the vector.
        mode: The average of all pixels, their maximum, or their generalized mean
            (mean(x^p))^(1/p), between the two (Radenović et al. 2018, arXiv:1711.02512).
        p: Exponent of the generalized mean, to begin with: 1 is the average, large is near the
            maximum; 3 in the paper. It is for maps without negative values, as after a ReLU;
            values below `eps` count as `eps`.
        learn_p: Whether the exponent of the generalized mean trains.
        eps: Least value of the generalized mean's input; it keeps the gradient finite.

    Raises:
        ConfigurationError: A number is out of range.
    """

    injected = ("input_channels",)

    def __init__(
        self,
        input_channels: Count,
        mode: Literal["average", "max", "generalized_mean"] = "average",
        p: Annotated[float, Gt(0)] = 3.0,
        learn_p: bool = True,
        eps: Annotated[float, Gt(0)] = 1e-6,
    ) -> None:
        super().__init__()
        self._input_channels = input_channels
        self.mode = mode
        self.eps = eps
        # Without it the other modes have no parameters, and their checkpoints none to match
        self.p: torch.nn.Parameter | None = None
        if mode == "generalized_mean":
            self.p = torch.nn.Parameter(torch.tensor(float(p)), requires_grad=learn_p)

    @overrides
    def get_input_channels(self) -> int:
        return self._input_channels

    @overrides
    def get_output_dim(self) -> int:
        return self._input_channels

    @overrides
    def forward(self, image: Tensor) -> Tensor:
        _, channels, height, width = image.shape
        self.check_input(channels, height, width)
        if self.mode == "average":
            return image.mean(dim=(2, 3))
        if self.mode == "max":
            return image.amax(dim=(2, 3))
        assert self.p is not None
        powers = image.float().clamp(min=self.eps).pow(self.p)  # half precision would overflow
        return powers.mean(dim=(2, 3)).pow(1.0 / self.p)
