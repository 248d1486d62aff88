"""A pipeline without torch: scikit-learn's logistic regression on handwritten digits."""

from __future__ import annotations

import pickle
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from allencv_al.service.pipeline import Pipeline

DIGITS = load_digits()


def train(args, labeled, resume_from, ckpt_file):
    """Fit on some records; a checkpoint is the fitted model."""
    model = LogisticRegression(C=args["C"], max_iter=1000)
    model.fit(DIGITS.data[labeled], DIGITS.target[labeled])
    Path(args["EXPT_DIR"], ckpt_file).write_bytes(pickle.dumps(model))
    return {"labels": DIGITS.target[labeled]}


def test(args, ckpt_file):
    """Predict the test images."""
    model = load(args, ckpt_file)
    return {"predictions": model.predict(DIGITS.data[1500:]), "labels": DIGITS.target[1500:]}


def infer(args, unlabeled, ckpt_file):
    """Return ten scores of each record, before softmax."""
    scores = load(args, ckpt_file).decision_function(DIGITS.data[unlabeled])
    return {"outputs": dict(zip(unlabeled, scores, strict=True))}


def getdatasetstate():
    """Return what records there are."""
    return {index: f"digit {index}" for index in range(1500)}


def load(args, ckpt_file):
    """Return a model of our own making."""
    return pickle.loads(Path(args["EXPT_DIR"], ckpt_file).read_bytes())


pipeline = Pipeline("digits", train, test, infer, getdatasetstate, args={"C": 0.1})
app = pipeline.app

if __name__ == "__main__":
    raise SystemExit(pipeline(port=5000))
