"""The table of subcommands, which `--help` reads without importing them."""

from __future__ import annotations

import argparse
import re

import pytest
from fixtures.command_line import modules_imported_by

from allencv_al.__main__ import main
from allencv_al.commands.table import SUBCOMMANDS, load_subcommand, module_of

HEAVY = ("torch", "torchvision", "albumentations", "sklearn", "matplotlib", "numpy", "cv2", "PIL")


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_a_subcommand_imports_that_one_only_and_nothing_heavy(name: str) -> None:
    imported = modules_imported_by(name, "--help")
    assert not set(HEAVY) & set(imported)
    assert set(map(module_of, SUBCOMMANDS)) & set(imported) == {module_of(name)}


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_a_subcommand_explains_every_argument(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    parser = argparse.ArgumentParser()
    load_subcommand(name).add_arguments(parser)
    for action in parser._actions:
        assert action.help, f"{action.dest} has no help"
        for option in action.option_strings:
            assert re.search(rf"(?<![\w-]){re.escape(option)}\b", shown), option


def test_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in SUBCOMMANDS:
        assert re.search(rf"^    {name}\b", shown, re.MULTILINE), name
