"""Finished loops are reported to the callback URL."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fixtures.pipeline_requests import error_of, loop

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import Pipeline

MakePipeline = Callable[..., Pipeline]


def test_the_callback_is_told_with_the_token_and_tried_again(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    heard: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.append((self.path, self.headers["Authorization"], body))
            self.send_response(503 if len(heard) == 1 else 200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    monkeypatch.setattr("allencv_al.service.pipeline.callback._FIRST_PAUSE", 0.01)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url, token = f"http://127.0.0.1:{server.server_port}/", "a-long-enough-token-0123"
    try:
        client = make_pipeline(callback_url=url, token=token).app.test_client()
        headers = {"Authorization": f"Bearer {token}"}
        assert client.post("/one_loop", json=loop(0, [0, 1, 2]), headers=headers).status_code == 200
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [one[:2] for one in heard] == [("/end_of_task", f"Bearer {token}")] * 2
    assert heard[1][2]["experiment_id"] == "exp-1"
    client = make_pipeline(callback_url=url).app.test_client()
    error = error_of(client.post("/one_loop", json=loop(0, [0, 1, 2])), 502)
    assert error["message"].startswith("Loop Failed - non 200 status returned")
    with pytest.raises(ConfigurationError, match="callback_url"):
        make_pipeline(callback_url="file:///etc/passwd")


def ask_loop(client: Any, number: int, selected: Any = None, **more: Any) -> Any:
    """Ask for a loop."""
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    if selected is not None:
        body["selected_indices"] = selected
    return client.post("/one_loop", json=body)


def test_a_callback_that_is_not_heard_has_the_message_of_old_clients(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allencv_al.service.pipeline.callback._FIRST_PAUSE", 0)
    client = make_pipeline(callback_url="http://127.0.0.1:9").app.test_client()
    found = ask_loop(client, 0, [0, 1, 2])
    assert found.status_code == 502
    assert found.json["Message"] == "Loop Failed - non 200 status returned"
