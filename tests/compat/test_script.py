"""Scripts that were written for the Alectio SDK run as they are."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
from PIL import Image

from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params

# Shaped as the SDK's README prints it: functions of one payload, dictionaries by index
FIRST_PROCESSES = """
import json
import numpy as np

points = np.eye(3)[np.arange(30) % 3] + np.random.default_rng(0).normal(scale=0.3, size=(30, 3))
classes = np.arange(30) % 3


def train(payload):
    # get indices of the data to be trained
    labeled = payload['labeled']

    # get checkpoint to resume from
    resume_from = payload['resume_from']

    # get checkout to save for this loop
    ckpt_file = payload['ckpt_file']

    assert sorted(payload) == ['ckpt_file', 'labeled', 'resume_from']
    centers = [points[labeled][classes[labeled] == c].sum(axis=0).tolist() for c in range(3)]
    with open(f'log/{ckpt_file}', 'w') as file:
        json.dump(centers, file)
    return


def scores(ckpt_file):
    with open(f'log/{ckpt_file}') as file:
        return points @ np.array(json.load(file)).T


def test(payload):
    # the checkpoint to test
    ckpt_file = payload['ckpt_file']
    prd = {i: row.argmax() for i, row in enumerate(scores(ckpt_file))}
    lbs = {i: c for i, c in enumerate(classes)}
    return {'predictions': prd, 'labels': lbs}


def infer(payload):
    # get the indices of unlabeled data
    unlabeled = payload['unlabeled']

    # get the checkpoint file to be used for making inference
    ckpt_file = payload['ckpt_file']
    outputs = {i: scores(ckpt_file)[i] for i in unlabeled}
    return {'outputs': outputs}
"""
FIRST_MAIN = """
from alectio_sdk.flask_wrapper import Pipeline
from processes import train, test, infer

app = Pipeline(name='points', train_fn=train, test_fn=test, infer_fn=infer)

if __name__ == '__main__':
    app(debug=True, host='127.0.0.1', port=PORT)
"""
# As later examples have it: args first, a database of outputs, a hard-coded token of the platform
LATER_PROCESSES = (
    FIRST_PROCESSES.split("def train")[0]
    + """
from alectio_sdk.sdk.sql_client import create_database, add_index
import os


def getdatasetstate(args={}):
    return {k: f'{k}.png' for k in range(30)}


def train(args, labeled, resume_from, ckpt_file):
    assert args['train_epochs'] == 3
    centers = [points[labeled][classes[labeled] == c].sum(axis=0).tolist() for c in range(3)]
    with open(os.path.join(args['EXPT_DIR'], ckpt_file), 'w') as file:
        json.dump(centers, file)


def scores(args, ckpt_file):
    with open(os.path.join(args['EXPT_DIR'], ckpt_file)) as file:
        return points @ np.array(json.load(file)).T


def test(args, ckpt_file):
    return {'predictions': scores(args, ckpt_file).argmax(1).tolist(), 'labels': classes.tolist()}


def infer(args, unlabeled, ckpt_file):
    path = os.path.join(args['EXPT_DIR'], 'infer_outputs_{}.db'.format(args['cur_loop']))
    if os.path.exists(path):
        os.remove(path)
    conn = create_database(path)
    for i, row in enumerate(scores(args, ckpt_file)[unlabeled]):
        add_index(conn, i, row)
    conn.close()
"""
)
LATER_MAIN = """
import yaml, json
from alectio_sdk.sdk import Pipeline
from processes import train, test, infer, getdatasetstate

with open('./config.yaml', 'r') as stream:
    args = yaml.safe_load(stream)

AlectioPipeline = Pipeline(
    name=args['exp_name'],
    train_fn=train,
    test_fn=test,
    infer_fn=infer,
    getstate_fn=getdatasetstate,
    args=args,
    token='short',
    multiple_initialisations={'seeds': [], 'limit_value': 0},
)
app = AlectioPipeline.app
"""
TRY_IT = """
if __name__ == '__main__':
    payload = json.load(open(args['sample_payload'], 'r'))
    print(json.dumps(AlectioPipeline._one_loop(args=args, payload=payload)))
    AlectioPipeline.was_served = True  # only a try
"""
# As the platform's example of brain scans has it: its data set, and a model that stays in memory
SCANS_PROCESSES = """
import torch
from torchvision import transforms
from alectio_sdk.sdk.alectio_dataset import AlectioDataset
from torch.utils.data import DataLoader, Subset

source = AlectioDataset(token='<YOUR EXPERIMENT TOKEN', root='./data', framework='pytorch')
scale = transforms.Compose([transforms.Resize((2, 2)), transforms.ToTensor()])
scans, count, numbers = source.get_dataset(dataset_type='train', transforms=scale)
others, _, _ = source.get_dataset(dataset_type='test', transforms=scale)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, len(numbers)))


def getdatasetstate(args):
    return {k: k for k in range(count)}


def train(args, labeled, resume_from, ckpt_file):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(20):
        for images, labels in DataLoader(Subset(scans, labeled), batch_size=8):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()


@torch.no_grad()
def test(args, ckpt_file):
    images, labels = next(iter(DataLoader(others, batch_size=100)))
    return {'predictions': model(images).argmax(1).tolist(), 'labels': labels.tolist()}


@torch.no_grad()
def infer(args, unlabeled, ckpt_file):
    outputs, k = {}, 0
    for images, _ in DataLoader(Subset(scans, unlabeled), batch_size=4, shuffle=False):
        for row in model(images):
            outputs[k] = {'prediction': row.argmax().item(), 'pre_softmax': row.numpy().tolist()}
            k += 1
    return {'outputs': outputs}
"""
SCANS_MAIN = (
    LATER_MAIN.replace("'short'", "'<YOUR EXPERIMENT TOKEN'").split("app =")[0]
    + "if __name__ == '__main__':\n    AlectioPipeline()\n"
)
CONFIG_MAIN = "import argparse\n" + LATER_MAIN.replace(
    "with open('./config.yaml', 'r')",
    "parser = argparse.ArgumentParser()\n"
    "parser.add_argument('--config', required=True)\n"
    "with open(parser.parse_args().config)",
)
CONFIG = "exp_name: points\nEXPT_DIR: ./log\ntrain_epochs: 3\nsample_payload: ./payload.json\n"
LOOP = {"experiment_id": "e", "project_id": "p", "cur_loop": 0, "user_id": "u", "bucket_name": "b"}


@pytest.fixture
def port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found: int = listener.getsockname()[1]
    return found


def project(folder: Path, processes: str, main: str) -> Path:
    (folder / "log").mkdir()
    (folder / "processes.py").write_text(processes)
    (folder / "main.py").write_text(main)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "payload.json").write_text(json.dumps({**LOOP, "selected_indices": [0, 1, 2, 3]}))
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "allencv_al.compat", "run", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def served(folder: Path, port: int, *command: str) -> Iterator[str]:
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib3.request("GET", f"{url}/healthz", retries=False)
                break
            except urllib3.exceptions.HTTPError:
                assert server.poll() is None and time.monotonic() < until, server.stderr
                time.sleep(0.05)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=30)


def post(url: str, path: str, body: Any) -> Any:
    found = urllib3.request("POST", f"{url}{path}", json=body, timeout=60)
    assert found.status == 200, found.data
    return found.json()


def test_a_script_of_the_first_generation_serves_its_routes(tmp_path: Path, port: int) -> None:
    folder = project(tmp_path, FIRST_PROCESSES, FIRST_MAIN.replace("PORT", str(port)))
    with served(folder, port, sys.executable, "-m", "allencv_al.compat", "run", "main.py") as url:
        body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}
        assert post(url, "/train", body)["status"] == 200
        tested = post(url, "/test", {"ckpt_file": "ckpt_0"})
        assert tested["labels"]["4"] == 1 and tested["metrics"]["accuracy"] > 0.8
        found = post(url, "/infer", {"ckpt_file": "ckpt_0", "unlabeled": [7, 3]})
        assert sorted(found["outputs"]) == ["3", "7"]
        loop = {**LOOP, "selected_indices": [0, 1, 2], "training_set_size": 30}
        assert post(url, "/one_loop", loop)["metrics"]["accuracy"] > 0.8
        assert post(url, "/end_exp", {})["Message"] == "Experiment complete"


@pytest.mark.slow
def test_a_later_script_that_does_not_start_its_pipeline_is_served(
    tmp_path: Path, port: int
) -> None:
    folder = project(tmp_path, LATER_PROCESSES, LATER_MAIN)
    command = [sys.executable, "-m", "allencv_al.compat", "run", "--port", str(port), "main.py"]
    with served(folder, port, *command) as url:
        assert post(url, "/getdatasetstate", {})["size"] == 30
        answer = post(url, "/one_loop", {**LOOP, "selected_indices": [0, 1, 2, 5]})
        assert answer["artifacts"]["infer_outputs"].endswith(".db")
        second = post(url, "/one_loop", {**LOOP, "cur_loop": 1, "selected_indices": [10, 11]})
        assert second["phases"]["infer"]["count"] == 24


@pytest.mark.slow
def test_gunicorn_serves_a_script(tmp_path: Path, port: int) -> None:
    folder = project(tmp_path, LATER_PROCESSES, LATER_MAIN + TRY_IT)
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    address = f"127.0.0.1:{port}"
    command = [gunicorn, "--bind", address, "--workers", "2", "allencv_al.compat:app('main.py')"]
    with served(folder, port, *command) as url:
        assert post(url, "/one_loop", {**LOOP, "selected_indices": [0, 1, 2]})["loop"] == 0


@pytest.mark.slow
def test_the_loop_drives_a_script(tmp_path: Path, port: int) -> None:
    folder = project(tmp_path, LATER_PROCESSES, LATER_MAIN)
    command = [sys.executable, "-m", "allencv_al.compat", "run", "--port", str(port), "main.py"]
    with served(folder, port, *command) as url:
        block = {"query_size": 4, "budget": 12, "initial": {"size": 4}, "strategy": "margin"}
        config = {"active_learning": {**block, "learner": {"type": "pipeline", "url": url}}}
        records = active_learn(Params(config), tmp_path / "run", RunOptions(files=False))
    assert [record.labels for record in records] == [0, 4, 8, 12]
    assert {pick.id for record in records for pick in record.picks} <= {
        f"{i}.png" for i in range(30)
    }
    accuracy = records[-1].metrics["accuracy"]
    assert accuracy is not None and accuracy > 0.8


def test_a_loop_can_be_tried_without_a_server(tmp_path: Path) -> None:
    done = run(project(tmp_path, LATER_PROCESSES, LATER_MAIN + TRY_IT), "main.py")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == 200 and answer["metrics"]["accuracy"] > 0.5
    assert "too short for a secret, and not used" in done.stderr
    stored = tmp_path / "log" / "storage" / "b" / "u" / "p" / "e"
    assert (stored / "infer_outputs_0.db").is_file()


@pytest.mark.slow
def test_the_example_of_scans_runs_loop_after_loop(tmp_path: Path, port: int) -> None:
    folder = project(tmp_path, SCANS_PROCESSES, SCANS_MAIN)
    for part, count in (("train", 8), ("test", 4)):
        for name, color in (("none", "black"), ("tumor", "white")):
            (folder / "data" / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (3, 3), color).save(
                    folder / "data" / part / name / f"{number}.png"
                )
    command = [sys.executable, "-m", "allencv_al.compat", "run", "--port", str(port), "main.py"]
    with served(folder, port, *command) as url:  # the script says no port, so 5000
        for number, selected in enumerate(([0, 15], [1, 14], [2, 3])):
            body = {**LOOP, "cur_loop": number, "selected_indices": selected}
            answer = post(url, "/one_loop", body)
            assert answer["metrics"]["accuracy"] == 1.0
            assert answer["phases"]["infer"]["count"] == 14 - 2 * number


def test_the_command_line_overrules_the_address_of_a_script(tmp_path: Path, port: int) -> None:
    main = FIRST_MAIN.replace("PORT", "1").replace("127.0.0.1", "0.0.0.0")
    folder = project(tmp_path, FIRST_PROCESSES, main)
    # Keys that are no records, in their order, as the original took them
    shifted = FIRST_PROCESSES.replace(
        "{i: scores(ckpt_file)[i] for", "{i + 7: scores(ckpt_file)[i] for"
    )
    assert shifted != FIRST_PROCESSES
    (folder / "processes.py").write_text(shifted)
    options = ["--host", "127.0.0.1", "--port", str(port), "--key-policy", "positional"]
    command = [sys.executable, "-m", "allencv_al.compat", "run", *options, "main.py"]
    with served(folder, port, *command) as url:
        post(url, "/train", {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "c"})
        found = post(url, "/infer", {"ckpt_file": "c", "unlabeled": [9, 4]})
        assert sorted(found["outputs"]) == ["4", "9"]


def test_gunicorns_line_has_the_arguments_of_a_script(tmp_path: Path) -> None:
    folder = project(tmp_path, LATER_PROCESSES, CONFIG_MAIN)
    (folder / "config.yaml").rename(folder / "mine.yaml")
    line = "app('main.py', '--config', 'mine.yaml', key_policy='positional')"
    code = f"from allencv_al.compat import app; print({line}.title)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stdout == "points\n", done.stderr


def test_a_script_gets_its_arguments(tmp_path: Path) -> None:
    script = "import sys\nfrom alectio_sdk.sdk import Pipeline\nprint(sys.argv, __name__)\n"
    done = run(project(tmp_path, "", script), "main.py", "--config", "c.yaml")
    assert done.stdout == "['main.py', '--config', 'c.yaml'] __main__\n"
    assert done.returncode == 2 and "main.py: it made no Pipeline" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("script", "message"),
    [("x = 1\nraise ValueError('mine')\n", "ValueError: mine"), ("x = (\n", "SyntaxError")],
)
def test_faults_of_a_script_are_shown_as_its_own(script: str, message: str, tmp_path: Path) -> None:
    done = run(project(tmp_path, "", script), "main.py")
    assert done.returncode == 1 and message in done.stderr and "main.py" in done.stderr
    assert "allencv_al" not in done.stderr and "runpy" not in done.stderr


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "none.py")
    assert done.returncode == 2
    assert done.stderr == "error: none.py: expected a Python script, found none\n"


def test_torch_is_imported_only_where_a_script_asks_for_it(tmp_path: Path) -> None:
    script = (
        "import sys\nimport alectio_sdk\nimport alectio_sdk.torch_utils.utils\n"
        "from alectio_sdk.sdk import Pipeline, sql_client\nassert 'torch' not in sys.modules\n"
        "from alectio_sdk.torch_utils.utils import non_max_suppression, bbox_iou\n"
        "assert 'torch' in sys.modules\nprint('done')\n"
    )
    assert "done" in run(project(tmp_path, "", script), "main.py").stdout
