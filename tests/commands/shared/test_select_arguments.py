"""The arguments of `allencv-al select`, with an archive and without."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from allencv_al.commands.shared.select_arguments import add_arguments


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="select")
    add_arguments(parser)
    return parser.parse_args(words)


def test_an_archive_and_a_pool_are_enough() -> None:
    args = parse("m.tar.gz", "photos")
    assert (args.archive_file, args.pool) == (Path("m.tar.gz"), "photos")
    assert (args.query_size, args.seed, args.mc_samples) == (100, 0, 20)
    assert args.strategy is None and args.labeled is None and args.ensemble == []


def test_with_embeddings_the_only_positional_argument_is_enough() -> None:
    args = parse("--embeddings", "squeezenet1_1", "photos")
    assert args.embeddings == "squeezenet1_1"
    assert (args.archive_file, args.pool) == (Path("photos"), None)


def test_an_archive_alone_is_no_selection(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("m.tar.gz")
    assert "required: POOL" in capsys.readouterr().err


def test_a_query_has_at_least_one_image(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("m.tar.gz", "photos", "-k", "0")
    assert 'expected an integer of at least 1, found "0"' in capsys.readouterr().err
