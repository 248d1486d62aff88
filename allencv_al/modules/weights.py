"""Initial weights of a module: where they come from, and how they are fitted to it.

A *source* of weights is a file, a folder in the layout of the model hubs (`config.json` beside
`model.safetensors` or `pytorch_model.bin`), or `package:NAME` for the weights that an installed
package carries.
"""

from __future__ import annotations

import logging
import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from allencv_al.common.errors import Fault, WeightsError
from allencv_al.common.files.paths import expanded
from allencv_al.common.names import listed
from allencv_al.modules.foreign_weights import (
    MOST_LISTED,
    SUFFIXES,
    folder_config,
    read_file,
    weights_file_in,
)
from allencv_al.modules.packaged_weights import PREFIX, packaged_weights

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView

logger = logging.getLogger(__name__)

# Of DataParallel, torch.compile, Lightning, and of networks with a part of another task beside it
_PREFIXES = (
    *("module.", "_orig_mod.", "model.", "teacher.", "backbone.", "encoder."),
    *("base_encoder.", "encoder_q.", "network.", "net."),
)
_WRAPPED_DEEP = 3  # `module.encoder.backbone.`

_OF_TRANSFORMERS = re.compile(
    r"(^|\.)(embeddings\.(patch_embeddings?|cls_token|class_embedding)|encoder\.layers?\.\d+\.)"
)
_TRANSFORMERS_HINT = (
    "; these are names of the library transformers, which are not translated: take the file that "
    "timm publishes for the network, or the original release's"
)
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
        # HEAD: whether it is there, without hundreds of megabytes
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
    """Yield a fault if a config names weights that are absent, unless no weights are read now.

    For `config_faults`: a constructor raises a WeightsError instead.

    Args:
        config: The component's arguments.
        name: The one that names the source.
    """
    source = config.get(name) if config.sound(name) else None
    problem = source_problem(source) if source is not None and reading_enabled() else None
    if problem:
        yield config.fault(name, problem)


def source_problem(source: Path | str) -> str | None:
    """Return why there are no weights to read at a source; None if there are.

    Nothing but names is looked at.
    """
    try:
        path = weights_path(source)
    except WeightsError as error:
        return str(error)
    return None if path.is_file() else f"no such file: {source}"


def is_source(text: str) -> bool:
    """Return whether a text means weights on this machine, and not the name of published ones."""
    if text.startswith(PREFIX):
        return True
    path = expanded(text)
    return path.suffix in SUFFIXES or len(path.parts) > 1 or path.is_dir()


def weights_path(source: Path | str) -> Path:
    """Return the file of a source of weights; a file itself may be absent.

    Raises:
        WeightsError: The folder holds no weights, or the package is not installed or not known.
    """
    package = packaged_weights(source)
    if package is not None:
        return package.path()
    path = expanded(source)
    return weights_file_in(path) if path.is_dir() else path


Convert = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor] | None]
"""Returns tensors with the names and shapes of a module; None where it cannot."""


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
        # The longest is the most specific: `encoder.fc.` may be left out of `encoder.`
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
OUR_VECTOR_CLASSIFIER = NameMap(
    "an allencv_al classifier without im2im_encoder",
    {"_im2vec_encoder.": ""},
    ignored=("_classification_layer.",),
)


def read_weights(source: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a source of weights by name, on the CPU.

    The dictionary of tensors inside a checkpoint is found; the prefixes of `DataParallel`
    (`module.`) and `torch.compile` are taken off. Tensors of a package have timm's names.

    Args:
        source: A `.safetensors`, `.pth`, `.pt`, `.th`, `.bin` or `.ckpt` file, a folder in the
            hub's layout, or `package:NAME`.

    Raises:
        WeightsError: It is absent, damaged, or holds no tensors.
    """
    path = weights_path(source)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    package = packaged_weights(source)
    if package is None:
        return _without_wrappers(read_file(path))
    package.check(path)
    return {package.rename(name): tensor for name, tensor in read_file(path).items()}


def source_name(source: Path | str) -> str:
    """Return a source's name for messages, with the network that it is known to be of."""
    package, path = packaged_weights(source), expanded(source)
    architecture = None if package is None else package.model
    if path.is_dir():
        architecture = folder_config(path).get("architecture")
    return f"{source} (of {architecture})" if architecture else str(source)


class RowBuffers(torch.nn.Module):
    """A module whose buffers have as many rows as the state that is loaded into them."""

    def rows_fault(self) -> str | None:
        """Return why the rows of a state do not fit each other, None where they do."""
        return None

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            given = state_dict.get(prefix + name)
            if given is not None and given.shape[1:] == buffer.shape[1:]:
                # torch refuses another shape, so the buffer takes the state's before the copy
                setattr(self, name, buffer.new_empty(given.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if (fault := self.rows_fault()) is not None:
            raise WeightsError(f"{prefix.removesuffix('.')}: {fault}")


def load_weights(
    module: torch.nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    name_maps: Sequence[NameMap] = (),
    convert: Convert | None = None,
) -> None:
    """Copy tensors into a module; all of its parameters and buffers must be among them.

    The module's own names are tried first, then each import rule; the first that fits is taken.
    Where none does, the same is tried with what `convert` makes of the tensors, and with those
    below a usual prefix (`backbone.`, `model.`); what lies beside it, such as the head of another
    task, is left out.

    Args:
        module: The module to initialize.
        tensors: The weights by name.
        source: Their source, for messages.
        name_maps: Import rules for foreign names.
        convert: Changes names and shapes as the library of the network does.

    Raises:
        WeightsError: None fits. The message is about the rule that came nearest, and names the
            missing and unexpected keys and those of another shape.
    """
    own, rules = _expected(module, tensors), (OUR_NAMES, *name_maps)
    best: _Candidate | None = None
    for prefix, below in _forms(tensors, convert):
        found = [_Candidate.of(own, below, rule, prefix) for rule in rules]
        # The rule that comes nearest gives the message: it is the one that was meant
        best = min([best, *found] if best else found, key=lambda candidate: candidate.distance)
        if not best.distance:
            break
    assert best is not None, "the tensors themselves come first"
    if best.distance:
        hint = _TRANSFORMERS_HINT if any(map(_OF_TRANSFORMERS.search, tensors)) else ""
        complaint = f"{best.complaint()}{hint}"
        raise WeightsError(f"{source} does not fit {type(module).__name__}: {complaint}")
    # strict=False for BatchNorm's num_batches_tracked, which files from before torch 0.4.1 lack.
    module.load_state_dict(best.tensors, strict=False)
    logger.info(
        "loaded %d tensors from %s (parameter names of %s%s)",
        *(len(best.tensors), source, best.rule.origin),
        f", below {best.prefix}" if best.prefix else "",
    )


def _expected(module: torch.nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a module's state, with tensors in place of the buffers that take their rows."""
    own: dict[str, Tensor] = module.state_dict()
    for path, part in module.named_modules():
        if isinstance(part, RowBuffers):
            for name, buffer in part.named_buffers(path, recurse=False):
                if name in tensors and tensors[name].shape[1:] == buffer.shape[1:]:
                    own[name] = tensors[name]
    return own


@dataclass(frozen=True)
class _Candidate:
    rule: NameMap
    prefix: str
    tensors: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]
    retyped: list[str]

    @classmethod
    def of(
        cls, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], rule: NameMap, prefix: str
    ) -> _Candidate:
        found: dict[str, Tensor] = {}
        foreign_names: dict[str, str] = {}
        for foreign, tensor in tensors.items():
            name = rule.rename(foreign)
            if name is not None:
                found[name], foreign_names[name] = tensor, prefix + foreign
        wanted = [name for name in own if not name.endswith("num_batches_tracked")]
        reshaped = [
            f"{foreign_names[name]} is {_size(found[name])}, expected {_size(own[name])}"
            for name in own
            if name in found and found[name].shape != own[name].shape
        ]
        # Quantized: torch would copy the integers without the scale that belongs to them
        retyped = [
            f"{foreign_names[name]} is {found[name].dtype}, expected {own[name].dtype}"
            for name in own
            if name in found
            and own[name].is_floating_point()
            and not found[name].is_floating_point()
        ]
        return cls(
            rule,
            prefix,
            found,
            [name for name in wanted if name not in found],
            [foreign_names[name] for name in found if name not in own],
            reshaped,
            retyped,
        )

    @property
    def distance(self) -> int:
        parts = (self.missing, self.unexpected, self.reshaped, self.retyped)
        return sum(map(len, parts))

    def complaint(self) -> str:
        parts = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.reshaped,
            "of another type": self.retyped,
        }
        found = (
            f"{len(names)} {kind} ({listed(names, MOST_LISTED)})"
            for kind, names in parts.items()
            if names
        )
        return "; ".join(found)


def _forms(
    tensors: Mapping[str, Tensor], convert: Convert | None
) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield the tensors below each prefix, as they are and converted."""
    for prefix, below in _below_prefixes(tensors):
        yield prefix, below
        # Reached only where the names do not fit as they are: the caller stops at the first fit
        converted = None if convert is None else convert(below)
        if converted:
            yield prefix, converted


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off the prefixes of DataParallel and torch.compile, which are no part of a network."""
    for prefix in _PREFIXES[:2]:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _below_prefixes(
    tensors: Mapping[str, Tensor], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield the tensors, then those below each usual prefix without it, and so on inside."""
    yield prefix, tensors
    if prefix.count(".") == _WRAPPED_DEEP:
        return
    for start in _PREFIXES:
        below = {
            name.removeprefix(start): tensor
            for name, tensor in tensors.items()
            if name.startswith(start)
        }
        if below:
            yield from _below_prefixes(below, prefix + start)
