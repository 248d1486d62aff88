"""Settings of functions come from YAML, JSON or jsonnet files."""

from __future__ import annotations

from typing import Any

import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline.config_file import complete, load_config


def test_numbers_that_yaml_takes_for_texts_are_warned_of(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("lr: 1e-4\nwtd: 1.0e-4\nname: 1e-4x\nnested: {a: [2E5]}\n")
    assert load_config(file)["lr"] == "1e-4"
    assert 'lr: YAML reads "1e-4"' in caplog.text and "nested.a.0" in caplog.text
    assert "wtd" not in caplog.text and "name" not in caplog.text


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\tb", "!!python/object:os.system x"])
def test_what_is_no_config_is_said(text: str, tmp_path: Any) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        load_config(tmp_path / "config.yaml")
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml"):
        load_config(tmp_path / "nothing.yaml")


def test_folders_are_made_and_args_stay_the_same_object(tmp_path: Any) -> None:
    args: dict[str, Any] = {"EXPT_DIR": str(tmp_path / "a" / "b")}
    assert complete(args) is args
    assert (tmp_path / "a" / "b").is_dir() and args["LOG_DIR"] == args["EXPT_DIR"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="EXPT_DIR"):
        complete({"EXPT_DIR": str(tmp_path / "file" / "x")})
