"""Models that give every pixel a class: their loss, their metrics and their outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Interval
from overrides import overrides
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from allencv_al.common.errors import DataError
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics.base import within_classes
from allencv_al.metrics.segmentation import SegmentationMetrics
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.modules.regularizers import RegularizerApplicator
from allencv_al.tasks.segmentation_task import PALETTE, VOID

ClassCount = Annotated[int, Interval(ge=2, le=256)]


class SegmentationModel(Model):
    """A model whose `scores` gives logits of every pixel.

    Metrics, over all pixels but void ones: `miou` (mean intersection over union), `accuracy` (the
    share of pixels), `mean_dice`, `frequency_weighted_iou`, and by class `per_class_iou` and
    `per_class_dice`. Where most pixels are of one class, the accuracy is high for any model:
    choose epochs by `+miou`.

    Args:
        vocab: The names of the classes, if it has as many.
        num_classes: Number of classes, C.
        ignore_index: Index of void pixels, which are left out of loss and metrics.
        batch_size_per_image: Number of pixels of each image in the loss of training; all by
            default.
        sample_positive_fraction: Share of these pixels that is drawn from classes above 0.
        regularizer: Penalties that training adds to the loss.
        metrics: Registered metrics beside those above; they take pixels for items.
    """

    metric_inputs = frozenset({"classes"})
    label_task = "segmentation"

    def __init__(
        self,
        vocab: Vocabulary,
        num_classes: int,
        ignore_index: int = VOID,
        batch_size_per_image: int | None = None,
        sample_positive_fraction: float = 0.5,
        regularizer: RegularizerApplicator | None = None,
        metrics: AddableMetrics = None,
    ) -> None:
        super().__init__(vocab, regularizer, metrics)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self._sampler = None
        if batch_size_per_image is not None:
            self._sampler = BalancedPositiveNegativeSampler(
                batch_size_per_image, sample_positive_fraction
            )
        self._training_counts = SegmentationMetrics(num_classes)
        self._evaluation_counts = SegmentationMetrics(num_classes)
        # As an attribute of the model, a mid-epoch checkpoint holds it
        self._training_matrix = self._training_counts.confusion_matrix

    @abstractmethod
    def scores(self, image: Tensor) -> dict[str, Tensor]:
        """Return `logits` `[B, C, H, W]` of the images' size, and what `more_loss` needs.

        Args:
            image: Images `[B, 3, H, W]`, float.
        """

    @abstractmethod
    def deepest_map(self, image: Tensor) -> Tensor:
        """Return the coarsest map of the encoder, `[B, D, H', W']`."""

    def more_loss(self, found: Mapping[str, Tensor], gold: Tensor) -> Tensor | None:
        """Return what a network adds to the loss in training; None by default.

        Args:
            found: The outputs of `scores`.
            gold: Class indices `[B, H, W]`, `ignore_index` where there is none.
        """
        return None

    @overrides
    def embed(self, image: Tensor) -> Tensor:
        """Return the mean of the encoder's coarsest map over its places, `[B, D]`.

        Args:
            image: Images `[B, 3, H, W]`, float.
        """
        return self.deepest_map(image).mean(dim=(2, 3)).float()

    @overrides
    def forward(
        self, image: Tensor, label: Tensor | None = None, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return `logits` `[B, C, H, W]`, `predicted_mask` `[B, H, W]`, and `loss` with a mask.

        Args:
            image: Images `[B, 3, H, W]`, float.
            label: Classes of whole images; not used.
            mask: Class indices `[B, H, W]`, int64, or `ignore_index`.

        Raises:
            DataError: An index in the mask is neither of a class nor void. On a GPU, which nothing
                waits for here, the metrics find it.
        """
        found = self.scores(image)
        logits = found["logits"].float()
        outputs = {"logits": logits, "predicted_mask": logits.argmax(1)}
        if mask is None:
            return outputs
        known = mask != self.ignore_index
        try:
            gold = within_classes(mask.where(known, 0), self.num_classes)
        except ValueError as error:
            raise DataError(
                f"a mask holds the {error}; set num_classes of the model (that of the reader "
                "paired_image names the file)"
            ) from None
        outputs["loss"] = self._loss(logits, gold, known)
        if self.training:
            more = self.more_loss(found, gold.where(known, self.ignore_index))
            outputs["loss"] = outputs["loss"] if more is None else outputs["loss"] + more
        counts = self._training_counts if self.training else self._evaluation_counts
        counts(outputs["predicted_mask"], mask.where(known, 0), known)
        self.count_metrics("classes", logits.movedim(1, -1), mask.where(known, 0), known)
        return outputs

    @overrides
    def loss_weight(self, inputs: Mapping[str, Any], items: int) -> Tensor | float:
        mask = inputs.get("mask")
        return float(items) if mask is None else (mask != self.ignore_index).sum()

    def probabilities(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the probabilities of the classes, `[B, C, H, W]`, for outputs of `forward`."""
        return outputs["logits"].softmax(dim=1)

    @overrides
    def make_output_human_readable(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Return the masks as palette images, and the share of each class's pixels.

        `mask` is a list of B images of mode P, whose values are class indices and whose palette is
        Pascal VOC's; `shares` holds for each image the share of each class that is in its mask.
        """
        masks = outputs["predicted_mask"].to(torch.uint8).cpu().numpy()
        names = self.class_names()
        shares = []
        for mask in torch.from_numpy(masks).flatten(1).long():
            counts = torch.bincount(mask, minlength=self.num_classes).tolist()
            present = {name: n for name, n in zip(names, counts, strict=True) if n}
            shares.append({name: n / mask.numel() for name, n in present.items()})
        images = [Image.fromarray(mask) for mask in masks]
        for image in images:
            image.putpalette(PALETTE)
        return {"mask": images, "shares": shares}

    @overrides
    def get_metrics(self, reset: bool = False) -> dict[str, Any]:
        counts = self._training_counts if self.training else self._evaluation_counts
        return counts.values(self.class_names(), reset)

    @overrides
    def class_names(self) -> list[str]:
        """Return the vocabulary's names if it has `num_classes`; else numbers, as in the masks."""
        names = list(self.vocab.get_index_to_token_vocabulary().values())
        return names if len(names) == self.num_classes else list(map(str, range(self.num_classes)))

    def _loss(self, logits: Tensor, gold: Tensor, known: Tensor) -> Tensor:
        """Return the mean cross-entropy of the known pixels; 0 where there is none."""
        if self.training and self._sampler is not None:
            known = self._sampled(gold, known)
        losses = F.cross_entropy(logits, gold, reduction="none")
        return (losses * known).sum() / known.sum().clamp(min=1)

    def _sampled(self, gold: Tensor, known: Tensor) -> Tensor:
        """Return the pixels that count, bool `[B, H, W]`."""
        assert self._sampler is not None
        kinds = (gold > 0).long().where(known, -1)
        positive, negative = self._sampler([kind.flatten().float() for kind in kinds])
        chosen = torch.stack(positive) | torch.stack(negative)
        return chosen.view_as(known).bool()
