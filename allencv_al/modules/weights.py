"""Weights files: reading them without running code from them, and fitting them to a module.

The only place that reads foreign weights: `.safetensors`, and `.pth`, `.pt`, `.th`, `.bin` through
`torch.load(weights_only=True)`.
"""

from __future__ import annotations

import logging
import re
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from allencv_al.common.config.names import listed
from allencv_al.common.errors import Fault, WeightsError

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".th", ".bin"})
"""Suffixes of weights files."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, of torch.compile
_LISTED = 12  # keys named in a message; the rest is counted

_SECONDS_TO_ANSWER = 5.0

_downloading: ContextVar[bool] = ContextVar("downloading", default=True)
_reading: ContextVar[bool] = ContextVar("reading", default=True)


@contextmanager
def building_without_weights() -> Iterator[None]:
    """Build modules without reading a weights file or the network.

    For callers that load all weights afterwards, as an archive does: the initial weights files of
    the training run need not be on this machine.
    """
    token = _reading.set(False)
    try:
        yield
    finally:
        _reading.reset(token)


@contextmanager
def without_downloads() -> Iterator[None]:
    """Build modules without downloading weights; check only that a download is possible.

    Files on this machine are read. For checks of a config that must not download.
    """
    token = _downloading.set(False)
    try:
        yield
    finally:
        _downloading.reset(token)


def downloading_enabled() -> bool:
    """Return whether a module under construction may download its weights."""
    return _downloading.get()


def unreachable(url: str) -> str | None:
    """Return why a download from an address fails; None if it is possible.

    Only the answer's header is asked for.

    Args:
        url: An address that a library publishes weights at.
    """
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310  none of a config's
        with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER):  # noqa: S310
            return None
    except (OSError, ValueError) as error:  # all of urllib's are OSErrors
        return str(error)


def reading_enabled() -> bool:
    """Return whether a module under construction should read its weights.

    Not inside `building_without_weights`, and not on the `meta` device, which holds no values.
    """
    return _reading.get() and torch.get_default_device().type != "meta"


def missing_file_faults(config: ConfigView, name: str = "weights_file") -> Iterator[Fault]:
    """Yield a fault if a config names a file that is absent, unless no weights are read now.

    For `config_faults`: a constructor raises a WeightsError instead.

    Args:
        config: The component's arguments.
        name: The one that names the file.
    """
    path = config.get(name) if config.sound(name) else None
    if path is not None and reading_enabled() and not Path(path).is_file():
        yield config.fault(name, f"no such file: {path}")


@dataclass(frozen=True)
class NameMap:
    """An import rule: the names in a foreign weights file, and those of a module of this package.

    Args:
        origin: The owner of the names, for messages.
        prefixes: Foreign prefix to our prefix. Where several fit, here and in `ignored`, the
            longest counts.
        ignored: Foreign prefixes of tensors that are knowingly left out.
        head: Foreign prefix of the classification layer (`fc.`), or nothing where the file has
            none that is a linear layer.
        substitutions: Regular expressions and replacements, applied to the foreign name first.
    """

    origin: str
    prefixes: Mapping[str, str]
    ignored: tuple[str, ...] = ()
    head: str = ""
    substitutions: Mapping[str, str] = field(default_factory=dict)

    def rename(self, name: str) -> str | None:
        """Return our name, or None for a tensor that is left out."""
        for pattern, replacement in self.substitutions.items():
            name = re.sub(pattern, replacement, name)
        left_out = [*self.ignored, self.head] if self.head else self.ignored
        targets: dict[str, str | None] = {**dict.fromkeys(left_out), **self.prefixes}
        fitting = [prefix for prefix in targets if name.startswith(prefix)]
        if not fitting:
            return name
        longest = max(fitting, key=len)
        own = targets[longest]
        return None if own is None else own + name.removeprefix(longest)

    def inside(self, encoder: str, head: str) -> NameMap:
        """Return the rule for a whole classifier instead of its encoder.

        Args:
            encoder: Our prefix of the encoder.
            head: Our prefix of the classification layer.
        """
        prefixes = {foreign: encoder + own for foreign, own in self.prefixes.items()}
        ignored = tuple(name for name in self.ignored if name != self.head)
        return replace(self, prefixes={**prefixes, self.head: head}, ignored=ignored, head="")


OUR_NAMES = NameMap("this module", {})
OUR_CLASSIFIER = NameMap(
    "an allencv_al classifier",
    {"_im2im_encoder.": ""},
    ignored=("_im2vec_encoder.", "_classification_layer."),
)


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU.

    A `state_dict` inside a checkpoint is found, the prefixes of `DataParallel` (`module.`) and
    `torch.compile` are taken off.

    Args:
        path: A `.safetensors`, `.pth`, `.pt`, `.th` or `.bin` file.

    Raises:
        WeightsError: The file is absent, damaged, or holds more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    if path.suffix not in SUFFIXES:
        raise WeightsError(
            f"{path}: expected a weights file ending in {', '.join(sorted(SUFFIXES))}"
        )
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    return _without_prefix(_state_dict_in(read(path), path))


def load_weights(
    module: torch.nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    name_maps: Sequence[NameMap] = (),
) -> None:
    """Copy tensors into a module; all of its parameters and buffers must be among them.

    The module's own names are tried first, then each import rule; the first that fits is taken.

    Args:
        module: The module to initialize.
        tensors: The weights by name.
        source: Their source, for messages.
        name_maps: Import rules for foreign names.

    Raises:
        WeightsError: None fits. The message is about the rule that came nearest, and names the
            missing and unexpected keys and those of another shape.
    """
    candidates = [_Candidate.of(module, tensors, rule) for rule in (OUR_NAMES, *name_maps)]
    # The rule that comes nearest gives the message: it is the one that was meant
    best = min(candidates, key=lambda candidate: candidate.distance)
    if best.distance:
        raise WeightsError(f"{source} does not fit {type(module).__name__}: {best.complaint()}")
    # strict=False for BatchNorm's num_batches_tracked, which files from before torch 0.4.1 lack.
    module.load_state_dict(best.tensors, strict=False)
    logger.info(
        "loaded %d tensors from %s (parameter names of %s)", len(tensors), source, best.rule.origin
    )


@dataclass(frozen=True)
class _Candidate:
    rule: NameMap
    tensors: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]

    @classmethod
    def of(
        cls, module: torch.nn.Module, tensors: Mapping[str, Tensor], rule: NameMap
    ) -> _Candidate:
        own = module.state_dict()
        found: dict[str, Tensor] = {}
        foreign_names: dict[str, str] = {}
        for foreign, tensor in tensors.items():
            name = rule.rename(foreign)
            if name is not None:
                found[name], foreign_names[name] = tensor, foreign
        wanted = [name for name in own if not name.endswith("num_batches_tracked")]
        reshaped = [
            f"{foreign_names[name]} is {_size(found[name])}, expected {_size(own[name])}"
            for name in own
            if name in found and found[name].shape != own[name].shape
        ]
        return cls(
            rule,
            found,
            [name for name in wanted if name not in found],
            [foreign_names[name] for name in found if name not in own],
            reshaped,
        )

    @property
    def distance(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.reshaped)

    def complaint(self) -> str:
        parts = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.reshaped,
        }
        found = (
            f"{len(names)} {kind} ({listed(names, _LISTED)})"
            for kind, names in parts.items()
            if names
        )
        return "; ".join(found)


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error
    return tensors


def _read_torch(path: Path) -> Any:
    _check_unpacked_size(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path}: cannot be read as tensors only (code in a weights file is never run): {cause}"
        ) from error


def _check_unpacked_size(path: Path) -> None:
    """Raise if a zip file unpacks to more than its size: PyTorch does not compress."""
    try:
        with zipfile.ZipFile(path) as file:
            unpacked = sum(info.file_size for info in file.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # the older format, or damaged: what reads it says so
    size = path.stat().st_size
    if unpacked > size:
        raise WeightsError(
            f"{path}: its {size:,} bytes unpack to {unpacked:,}, and PyTorch writes weights "
            "uncompressed: refused as a decompression bomb"
        )


def _state_dict_in(value: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(value, Mapping):
        for key in _WRAPPERS:
            if isinstance(value.get(key), Mapping):
                value = value[key]
                break
        if value and all(isinstance(item, Tensor) for item in value.values()):
            _check_dense(value, path)
            return {str(name): tensor for name, tensor in value.items()}
    held = listed(list(value), _LISTED) if isinstance(value, Mapping) else type(value).__name__
    raise WeightsError(
        f"{path}: expected tensors by name, or a checkpoint with a state_dict; found {held}"
    )


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
            f"{path}: expected dense tensors of real numbers, found {listed(odd, _LISTED)}"
        )


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if _all_start_with(tensors, prefix):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _all_start_with(names: Iterable[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)
