"""Trained models as files: ``archive_model`` writes ``model.tar.gz``, ``load_archive`` reads it.

An archive is data. Reading one runs no code from it, writes nothing to the disk, and needs nothing
that the training run needed: not its images, not the weights file that it began with.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from allencv_al.common.config.params import Params, parse_overrides
from allencv_al.common.config.plugins import registered_names_only
from allencv_al.common.config.sources.jsonnet_file import apply_overrides
from allencv_al.common.errors import AllenCVError, ArchiveError, ConfigurationError
from allencv_al.common.names import did_you_mean
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.archive_contents import (
    ARCHIVE_NAME,
    BEST_WEIGHTS_NAME,
    ArchiveContents,
    check_config,
    read_archive,
    read_run_folder,
    write_archive,
)
from allencv_al.models.archive_format import CONFIG_NAME, WEIGHTS_NAME
from allencv_al.models.model import Model, resolve_device
from allencv_al.models.untrusted_build import (
    check_numbers,
    check_pictures,
    check_size,
    declared_numbers,
)
from allencv_al.modules.weights import building_without_weights, load_weights, read_weights

logger = logging.getLogger(__name__)


class Archive(NamedTuple):
    """A trained model with what belongs to it.

    Args:
        model: The model with its weights, in eval mode, on the device asked for.
        config: The config of the experiment, overrides included.
        dataset_reader: The reader with the transforms of training.
        validation_dataset_reader: The reader with the transforms of validation; the same as
            `dataset_reader` where the config has no other.
        meta: The versions of Python and packages that the archive was made with.
        samples: The files of images to try the model on, JPEG or PNG, in order.
    """

    model: Model
    config: Params
    dataset_reader: DatasetReader
    validation_dataset_reader: DatasetReader
    meta: dict[str, str]
    samples: tuple[bytes, ...] = ()

    def extract_module(self, path: str, freeze: bool = True) -> torch.nn.Module:
        """Return a part of the model, to build it into another one.

        Args:
            path: Its dotted name in the model (`_im2im_encoder.model.4`).
            freeze: Whether to switch off the gradients of its parameters.

        Raises:
            ConfigurationError: The model has no such part.
        """
        modules = dict(self.model.named_modules())
        if path not in modules:
            near = did_you_mean(path, [name for name in modules if name])
            raise ConfigurationError(f'the model of this archive has no module "{path}"{near}')
        module: torch.nn.Module = modules[path]
        for parameter in module.parameters():
            parameter.requires_grad_(not freeze)
        return module


def archive_model(
    serialization_dir: str | Path,
    weights: str | Path = BEST_WEIGHTS_NAME,
    archive_path: str | Path | None = None,
) -> Path:
    """Pack the model of a training run into an archive; the same run gives the same bytes.

    Args:
        serialization_dir: The folder of the run, with `config.json` and `vocabulary/`.
        weights: The safetensors file of the weights, in that folder or anywhere; "best" is short
            for the run's best ones.
        archive_path: The file to write; `model.tar.gz` in the folder of the run by default.

    Returns:
        The path of the archive.

    Raises:
        ArchiveError: Something is missing from the folder.
    """
    folder = Path(serialization_dir)
    weights_path = folder / (BEST_WEIGHTS_NAME if weights == "best" else weights)
    contents = read_run_folder(folder, weights_path)
    # Read once before it is packed: a damaged weights file must not become an archive
    _read_tensors(contents)
    _warn_of_unloadable(contents)
    path = folder / ARCHIVE_NAME if archive_path is None else Path(archive_path)
    write_archive(
        path, contents.config, contents.vocabulary, contents.weights, samples=contents.samples
    )
    logger.info("wrote %s", path)
    return path


def load_archive(
    archive_file: str | Path,
    cuda_device: int | str = -1,
    overrides: str | Mapping[str, Any] = "",
    weights_file: str | Path | None = None,
) -> Archive:
    """Read a trained model.

    Args:
        archive_file: A `model.tar.gz`, the folder that it was unpacked into, or the folder of a
            training run, finished or not (its best weights so far are taken).
        cuda_device: Device of the model: -1 is the CPU, n the n-th GPU, "auto" the first GPU if
            there is one.
        overrides: Changes to the config: jsonnet text, or a mapping with dotted keys.
        weights_file: Weights to take instead of the archive's own.

    Raises:
        ArchiveError: There is no archive, or it is damaged, foreign, unsafe, or names a type that
            is not registered.
        ConfigurationError: An override matches nothing; the GPU is not there.
        WeightsError: `weights_file` cannot be read or does not fit the model.
    """
    device = resolve_device(cuda_device)
    contents = read_archive(archive_file)
    config = apply_overrides(contents.config, parse_overrides(overrides))
    check_config(config, contents.source)
    params = Params(config)
    vocabulary = _build_vocabulary(contents, config)
    check_numbers(config.get("model"), "model", contents.source)
    with registered_names_only(), building_without_weights(), torch.random.fork_rng(devices=[]):
        given = None if weights_file is None else read_weights(weights_file)
        reader: DatasetReader = _build(DatasetReader, params, "dataset_reader", contents.source)
        has_other = params.get("validation_dataset_reader") is not None
        validation_reader: DatasetReader = (
            _build(DatasetReader, params, "validation_dataset_reader", contents.source)
            if has_other
            else reader
        )
        check_pictures(reader, contents.source)
        check_pictures(validation_reader, contents.source)
        extras = {"vocab": vocabulary, "image_shape": reader.image_shape()}
        check_size(
            # On the meta device: a few bytes of config can name a model of terabytes
            lambda: _build(Model, params.duplicate(), "model", contents.source, **extras),
            _numbers_of(contents, given),
            contents.source,
        )
        model: Model = _build(Model, params, "model", contents.source, **extras)
    _fill(model, contents, given, str(weights_file))
    model.to(device).eval()
    samples = tuple(content for _, content in sorted(contents.samples.items()))
    return Archive(model, params, reader, validation_reader, dict(contents.versions), samples)


def _build_vocabulary(contents: ArchiveContents, config: Mapping[str, Any]) -> Vocabulary:
    settings = config.get("vocabulary")
    tokens = {
        name: settings[name]
        for name in ("padding_token", "oov_token")
        if isinstance(settings, Mapping) and isinstance(settings.get(name), str)
    }
    source = f"{contents.source}: vocabulary"
    try:
        return Vocabulary.from_contents(contents.vocabulary, **tokens, source=source)
    except AllenCVError as error:
        raise ArchiveError(str(error)) from error


def _build(base: Any, params: Params, key: str, source: str, **extras: Any) -> Any:
    value = params.get(key)
    if not isinstance(value, (Params, str)):  # a name alone is short for an object
        raise ArchiveError(f"{source}: {CONFIG_NAME}: {key}: expected an object, found none")
    try:
        return base.from_params(value, **extras)
    except AllenCVError as error:
        raise ArchiveError(f"{source}: {CONFIG_NAME}: {error}") from error
    except Exception as error:  # a hostile or foreign config leads constructors anywhere
        raise ArchiveError(
            f"{source}: {CONFIG_NAME}: {key}: cannot be built: {type(error).__name__}: {error}"
        ) from error


def _numbers_of(contents: ArchiveContents, given: dict[str, torch.Tensor] | None) -> int:
    if given is not None:
        return sum(tensor.numel() for tensor in given.values())
    try:
        return declared_numbers(contents.weights)
    except ValueError as error:
        raise _no_safetensors(contents, error) from error


def _fill(
    model: Model, contents: ArchiveContents, given: dict[str, torch.Tensor] | None, file: str
) -> None:
    if given is not None:
        load_weights(model, given, file)
        return
    tensors = _read_tensors(contents)
    try:
        load_weights(model, tensors, f"{contents.source}: {WEIGHTS_NAME}")
    except AllenCVError as error:
        raise ArchiveError(str(error)) from error


def _read_tensors(contents: ArchiveContents) -> dict[str, torch.Tensor]:
    try:
        declared_numbers(contents.weights)
        return load_safetensors(bytes(contents.weights))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _no_safetensors(contents, error) from error


def _no_safetensors(contents: ArchiveContents, error: Exception) -> ArchiveError:
    # Only now: the length that a safetensors file begins with may have any first bytes
    if contents.weights.startswith((b"\x80", b"PK")):
        return ArchiveError(
            f"{contents.source}: {WEIGHTS_NAME} is a pickle (a PyTorch file), which can run "
            "code; weights must be in the safetensors format"
        )
    return ArchiveError(f"{contents.source}: {WEIGHTS_NAME} is not a safetensors file: {error}")


def _warn_of_unloadable(contents: ArchiveContents) -> None:
    try:
        check_config(contents.config, contents.source)
    except ArchiveError as error:
        logger.warning("this archive will be refused when it is loaded: %s", error)
