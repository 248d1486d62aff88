"""`allencv-al sample-data`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from allencv_al.__main__ import main


def test_the_command_says_what_a_config_needs(tmp_path: Path, capsys):
    assert main(["sample-data", "digits", str(tmp_path / "d")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(" = ")[1] for line in out] == [
        str(tmp_path / "d" / part) for part in ("train", "validation", "test")
    ]
    from allencv_al.data.dataset_readers import ImageClassificationDirectory

    dataset = ImageClassificationDirectory().read(tmp_path / "d" / "test")
    assert set(dataset.labels()) == set("0123456789")


def test_the_command_refuses_a_url_for_digits(tmp_path: Path, capsys):
    assert main(["sample-data", "digits", str(tmp_path / "d"), "--url", "http://x"]) == 2
    assert "are for cifar10" in capsys.readouterr().err
    assert main(["sample-data", "mnist", str(tmp_path / "d")]) == 2


def test_help_is_light():
    code = (
        "import sys; from allencv_al.__main__ import main; main(['sample-data', '--help']); "
        "heavy = {'torch', 'numpy', 'sklearn', 'albumentations', 'PIL'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "DIR" in done.stdout
