"""`allencv-al export`, and `predict` with the file, which imports no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.prediction_lines import parsed

from allencv_al.__main__ import main
from allencv_al.predictors import OnnxPredictor

PREDICT = """
import sys
from allencv_al.__main__ import main
code = main(sys.argv[1:])
print("torch" in sys.modules, "cv2" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def exported(
    make_tiny_run: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    path = folder / "model.onnx"
    assert main(["export", str(make_tiny_run(folder / "run")), "--output", str(path)]) == 0
    return path


@pytest.mark.slow
def test_predict_gives_the_lines_of_the_archive_without_torch(
    exported: Path,
    archive: str,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (pictures / "Dog" / "9.png").write_bytes(b"no picture")
    assert main(["predict", archive, str(pictures)]) == 1
    wanted = parsed(capsys.readouterr().out)
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, "predict", str(exported), str(pictures)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "False False"
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(line) for line in found] == [list(line) for line in wanted]
    assert [line.get("class") for line in found] == [line.get("class") for line in wanted]
    assert [line.get("error") for line in found] == [line.get("error") for line in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.get("probs") == pytest.approx(other.get("probs"), abs=2e-3)


@pytest.mark.slow
def test_every_form_of_an_image_gives_the_same(exported: Path, files: list[Path]) -> None:
    predictor = OnnxPredictor(exported, num_threads=1)
    assert predictor.class_names == ("Cat", "Dog", "Emu")
    wanted = predictor.predict(files[0])
    assert predictor.predict({"image_path": str(files[0])}) == wanted
    assert predictor.predict(files[0].read_bytes()) == wanted
    many = [outcome.unwrap() for outcome in predictor.outcomes(files, batch_size=2)]
    assert many[0]["class"] == wanted["class"]
    assert many[0]["probs"] == pytest.approx(wanted["probs"], abs=1e-5)


@pytest.mark.slow
def test_options_of_archives_are_refused_for_an_exported_model(
    exported: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(exported), str(pictures), "--precision", "bf16", "-o", "{}"]
    assert main(command) == 2
    assert "--overrides, --precision: for an archive only" in capsys.readouterr().err


def test_the_folder_to_check_on_must_have_images(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", archive, "--output", str(tmp_path / "a.onnx"), "--check", str(tmp_path)]
    assert main(command) == 2
    assert "--check: expected a folder with images" in capsys.readouterr().err
