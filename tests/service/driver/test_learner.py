"""The loop drives a pipeline over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from PIL import Image

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.labels.annotators.base import WaitingForLabels
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase

Serve = Callable[..., str]
MakeConfig = Callable[..., dict[str, Any]]
Run = Callable[..., list[RoundRecord]]
UNUSED = "http://127.0.0.1:9"


def test_each_round_trains_tests_and_infers(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    records = run_loop(make_config(serve()), tmp_path / "run")
    assert functions.without_keys() == [
        *("train ckpt_0 from None", "test ckpt_0", "infer ckpt_0 36"),
        *("train ckpt_1 from None", "test ckpt_1", "infer ckpt_1 32"),
        *("train ckpt_2 from None", "test ckpt_2", "infer ckpt_2 28"),
    ]
    assert [record.labels for record in records] == [0, 4, 8, 12]
    picked = [pick.id for record in records for pick in record.picks]
    assert len(set(picked)) == 12 and set(picked) <= {f"point {i}" for i in range(40)}
    last = records[-1]
    assert last.metrics["accuracy"] is not None and last.metrics["accuracy"] > 0.8
    assert last.metrics["pool_accuracy"] is not None
    assert last.metrics["negative_log_likelihood"] is None  # test gives no logits
    assert np.sum(last.confusion_matrix or ()) == 30 and last.classes == ("ant", "bee", "cat")
    labels = functions.trained_on[-1]
    assert labels == {i: ("ant", "bee", "cat")[functions.labels[i]] for i in labels}


def test_logits_of_the_test_items_measure_calibration(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    def test(args: Any, ckpt_file: Any) -> Any:
        logits = functions.logits(args, ckpt_file, functions.test_points)
        labels = functions.test_labels
        return {"predictions": logits.argmax(1), "labels": labels, "outputs": logits}

    plain = run_loop(make_config(serve()), tmp_path / "plain")[-1]
    record = run_loop(make_config(serve(test_fn=test)), tmp_path / "logits")[-1]
    assert record.metrics["accuracy"] == plain.metrics["accuracy"]
    assert record.confusion_matrix == plain.confusion_matrix
    assert record.metrics["negative_log_likelihood"] is not None
    assert record.metrics["expected_calibration_error"] is not None


def test_labels_may_stay_with_the_pipeline(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    url = serve(getstate_fn=functions.names)
    records = run_loop(make_config(url), tmp_path / "run", files=True)
    assert functions.trained_on == [None] * 3
    assert records[-1].metrics["accuracy"] is not None
    assert records[-1].metrics["pool_accuracy"] is None  # the labels are the pipeline's
    picks = [pick for record in records for pick in record.picks]
    assert {(pick.label, pick.outcome) for pick in picks} == {(None, "untold")}
    assert all(not record.batch_classes for record in records)
    report = (tmp_path / "run" / "report.html").read_text()
    assert "labeled by <bdi>the pipeline</bdi>." in report and " predicted</span>" in report
    assert "model wrong" not in report and "no picture" not in report
    assert len((tmp_path / "run" / "labels.csv").read_text().splitlines()) == 13


def test_a_pipeline_without_names_has_numbers(
    serve: Serve, make_config: MakeConfig, run_loop: Run, tmp_path: Path
) -> None:
    url = serve(getstate_fn=None)
    records = run_loop(make_config(url, _records=40), tmp_path / "run")
    assert {pick.id for pick in records[0].picks} <= {str(i) for i in range(40)}
    with pytest.raises(ConfigurationError, match=r"learner\.records: expected the number"):
        run_loop(make_config(url), tmp_path / "other")


def test_a_warm_start_resumes_from_the_round_before(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    url = serve(args={"EXPT_DIR": str(tmp_path / "pipeline"), "CKPT_EXT": ".json"})
    run_loop(make_config(url, retrain="warm"), tmp_path / "run")
    trained = [call for call in functions.without_keys() if call.startswith("train")]
    assert trained == [
        "train ckpt_0.json from None",
        "train ckpt_1.json from ckpt_0.json",
        "train ckpt_2.json from ckpt_1.json",
    ]


def test_records_are_inferred_in_parts(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    whole = run_loop(make_config(serve()), tmp_path / "whole")
    functions.calls.clear()
    parts = run_loop(make_config(serve(), _records_per_request=15), tmp_path / "parts")
    assert [call for call in functions.without_keys() if call.startswith("infer ckpt_0")] == [
        *("infer ckpt_0 15", "infer ckpt_0 15", "infer ckpt_0 6"),
    ]
    assert [record.picks for record in parts] == [record.picks for record in whole]


@pytest.mark.parametrize("strategy", ["k_center", "badge", "typiclust"])
def test_strategies_take_the_embeddings_that_infer_gives(
    strategy: str, serve: Serve, make_config: MakeConfig, run_loop: Run, tmp_path: Path
) -> None:
    url = serve()
    with pytest.raises(ConfigurationError, match=r"learner\.embeddings: true"):
        run_loop(make_config(url, strategy=strategy), tmp_path / "without")
    records = run_loop(make_config(url, strategy=strategy, _embeddings=True), tmp_path / "run")
    assert records[-1].labels == 12
    assert records[-1].metrics["coverage_radius"] is not None


def test_missing_embeddings_are_named(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return {"outputs": {record: [0.0, 1.0, 2.0] for record in unlabeled}}

    with pytest.raises(DataError, match=r"outputs\[\d+\]: expected a vector 'embedding'"):
        run_loop(make_config(serve(infer_fn=infer), _embeddings=True), tmp_path / "run")


def test_labels_that_people_give_reach_train(
    serve: Serve,
    make_config: MakeConfig,
    run_loop: Run,
    functions: Any,
    tmp_path: Path,
    fill_table: Callable[[Path, str], None],
) -> None:
    config = make_config(serve(getstate_fn=functions.names), annotator={"type": "file"}, budget=8)
    folder = tmp_path / "run"
    for _ in range(2):
        with pytest.raises(WaitingForLabels):
            run_loop(config, folder)
        fill_table(folder, "bee")
    records = run_loop(config, folder)
    assert records[-1].labels == 8
    assert [set(labels.values()) for labels in functions.trained_on] == [{"bee"}, {"bee"}]


def test_images_of_the_records_are_shown(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for index in range(40):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(images / f"{index:02d}.png")

    def state() -> Any:
        return {index: f"{index:02d}.png" for index in range(40)}

    reader = {
        "dataset_reader": {"type": "image_classification_directory"},
        "train_data_path": str(images),
    }
    url = serve(getstate_fn=state)
    config = {**make_config(url), **reader}
    run_loop(config, tmp_path / "named", files=True)
    assert "data:image/png" in (tmp_path / "named" / "report.html").read_text()
    numbered = serve(getstate_fn=None)  # joined by their order
    records = run_loop({**make_config(numbered, _records=40), **reader}, tmp_path / "numbered")
    assert all(pick.id.endswith(".png") for pick in records[0].picks)
    (images / "07.png").unlink()
    with pytest.raises(DataError, match="expected the 40 records of the pipeline, found 39"):
        run_loop(config, tmp_path / "missing")


def test_a_failed_function_stops_the_run_and_the_same_command_goes_on(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    broken = True

    def test(args: Any, ckpt_file: Any) -> Any:
        if broken and ckpt_file.startswith("ckpt_1"):
            raise ValueError("no such column: petal")
        return functions.test(args, ckpt_file)

    whole = run_loop(make_config(serve()), tmp_path / "whole")
    functions.calls.clear()
    config = make_config(serve(test_fn=test))
    with pytest.raises(DataError, match="has failed: test: ValueError: no such column: petal"):
        run_loop(config, tmp_path / "run")
    broken = False
    records = run_loop(config, tmp_path / "run", recover=True)
    assert [record.picks for record in records] == [record.picks for record in whole]
    assert functions.without_keys().count("train ckpt_1 from None") == 1


def test_another_run_with_the_same_config_is_trained_anew(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    config = make_config(serve())
    run_loop(config, tmp_path / "run")
    run_loop(config, tmp_path / "run", force=True)
    assert functions.without_keys().count("train ckpt_0 from None") == 2


def test_two_runs_on_a_pipeline_have_checkpoints_of_their_own(
    serve: Serve, make_config: MakeConfig, run_loop: Run, tmp_path: Path
) -> None:
    url = serve()
    whole = run_loop(make_config(url), tmp_path / "whole")

    def die(point: str) -> None:
        if point == "INFER begun":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_loop(make_config(url), tmp_path / "run", on_point=die)
    run_loop(make_config(url, strategy="random", initial={"size": 9}), tmp_path / "other")
    records = run_loop(make_config(url), tmp_path / "run", recover=True)
    assert [record.picks for record in records] == [record.picks for record in whole]
    assert [record.metrics for record in records] == [record.metrics for record in whole]


def test_a_busy_pipeline_is_waited_for(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        if len(unlabeled) == 1:  # another client's
            entered.set()
            assert leave.wait(120)
        return functions.infer(args, unlabeled, ckpt_file)

    url = serve(infer_fn=infer)
    functions.train({"EXPT_DIR": str(tmp_path / "pipeline")}, [0, 1, 2], None, "other", None)
    body = {"ckpt_file": "other", "unlabeled": [3]}
    other = threading.Thread(
        target=urllib3.request, args=("POST", f"{url}/infer"), kwargs={"json": body}
    )
    other.start()
    assert entered.wait(120)
    found: list[RoundRecord] = []
    loop = threading.Thread(
        target=lambda: found.extend(run_loop(make_config(url), tmp_path / "run"))
    )
    loop.start()
    time.sleep(0.5)  # it has been refused once or twice
    assert not found and loop.is_alive()
    leave.set()
    loop.join(120)
    other.join(120)
    assert found[-1].labels == 12


def test_the_token_is_sent_and_written_nowhere(
    serve: Serve,
    make_config: MakeConfig,
    run_loop: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = "a-long-secret-of-24-characters"
    url = serve(token=token)
    with pytest.raises(ConfigurationError, match=r"learner\.token: .*refuses access"):
        run_loop(make_config(url), tmp_path / "none")
    with pytest.raises(ConfigurationError, match="401"):
        run_loop(make_config(url, _token="another-secret-of-some-length"), tmp_path / "wrong")
    folder = tmp_path / "given"
    run_loop(make_config(url, _token=token), folder, files=True)
    for path in folder.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path
    run_loop(make_config(url, _token=token), folder, files=True, recover=True)
    monkeypatch.setenv("ALLENCV_AL_PIPELINE_TOKEN", token)
    run_loop(make_config(url), tmp_path / "environment")
    monkeypatch.delenv("ALLENCV_AL_PIPELINE_TOKEN")
    (tmp_path / "token").write_text(f"{token}\n")
    run_loop(make_config(url, _token_file=str(tmp_path / "token")), tmp_path / "file")
    with pytest.raises(ConfigurationError, match=r"token_file: .* cannot be read"):
        run_loop(make_config(url, _token_file=str(tmp_path / "none.txt")), tmp_path / "no file")


def test_an_address_without_a_listener_is_named_at_once(
    make_config: MakeConfig, run_loop: Run, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"learner.url: .*127.0.0.1:9 cannot be reached \(.*refus"):
        run_loop(make_config(UNUSED), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_something_else_that_listens_is_no_pipeline(
    make_config: MakeConfig, run_loop: Run, tmp_path: Path
) -> None:
    import flask

    from allencv_al.service.web.app import WebApp
    from allencv_al.service.web.running import start_in_thread
    from allencv_al.service.web.web_settings import WebSettings

    app = WebApp("other", WebSettings(port=0), "other")
    app.add_url_rule("/v1/info", view_func=lambda: flask.Response("<p>hello", 200))
    server = start_in_thread(app)
    try:
        with pytest.raises(DataError, match="expected an answer to /v1/info, found"):
            run_loop(make_config(server.url), tmp_path / "run")
    finally:
        server.close()


def test_labels_of_other_classes_are_refused(
    serve: Serve,
    make_config: MakeConfig,
    run_loop: Run,
    functions: Any,
    tmp_path: Path,
    fill_table: Callable[[Path, str], None],
) -> None:
    config = make_config(serve(getstate_fn=functions.names), annotator={"type": "file"})
    with pytest.raises(WaitingForLabels):
        run_loop(config, tmp_path / "run")
    fill_table(tmp_path / "run", "dragon")
    with pytest.raises(DataError, match="dragon"):
        run_loop(config, tmp_path / "run")


def test_the_round_says_which_checkpoint_it_made(
    serve: Serve, make_config: MakeConfig, run_loop: Run, tmp_path: Path
) -> None:
    run_loop(make_config(serve()), tmp_path / "run")
    found = json.loads((tmp_path / "run" / "rounds" / "0003" / "pipeline.json").read_text())
    assert found["checkpoint"].startswith("ckpt_2_") and found["train_time"] >= 0
    assert (tmp_path / "pipeline" / found["checkpoint"]).is_file()
    with RunDatabase(tmp_path / "run" / DATABASE_NAME, create=False) as database:
        assert len(LabelStore(database).labels()) == 12


def test_records_of_several_classes_are_chosen_and_measured(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    def test(args: Any, ckpt_file: Any) -> Any:
        logits = functions.logits(args, ckpt_file, functions.test_points)
        predictions = [np.flatnonzero(row > -4).tolist() for row in logits]
        return {"predictions": predictions, "labels": [[c] for c in functions.test_labels]}

    url = serve(test_fn=test, getstate_fn=functions.names)
    whole = run_loop(make_config(url), tmp_path / "whole")
    assert whole[-1].metrics["hamming_loss"] is not None
    assert whole[-1].metrics["accuracy"] is not None and whole[-1].confusion_matrix is None

    def die(point: str) -> None:
        if point == "INFER begun":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_loop(make_config(url), tmp_path / "run", on_point=die)
    records = run_loop(make_config(url), tmp_path / "run", recover=True)
    assert [record.picks for record in records] == [record.picks for record in whole]


def test_detections_are_chosen_and_measured(
    serve: Serve, make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    box = [0.0, 0.0, 10.0, 10.0]

    def test(args: Any, ckpt_file: Any) -> Any:
        found = {"boxes": [box], "objects": [1], "scores": [0.9]}
        return {"predictions": {5: found}, "labels": {5: {"boxes": [box], "objects": [1]}}}

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        logits = functions.logits(args, ckpt_file, functions.points[unlabeled])
        rows = [{"boxes": [box], "scores": [0.5], "pre_softmax": [row]} for row in logits]
        return {"outputs": dict(zip(unlabeled, rows, strict=True))}

    plain = run_loop(make_config(serve(getstate_fn=functions.names)), tmp_path / "plain")
    url = serve(test_fn=test, infer_fn=infer, getstate_fn=functions.names)
    records = run_loop(make_config(url), tmp_path / "run", files=True)
    assert [record.picks for record in records] == [record.picks for record in plain]
    assert records[-1].metrics["mean_average_precision"] == pytest.approx(1)
    assert records[-1].metrics["accuracy"] is None
    assert "mAP" in (tmp_path / "run" / "report.html").read_text()
    assert (tmp_path / "run" / "learning_curve.png").is_file()
