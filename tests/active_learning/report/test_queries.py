"""The queries in the report of a run, with their thumbnails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from allencv_al.active_learning.report.run_report import RunContext, write_run_report
from allencv_al.active_learning.rounds.round_record import Pick, RoundRecord

ENVIRONMENT = {
    "platform": "Linux <6>",
    "processors": 2,
    "cuda": None,
    "versions": {"python": "3.11.7", "torch": "2.10.0"},
}


CONTEXT = RunContext(
    "digits_margin", "margin", "GroundTruth", "cold", 50, {"active_learning": {"budget": 12}},
    ENVIRONMENT,
)  # fmt: skip


def test_picks_are_shown_with_rank_score_and_classes(
    tmp_path: Path, read_page, make_records, png
) -> None:
    asked: list[str] = []

    def thumbnail(id: str) -> bytes | None:
        asked.append(id)
        return None if id.endswith("_3.png") else png()

    page = read_page(write_run_report(tmp_path, make_records(), CONTEXT, thumbnail))
    assert asked == [f"photos/{number}_{rank}.png" for number in range(3) for rank in range(4)]
    assert [image["alt"] for image in page.of("img")][:3] == ["0_0.png", "0_1.png", "0_2.png"]
    assert page.text.count("no picture") == 3
    assert re.search(r"#1\s*0\.125\s*cat ✓\s*1_0\.png", page.text)
    assert re.search(r"#2\s*0\.25\s*dog → cat\s*1_1\.png", page.text)
    assert re.search(r"#1\s*0\.125\s*cat\s*0_0\.png", page.text)  # nothing was predicted yet
    assert "Round 1 4 of 96 picked model wrong on 2 of 4" in " ".join(
        page.text.replace("Round 1", "Round 1 ").replace("picked", "picked ").split()
    )
    rounds = page.of("details")
    assert ["open" in one for one in rounds[:3]] == [False, False, True]
    marked = [item for item in page.of("li") if item.get("class") == "wrong"]
    assert len(marked) == 4
    assert marked[0]["title"] == "cluster 7"
    assert "cat 3dog 1" in page.text.replace("\n", "")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("skip", "dog → skipped"),
        ("unsure", "dog → not sure"),
        ("unreadable", "dog → unreadable"),
        ("waiting", "dog → waiting for a label"),
        ("label", "dog → no label"),
    ],
)
def test_what_got_no_label_is_said(tmp_path: Path, read_page, outcome: str, said: str) -> None:
    pick = Pick("a.png", 1.0, {"rank": 0}, "dog", None, outcome)
    page = read_page(write_run_report(tmp_path, [RoundRecord(1, 5, picks=[pick])], CONTEXT))
    assert said in page.text
    assert not [item for item in page.of("li") if item.get("class") == "wrong"]


@pytest.mark.parametrize(("rounds", "shown"), [(2, 24), (40, 15), (160, 4)])
def test_a_page_of_many_picks_stays_light(
    tmp_path: Path, read_page, png, rounds: int, shown: int
) -> None:
    picks = [Pick(f"{rank}.png", 0.0, predicted="a", label="a") for rank in range(30)]
    records = [RoundRecord(number, 30 * number, picks=picks) for number in range(rounds)]
    noisy = png(96, noise=True)
    path = write_run_report(tmp_path, records, CONTEXT, lambda _: noisy)
    page = read_page(path)
    assert len(page.of("img")) == shown * rounds
    assert page.text.count(f"and {30 - shown} more items not shown here") == rounds
    # Noise of 96 pixels is the worst there is: 28 kB as PNG
    assert path.stat().st_size < 16_000 * shown * rounds
    assert all(image["src"].startswith("data:image/jpeg;") for image in page.of("img"))
