from __future__ import annotations

import argparse
import collections
import errno
import json
import pathlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file
from torch import Tensor

from allencv_al.common.errors import WeightsError
from allencv_al.modules.foreign_weights import folder_config, read_file, weights_file_in
from allencv_al.modules.weights import (
    NameMap,
    is_source,
    load_weights,
    read_weights,
    source_problem,
)


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))


def state() -> dict[str, Tensor]:
    return dict(network().state_dict())


def hyperparameters_dict() -> Any:
    """Return what Lightning writes: a dictionary of another class, which torch would refuse."""
    kind = type("AttributeDict", (dict,), {"__module__": __name__, "__qualname__": "AttributeDict"})
    globals()["AttributeDict"] = kind  # pickle finds it by name
    return kind(rate=0.1)


@pytest.mark.parametrize(
    "beside",
    [
        {"args": argparse.Namespace(lr=0.1, betas=[0.9, 0.999])},
        {"best": np.float64(0.93), "epoch": np.int64(3)},
        {"history": np.arange(4.0)},
        {"counts": collections.defaultdict(list, {"a": [1]})},
        {"output": pathlib.PurePosixPath("runs/1")},
        {"hyper_parameters": hyperparameters_dict(), "pytorch-lightning_version": "2.5"},
        {"criterion": torch.nn.CrossEntropyLoss()},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_what_lies_beside_the_weights_is_passed_over(
    tmp_path: Path, beside: dict[str, Any]
) -> None:
    tensors = state()
    torch.save({**beside, "state_dict": tensors}, tmp_path / "w.ckpt")
    found = read_file(tmp_path / "w.ckpt")
    assert found.keys() == tensors.keys()
    assert all(found[name].equal(tensors[name]) for name in tensors)


def test_the_format_of_torch_before_1_6_is_read_likewise(tmp_path: Path) -> None:
    beside = {"args": argparse.Namespace(lr=0.1), "best": np.float64(0.9)}
    torch.save(
        {**beside, "state_dict": state()},
        tmp_path / "old.pth",
        _use_new_zipfile_serialization=False,
    )
    assert read_file(tmp_path / "old.pth").keys() == state().keys()


def test_a_torchscript_program_is_explained(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # it is deprecated, and files of it are there
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(WeightsError, match=r"script\.pt: a TorchScript program, not weights"):
        read_file(tmp_path / "script.pt")


def test_no_constructor_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"args": argparse.Namespace(a=1), "model": state()}, tmp_path / "w.pth")

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("an object of the file was built")

    monkeypatch.setattr(argparse.Namespace, "__init__", forbidden)
    monkeypatch.setattr(argparse.Namespace, "__setattr__", forbidden)
    assert read_file(tmp_path / "w.pth").keys() == state().keys()


def test_the_weights_of_inference_come_first(tmp_path: Path) -> None:
    average = {name: torch.ones_like(tensor) for name, tensor in state().items()}
    torch.save(
        {"model": state(), "model_ema": average, "optimizer": {"state": {}}}, tmp_path / "w.pth"
    )
    assert read_file(tmp_path / "w.pth")["0.weight"].eq(1).all()


def test_wrappers_inside_of_wrappers_are_opened(tmp_path: Path) -> None:
    torch.save({"teacher": {"state_dict": state()}, "student": {}}, tmp_path / "w.pth")
    assert read_file(tmp_path / "w.pth").keys() == state().keys()


def test_a_whole_model_is_explained(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "whole.pth")
    with pytest.raises(
        WeightsError, match=r"torch\.nn\.modules\.container\.Sequential, a whole model"
    ):
        read_file(tmp_path / "whole.pth")


def test_what_a_file_holds_is_listed(tmp_path: Path) -> None:
    torch.save(
        {"optimizer": {"lr": 1}, "epoch": 3, "args": argparse.Namespace()}, tmp_path / "w.pt"
    )
    with pytest.raises(WeightsError) as caught:
        read_file(tmp_path / "w.pt")
    assert "optimizer (1 entries), epoch (int), args (argparse.Namespace)" in str(caught.value)
    assert "under one of state_dict, model_state_dict" in str(caught.value)


@pytest.mark.parametrize(
    "prefix", ["backbone.", "model.", "module.encoder.", "model.backbone.", "_orig_mod.net."]
)
def test_an_encoder_inside_of_another_network_is_found(prefix: str) -> None:
    tensors = {prefix + name: tensor for name, tensor in state().items()}
    module = network()
    load_weights(module, {**tensors, "head.weight": torch.zeros(5, 2)}, "w.ckpt")
    assert module[0].weight.equal(tensors[f"{prefix}0.weight"])


def test_prefixes_and_import_rules_go_together() -> None:
    foreign = {
        "backbone." + name.replace("0.", "conv.").replace("1.", "bn."): tensor
        for name, tensor in state().items()
    }
    module = network()
    rule = NameMap("theirs", {"conv.": "0.", "bn.": "1."}, head="fc.")
    load_weights(module, {**foreign, "backbone.fc.weight": torch.zeros(1)}, "w.pth", [rule])
    assert module[0].weight.equal(foreign["backbone.conv.weight"])


def test_an_incomplete_encoder_below_a_prefix_is_no_fit() -> None:
    tensors = {f"backbone.{name}": tensor for name, tensor in state().items()}
    del tensors["backbone.1.bias"]
    with pytest.raises(WeightsError, match=r"1 missing \(1\.bias\)$"):
        load_weights(network(), tensors, "w.pth")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_the_hub_is_a_source(tmp_path: Path, name: str) -> None:
    tensors = state()
    save_file(tensors, tmp_path / name) if name.endswith("rs") else torch.save(
        tensors, tmp_path / name
    )
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    assert source_problem(tmp_path) is None
    assert read_weights(tmp_path)["0.weight"].equal(tensors["0.weight"])
    assert folder_config(tmp_path) == {"architecture": "resnet18"}


def test_a_folder_without_weights_lists_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").touch()
    with pytest.raises(WeightsError, match=r"found model\.safetensors\.index\.json; .* parts"):
        weights_file_in(tmp_path)


@pytest.mark.parametrize("content", ["[1]", "{", '"a"'])
def test_a_damaged_config_of_a_folder_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsError, match=r"config\.json: "):
        folder_config(tmp_path)


def test_sources_are_told_from_published_names(tmp_path: Path) -> None:
    local = ["w.pth", "package:efficientnet_lite0", "some/folder", "~/w", str(tmp_path)]
    assert all(map(is_source, local))
    assert not any(map(is_source, ["DEFAULT", "IMAGENET1K_V1"]))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_broken_disk_is_not_called_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / f"weights{suffix}"
    save_file(state(), path) if suffix == ".safetensors" else torch.save(state(), path)
    monkeypatch.setattr(torch, "load", fail)
    monkeypatch.setattr(safetensors.torch, "load_file", fail)
    with pytest.raises(OSError, match="Input/output error"):
        read_file(path)
