"""`allencv-al benchmark`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures.cifar_files import records

from allencv_al.__main__ import main

Run = Callable[..., tuple[int, str, str]]


def write_idx(folder: Path, part: str, count: int) -> None:
    """Write images of two classes, dark and bright, as MNIST's files."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(count, dtype=np.uint8) % 2
    noise = np.random.default_rng(count).integers(0, 120, (count, 28, 28), dtype=np.uint8)
    images = noise + 60 * labels[:, None, None]
    for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
        head = np.array([0x0800 + values.ndim, *values.shape], ">u4")
        (folder / f"{part}-{kind}-ubyte").write_bytes(head.tobytes() + values.tobytes())


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `benchmark` with few runs of few rounds."""

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        few = ["--encoder", "pixels", "--strategies", "random,margin", "--seeds", "2"]
        few += ["--rounds", "2", "--query-size", "3", "--workers", "1"]
        code = main(["benchmark", *few, "-s", str(tmp_path / "run"), *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_idx(tmp_path / "data" / "mnist", "train", 30)
    write_idx(tmp_path / "data" / "mnist", "t10k", 20)
    return tmp_path / "data"


def test_a_dry_run_looks_at_the_data(run: Run, data: Path, tmp_path: Path) -> None:
    words = ["--data", str(data / "mnist"), "--dry-run"]
    assert run("mnist", *words)[:2] == (0, "mnist: no faults found; 4 runs\n")
    (data / "mnist" / "train-images-idx3-ubyte").rename(data / "other-file")
    (data / "mnist" / "t10k-images-idx3-ubyte").unlink()
    code, _, err = run("mnist", *words)
    assert code == 2 and "no such images; IdxReader looks for" in err
    assert not (tmp_path / "run" / "mnist").exists()


def test_a_set_is_compared_by_the_protocol(run: Run, data: Path, tmp_path: Path) -> None:
    code, out, _ = run("mnist", "--data", str(data / "mnist"), "--imbalance", "3")
    assert code == 0
    assert out.splitlines()[:2] == [
        "mnist",
        "strategy  seeds  AUBC %    sd    minus random  p (t, Holm)",
    ]
    folder = tmp_path / "run" / "mnist"
    found = json.loads((folder / "summary.json").read_text())
    assert found["labels"] == [3, 6, 9]
    assert [third["name"] for third in found["thirds"]] == ["low", "mid", "high"]
    config = json.loads((folder / "config.json").read_text())
    assert config["active_learning"]["conditions"] == {"imbalance": 3.0}
    assert config["test_data_path"].endswith("mnist::test")
    assert "Thirds of the budget" in (folder / "results.md").read_text()
    assert not (tmp_path / "run" / "ranking.md").exists(), "one set ranks nothing"
    assert run("mnist", "--data", str(data / "mnist"), "--imbalance", "3")[0] == 2
    again = run("mnist", "--data", str(data / "mnist"), "--imbalance", "3", "--recover")
    assert again[1] == out


def test_several_sets_are_ranked_over(run: Run, data: Path, tmp_path: Path) -> None:
    (data / "cifar10").mkdir()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (data / "cifar10" / name).write_bytes(records(20).tobytes())
    code, out, err = run("mnist,cifar10", "--data", str(data), "--query-size", "2")
    assert code == 0, err
    assert "Nemenyi's critical difference" in out
    ranking = json.loads((tmp_path / "run" / "ranking.json").read_text())
    assert ranking["data_sets"] == ["mnist", "cifar10"]
    assert sorted(ranking["strategies"]) == ["margin", "random"]
    text = (tmp_path / "run" / "ranking.md").read_text()
    assert "| Strategy | Mean rank | mnist | cifar10 |" in text


def test_of_test_images_alone_half_measure(run: Run, tmp_path: Path) -> None:
    write_idx(tmp_path / "only", "t10k", 20)
    code, out, _ = run("mnist", "--data", str(tmp_path / "only"), "--print-config")
    assert code == 0
    config = json.loads(out)
    assert config["train_data_path"].endswith("only::test")
    assert config["active_learning"]["test_fraction"] == 0.5
    assert "test_data_path" not in config


def test_a_printed_config_runs(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(
        "mnist", "--data", str(data / "mnist"), "--label-noise", "0.1", "--print-config"
    )
    (tmp_path / "own.jsonnet").write_text(out)
    assert main(["compare", str(tmp_path / "own.jsonnet"), "--dry-run"]) == 0
    assert json.loads(out)["active_learning"]["annotator"] == {"type": "ground_truth", "noise": 0.1}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["minst"], 'there is no set "minst"; did you mean "mnist"?'),
        ([","], "expected some of digits, mnist, cifar10, cats_dogs, honeypot, diverging_sine"),
        (["cats_dogs", "--data", "/nowhere"], "--data: expected a folder, or a tar archive of one"),
        (["mnist", "--encoder", "resnet0"], "resnet0"),
        (["mnist", "--baseline", "badge"], '"badge" is not among the strategies'),
        (["mnist,digits", "--print-config"], "expected one set, found several"),
        (["mnist", "--label-noise", "2"], "active_learning.annotator.noise"),
    ],
)
def test_a_mistake_is_a_message(
    run: Run, data: Path, words: list[str], message: str, tmp_path: Path
) -> None:
    place = [] if "--data" in words else ["--data", str(data / "mnist")]
    code, _, err = run(*words, *place)
    assert code == 2
    assert message in err
    assert not (tmp_path / "run" / "mnist").exists()
