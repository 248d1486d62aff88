"""Loop requests are read from bodies and meta.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.pipeline_requests import error_of, loop

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.state.storage import Storage

MakePipeline = Callable[..., Pipeline]


ALIASES = [
    {
        "cur_loop": "current_loop",
        "user_id": "tenant_id",
        "type": "task_type",
        "n_rec": "n_rec_per_loop",
    },
    {},
]


@pytest.mark.parametrize("names", ALIASES)
def test_the_keys_of_all_generations_are_understood(
    names: dict[str, str], make_pipeline: MakePipeline
) -> None:
    body = {names.get(key, key): value for key, value in loop(0, [0, 1, 2]).items()}
    body |= {
        "training_set_size": 30,
        "classes": ["a", "b", "c", "d"],
        "num_of_classes": 4,
        "x": [1],
    }
    found = make_pipeline().app.test_client().post("/one_loop", json=body).json
    assert found["metrics"]["classes"] == ["0", "1", "2", "3"]
    assert found["phases"]["infer"]["count"] == 27


def test_the_size_comes_from_meta_json_or_the_state(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    storage = Storage(str(tmp_path / "log" / "storage"))
    meta = {"train_size": 12, "class_labels": {"0": "car", "7": "ship"}}
    storage.write_json("bucket/me/proj/meta.json", meta)
    client = make_pipeline(getstate_fn=None).app.test_client()
    found = client.post("/one_loop", json=loop(0, [0, 1, 2])).json
    assert found["phases"]["infer"]["count"] == 9
    assert found["metrics"]["classes"] == ["0", "1", "2", "7"]
    other = client.post("/one_loop", json=loop(0, [0], project_id="other"))
    assert "the number of records is unknown" in error_of(other, 422)["message"]


def ask_loop(client: Any, number: int, selected: Any = None, **more: Any) -> Any:
    """Ask for a loop."""
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    if selected is not None:
        body["selected_indices"] = selected
    return client.post("/one_loop", json=body)


@pytest.mark.parametrize(
    "text",
    [
        '{"train_size": "60"}',
        '{"train_size": 60.5}',
        '{"train_size": 0}',
        '{"train_size": true}',
        '{"class_labels": 7}',
    ],
)
def test_a_meta_json_of_another_shape_is_refused(
    text: str, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    client = make_pipeline().app.test_client()
    folder = tmp_path / "log" / "storage" / "p"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(text)
    assert ask_loop(client, 0, [0]).status_code == 422


def test_the_longest_ids_have_room(make_pipeline: MakePipeline) -> None:
    client = make_pipeline().app.test_client()
    ids = {name: name[0] * 128 for name in ("bucket_name", "user_id", "project_id")}
    first = ask_loop(client, 0, [0, 1, 2], experiment_id="e" * 128, **ids)
    assert first.status_code == 200
    other = ask_loop(client, 0, [0, 1, 2], experiment_id="f" * 128, **ids)
    assert other.status_code == 200  # a state of its own
    body = {"ckpt_file": f"ckpt_0{'.' * 122}", "unlabeled": [1]}
    assert client.post("/train", json={**body, "labeled": [0, 1, 2]}).status_code == 200
    assert client.post("/infer?store=1", json=body).status_code == 200


@pytest.mark.parametrize("name", ["meta.json", "manifest.json", "e.npz", "e.db"])
@pytest.mark.parametrize("key", ["experiment_id", "project_id", "user_id", "bucket_name"])
def test_an_id_is_no_name_of_a_file_of_the_storage(
    key: str, name: str, make_pipeline: MakePipeline, functions: Any
) -> None:
    found = ask_loop(make_pipeline().app.test_client(), 0, [0], **{key: name})
    assert found.status_code == 400 and key in found.json["error"]["message"]
    assert functions.calls == []
