"""The page about predictions without a label: its configs and commands run as printed.

The weights are those of a small model with random weights: no published ones come with the tests.
"""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.doc_page import DocPage
from fixtures.tiny_clip import write_tiny_clip
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

pytest.importorskip("open_clip")

PAGE = DocPage("docs/how_to/zero_labels.md")
LOOP = {"annotator": "file", "query_size": 4, "budget": 6}
WAITING = 3  # the exit status
PUBLISHED = 'model: "ViT-B-32", weights: "laion2b_s34b_b79k"'
SEED = 3  # of weights that tell dark from bright, and call dark "boxer"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dark and bright photos, the configs of the page, and its trained archive."""
    folder = tmp_path_factory.mktemp("project")
    for number in range(6):
        for name, value in (("boxer", 40), ("siamese", 200)):
            for place in (f"pool/{name}{number}.png", f"test/{name}/{number}.png"):
                file = folder / "photos" / place
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20, 16), (value, value, value + number)).save(file)
    (folder / "clip").mkdir()
    write_tiny_clip(folder / "clip", SEED)
    for name in ("zero", "rounds"):
        text = PAGE.block("jsonnet", f"// {name}.jsonnet")
        (folder / f"{name}.jsonnet").write_text(text.replace(PUBLISHED, 'weights: "clip"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("allencv-al train") == 0
    return folder


@pytest.fixture(autouse=True)
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def run(holding: str, *more: str) -> int:
    """Run the only printed command that contains a text."""
    [command] = [
        line
        for _, block in PAGE.blocks("bash")
        for line in block.replace("\\\n", " ").splitlines()
        if holding in line
    ]
    _, *arguments = shlex.split(command)
    return main([*arguments, *more])


def test_names_are_enough_to_predict_and_to_measure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("allencv-al predict") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert Counter(line["class"] for line in lines) == {"boxer": 6, "siamese": 6}
    assert run("allencv-al evaluate", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0
    assert main(["evaluate", "runs/zero/model.tar.gz", "photos/pool"]) == 2
    assert "none of its 12 images is labeled" in capsys.readouterr().err


def test_an_audit_measures_where_nothing_else_is_labeled() -> None:
    rows = [f"photos/test/boxer/{number}.png,boxer,audit" for number in range(4)]
    rows += ["photos/test/siamese/0.png,boxer,audit", "photos/pool/boxer0.png,,"]
    Path("labels.csv").write_text("\n".join(["path,label,use", *rows]), encoding="utf-8")
    overrides = {"dataset_reader.type": "manifest", "train_data_path": "labels.csv"}
    assert run("allencv-al train", "-s", "runs/audited", "-o", json.dumps(overrides)) == 0
    metrics = json.loads(Path("runs/audited/metrics.json").read_text(encoding="utf-8"))
    assert metrics["audit_labels"] == 5
    assert metrics["audit_accuracy"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    "change",
    [
        {"trainer": {"num_epochs": 1}},
        {"vocabulary": None},
        {"validation_fraction": 0.5},
    ],
    ids=str,
)
def test_who_learns_names_nothing_or_validates_needs_labels(
    change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("allencv-al train", "-s", "runs/none", "-o", json.dumps(change)) == 2
    said = capsys.readouterr().err
    assert "no image has a class, so there is nothing to learn" in said
    assert "the trainer no_op and the names of the classes in vocabulary" in said
    assert not Path("runs/none").exists()


def test_the_first_images_are_as_many_of_each_predicted_class(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("allencv-al select", "-k", "6") == 0
    picks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert Counter(pick["predicted"] for pick in picks) == {"boxer": 3, "siamese": 3}


def test_a_folder_is_labeled_class_by_class(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(app: Any, announce: Callable[[str], None]) -> int:
        app.close()
        return 0

    monkeypatch.setattr("allencv_al.service.web.running.serve", serve)
    assert run("allencv-al label photos/pool --archive") == 0
    with LabelingStore(Path("photos/pool-labels") / LABELING_NAME, create=False) as store:
        items = store.items.items(1)
        classes = [one.name for one in store.classes.all()]
    assert [item.id.rstrip("012345.png") for item in items] == ["boxer"] * 6 + ["siamese"] * 6
    sure = [item.guess[0][1] for item in items]
    assert sure[:6] == sorted(sure[:6], reverse=True) and sure[6:] == sorted(sure[6:], reverse=True)
    assert classes == ["boxer", "siamese"]
    assert main(["label", "photos/pool", "--by-class"]) == 2
    assert "--by-class needs the predictions of an --archive" in capsys.readouterr().err


def test_rounds_begin_without_a_label() -> None:
    changes = ["-o", json.dumps({f"active_learning.{name}": value for name, value in LOOP.items()})]
    assert run("allencv-al active-learn", *changes) == WAITING
    table = Path("runs/rounds/to_label.csv")
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["predicted"] for row in rows) == {"boxer": 2, "siamese": 2}
    for row in rows:
        row["label"] = row["id"].rstrip("012345.png")
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert run("allencv-al active-learn", *changes, "--recover") == WAITING
    assert len(table.read_text(encoding="utf-8").splitlines()) == 3
