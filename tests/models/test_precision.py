"""Number formats of a forward pass."""

from __future__ import annotations

import pytest
import torch

from allencv_al.common.errors import ConfigurationError
from allencv_al.models.precision import StepPrecision, has_native_bf16

CPU = torch.device("cpu")


def test_auto_takes_bf16_only_where_the_device_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert not has_native_bf16(CPU)
    assert StepPrecision("auto", CPU).name == "fp32"
    capabilities = {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert StepPrecision("auto", CPU).name == "bf16"


def test_mixed_is_bf16_on_a_cpu_which_refuses_fp16() -> None:
    assert StepPrecision("mixed", CPU).name == "bf16"
    with pytest.raises(ConfigurationError, match="fp16 needs a GPU"):
        StepPrecision("fp16", CPU)


def test_products_are_in_the_format_within_autocast() -> None:
    layer = torch.nn.Linear(2, 2)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        precision = StepPrecision(name, CPU)
        with precision.autocast():
            assert layer(torch.ones(1, 2)).dtype == dtype
        assert layer.weight.dtype == torch.float32
