"""Output files are checked before a command works for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allencv_al.commands.shared.output_files import check_output_files, output_faults
from allencv_al.common.errors import ConfigurationFaults


def test_what_cannot_be_written_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationFaults) as error:
        check_output_files(
            {
                "--a": tmp_path,
                "--b": tmp_path / "file" / "x.json",
                "--c": tmp_path / ("x" * 300),
                "--d": tmp_path / "new" / "deep" / "x.json",
                "--e": None,
                "--f": Path("/dev/null"),
                "--g": Path("/dev/null"),
            }
        )
    faults = {fault.path: fault.message for fault in error.value.faults}
    assert faults == {
        "--a": f"expected a file, found the folder {tmp_path}",
        "--b": f"cannot be written: {tmp_path / 'file'} is not a folder",
        "--c": faults["--c"],
    }
    assert "File name too long" in faults["--c"]


def test_neither_what_is_read_nor_another_output_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "in.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "in.csv")
    outputs = {"--a": tmp_path / "link.csv", "--b": tmp_path / "x", "--c": tmp_path / "y" / "../x"}
    faults = {fault.path: fault.message for fault in output_faults(outputs, [tmp_path / "in.csv"])}
    assert "is an input, and would be replaced" in faults["--a"]
    assert "is also the file of --b" in faults["--c"]


@pytest.mark.parametrize("name", ["labeling.sqlite", "run.sqlite", "model.tar.gz", "config.json"])
def test_no_file_of_the_folder_that_is_read_is_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    [fault] = output_faults({"--output": tmp_path / name}, [tmp_path])
    assert "is an input, and would be replaced" in fault.message
    assert not list(output_faults({"--output": tmp_path / "labels.csv"}, [tmp_path]))


def test_no_image_below_a_folder_that_is_read_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "in" / "cat").mkdir(parents=True)
    image, other = tmp_path / "in" / "cat" / "1.png", tmp_path / "sheet.png"
    image.touch()
    other.touch()
    (tmp_path / "link.png").symlink_to(image)
    outputs = {"--a": image, "--b": other, "--c": tmp_path / "link.png"}
    faults = {fault.path: fault.message for fault in output_faults(outputs, [tmp_path / "in"])}
    assert faults["--a"] == f"{image} is one of the input images, and would be replaced"
    assert set(faults) == {"--a", "--c"}


def test_a_file_beside_the_archive_and_a_table_with_a_split_are_read_too(tmp_path: Path) -> None:
    for name in ("model.tar.gz", "config.json", "t.csv"):
        (tmp_path / name).touch()
    outputs = {"--a": tmp_path / "config.json", "--b": tmp_path / "t.csv"}
    inputs = [tmp_path / "model.tar.gz", f"{tmp_path / 't.csv'}::train"]
    assert {fault.path for fault in output_faults(outputs, inputs)} == {"--a", "--b"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    [fault] = output_faults({"--a": tmp_path / "x"})
    assert "no permission" in fault.message
