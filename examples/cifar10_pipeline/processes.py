"""The four processes: train, test, infer, and what records there are."""

from __future__ import annotations

from pathlib import Path

import torch
from model import Net
from torch.nn import functional as F

from data import load

BLOCK = 500  # images that go through the network at once


def train(args, labeled, resume_from, ckpt_file):
    """Train on the records `labeled`, and write the weights to EXPT_DIR."""
    torch.manual_seed(args["seed"])
    data = load(args["DATA_DIR"]).train
    net = Net(num_classes=len(load(args["DATA_DIR"]).names))
    if resume_from is not None and not args["weightsclear"]:
        net.load_state_dict(weights(args, resume_from))
    optimizer = torch.optim.SGD(
        net.parameters(), lr=args["lr"], momentum=args["momentum"], weight_decay=args["wtd"]
    )
    images, labels = prepared(data.images[labeled]), torch.from_numpy(data.labels[labeled])
    for _ in range(args["train_epochs"]):
        for batch in torch.randperm(len(labels)).split(args["batch_size"]):
            optimizer.zero_grad()
            F.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimizer.step()
    torch.save(net.state_dict(), Path(args["EXPT_DIR"], ckpt_file))
    return {"labels": labels}


def test(args, ckpt_file):
    """Return predictions and labels of the test images, and the scores behind them."""
    data = load(args["DATA_DIR"]).test
    scores, _ = outputs_of(args, ckpt_file, data.images)
    return {"predictions": scores.argmax(1), "labels": data.labels, "outputs": scores}


def infer(args, unlabeled, ckpt_file):
    """Return for each record the scores before softmax, and what the last layer sees."""
    data = load(args["DATA_DIR"]).train
    scores, features = outputs_of(args, ckpt_file, data.images[unlabeled])
    outputs = {}
    for record, row, vector in zip(unlabeled, scores, features, strict=True):
        outputs[record] = {
            "prediction": int(row.argmax()),
            "pre_softmax": row,
            "embedding": vector,
        }
    return {"outputs": outputs}


def getdatasetstate(args):
    """Return a name for each record, and its class, which the loop asks for as an annotator."""
    data = load(args["DATA_DIR"])
    return {
        index: {"id": f"record {index}", "label": int(label)}
        for index, label in enumerate(data.train.labels)
    }


def outputs_of(args, ckpt_file, images):
    """Return scores `[N, C]` and features `[N, 84]` of images."""
    net = Net(num_classes=len(load(args["DATA_DIR"]).names))
    net.load_state_dict(weights(args, ckpt_file))
    with torch.no_grad():
        features = torch.cat([net.embed(prepared(block)) for block in blocks(images)])
        return net.fc3(features), features


def blocks(images):
    """Yield a few images at a time."""
    for start in range(0, max(len(images), 1), BLOCK):
        yield images[start : start + BLOCK]


def prepared(images):
    """Return uint8 images `[N, 32, 32, 3]` as the network takes them: float32, -1 to 1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def weights(args, name):
    """Return the weights of a checkpoint; they are data, never code."""
    return torch.load(Path(args["EXPT_DIR"], name), weights_only=True)


if __name__ == "__main__":
    from main import args as given

    records = len(getdatasetstate(given))
    print("train:", len(train(given, list(range(100)), None, "ckpt_try")["labels"]), "records")
    tested = test(given, "ckpt_try")
    right = int((tested["predictions"].numpy() == tested["labels"]).sum())
    print("test:", right, "of", len(tested["labels"]), "images are right")
    inferred = infer(given, list(range(100, records)), "ckpt_try")["outputs"]
    print("infer:", len(inferred), "records, each with", ", ".join(inferred[100]))
