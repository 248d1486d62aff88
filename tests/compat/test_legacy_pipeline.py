"""`Pipeline` with the arguments of the Alectio SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from allencv_al.compat.legacy_pipeline import LegacyPipeline, Options
from allencv_al.service.pipeline.pipeline import Pipeline


@pytest.fixture(autouse=True)
def own_pipelines(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    monkeypatch.setattr(LegacyPipeline, "made", [])
    monkeypatch.chdir(tmp_path)
    yield


def function(*given: Any) -> dict[str, Any]:
    return {}


def make(**options: Any) -> LegacyPipeline:
    return LegacyPipeline("scans", function, function, function, **options)


@pytest.mark.parametrize(
    ("token", "kind"),
    [("short", "too short for a secret"), ("your_token_here", "a placeholder"), (None, None)],
)
def test_a_token_that_is_no_secret_is_not_used(
    token: str | None, kind: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert LegacyPipeline.made == []
    made = make(token=token)
    assert LegacyPipeline.made == [made] and not made.was_served
    warned = [r.getMessage() for r in caplog.records if "the token in the script is" in r.message]
    assert len(warned) == (kind is not None) and all(str(kind) in text for text in warned)


@pytest.mark.parametrize(("seeds", "count"), [([1, 2], 1), ([], 0)])
def test_several_seeds_are_one_run_with_a_warning(
    seeds: list[int], count: int, caplog: pytest.LogCaptureFixture
) -> None:
    make(multiple_initialisations={"seeds": seeds, "limit_value": 0})
    assert caplog.text.count("seeds are not compared; only one run is made") == count


def test_the_command_line_wins_over_the_address_of_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(Pipeline, "__call__", lambda self, *given: served.append(given) or 0)
    pipeline = make()
    assert pipeline(debug=True, host="0.0.0.0", port=80) == 0 and pipeline.was_served
    monkeypatch.setattr(LegacyPipeline, "options", Options(host="127.0.0.1", port=0))
    assert pipeline(host="0.0.0.0", port=80) == 0
    assert served == [(True, "0.0.0.0", 80), (None, "127.0.0.1", 0)]
