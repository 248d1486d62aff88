"""After a power cut at any moment loops go on, and what was answered is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from power_cut import Kind, record

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.state.storage import Storage

MakePipeline = Callable[..., Pipeline]


def loop(client: Any, number: int, selected: list[int]) -> Any:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number}
    found = client.post("/one_loop", json={**body, "selected_indices": selected})
    assert found.status_code == 200, found.json
    return found.json


@pytest.mark.parametrize(
    "kind",
    ["flushed", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("names", "everything"))],
)
def test_loops_go_on_after_a_power_cut_at_any_moment(
    kind: Kind, make_pipeline: MakePipeline, functions: Any, tmp_path: Path
) -> None:
    root, after = tmp_path / "root", tmp_path / "after"
    root.mkdir()
    chosen = [[0, 1, 2], [3, 4]]
    answers = []
    with record(root) as log:
        client = make_pipeline(args={"EXPT_DIR": str(root / "log")}).app.test_client()
        for number, selected in enumerate(chosen):
            answers.append(loop(client, number, selected))
            log.promise(f"loop {number}")
    cuts = log.cuts(kind)
    assert len(cuts) > 10
    for cut in cuts if kind == "flushed" else cuts[::4]:  # of some a hundred
        cut.restore(after)
        functions.calls.clear()
        client = make_pipeline(args={"EXPT_DIR": str(after / "log")}).app.test_client()
        for number, selected in enumerate(chosen):
            before = len(functions.calls)
            found = loop(client, number, selected)
            assert found["metrics"] == answers[number]["metrics"], cut.moment
            for address in found["artifacts"].values():
                path = Path(urlsplit(address).path)
                assert path.is_relative_to(after), cut.moment
                Storage(str(path.parent)).read(path.name)  # as the manifest knows it
            if f"loop {number}" in cut.promised and number == len(cut.promised) - 1:
                # what follows needs its checkpoint; what has been answered nothing at all
                assert len(functions.calls) == before, (cut.moment, functions.calls)
                assert (after / "log" / f"ckpt_{number}").stat().st_size > 0


def test_an_answer_that_was_given_survives_a_power_cut(
    make_pipeline: MakePipeline, functions: Any, tmp_path: Path
) -> None:
    root, after = tmp_path / "root", tmp_path / "after"
    root.mkdir()
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "c"}
    headers = {"Idempotency-Key": "once"}
    with record(root) as log:
        client = make_pipeline(args={"EXPT_DIR": str(root / "log")}).app.test_client()
        answer = client.post("/train", json=body, headers=headers).json
        log.promise("trained")
        stored = client.post("/infer?store=1", json={"ckpt_file": "c", "unlabeled": [5, 6]}).json
        log.promise(stored["artifact"])
    for cut in log.cuts("flushed"):
        cut.restore(after)
        functions.calls.clear()
        client = make_pipeline(args={"EXPT_DIR": str(after / "log")}).app.test_client()
        if cut.promised:
            assert client.post("/train", json=body, headers=headers).json == answer
            assert functions.calls == []
            assert client.post("/test", json={"ckpt_file": "c"}).status_code == 200
        for address in cut.promised[1:]:
            path = Path(urlsplit(address).path.replace(str(root), str(after)))
            assert Storage(str(path.parent)).read(path.name)


def test_a_file_that_is_written_again_is_at_no_moment_taken_for_another(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with record(root) as log:
        storage = Storage(str(root))
        for value in ("first", "second"):
            storage.write_json("p/e/a.json", value)
            log.promise(value)
    for cut in log.cuts("flushed"):
        storage = Storage(str(cut.restore(tmp_path / "after")))
        if cut.promised:
            assert storage.read_json("p/e/a.json") in (cut.promised[-1], "second"), cut.moment


def test_results_that_are_gone_are_made_again(
    make_pipeline: MakePipeline, functions: Any, tmp_path: Path
) -> None:
    client = make_pipeline().app.test_client()
    answer = loop(client, 0, [0, 1, 2])
    path = Path(urlsplit(answer["artifacts"]["metrics"]).path)
    path.unlink()
    functions.calls.clear()
    assert loop(client, 0, [0, 1, 2]) == answer
    assert functions.calls == ["test", "infer 57"] and path.is_file()
    shutil.rmtree(tmp_path / "log" / "storage")
    functions.calls.clear()
    again = loop(client, 0, [0, 1, 2])
    assert functions.calls == ["train 3 from None", "test", "infer 57"]
    assert again["artifacts"] == answer["artifacts"]


def test_a_damaged_state_is_named(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    client = make_pipeline().app.test_client()
    loop(client, 0, [0, 1, 2])
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": 0, "selected_indices": [0, 1, 2]}
    state = tmp_path / "log" / "pipeline-state" / "experiments" / "p,e.json"
    manifest = tmp_path / "log" / "storage" / "p" / "e" / "manifest.json"
    for path, name in ((state, "p,e.json"), (manifest, "p/e/manifest.json")):
        content = path.read_bytes()
        path.write_bytes(b"")
        found = client.post("/one_loop", json=body)
        assert found.status_code == 422 and name in found.json["error"]["message"]
        path.write_bytes(content)
        assert client.post("/one_loop", json=body).status_code == 200
