"""The Flask app: `gunicorn --bind 127.0.0.1:5000 --timeout 2500000 main:app`."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from processes import getdatasetstate, infer, test, train

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.config_file import load_config
from data import load

args = load_config(Path(__file__).with_name("config.yaml"))
args["DATA_DIR"] = os.environ.get("DATA_DIR", args["DATA_DIR"])
torch.set_num_threads(args["threads"])

pipeline = Pipeline(
    "cifar10",
    train_fn=train,
    test_fn=test,
    infer_fn=infer,
    getstate_fn=getdatasetstate,
    args=args,
    token=os.environ.get("PIPELINE_TOKEN"),
    class_labels=dict(enumerate(load(args["DATA_DIR"]).names)),
)
app = pipeline.app

if __name__ == "__main__":
    raise SystemExit(pipeline(port=5000))
