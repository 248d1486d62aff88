import pytest
import torch

from allencv_al.tasks.score_axes import AGGREGATES
from allencv_al.tasks.unit_scores import aggregated, log_mean


def test_each_way_from_units_to_the_image_equals_a_plain_one():
    units = torch.rand(3, 7, 3, generator=torch.Generator().manual_seed(0))
    found = aggregated(units, top=2)
    for image in range(3):
        for column in range(3):
            values = sorted(units[image, :, column].tolist())
            wanted = [sum(values) / 7, sum(values), values[-1], sum(values[-2:]) / 2]
            assert found[image, column].tolist() == pytest.approx(wanted)
    assert AGGREGATES == ("mean", "sum", "max", "top")


def test_fewer_units_than_the_top_are_all_of_them_and_none_is_zero():
    units = torch.rand(2, 3, 3)
    torch.testing.assert_close(aggregated(units, top=10)[:, :, 3], units.mean(1))
    assert torch.equal(aggregated(units[:, :0], top=10), torch.zeros(2, 3, 4))


def test_the_mean_probability_of_sure_models_keeps_its_digits():
    sure = torch.tensor([[200.0, 0.0]], dtype=torch.float64)
    mean = log_mean([sure.float(), sure.float()])
    assert mean.tolist() == [[0.0, -200.0]]
