"""The network that the optimizers train."""

from __future__ import annotations

import pytest
import torch
from fixtures.optimizer_parts import Net


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()
