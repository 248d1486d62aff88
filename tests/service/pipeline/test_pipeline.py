"""`Pipeline`: its options, its settings file and how it is served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import Pipeline
from allencv_al.service.web.token_file import TokenFile

MakePipeline = Callable[..., Pipeline]
TOKEN = "a-long-enough-token-0123"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key_policy": "nearest"}, "key_policy: expected auto or positional, found 'nearest'"),
        ({"callback_url": "ftp://here"}, "callback_url: expected http:// or https://, found 'ftp"),
        ({"token": TOKEN, "token_file": "t.json"}, "token: expected token or token_file, found b"),
        ({"token": "short"}, "16 characters"),
        ({"calling": "sideways"}, "calling: expected"),
        ({"train_fn": lambda labeled, learning_rate: None}, "train"),
        ({"storage_url": "nonsense://x"}, "storage_url"),
    ],
)
def test_a_wrong_option_is_found_before_anything_is_served(
    options: dict[str, Any], message: str, make_pipeline: MakePipeline
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_pipeline(**options)


def test_without_settings_it_works_in_a_folder_of_its_own(
    tmp_path: Path, make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_pipeline(args=None).args["EXPT_DIR"] == "./log"
    assert (tmp_path / "log").is_dir()


def test_it_is_served_in_a_thread_until_it_is_closed(make_pipeline: MakePipeline) -> None:
    server = make_pipeline().start()
    found = urllib3.request("GET", f"{server.url}/v1/info", retries=False)
    assert (found.status, found.json()["name"]) == (200, "centroids")
    server.close()
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", f"{server.url}/v1/info", retries=False)


@pytest.mark.parametrize("serve", [lambda it: it.start(host="0.0.0.0"), lambda it: it(host="::")])
def test_other_machines_need_a_token(
    serve: Callable[[Pipeline], Any], make_pipeline: MakePipeline
) -> None:
    with pytest.raises(ConfigurationError, match="a token is needed"):
        serve(make_pipeline())


def test_tokens_of_a_file_have_their_scopes(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    _, token = TokenFile(path).create("reader", ["state"], None)
    client = make_pipeline(token_file=path).app.test_client()
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/getdatasetstate", json={}, headers=headers).status_code == 200
    assert client.post("/end_exp", json={}, headers=headers).status_code == 403
    assert client.post("/getdatasetstate", json={}).status_code == 401


def test_a_body_has_a_limit(make_pipeline: MakePipeline) -> None:
    client = make_pipeline(max_body_bytes=1000).app.test_client()
    body = json.dumps({"labeled": list(range(1000)), "ckpt_file": "c"})
    found = client.post("/train", data=body, content_type="application/json")
    assert found.status_code == 413


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "lr: 0.5\nEXPT_DIR: FOLDER\n"),
        ("config.json", '{"lr": 0.5, "EXPT_DIR": "FOLDER"}'),
        ("config.jsonnet", 'local half = 0.5; { lr: half, EXPT_DIR: "FOLDER" }'),
    ],
)
def test_args_may_be_a_file(
    name: str, text: str, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text.replace("FOLDER", str(tmp_path / "runs")))
    for given in (path, str(path)):
        pipeline = make_pipeline(args=given)
        assert pipeline.args["lr"] == 0.5 and (tmp_path / "runs").is_dir()


@pytest.mark.parametrize("name", ["none.yaml", "none.jsonnet"])
def test_a_file_that_is_not_there_is_named(
    name: str, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=name):
        make_pipeline(args=tmp_path / name)


def test_pages_of_a_named_origin_may_ask(make_pipeline: MakePipeline) -> None:
    client = make_pipeline(allowed_origins=["https://photos.example"]).app.test_client()
    for origin, status in (("https://photos.example", 200), ("https://other.example", 403)):
        headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        answer = client.post("/getdatasetstate", json={}, headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("Access-Control-Allow-Origin") == (
            origin if status == 200 else None
        )
    with pytest.raises(ConfigurationError, match="allow-origin: expected what a browser sends"):
        make_pipeline(allowed_origins=["photos.example"])
