"""`allencv-al test-install`."""

from __future__ import annotations

import pytest

from allencv_al.__main__ import main
from allencv_al.data import image_io


def test_a_sound_installation_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test-install"]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith("all checks passed\n")
    assert "\ntorch 2." in shown
    assert shown.count("\nok: ") == 5


def test_what_is_broken_is_named_and_the_rest_still_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ImportError("libjpeg.so.62 is missing")

    monkeypatch.setattr(image_io, "load_image", broken)
    assert main(["test-install"]) == 1
    shown = capsys.readouterr().out
    assert "FAILED: decode an image: ImportError: libjpeg.so.62 is missing" in shown
    assert "ok: train a step and predict" in shown
