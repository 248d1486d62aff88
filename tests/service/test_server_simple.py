"""AllenCV's name for `allencv-al serve`."""

from __future__ import annotations

import runpy
import sys

import pytest

MODULE = "allencv_al.service.server_simple"


def test_it_is_the_command_serve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["server_simple", "--help"])
    monkeypatch.delitem(sys.modules, MODULE, raising=False)  # a test before may have imported it
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(MODULE, run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: allencv-al serve ")
