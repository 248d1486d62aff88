from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PACKAGES = (
    "allencv_al.metrics",
    "allencv_al.models",
    "allencv_al.modules",
    "allencv_al.modules.im2im_encoders",
    "allencv_al.modules.im2vec_encoders",
    "allencv_al.modules.image_encoders",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_the_packages_import_nothing_heavy() -> None:
    code = f"import sys, {', '.join(PACKAGES)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
