"""The functions for boxes that scripts for the Alectio SDK import."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from allencv_al.compat.legacy_detection import (
    bbox_iou,
    non_max_suppression,
    setpytorchreproduceability,
)


def boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 50
    return torch.cat([corner, corner + 5 + torch.rand(count, 2, generator=generator) * 40], dim=1)


def test_overlaps_are_those_of_torchvision_for_boxes_of_whole_pixels() -> None:
    first, second = boxes(20, 0).round(), boxes(20, 1).round()
    wider = [torch.cat([one[:, :2], one[:, 2:] + 1], dim=1) for one in (first, second)]
    expected = box_iou(*wider).diagonal()
    torch.testing.assert_close(bbox_iou(first, second), expected)
    torch.testing.assert_close(bbox_iou(first[:1], second), box_iou(wider[0][:1], wider[1])[0])
    centers = torch.cat([(first[:, :2] + first[:, 2:]) / 2, first[:, 2:] - first[:, :2]], dim=1)
    others = torch.cat([(second[:, :2] + second[:, 2:]) / 2, second[:, 2:] - second[:, :2]], dim=1)
    torch.testing.assert_close(bbox_iou(centers, others, x1y1x2y2=False), expected)


@pytest.mark.parametrize("seed", range(10))
def test_suppression_is_what_a_loop_over_boxes_does(seed: int) -> None:
    generator = np.random.default_rng(seed)
    found = boxes(40, seed)
    sides = torch.cat([(found[:, :2] + found[:, 2:]) / 2, found[:, 2:] - found[:, :2]], dim=1)
    more = torch.from_numpy(generator.random((40, 4))).float()
    prediction = torch.cat([sides, more], dim=1)[None]
    [kept] = non_max_suppression(prediction, 3, conf_thres=0.3, nms_thres=0.4)
    assert kept is not None
    left = [int(i) for i in more[:, 0].argsort(descending=True) if more[i, 0] >= 0.3]
    expected = []
    while left:
        best = left.pop(0)
        expected.append(best)
        left = [
            i
            for i in left
            if more[i, 1:].argmax() != more[best, 1:].argmax()
            or box_iou(found[best : best + 1], found[i : i + 1]) <= 0.4
        ]
    torch.testing.assert_close(kept[:, :4], found[expected])
    torch.testing.assert_close(kept[:, 4], more[expected, 0])
    torch.testing.assert_close(
        kept[:, 5:],
        torch.stack(
            [more[expected, 1:].max(dim=1).values, more[expected, 1:].argmax(dim=1).float()], dim=1
        ),
    )
    assert len(expected) < 40


def test_an_image_without_boxes_has_none() -> None:
    assert non_max_suppression(torch.zeros(2, 5, 8), 3) == [None, None]


def test_seeds_make_chance_repeat_itself() -> None:
    setpytorchreproduceability(7)
    first = torch.rand(3), np.random.rand(3)  # noqa: NPY002  the global generator is what is seeded
    setpytorchreproduceability(7)
    assert torch.equal(torch.rand(3), first[0])
    assert np.array_equal(np.random.rand(3), first[1])  # noqa: NPY002
