"""Functions for boxes and seeds that scripts import from the Alectio SDK."""

from __future__ import annotations

import torch
from torchvision.ops import batched_nms, box_convert

from allencv_al.common.seeding import seed_everything


def non_max_suppression(
    prediction: torch.Tensor, num_classes: int, conf_thres: float = 0.5, nms_thres: float = 0.4
) -> list[torch.Tensor | None]:
    """Return the boxes of each image that remain after non-maximum suppression per class.

    Args:
        prediction: `[B, N, 5 + C]`: center x, center y, width, height, objectness, class scores.
        num_classes: Number of classes.
        conf_thres: Smallest objectness.
        nms_thres: Largest intersection over union of two boxes of a class; above it, only the box
            with the higher objectness remains.

    Returns:
        For each image None, or `[n, 7]` by descending objectness: left, top, right, bottom,
        objectness, class score, class.
    """
    found: list[torch.Tensor | None] = []
    for image in prediction:
        image = image[image[:, 4] >= conf_thres]
        if not len(image):
            found.append(None)
            continue
        boxes = box_convert(image[:, :4], "cxcywh", "xyxy")
        scores, classes = image[:, 5 : 5 + num_classes].max(dim=1)
        kept = batched_nms(boxes.float(), image[:, 4].float(), classes, nms_thres)
        rows = [boxes, image[:, 4:5], scores[:, None], classes[:, None].to(boxes.dtype)]
        found.append(torch.cat(rows, dim=1)[kept])
    return found


def bbox_iou(box1: torch.Tensor, box2: torch.Tensor, x1y1x2y2: bool = True) -> torch.Tensor:
    """Return the intersection over union of pairs of boxes, `[N]`.

    Coordinates are pixels, and both ends count: a box from 0 to 9 is ten pixels wide.

    Args:
        box1: `[N, 4]`, or `[1, 4]` to pair one box with all of `box2`.
        box2: `[N, 4]`.
        x1y1x2y2: Whether boxes are left, top, right and bottom; otherwise center and size.
    """
    if not x1y1x2y2:
        box1, box2 = (box_convert(box, "cxcywh", "xyxy") for box in (box1, box2))
    low = torch.maximum(box1[:, :2], box2[:, :2])
    high = torch.minimum(box1[:, 2:], box2[:, 2:])
    shared = (high - low + 1).clamp(min=0).prod(dim=1)
    areas = [(box[:, 2:4] - box[:, :2] + 1).prod(dim=1) for box in (box1, box2)]
    return shared / (areas[0] + areas[1] - shared)


def setpytorchreproduceability(seed: int = 42) -> None:
    """Seed Python, NumPy and torch.

    Args:
        seed: The seed of all three.
    """
    seed_everything(seed, seed, seed)
