"""`allencv-al select`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.selections import lines, select, table
from torchvision import models

from allencv_al.__main__ import main
from allencv_al.predictors import Predictor
from allencv_al.selection.pool import scoring

DROPOUT = ["-o", '{"model.dropout": 0.5}']
KEYS = ["rank", "id", "image_path", "score", "predicted", "probability", "reason"]


def probabilities(archive: str, files: list[Path]) -> np.ndarray:
    logits = torch.from_numpy(Predictor.from_path(archive).predict_logits(files))
    return logits.softmax(dim=1).numpy()


def test_the_picks_are_those_with_the_smallest_margin(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picks = select(capsys, archive, "pool", "--strategy", "margin", "-k", "5")
    files = sorted(pool.glob("*.png"))
    rows = probabilities(archive, files)
    ordered = np.sort(rows, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    expected = np.argsort(margins)[:5]
    assert [pick["id"] for pick in picks] == [files[index].name for index in expected]
    assert [pick["score"] for pick in picks] == pytest.approx(1 - margins[expected], abs=1e-5)
    assert [pick["rank"] for pick in picks] == [1, 2, 3, 4, 5]
    names = ["Cat", "Dog", "Emu"]
    for pick, index in zip(picks, expected, strict=True):
        assert list(pick) == KEYS
        assert pick["image_path"] == f"pool/{files[index].name}"
        assert pick["predicted"] == names[rows[index].argmax()]
        assert pick["probability"] == pytest.approx(rows[index].max(), abs=1e-5)
        assert pick["reason"]["runner_up"] == names[rows[index].argsort()[-2]]


def test_margin_is_the_default_and_all_of_a_small_pool_is_chosen(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picks = select(capsys, archive, "pool")
    assert len(picks) == 12
    assert picks == select(capsys, archive, "pool", "--strategy", "margin", "-k", "12")


def test_a_strategy_that_looks_at_no_logits_still_tells_the_predicted_class(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for strategy in ("k_center", "random"):
        picks = select(capsys, archive, "pool", "--strategy", strategy, "-k", "4")
        rows = probabilities(archive, [Path(pick["image_path"]) for pick in picks])
        found = [pick["probability"] for pick in picks]
        assert found == pytest.approx(rows.max(axis=1), abs=1e-5)


def test_a_strategy_can_be_a_jsonnet_object(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = '{type: "subsample", size: 6, strategy: "badge"}'
    picks = select(capsys, archive, "pool", "--strategy", config, "-k", "3", "--seed", "4")
    assert len(picks) == 3
    assert picks == select(capsys, archive, "pool", "--strategy", config, "-k", "3", "--seed", "4")


def test_the_seed_decides_what_is_left_to_chance(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [archive, "pool", "--strategy", "random", "-k", "5", "--seed"]
    orders = [[pick["id"] for pick in select(capsys, *arguments, seed)] for seed in "0123"]
    assert len({tuple(order) for order in orders}) == 4


# What is labeled


def write_labels(name: str, labels: dict[str, str]) -> str:
    rows = [f"pool/{file},{label}" for file, label in labels.items()]
    Path(name).write_text("\n".join(["path,label", *rows, ""]), encoding="utf-8")
    return name


def test_what_is_labeled_is_not_chosen(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_labels("labels.csv", {"03.png": "Cat", "07.png": "Emu", "08.png": ""})
    picks = select(capsys, archive, "pool", "--labeled", labels)
    assert {pick["id"] for pick in picks} == {f"{n:02d}.png" for n in range(12)} - {
        "03.png",
        "07.png",
    }


def test_strategies_see_the_embeddings_of_what_is_labeled(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first pick of k-center is the image farthest from all labeled ones."""
    files = sorted(pool.glob("*.png"))
    embeddings = Predictor.from_path(archive).embed(files)
    for known in ([2, 5], [0, 11, 4]):
        labels = write_labels("labels.csv", {files[index].name: "Cat" for index in known})
        [pick] = select(
            capsys, archive, "pool", "--strategy", "k_center", "-k", "1", "--labeled", labels
        )
        distances = np.linalg.norm(embeddings[:, None] - embeddings[None, known], axis=2)
        farthest = int(distances.min(axis=1).argmax())
        assert pick["id"] == files[farthest].name
        assert pick["score"] == pytest.approx(distances.min(axis=1).max(), rel=1e-4)
        nearest = files[known[int(distances[farthest].argmin())]]
        assert pick["reason"]["nearest_labeled"] == nearest.name


def test_an_unreadable_labeled_image_shifts_no_name(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pool / "02.png").write_bytes(b"no picture")
    labels = write_labels("labels.csv", {"02.png": "Cat", "05.png": "Cat"})
    [pick] = select(
        capsys, archive, "pool", "--strategy", "k_center", "-k", "1", "--labeled", labels
    )
    assert pick["reason"]["nearest_labeled"] == "05.png"


def test_all_labels_that_the_model_does_not_know_are_told_at_once(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"00.png": "Cat", "01.png": "cat", "02.png": "cat", "03.png": "Zebra"}
    assert main(["select", archive, "pool", "--labeled", write_labels("labels.csv", labels)]) == 2
    shown = capsys.readouterr().err
    assert "labels.csv: labels that the model does not know (it knows Cat, Dog, Emu)" in shown
    assert '"cat" (2 images); did you mean "Cat"?' in shown
    assert '"Zebra" (1 images)' in shown


def test_class_folders_can_be_the_labeled_ones(
    archive: str, pool: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picks = select(
        capsys, archive, "pool", "--strategy", "k_center", "-k", "1", "--labeled", str(pictures)
    )
    assert picks[0]["reason"]["nearest_labeled"].startswith(f"{pictures}/")


# The forms of POOL


def test_every_form_of_the_pool_gives_the_same_picks(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = [pick["image_path"] for pick in select(capsys, archive, "pool", "-k", "4")]
    names = [f"pool/{file.name}" for file in sorted(pool.glob("*.png"), reverse=True)]
    Path("list.txt").write_text("\n".join(names), encoding="utf-8")
    Path("t.csv").write_text("\n".join(["path", *names]), encoding="utf-8")
    Path("t.jsonl").write_text(
        "\n".join(json.dumps({"image_path": name}) for name in names), encoding="utf-8"
    )
    for form in ("list.txt", "t.csv", "t.jsonl"):
        picks = select(capsys, archive, form, "-k", "4")
        assert [pick["image_path"] for pick in picks] == expected
        assert [pick["id"] for pick in picks] == expected


def test_the_archive_s_dataset_reader_can_read_the_pool(
    archive: str, pool: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picks = select(capsys, archive, str(pictures), "--use-dataset-reader", "-k", "3")
    assert len(picks) == 3
    assert all("/" in pick["id"] for pick in picks)
    Path("labels.jsonl").write_text(
        json.dumps({"id": picks[0]["id"], "label": "Dog"}), encoding="utf-8"
    )
    rest = select(
        capsys, archive, str(pictures), "--use-dataset-reader", "--labeled", "labels.jsonl"
    )
    assert len(rest) == 6
    assert picks[0]["id"] not in [pick["id"] for pick in rest]


# Unreadable images


def test_what_cannot_be_read_is_reported_and_never_chosen(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        (pool / f"{number:02d}.png").write_bytes(b"no picture")
    assert main(["select", archive, "pool", "--output", "picks.jsonl"]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "cannot be read: 5 images (00.png: " in output.err
    assert "; and 2 more); all in picks.unreadable.jsonl" in output.err
    picks = lines(Path("picks.jsonl").read_text(encoding="utf-8"))
    assert sorted(pick["id"] for pick in picks) == [f"{number:02d}.png" for number in range(5, 12)]
    bad = lines(Path("picks.unreadable.jsonl").read_text(encoding="utf-8"))
    assert [item["id"] for item in bad] == [f"{number:02d}.png" for number in range(5)]
    assert set(bad[0]) == {"id", "image_path", "cause"}

    for number in range(5):
        (pool / f"{number:02d}.png").unlink()
    assert main(["select", archive, "pool", "--output", "picks.jsonl"]) == 0
    assert not Path("picks.unreadable.jsonl").exists(), "that was another time"


def test_a_pool_of_which_nothing_can_be_read_is_no_success(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.txt").write_text("gone/a.png\ngone/b.png\n", encoding="utf-8")
    assert main(["select", archive, "list.txt"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "none of the 2 images can be read" in output.err


# Results


# Several members, and what is kept


def test_an_ensemble_or_dropout_gives_members(
    archive: str, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", archive, "pool", "--strategy", "bald"]) == 2
    assert "dropout" in capsys.readouterr().err
    picks = select(capsys, archive, "pool", "--strategy", "bald", "--ensemble", archive)
    assert max(abs(pick["score"]) for pick in picks) < 1e-5, "equal members agree"
    arguments = [archive, "pool", "--strategy", "bald", "--mc-samples", "8", *DROPOUT]
    dropped = select(capsys, *arguments)
    assert dropped[0]["score"] > 1e-4
    assert dropped == select(capsys, *arguments)
    assert dropped != select(capsys, *arguments, "--seed", "1")


def test_epig_looks_at_the_target(
    archive: str, pool: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [archive, "pool", "--strategy", "epig", *DROPOUT]
    own, other = select(capsys, *arguments), select(capsys, *arguments, "--target", str(pictures))
    assert len(own) == len(other) == 12
    assert [pick["score"] for pick in own] != [pick["score"] for pick in other]


def test_what_was_computed_is_kept_for_a_later_call(
    archive: str, pool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = select(capsys, archive, "pool", "-k", "5")
    arguments = [archive, "pool", "-k", "5", "--scores-dir", "scores"]
    assert select(capsys, *arguments) == expected
    for file in pool.glob("*.png"):
        file.write_bytes(b"no picture any more: but it was read before")
    found = select(capsys, *arguments)
    assert [(pick["id"], pick["score"]) for pick in found] == [
        (pick["id"], pick["score"]) for pick in expected
    ]


# Without a model


@pytest.fixture
def weights(tmp_path: Path) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = models.get_model("squeezenet1_1", weights=None)
    torch.save(network.state_dict(), tmp_path / "squeezenet.pth")
    return str(tmp_path / "squeezenet.pth")


def test_the_first_choice_needs_no_archive(
    pool: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the options stand before or behind POOL, and however the weights are named."""
    small = ["--image-size", "64", "-k", "4"]
    picks = select(capsys, "pool", "--embeddings", f"squeezenet1_1:{weights}", *small)
    assert len(picks) == 4
    assert {pick["predicted"] for pick in picks} == {None}
    assert picks == select(
        capsys,
        "--embeddings",
        f"squeezenet1_1:{weights}",
        *small,
        "--strategy",
        "typiclust",
        "pool",
    )
    assert picks == select(
        capsys, "--embeddings", "squeezenet1_1", "--weights-file", weights, "pool", *small
    )


def test_the_first_choice_keeps_away_from_what_is_labeled(
    pool: Path, pictures: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cold = ["--embeddings", f"squeezenet1_1:{weights}", "--image-size", "64"]
    labels = write_labels("labels.csv", {"03.png": "cat", "04.png": "no model so any label"})
    picks = select(
        capsys, "pool", *cold, "--labeled", labels, "--strategy", "k_center", "--output", "t.csv"
    )
    assert picks == []
    rows = table("t.csv")
    assert len(rows) == 12
    assert rows[0]["reason"].startswith("nearest_labeled: 0")
    assert [row["label"] for row in rows[10:]] == ["cat", "no model so any label"]
    assert main(["select", "pool", *cold, "--contact-sheet", "t.png", "-k", "3"]) == 0


def test_random_needs_neither_a_model_nor_its_weights(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picks = select(capsys, "pool", "--embeddings", "squeezenet1_1", "--strategy", "random")
    assert len(picks) == 12


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["{archive}", "nowhere"], ["nowhere: there is no such file or folder"]),
        (["{archive}", "empty"], ["found no images in this folder"]),
        (["{archive}", ""], ['POOL: expected a path, found ""']),
        (["nowhere.tar.gz", "pool"], ["nowhere.tar.gz"]),
        (["{archive}"], ["the following arguments are required: POOL"]),
        (["{archive}", "pool", "--strategy", "margn"], ['did you mean "margin"']),
        (
            ["{archive}", "pool", "--strategy", '{type: "subsample", sise: 1, strategy: "bagde"}'],
            ['did you mean "size"', 'did you mean "badge"', "--strategy"],
        ),
        (["{archive}", "pool", "--strategy", '{type: "margin"'], ["--strategy:1:"]),
        (["{archive}", "pool", "-k", "0"], ["expected an integer of at least 1"]),
        (["{archive}", "pool", "--labeled", "nowhere.csv"], ["nowhere.csv: there is no such"]),
        (["{archive}", "pool", "--ensemble", "nowhere.tar.gz"], ["nowhere.tar.gz"]),
        (
            ["{archive}", "pool", "--output", "a.xlsx", "--contact-sheet", "a.jpg"],
            ["expected a name that ends in .csv or .jsonl, found a.xlsx", "ends in .png"],
        ),
        (["{archive}", "pool", "--output", "empty.csv"], ["a file is there that is no table"]),
        (["{archive}", "pool", "--image-size", "64"], ["--image-size: is for --embeddings"]),
        (
            ["--embeddings", "v.npz", "pool", "--image-size", "64"],
            ["--image-size: a file of vectors has been made of images already"],
        ),
        (
            ["{archive}", "pool", "--embeddings", "resnet18", "--use-dataset-reader"],
            ["ARCHIVE: has no place beside --embeddings", "--use-dataset-reader: has no place"],
        ),
        (["pool", "--embeddings", "resnet81"], ['did you mean "resnet18"']),
        (["pool", "--embeddings", "resnet18:gone.pth"], ["--embeddings", "no such file: gone.pth"]),
        (
            ["pool", "--embeddings", "resnet18:a.pth", "--weights-file", "b.pth"],
            ["--weights-file: the weights are behind the colon"],
        ),
        (
            ["pool", "--embeddings", "resnet18", "--strategy", "margin"],
            ["needs logits", "k_center, max_herding, prob_cover, random, typiclust"],
        ),
    ],
)
def test_a_mistake_is_one_message(
    archive: str,
    pool: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    messages: list[str],
) -> None:
    def nothing_is_scored(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the mistake was found too late")

    monkeypatch.setattr(scoring, "_run", nothing_is_scored)
    Path("empty").mkdir()
    Path("empty.csv").touch()
    filled = [argument.replace("{archive}", archive) for argument in arguments]
    assert main(["select", *filled]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    for message in messages:
        assert message in output.err
    assert "Traceback" not in output.err
