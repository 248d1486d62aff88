from typing import get_args

from allencv_al.tasks.score_axes import AGGREGATES, UNIT_SCORES, Aggregate


def test_each_way_to_the_image_has_its_place():
    assert get_args(Aggregate) == AGGREGATES
    assert len(set(UNIT_SCORES)) == len(UNIT_SCORES) == 3
