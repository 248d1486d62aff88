"""What every trainer shares."""

from __future__ import annotations

import pytest
import torch
from fixtures.trainer_parts import Make

from allencv_al.common import ConfigurationError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error_that_says_what_to_do(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match='use -1 for the CPU or "auto"'):
        make_trainer(cuda_device=0)
