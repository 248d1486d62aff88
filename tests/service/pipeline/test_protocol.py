"""The rules of the protocol, each with the place of its tests.

| rule | test |
|---|---|
| 1 how functions are called | here; `functions/test_calling` |
| 2 one `args`, `cur_loop`, folders, fresh lists | here; `functions/test_calling` |
| 3 keys of infer: records, relative, lists, others in order | here; `functions/test_infer_keys` |
| 3 rows of a database: the same rule, in one transaction | `test_sql_client` |
| 4 labeled is sorted; duplicates and foreign are 422; size | here; `test_loop_request` |
| 5 what train and getdatasetstate may return | here |
| 6 the axis of classes | here; `tasks/test_pipeline_metrics` |
| ids are no paths, and may be long | here; `test_loop_request` |
| a suffix on checkpoints | here; `test_kept_files` |
| a kill in each phase | `test_pipeline_loop`; `driver/test_kills` |
| two workers | here; `compat/test_script` |
| no token, a wrong one, scopes | here; `test_pipeline_routes`, `web/test_token_file` |
| aliases of all generations | here; `test_loop_request` |
| replacements for the SDK | `compat/test_script` |
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from allencv_al.service.pipeline import Pipeline

MakePipeline = Callable[..., Pipeline]
BODY = {"experiment_id": "e", "project_id": "p", "cur_loop": 0}
SIZE = 12


class Store:
    """What the functions of both documents share: points, and the folder of checkpoints."""

    folder = Path()
    points = np.eye(3)[np.arange(SIZE) % 3]
    labels = np.arange(SIZE) % 3

    def save(self, name: str, labeled: list[int]) -> None:
        sums = [self.points[labeled][self.labels[labeled] == c].sum(axis=0) for c in range(3)]
        (self.folder / name).write_text(json.dumps(np.array(sums).tolist()))

    def scores(self, name: str) -> Any:
        return self.points @ np.array(json.loads((self.folder / name).read_text())).T


STORE = Store()


# -- The functions as the documents print them -----------------------------------------------------


def train(payload):  # type: ignore[no-untyped-def]
    # get indices of the data to be trained
    labeled = payload["labeled"]

    # get checkpoint to resume from
    resume_from = payload["resume_from"]

    # get checkout to save for this loop
    ckpt_file = payload["ckpt_file"]

    assert set(payload) == {"labeled", "resume_from", "ckpt_file"}
    assert resume_from is None or (STORE.folder / resume_from).exists()
    STORE.save(ckpt_file, labeled)
    return


def test_process(payload):  # type: ignore[no-untyped-def]
    # the checkpoint to test
    ckpt_file = payload["ckpt_file"]

    assert set(payload) == {"ckpt_file"}
    # lbs <- dictionary of indices of test data and their ground-truth
    lbs = dict(enumerate(STORE.labels))
    # prd <- dictionary of indices of test data and their prediction
    prd = dict(enumerate(STORE.scores(ckpt_file).argmax(axis=1)))
    return {"predictions": prd, "labels": lbs}


test_process.__test__ = False  # type: ignore[attr-defined]


def infer(payload):  # type: ignore[no-untyped-def]
    # get the indices of unlabeled data
    unlabeled = payload["unlabeled"]

    # get the checkpoint file to be used for making inference
    ckpt_file = payload["ckpt_file"]

    assert set(payload) == {"unlabeled", "ckpt_file"}
    # outputs <- save the output from the model on the unlabeled data as a dictionary
    outputs = {index: STORE.scores(ckpt_file)[index] for index in unlabeled}
    return {"outputs": outputs}


def getdatasetstate(args={}):  # type: ignore[no-untyped-def]  # noqa: B006  as examples have it
    return {index: f"{index}.png" for index in range(SIZE)}


def train_args(args, labeled, resume_from, ckpt_file):  # type: ignore[no-untyped-def]
    STORE.save(ckpt_file, labeled)


def train_config_args(config_args, ckpt_file, labeled, resume_from):  # type: ignore[no-untyped-def]
    assert "EXPT_DIR" in config_args
    STORE.save(ckpt_file, labeled)


def train_keywords(labeled, resume_from, ckpt_file, logdir):  # type: ignore[no-untyped-def]
    assert Path(logdir).is_dir()
    STORE.save(ckpt_file, labeled)


def test_args(args, ckpt_file):  # type: ignore[no-untyped-def]
    return test_process({"ckpt_file": ckpt_file})


test_args.__test__ = False  # type: ignore[attr-defined]


def infer_args(args, unlabeled, ckpt_file):  # type: ignore[no-untyped-def]
    return infer({"unlabeled": unlabeled, "ckpt_file": ckpt_file})


STYLES: dict[str, tuple[Any, ...]] = {
    "payload": (train, test_process, infer, getdatasetstate),
    "payload without state": (train, test_process, infer, None),
    "args": (train_args, test_args, infer_args, getdatasetstate),
    "config_args": (train_config_args, test_args, infer_args, getdatasetstate),
    "keywords": (train_keywords, test_args, infer_args, getdatasetstate),
}


@pytest.fixture(params=STYLES)
def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Pipeline:
    """A pipeline of the functions of one document or generation."""
    STORE.folder = tmp_path / "log"
    return Pipeline("seed", *STYLES[request.param], args={"EXPT_DIR": str(STORE.folder)})


def pipeline_with(tmp_path: Path, **functions: Any) -> FlaskClient:
    """Return a client of a pipeline in which some functions are others."""
    STORE.folder = tmp_path / "log"
    parts = {"train_fn": train, "test_fn": test_process, "infer_fn": infer}
    parts |= {"getstate_fn": getdatasetstate, "args": {"EXPT_DIR": str(STORE.folder)}}
    return Pipeline("seed", **{**parts, **functions}).app.test_client()


def test_rule_1_functions_of_every_document_run_through_every_route(pipeline: Pipeline) -> None:
    client = pipeline.app.test_client()
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}
    assert client.post("/train", json=body).json["status"] == 200
    tested = client.post("/test", json={"ckpt_file": "ckpt_0"}).json
    assert tested["metrics"]["accuracy"] == 1 and tested["labels"]["4"] == 1
    inferred = client.post("/infer", json={"ckpt_file": "ckpt_0", "unlabeled": [5, 7]}).json
    assert inferred["outputs"] == {"5": [0, 0, 1], "7": [0, 1, 0]}
    has_state = "getdatasetstate" in client.get("/v1/info").json["functions"]
    state = client.post("/getdatasetstate", json={})
    assert state.json["size"] == SIZE if has_state else state.status_code == 404
    for number, chosen in enumerate(([0, 1, 2], [3, 4])):
        more = {"cur_loop": number, "selected_indices": chosen, "training_set_size": SIZE}
        answer = client.post("/one_loop", json={**BODY, **more}).json
        assert answer["metrics"]["accuracy"] == 1
        assert answer["phases"]["infer"]["count"] == SIZE - 3 - 2 * number
    later = client.post(
        "/one_loop",
        json={**BODY, "cur_loop": 2, "selected_indices": [6], "training_set_size": SIZE},
        headers={"Prefer": "respond-async"},
    )
    assert later.status_code == 202
    while (job := client.get(later.headers["Location"]).json)["state"] == "running":
        pass
    assert job["state"] == "done", job
    assert client.post("/end_exp", json={}).json["Message"] == "Experiment complete"
    assert client.get("/healthz").status_code == 200


def test_rule_1_the_convention_can_be_said(tmp_path: Path) -> None:
    seen: list[Any] = []

    def odd(labeled):  # type: ignore[no-untyped-def]
        seen.append(labeled)
        STORE.save("c", labeled["labeled"])

    client = pipeline_with(tmp_path, train_fn=odd, calling="payload")
    assert client.post("/train", json={"labeled": [0], "ckpt_file": "c"}).status_code == 200
    assert seen[0]["labeled"] == [0]


def test_rule_2_args_are_one_object_and_say_the_loop(tmp_path: Path) -> None:
    args = {"EXPT_DIR": str(tmp_path / "log"), "mine": [1]}
    seen: list[tuple[int, Any, Any, bool]] = []

    def watching(args, labeled, resume_from, ckpt_file):  # type: ignore[no-untyped-def]
        here = Path(args["EXPT_DIR"]).is_dir() and args["LOG_DIR"] == args["EXPT_DIR"]
        seen.append((id(args), args.get("cur_loop"), args.get("current_loop"), here))
        args["mine"].append(len(labeled))
        STORE.save(ckpt_file, labeled)
        labeled.clear()  # lists are fresh copies

    client = pipeline_with(tmp_path, train_fn=watching, args=args)
    for number, chosen in enumerate(([0, 1, 2], [3])):
        body = {**BODY, "cur_loop": number, "selected_indices": chosen}
        assert client.post("/one_loop", json=body).status_code == 200
    assert seen == [(id(args), 0, 0, True), (id(args), 1, 1, True)]
    assert args["mine"] == [1, 3, 4]


INFER = {"ckpt_file": "c", "unlabeled": [9, 2, 5]}


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({2: [2], 5: [5], 9: [9]}, {"2": [2], "5": [5], "9": [9]}),
        ({9: [9], 5: [5], 2: [2]}, {"2": [2], "5": [5], "9": [9]}),
        ({0: [2], 1: [5], 2: [9]}, {"2": [2], "5": [5], "9": [9]}),
        ({2: [9], 1: [5], 0: [2]}, {"2": [2], "5": [5], "9": [9]}),
        ([[2], [5], [9]], {"2": [2], "5": [5], "9": [9]}),
        (np.array([[2], [5], [9]]), {"2": [2], "5": [5], "9": [9]}),
        ({"x": [2], "y": [5], "z": [9]}, {"2": [2], "5": [5], "9": [9]}),
    ],
    ids=["a", "a in any order", "b", "b in any order", "c a list", "c an array", "d"],
)
def test_rule_3_keys_of_infer_find_their_records(
    outputs: Any, expected: Any, tmp_path: Path
) -> None:
    client = pipeline_with(tmp_path, infer_fn=lambda payload: {"outputs": copy.copy(outputs)})
    assert client.post("/infer", json=INFER).json["outputs"] == expected


@pytest.mark.parametrize(
    ("outputs", "named"),
    [
        ({2: [2], 5: [5]}, "9"),
        ({2: [2], 5: [5], 7: [7]}, "7"),
        ({0: [2], 1: [5]}, "2, 5, 9"),
        ([[2], [5]], "expected 3 outputs, found 2"),
        ({"x": [2]}, "3"),
    ],
)
def test_rule_3_short_and_foreign_keys_are_named_and_never_shifted(
    outputs: Any, named: str, tmp_path: Path
) -> None:
    client = pipeline_with(tmp_path, infer_fn=lambda payload: {"outputs": outputs})
    found = client.post("/infer", json=INFER)
    assert found.status_code == 422 and named in found.json["error"]["message"]


def test_rule_3_the_order_alone_counts_where_that_is_asked_for(tmp_path: Path) -> None:
    outputs = {9: ["first"], 2: ["second"], 5: ["third"]}
    client = pipeline_with(
        tmp_path, infer_fn=lambda payload: {"outputs": outputs}, key_policy="positional"
    )
    found = client.post("/infer", json=INFER).json["outputs"]
    assert found == {"2": ["first"], "5": ["second"], "9": ["third"]}


def test_rule_4_labeled_is_sorted_and_the_rest_is_unlabeled(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def watching(payload):  # type: ignore[no-untyped-def]
        seen["labeled"] = payload["labeled"]
        train(payload)

    def inferring(payload):  # type: ignore[no-untyped-def]
        seen["unlabeled"] = payload["unlabeled"]
        return infer(payload)

    client = pipeline_with(tmp_path, train_fn=watching, infer_fn=inferring)
    client.post("/one_loop", json={**BODY, "selected_indices": [7, 0, 4]})
    assert seen == {"labeled": [0, 4, 7], "unlabeled": [1, 2, 3, 5, 6, 8, 9, 10, 11]}


@pytest.mark.parametrize("chosen", [[1, 1], [12], [-1], [2**60], [0, 10**30], ["x"], [1.5]])
def test_rule_4_records_that_are_none_are_refused(chosen: list[Any], tmp_path: Path) -> None:
    client = pipeline_with(tmp_path)
    found = client.post("/one_loop", json={**BODY, "selected_indices": chosen})
    assert found.status_code in (400, 422)
    assert client.post("/one_loop", json={**BODY, "selected_indices": [1]}).status_code == 200


@pytest.mark.parametrize(
    "returned",
    [
        None,
        {},
        {"labels": [0, 1]},
        {"labels": [0, 1], "predictions": [1, 1], "hyperparams": {"lr": 0.1}},
        "finished training",
        3,
        [1, 2],
        np.zeros(3),
    ],
)
def test_rule_5_train_may_return_anything(returned: Any, tmp_path: Path) -> None:
    def training(payload):  # type: ignore[no-untyped-def]
        train(payload)
        return returned

    client = pipeline_with(tmp_path, train_fn=training)
    answer = client.post("/one_loop", json={**BODY, "selected_indices": [0, 1]})
    assert answer.status_code == 200
    counted = {"0": 1, "1": 1} if isinstance(returned, dict) and "labels" in returned else None
    assert answer.json["phases"]["train"].get("queried_per_class") == counted


def test_rule_5_getdatasetstate_may_return_nothing(tmp_path: Path) -> None:
    client = pipeline_with(tmp_path, getstate_fn=lambda: None)
    assert client.post("/getdatasetstate", json={}).json == {
        "status": 200,
        "state": None,
        "size": None,
    }
    body = {**BODY, "selected_indices": [0, 1]}
    assert client.post("/one_loop", json=body).status_code == 422  # of how many records?
    body["training_set_size"] = SIZE
    assert client.post("/one_loop", json=body).status_code == 200


@pytest.mark.parametrize(
    ("more", "classes"),
    [
        ({}, ["0", "1", "2"]),
        ({"class_labels": {str(i): str(i) for i in range(5)}}, ["0", "1", "2", "3", "4"]),
        ({"classes": ["a", "b", "c", "d"]}, ["0", "1", "2", "3"]),
    ],
)
def test_rule_6_classes_that_are_known_keep_their_places(
    more: dict[str, Any], classes: list[str], tmp_path: Path
) -> None:
    client = pipeline_with(tmp_path)
    body = {**BODY, "selected_indices": [0, 1, 2], **more}
    metrics = client.post("/one_loop", json=body).json["metrics"]
    assert metrics["classes"] == classes == list(metrics["acc_per_class"])
    assert np.shape(metrics["confusion_matrix"]) == (len(classes),) * 2


def test_an_extra_suffix_on_checkpoints_is_found(tmp_path: Path) -> None:
    resumed: list[Any] = []

    def training(payload):  # type: ignore[no-untyped-def]
        resumed.append(payload["resume_from"])
        STORE.save(f"{payload['ckpt_file']}.pth", payload["labeled"])

    def with_suffix(function: Any) -> Any:
        return lambda payload: function({**payload, "ckpt_file": f"{payload['ckpt_file']}.pth"})

    functions = {"test_fn": with_suffix(test_process), "infer_fn": with_suffix(infer)}
    client = pipeline_with(tmp_path, train_fn=training, **functions)
    for number, chosen in enumerate(([0, 1], [2])):
        body = {**BODY, "cur_loop": number, "selected_indices": chosen}
        assert client.post("/one_loop", json=body).status_code == 200
    assert resumed == [None, "ckpt_0"]


@pytest.mark.parametrize("extension", [".pkl", ".tar.gz"])
def test_the_extension_of_the_config_is_put_behind_checkpoints(
    extension: str, tmp_path: Path
) -> None:
    args = {"EXPT_DIR": str(tmp_path / "log"), "CKPT_EXT": extension}
    client = pipeline_with(tmp_path, args=args)
    assert client.post("/one_loop", json={**BODY, "selected_indices": [0]}).status_code == 200
    assert (tmp_path / "log" / f"ckpt_0{extension}").is_file()


@pytest.mark.parametrize(
    "aliases",
    [
        {"cur_loop": 0, "user_id": "u", "type": "Classification", "n_rec": 5, "n_loop": 2},
        {"cur_loop": 0, "user_id": 7, "type": "image_classification", "bucket_name": "b"},
        {
            "current_loop": 0,
            "tenant_id": "t",
            "task_type": "single_label_classification",
            "dataset_type": "2d_image",
            "n_rec_per_loop": 5,
            "training_set_size": SIZE,
            "classes": ["a", "b", "c"],
            "num_of_classes": 3,
        },
    ],
    ids=["first", "second", "third"],
)
def test_the_keys_of_each_generation_are_understood(
    aliases: dict[str, Any], tmp_path: Path
) -> None:
    client = pipeline_with(tmp_path)
    body = {"experiment_id": "e", "project_id": "p", "selected_indices": [0, 1], **aliases}
    answer = client.post("/one_loop", json=body).json
    assert answer["Message"] == "Loop Started - 200 status returned" and answer["loop"] == 0
    parts = [str(aliases[key]) for key in ("bucket_name", "user_id", "tenant_id") if key in aliases]
    folder = tmp_path.joinpath("log", "storage", *parts, "p", "e")
    assert (folder / "metrics_0.json").is_file()


@pytest.mark.parametrize("key", ["experiment_id", "project_id", "user_id", "bucket_name"])
@pytest.mark.parametrize(
    "id", ["../up", "a/b", "..", ".hidden", "", "x" * 129, "a\\b", "a\x00b", "ü"]
)
def test_ids_that_would_be_paths_are_refused(key: str, id: str, tmp_path: Path) -> None:
    client = pipeline_with(tmp_path)
    found = client.post("/one_loop", json={**BODY, "selected_indices": [0], key: id})
    assert found.status_code in (400, 422), found.json
    assert {path.name for path in tmp_path.iterdir()} == {"log"}


@pytest.mark.parametrize("id", ["x" * 128, 2**62, 0, "A.b_c-D"])
def test_ids_may_be_long_and_numbers(id: Any, tmp_path: Path) -> None:
    client = pipeline_with(tmp_path)
    body = {**BODY, "experiment_id": id, "selected_indices": [0]}
    assert client.post("/one_loop", json=body).status_code == 200


@pytest.mark.parametrize("route", ["/train", "/test", "/infer", "/getdatasetstate", "/one_loop"])
def test_without_the_token_no_route_runs_anything(route: str, tmp_path: Path) -> None:
    def never(payload):  # type: ignore[no-untyped-def]
        raise AssertionError("it ran")

    functions = {"train_fn": never, "test_fn": never, "infer_fn": never, "getstate_fn": never}
    client = pipeline_with(tmp_path, **functions, token="a-secret-of-24-characters")
    body = {**BODY, "selected_indices": [0], "labeled": [0], "unlabeled": [1], "ckpt_file": "c"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eA=="}):
        found = client.post(route, json=body, headers=headers)
        assert found.status_code == 401 and found.json["status"] == 401
        assert set(found.json["error"]) >= {"type", "message", "phase", "loop", "request_id"}


def test_a_second_worker_goes_on_where_the_first_has_come_to(tmp_path: Path) -> None:
    first, second = pipeline_with(tmp_path), pipeline_with(tmp_path)
    assert first.post("/one_loop", json={**BODY, "selected_indices": [0, 1]}).status_code == 200
    calls: list[str] = []

    def counted(payload):  # type: ignore[no-untyped-def]
        calls.append("train")
        train(payload)

    third = pipeline_with(tmp_path, train_fn=counted)
    again = third.post("/one_loop", json={**BODY, "selected_indices": [0, 1]})
    assert again.status_code == 200 and calls == []  # repeats no finished phase
    more = {**BODY, "cur_loop": 1, "selected_indices": [2]}
    assert second.post("/one_loop", json=more).status_code == 200
