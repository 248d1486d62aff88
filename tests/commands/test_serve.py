"""`allencv-al serve`: from its arguments to the application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.service.demo import app
from allencv_al.service.web import running


@pytest.mark.parametrize("archives", [[], ["a.tar.gz", "--archive-path", "b.tar.gz"]])
def test_one_archive_is_served(archives: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *archives]) == 2
    assert "serve: expected one ARCHIVE" in capsys.readouterr().err


@pytest.mark.parametrize("archive", [["m.tar.gz"], ["--archive-path", "m.tar.gz"]])
def test_arguments_reach_the_application(
    archive: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[Path, dict[str, Any]]] = []

    def create_app(path: Path, **options: Any) -> str:
        made.append((path, options))
        return "the application"

    def serve(application: Any, announce: Callable[[str], None]) -> int:
        assert application == "the application"
        announce("http://127.0.0.1:9/")
        return 130

    monkeypatch.setattr(app, "create_app", create_app)
    monkeypatch.setattr(running, "serve", serve)
    command = ["serve", *archive, "--port", "9", "--title", "Birds", "--detection"]
    assert main([*command, "--batch-size", "4", "--allowed-host", "birds.example"]) == 130
    [(path, options)] = made
    assert path == Path("m.tar.gz")
    assert options["title"] == "Birds" and options["draws_boxes"] and options["batch_size"] == 4
    settings = options["settings"]
    assert (settings.host, settings.port) == ("127.0.0.1", 9)
    assert settings.allowed_hosts == ["birds.example"] and not settings.access.needs_token
    assert "serving 'Birds' at http://127.0.0.1:9/" in capsys.readouterr().err
