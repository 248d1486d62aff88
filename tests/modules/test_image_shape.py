"""Output shapes of networks, computed without numbers."""

from __future__ import annotations

import pytest
import torch

from allencv_al.common.user_mistakes import UserCodeError
from allencv_al.modules.image_shape import ImageShape, probe_sizes, run_on_meta, shape_text


def test_a_size_that_varies_is_written_as_a_question_mark() -> None:
    assert shape_text(3, 224, None) == "3x224x?"


def test_a_run_on_meta_changes_neither_weights_nor_statistics() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, stride=2), torch.nn.BatchNorm2d(5))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert run_on_meta(network, 3, 9, 11) == (5, 4, 5)
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_an_output_without_a_row_for_each_image_is_refused() -> None:
    with pytest.raises(UserCodeError, match="a row for each image, here 2"):
        run_on_meta(torch.nn.Flatten(0), 3, 4, 4)


def test_an_unknown_size_stays_unknown_unless_the_output_ignores_it() -> None:
    assert probe_sizes(lambda height, width: (8, height // 2, width // 2), 10, 20) == (8, 5, 10)
    assert probe_sizes(lambda height, width: (8, height // 2, width // 2), 10, None) == (8, 5, None)
    assert probe_sizes(lambda height, width: (8, 1, 1), None, None) == (8, 1, 1)


def test_a_network_of_one_size_leaves_the_others_unknown() -> None:
    def run(height: int, width: int) -> ImageShape:
        if height != 224:
            raise RuntimeError("expected 224")
        return 8, 7, 7

    assert probe_sizes(run, None, None) == (8, None, None)
