"""A classifier that keeps the embeddings of its training images and lets the nearest ones vote."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt
from numpy.typing import NDArray
from overrides import overrides
from torch import Tensor
from torch.nn import functional as F

from allencv_al.common import Lazy
from allencv_al.common.feature_scaling import FeatureScalingKind
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2im_encoders.base import Im2ImEncoder
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder
from allencv_al.modules.image_shape import ImageShape
from allencv_al.modules.weights import RowBuffers

# Votes that each class has beforehand, in units of the nearest neighbor's: of 0.001, 0.01 and 0.1
# the one with the smallest log-loss over docs/results/heads.md
_FREE_VOTES = 0.01


class NeighborVote(RowBuffers):
    """A vote of the nearest stored embeddings (Wu et al. 2018, arXiv:1805.01978).

    A neighbor's vote is `exp(cosine / temperature)`.

    Args:
        width: Values of an embedding.
        classes: Number of classes.
        neighbors: The most neighbors that vote.
        temperature: Unit of the cosines.
    """

    embeddings: Tensor
    labels: Tensor

    def __init__(self, width: int, classes: int, neighbors: int, temperature: float) -> None:
        super().__init__()
        self.in_features = width
        self.out_features = classes
        self.neighbors = neighbors
        self.temperature = temperature
        self.register_buffer("embeddings", torch.zeros(0, width))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int64))

    def store(self, embeddings: Tensor, labels: Tensor) -> None:
        """Replace what is stored by embeddings `[N, D]` and their class indices `[N]`."""
        self.embeddings = F.normalize(embeddings.to(self.embeddings))
        self.labels = labels.to(self.labels)

    @overrides
    def rows_fault(self) -> str | None:
        if len(self.embeddings) != len(self.labels):
            return f"{len(self.embeddings)} embeddings have {len(self.labels)} labels"
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < self.out_features:
            return f"expected labels from 0 to {self.out_features - 1}"
        return None

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the logarithms of the classes' shares of the votes, `[B, C]` float32.

        Args:
            embeddings: `[B, D]`.
        """
        votes = embeddings.new_zeros((len(embeddings), self.out_features), dtype=torch.float32)
        if len(self.labels):
            cosines = F.normalize(embeddings.float()) @ self.embeddings.float().T
            nearest, rows = cosines.topk(min(self.neighbors, len(self.labels)), dim=1)
            weights = ((nearest - nearest[:, :1]) / self.temperature).exp()
            votes = votes.scatter_add(1, self.labels[rows], weights)
        votes = votes + _FREE_VOTES
        return (votes / votes.sum(dim=1, keepdim=True)).log()

    def extra_repr(self) -> str:
        """Return what `repr` shows, and fingerprints read: all but the images."""
        return f"{self.in_features}, {self.out_features}, {self.neighbors}, {self.temperature}"


@Model.register("nearest_neighbors_classifier")
class NearestNeighborsClassifier(BasicImageClassifier):
    """Classify images by the votes of the nearest training images; for a frozen encoder.

    The trainer `nearest_neighbors` stores the training images' embeddings, which archives keep: an
    image adds as many numbers as its embedding has. With few labels a linear layer of
    `logistic_regression` is more accurate (docs/results/heads.md); here each prediction follows
    from images that can be shown.

    Args:
        vocab: The names of the classes.
        im2vec_encoder: See `basic_image_classifier`.
        im2im_encoder: Likewise.
        neighbors: The most images that vote.
        temperature: An image's vote is `exp(cosine / temperature)`: small ones let the nearest
            image decide. Wu et al. (arXiv:1805.01978) take 0.07; 0.1 is up to 0.7 points more
            accurate on the sets of docs/results/heads.md.
        num_labels: Number of classes; that of the vocabulary by default.
        embedding_scaling: See `basic_image_classifier`.
        metrics: Likewise.
        image_shape: Channels, height and width of the images, None for a size that varies.

    Raises:
        ConfigurationError: The encoders do not fit each other.
    """

    head_buffers = frozenset({"_classification_layer.embeddings", "_classification_layer.labels"})

    def __init__(
        self,
        vocab: Vocabulary,
        im2vec_encoder: Lazy[Im2VecEncoder],
        im2im_encoder: Lazy[Im2ImEncoder] | None = None,
        neighbors: Count = 20,
        temperature: Annotated[float, Gt(0)] = 0.1,
        num_labels: Count | None = None,
        embedding_scaling: FeatureScalingKind = "center_l2",
        metrics: AddableMetrics = None,
        image_shape: ImageShape | None = None,
    ) -> None:
        self._vote_options = (neighbors, temperature)
        super().__init__(
            vocab,
            im2vec_encoder,
            im2im_encoder,
            num_labels=num_labels,
            embedding_scaling=embedding_scaling,
            metrics=metrics,
            image_shape=image_shape,
        )

    @property
    def neighbor_vote(self) -> NeighborVote:
        """The vote, with the stored embeddings."""
        vote = self._classification_layer
        assert isinstance(vote, NeighborVote)
        return vote

    @overrides
    def make_head(self, width: int, classes: int) -> NeighborVote:
        return NeighborVote(width, classes, *self._vote_options)

    def store(self, embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Replace what votes by embeddings `[N, D]` and their class indices `[N]`."""
        self.neighbor_vote.store(torch.from_numpy(embeddings), torch.from_numpy(labels))
