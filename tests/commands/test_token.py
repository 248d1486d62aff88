"""`allencv-al token`, and a pipeline that takes what it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.service.pipeline.pipeline import Pipeline


def nothing(payload: Any) -> Any:
    """Do nothing."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert main(["token", *words]) == code
    said = capsys.readouterr()
    return said.out, said.err


def test_a_pipeline_takes_what_is_made_here(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["create", "--name", "driver", "--scope", "train", "--days", "1", "--tokens", str(file)]
    out, _ = run(capsys, *words)
    token = out.strip()
    pipeline = Pipeline(
        "p", nothing, nothing, nothing, args={"EXPT_DIR": str(tmp_path)}, token_file=file
    )
    client = pipeline.app.test_client()
    headers = {"Authorization": f"Bearer {token}"}
    body = {"labeled": [1], "ckpt_file": "c", "unlabeled": [2]}
    assert client.post("/train", json=body).status_code == 401
    assert client.post("/train", json=body, headers=headers).status_code == 200
    found = client.post("/infer", json=body, headers=headers)
    assert (found.status_code, found.json["error"]["type"]) == (403, "scope")
    listed, _ = run(capsys, "list", "--tokens", str(file))
    id, name, scopes, *end = listed.split()
    assert (name, scopes, end[0]) == ("driver", "train", "expires")
    assert token not in listed
    run(capsys, "revoke", id, "--tokens", str(file))
    assert client.post("/train", json=body, headers=headers).status_code == 401
    assert json.loads(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["revoke"], "revoke takes the ID"),
        (["list", "x"], "create and list take none"),
        (["revoke", "x"], "no token has the id x"),
        (["create", "--scope", "tarin"], "found 'tarin'"),
    ],
)
def test_mistakes_are_one_message(
    words: list[str], fault: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = run(capsys, *words, "--tokens", str(file), code=2)
    assert fault in said and "Traceback" not in said
