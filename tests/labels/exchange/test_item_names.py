"""An image is found by its id, path or address."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.imported_labels import CASES, labels

from allencv_al.__main__ import main
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore


@pytest.mark.parametrize(
    "image",
    [
        "https://h.example/a/001.png?X-Amz=1%2F2",
        "https://h.example/a/001.png#top",
        "s3://bucket/001.png",
        "gs://b/x/1234abcd-001.png",
        "/data/local-files/?d=imgs%2F001.png",
        "C:\\photos\\001.png",
        "photos\\001.png",
        "../imgs/001.png",
        " 001.png ",
    ],
)
def test_an_image_is_found_by_whatever_leads_to_it(
    image: str, run: Callable[..., tuple[int, str, str]], labeling: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"image": image, "label": "red"}))
    assert run(tmp_path / "x.jsonl")[0] == 0
    assert labels(labeling) == {"001.png": "red"}


def test_presigned_addresses_are_matched(
    run: Callable[..., tuple[int, str, str]], labeling: Path
) -> None:
    assert run(CASES / "ls_http_presigned.json")[0] == 0
    assert labels(labeling) == {"001.png": "red"}


def test_a_name_that_begins_with_a_blank_is_found_by_its_path(tmp_path: Path) -> None:
    with LabelingStore(tmp_path / LABELING_NAME) as store:
        store.classes.add(["red"], "owner")
        store.items.open_batch([NewItem(name, tmp_path / name) for name in (" 1.png", "1.png")])
    (tmp_path / "labels.csv").write_text("path,label\n../imgs/ 1.png,red\n")
    assert main(["import-labels", str(tmp_path / "labels.csv"), str(tmp_path)]) == 0
    assert labels(tmp_path) == {" 1.png": "red"}


def test_an_image_is_told_apart_by_its_folders(tmp_path: Path) -> None:
    folder = tmp_path / "l"
    with LabelingStore(folder / LABELING_NAME) as store:
        store.classes.add(["red"], "owner")
        ids = ["a/1.png", "b/1.png", "b/2.png"]
        store.items.open_batch([NewItem(id, tmp_path / id) for id in ids])
    file = tmp_path / "x.csv"
    file.write_text("path,label\nhttps://h.example/photos/b/1.png?x=1,red\n")
    assert main(["import-labels", str(file), str(folder)]) == 0
    assert labels(folder) == {"b/1.png": "red"}
    file.write_text("path,label\n1.png,red\n")
    assert main(["import-labels", str(file), str(folder)]) == 2


def test_a_number_that_lost_its_zeros_gets_the_right_hint(
    run: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, err = run(CASES / "leading_zero_lost.csv")
    assert code == 2
    assert 'line 2: "1.png": there is no such image; did you mean "001.png"?' in err
    assert 'line 3: "2.png": there is no such image; did you mean "002.png"?' in err


def test_a_name_without_its_ending_gets_the_right_hint(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("id,label\n12,red\n")
    code, _, err = run(tmp_path / "x.csv")
    assert code == 2 and 'there is no such image; did you mean "012.png"?' in err


def test_a_name_in_another_case_gets_no_hint_at_spreadsheets(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("id,label\n012.PNG,red\n")
    code, _, err = run(tmp_path / "x.csv")
    assert code == 2 and 'did you mean "012.png"? (the end of the name counts)' in err
