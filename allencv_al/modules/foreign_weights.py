"""Weights files of others: the tensors in a checkpoint, read without running code from it.

`.safetensors` holds tensors only. PyTorch's own format is a pickle: `torch.load(weights_only=True)`
reads it, which builds nothing but tensors and containers. Checkpoints of training scripts hold more
(arguments, counters of NumPy, hyperparameters); such objects are replaced by empty ones.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from allencv_al.common.errors import WeightsError, is_machine_fault
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import listed

SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".th", ".bin", ".ckpt"})
"""Suffixes of weights files."""

MOST_LISTED = 12  # keys named in a message; the rest is counted

# Where checkpoints keep their weights, those that are used for inference first: torch's tutorials,
# Lightning, timm (`model_ema` beside `model` holds the better ones), DINO (`teacher`)
_WRAPPERS = ("state_dict", "model_state_dict", "model_ema", "teacher", "model")
_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")  # in this order, as the hub's clients
_CONFIG = "config.json"
# Of an attack, not of a checkpoint. Replaced they would not run either: it is for the message
_CODE = re.compile(
    r"(importlib|nt|os|posix|runpy|subprocess|sys)\..*"
    r"|(builtins|__builtin__)\.(__import__|compile|eval|exec|open)"
)


# torch's word for a name that it knows nothing of
_REFUSED = re.compile(r"Unsupported global: GLOBAL (\S+) was not an allowed global")


class _Replaced:
    """Stands for an object of a class that is not tensors: built, and holding nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _ReplacedDict(_Replaced):
    """Stands for a dictionary of another class: a plain one, into which torch writes items."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return {}


def weights_file_in(folder: Path) -> Path:
    """Return the weights file of a folder in the hub's layout.

    Args:
        folder: It holds `model.safetensors` or `pytorch_model.bin`, and mostly `config.json`.

    Raises:
        WeightsError: It holds neither.
    """
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    shards = [name for name in names if name.endswith(".index.json")]
    reason = "; weights in several parts are not read: join them into one file" if shards else ""
    raise WeightsError(
        f"{folder}: expected {' or '.join(_FOLDER_FILES)} in this folder, "
        f"found {listed(names)}{reason}"
    )


def folder_config(folder: Path) -> dict[str, Any]:
    """Return the `config.json` of a folder in the hub's layout; empty without one.

    Raises:
        WeightsError: It is not JSON, or no object.
    """
    path = folder / _CONFIG
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path}: expected an object, found {repr_json(config)}")
    return config


def read_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU.

    Args:
        path: A file with one of the known suffixes.

    Raises:
        WeightsError: The file is damaged, or holds no tensors by name.
    """
    if path.suffix not in SUFFIXES:
        raise WeightsError(
            f"{path}: expected a weights file ending in {', '.join(sorted(SUFFIXES))}"
        )
    if path.suffix == ".safetensors":
        return _state_dict_in(_read_safetensors(path), path)
    return _state_dict_in(_read_torch(path), path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        if is_machine_fault(error):
            raise
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error
    return tensors


def _read_torch(path: Path) -> Any:
    _check_zip(path)
    replaced = _names_to_replace(path)
    # Where torch could not list the unknown names before, it gives one with each attempt
    while True:
        code = [name for name in replaced if _CODE.fullmatch(name)]
        if code:
            raise WeightsError(
                f"{path}: cannot be read as tensors only (code in a weights file is never run): it "
                f"names {listed(code)}"
            )
        try:
            with torch.serialization.safe_globals([(_stand_in(name), name) for name in replaced]):
                return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file raises whatever its bytes lead to
            if is_machine_fault(error):
                raise
            refused = _REFUSED.search(str(error))
            if refused is None or refused[1] in replaced:
                raise _unreadable(path, error, replaced) from error
            replaced.append(refused[1])


def _unreadable(path: Path, error: Exception, replaced: list[str]) -> WeightsError:
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    others = f" (it also holds {listed(replaced)})" if replaced else ""
    return WeightsError(
        f"{path}: cannot be read as tensors only (code in a weights file is never run): "
        f"{cause}{others}; save the weights alone: torch.save(model.state_dict(), FILE)"
    )


def _names_to_replace(path: Path) -> list[str]:
    """Return the classes and functions in a file that torch does not know to be tensors' parts."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # no zip (torch before 1.6) or damaged: loading says so, one by one
        return []


def _stand_in(name: str) -> type[_Replaced]:
    """Return a class of its own for a name: torch finds what it may build by class."""
    base = _ReplacedDict if name.lower().endswith("dict") else _Replaced
    return type("Replaced", (base,), {"__doc__": name})


def _check_zip(path: Path) -> None:
    """Raise if a zip file is a program, or unpacks to more than its size.

    PyTorch does not compress.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # the older format, or damaged: what reads it says so
    if any(info.filename.endswith("/constants.pkl") for info in members):
        raise WeightsError(
            f"{path}: a TorchScript program, not weights; save those alone: "
            "torch.save(torch.jit.load(FILE).state_dict(), OTHER)"
        )
    unpacked, size = sum(info.file_size for info in members), path.stat().st_size
    if unpacked > size:
        raise WeightsError(
            f"{path}: its {size:,} bytes unpack to {unpacked:,}, and PyTorch writes weights "
            "uncompressed: refused as a decompression bomb"
        )


def _state_dict_in(value: Any, path: Path) -> dict[str, Tensor]:
    for tensors in _unwrapped(value):
        _check_dense(tensors, path)
        return {str(name): tensor for name, tensor in tensors.items()}
    raise WeightsError(
        f"{path}: expected tensors by name, or a checkpoint with them under one of "
        f"{', '.join(_WRAPPERS)}; found {_described(value)}"
    )


def _unwrapped(value: Any, depth: int = 3) -> Iterator[Mapping[Any, Tensor]]:
    """Yield the dictionaries of tensors in a checkpoint, the likeliest first."""
    if not isinstance(value, Mapping) or not depth:
        return
    for key in _WRAPPERS:
        yield from _unwrapped(value.get(key), depth - 1)
    if value and all(isinstance(item, Tensor) for item in value.values()):
        yield value


def _described(value: Any) -> str:
    if isinstance(value, _Replaced):
        return (
            f"an object of the class {type(value).__doc__}, a whole model perhaps; save its "
            "weights alone: torch.save(model.state_dict(), FILE)"
        )
    if not isinstance(value, Mapping):
        return type(value).__name__
    return listed([f"{name} ({_kind(item)})" for name, item in value.items()], MOST_LISTED)


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{len(value)} entries"
    return str(type(value).__doc__) if isinstance(value, _Replaced) else type(value).__name__


def _check_dense(tensors: Mapping[Any, Tensor], path: Path) -> None:
    """Raise if a tensor is not dense and real, so that a module cannot take it."""
    odd = [
        f"{name} ({tensor.device if tensor.is_meta else tensor.layout}, {tensor.dtype})"
        for name, tensor in tensors.items()
        if tensor.is_meta
        or tensor.layout != torch.strided
        or tensor.is_quantized
        or tensor.is_complex()
    ]
    if odd:
        raise WeightsError(
            f"{path}: expected dense tensors of real numbers, found {listed(odd, MOST_LISTED)}"
        )
