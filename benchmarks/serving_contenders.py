"""What `serving.py` compares: each a process that answers `POST /predict` on a port.

    python benchmarks/serving_contenders.py {allencv_al,flask,litserve} ARCHIVE PORT
    python benchmarks/serving_contenders.py offline ARCHIVE IMAGES

All decode and predict by the same two functions of the same predictor. `flask` is what one writes
first: an app that predicts where the request comes in, behind the same waitress as ours. `offline`
is no server: it reads a number of images from stdin, predicts as many at one go, and prints what
that took.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import sys
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

WAITRESS_THREADS = 40
SINGLES = 24  # images that are run one by one for the floor of one client's latency


def predictor_of(archive: str) -> Any:
    """Load the model, with its transforms."""
    from allencv_al.predictors import Predictor

    return Predictor.from_path(archive)


def serve_ours(archive: str, port: int) -> None:
    """Serve as a user does."""
    arguments = ["--archive-path", archive, "--predictor", "default_image", "--port", str(port)]
    module = "allencv_al.service.server_simple"
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def serve_flask(archive: str, port: int) -> None:
    """Serve without batches: each request decodes, and one after the other runs the model."""
    import flask
    import waitress

    predictor = predictor_of(archive)
    app = flask.Flask("naive")
    one_at_a_time = threading.Lock()  # faster than 32 threads that each start threads of their own

    @app.post("/predict")
    def predict() -> flask.Response:
        decoded = predictor.decode(flask.request.get_data())
        with one_at_a_time:
            outcome = predictor.predict_decoded([decoded])[0]
        return flask.jsonify(outcome.unwrap())

    waitress.serve(app, host="127.0.0.1", port=port, threads=WAITRESS_THREADS)


def serve_litserve(archive: str, port: int) -> None:
    """Serve with LitServe."""
    import serving_litserve

    serving_litserve.serve(archive, port)


def predict_offline(archive: str, images: str) -> None:
    """Answer each number on stdin with what so many images took, and what single ones take."""
    predictor = predictor_of(archive)
    contents = [path.read_bytes() for path in sorted(Path(images).iterdir())]
    rows = [outcome.unwrap()["probs"] for outcome in predictor.outcomes(contents)]
    print(json.dumps({"probs": rows}), flush=True)
    for line in sys.stdin:
        count = int(line)
        began = time.perf_counter()
        for outcome in predictor.outcomes(islice(cycle(contents), count)):
            outcome.unwrap()
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, **_singles(predictor, contents)}), flush=True)


def _singles(predictor: Any, contents: list[bytes]) -> dict[str, float]:
    decode, model = [], []
    for content in islice(cycle(contents), SINGLES):
        began = time.perf_counter()
        decoded = predictor.decode(content)
        middle = time.perf_counter()
        predictor.predict_decoded([decoded])
        decode.append(middle - began)
        model.append(time.perf_counter() - middle)
    return {"decode": statistics.median(decode), "model": statistics.median(model)}


def is_installed(name: str) -> bool:
    """Say whether a contender can run here."""
    return name != "litserve" or importlib.util.find_spec("litserve") is not None


if __name__ == "__main__":
    kind, archive, last = sys.argv[1:]
    if kind == "offline":
        predict_offline(archive, last)
    else:
        serve = {"allencv_al": serve_ours, "flask": serve_flask, "litserve": serve_litserve}
        serve[kind](archive, int(last))
