"""`PoolScorer`: batches of images through one model, its dropout members, or an ensemble."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.names import listed
from allencv_al.data.instance import LABEL_NAMESPACE, Instance
from allencv_al.models.inference_copy import inference_copy
from allencv_al.models.model import Model, head_outputs, model_outputs
from allencv_al.models.precision import Precision, StepPrecision
from allencv_al.predictors.batched_inference import BatchedInference, OutputBatch, device_of
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.pool.embedding_store import EmbeddingStore
from allencv_al.selection.pool.fingerprints import (
    decoding_fingerprint,
    digest,
    embedding_fingerprint,
    weights_fingerprint,
)
from allencv_al.selection.pool.mc_dropout import ConsistentDropout, dropouts
from allencv_al.selection.pool.pool_outputs import ARRAYS, shapes_of_nothing

OF_CLASSES = frozenset({"logits", "mc_logits", "embeddings"})
"""Outputs that an ensemble makes of the logits of its members."""

_MOST_CLASSES = 10
_FORMAT = 2  # increase it when the same models and options give other numbers


@dataclass(frozen=True)
class ScoringOptions:
    """Options for running models over a pool.

    Args:
        batch_size: Images per batch.
        mc_samples: For `mc_logits` of one model: how many members its dropout makes.
        seed: Decides their dropout masks.
        block_size: After how many images what is computed is written to the disk.
        memory_limit_mb: Limit of results in memory, in MiB; more are in files.
        description: Text of the progress bar; None shows no bar.
        precision: Number format of the encoders: "auto" is bf16 where the processor or GPU has it
            in hardware, else fp32; see the trainer for the others.
        store: Store of embeddings, for models that take them in place of
            images; not used beside a folder.
        fingerprint: For a folder: what its rows depend on, beside the images. By default all
            weights, the transforms, the outputs and their options; a caller may know better that
            some of these do not matter.
    """

    batch_size: int = 32
    mc_samples: int = 20
    seed: int = 0
    block_size: int = 1024
    memory_limit_mb: float = 1024.0
    description: str | None = "scoring"
    precision: Precision = "auto"
    store: EmbeddingStore | None = None
    fingerprint: str | None = None


DEFAULT_OPTIONS = ScoringOptions()


class PoolScorer:
    """Compute the needed outputs of images in as few forward passes as possible.

    Args:
        predictors: The models with their transforms. Several are an ensemble: `mc_logits` has one
            member for each, `logits` are the logarithm of their mean probability, `label_logits`
            and `scores` are those of it, `embeddings` are those of the first. With equal
            transforms each image is decoded once.
        needs: Some of `ARRAYS`.
        mc_samples: For `mc_logits` of one predictor: the number of dropout members.
        seed: Seed of their masks.
        precision: Number format of the encoders; see the trainer. From an embedding to logits all
            is float32 where the model takes embeddings, so that scores keep their digits.

    Raises:
        ConfigurationError: There is no predictor, the predictors differ in their classes, dropout
            is missing, an unknown output is needed, or fp16 is asked for on a CPU.
    """

    def __init__(
        self,
        predictors: Sequence[Predictor],
        needs: Collection[str],
        mc_samples: int = 20,
        seed: int = 0,
        precision: Precision = "auto",
    ) -> None:
        _check(predictors, needs, mc_samples)
        alone = len(predictors) == 1
        # The embeddings of an ensemble are those of its first model
        if alone or set(needs) <= {"embeddings"}:
            predictors = predictors[:1]
        self.predictors = tuple(predictors)
        self.needs = tuple(name for name in ARRAYS if name in needs)
        self.mc_samples = mc_samples if alone and "mc_logits" in needs else None
        self.seed = seed
        self._models: list[Model] = [predictor.model for predictor in self.predictors]
        decodings = [decoding_fingerprint(predictor.dataset_reader) for predictor in predictors]
        # Members with the same transforms share one decoded image
        self._decodings = list(dict.fromkeys(decodings))
        self._reader_of = [self._decodings.index(decoding) for decoding in decodings]
        self._precisions = [
            StepPrecision(precision, device_of(model), grad_scaling=False) for model in self._models
        ]
        self._encoders: dict[int, Model] = {}
        self._dropout = ConsistentDropout(self._models[0], seed)
        self._shares_embedding: bool | None = None

    @property
    def precisions(self) -> tuple[str, ...]:
        """The number format of each encoder: "fp32", "bf16" or "fp16"."""
        return tuple(precision.name for precision in self._precisions)

    def follows_from_embeddings(self) -> bool:
        """Return whether the embeddings of all models are enough to compute what is needed."""
        # Else dropout may stand before the embedding, and each member has embeddings of its own
        one_embedding = self.mc_samples is None or self._models[0].embedding_is_fixed()
        return one_embedding and all(model.takes_embeddings for model in self._models)

    def fingerprint(self) -> str:
        """Return a fingerprint of all that rows depend on besides the images."""
        of_model = embedding_fingerprint if self.needs == ("embeddings",) else weights_fingerprint
        options = {
            "format": _FORMAT,
            "outputs": self.needs,
            "weights": [of_model(model) for model in self._models],
            "decoding": [self._decodings[place] for place in self._reader_of],
            "precision": self.precisions,
            "dropout": None if self.mc_samples is None else [self.mc_samples, self.seed],
        }
        return digest(json.dumps(options))

    def shapes_of_nothing(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays for no images; the width of embeddings is unknown."""
        members = self.mc_samples or len(self._models)
        return shapes_of_nothing(len(_classes(self.predictors[0])), members)

    def batches(
        self, instances: Iterable[Instance], batch_size: int = 32
    ) -> Generator[OutputBatch, None, None]:
        """Return an iterator over the outputs, batch by batch, in the order of the instances.

        Args:
            instances: Read only as far ahead as needed.
            batch_size: Images per batch.
        """
        first = self.predictors[0]
        self._encoders = {}  # the models may have been trained since
        readers = [
            self.predictors[self._reader_of.index(place)].dataset_reader
            for place in range(len(self._decodings))
        ]
        inference = BatchedInference(
            torch.nn.ModuleList(self._models), readers, batch_size, first.num_threads
        )
        return inference.output_batches(instances, first.to_instance, self._compute())

    def _compute(self) -> Callable[..., dict[str, Tensor]]:
        if len(self._models) > 1:
            return self._of_ensemble if OF_CLASSES.issuperset(self.needs) else self._of_mean
        return self._of_one if self.mc_samples is None else self._of_dropout

    def _of_one(self, image: Tensor) -> dict[str, Tensor]:
        return self._outputs(0, image, self.needs)

    def _of_dropout(self, image: Tensor) -> dict[str, Tensor]:
        model = self._models[0]
        self._encoder(0, image)  # a copy must be made before dropout is changed
        plain = {name for name in self.needs if name != "mc_logits"}
        with self._dropout as dropout:
            if self._shares_embedding is None:
                self._shares_embedding = model.takes_embeddings and self._drops_behind(image[:1])
            if self._shares_embedding:  # encode once, then run the head for each member
                outputs = self._outputs(0, image, {*plain, "embeddings"})
                inputs = {"embedding": outputs["embeddings"]}
            else:
                outputs = self._outputs(0, image, plain)
                inputs = {"image": image}
            members = []
            for member in range(self.mc_samples or 0):
                dropout.use(member)
                if self._shares_embedding:
                    logits = model(**inputs)["logits"]
                else:
                    with self._precisions[0].autocast():
                        logits = model(**inputs)["logits"]
                members.append(logits.float())
        outputs["mc_logits"] = torch.stack(members, dim=1)
        return {name: outputs[name] for name in self.needs}

    def _drops_behind(self, image: Tensor) -> bool:
        """Return whether all dropout comes after the embedding."""
        # Counts the dropout layers that run on the way to the embedding
        calls = self._dropout.calls
        self._models[0].embed(image)
        return self._dropout.calls == calls

    def _of_ensemble(self, *images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        logits: list[Tensor] = []
        for number, image in enumerate(self._images_of_members(images)):
            # Embeddings of the first model only: those of different networks do not compare
            needs = {"logits", "embeddings"} & {"logits", *(self.needs if number == 0 else ())}
            outputs |= self._outputs(number, image, needs)
            # Half-precision logits would lose the tails of the mean probability
            logits.append(outputs["logits"].float().to(images[0].device))
        outputs["mc_logits"] = _stacked(logits)
        outputs["logits"] = log_mean_probability(outputs["mc_logits"])
        return {name: outputs[name] for name in self.needs}

    def _of_mean(self, *images: Tensor) -> dict[str, Tensor]:
        """Return what models without logits of images have of their mean, reduced at once."""
        outputs: dict[str, Tensor] = {}
        found: list[Mapping[str, Any]] = []
        for number, image in enumerate(self._images_of_members(images)):
            model = self._models[number]
            if number == 0 and "embeddings" in self.needs:
                outputs |= self._outputs(number, image, {"embeddings"})
            with self._precisions[number].autocast():
                found.append(_on(images[0].device, model(image=image)))
        mean = self._models[0].task.mean_outputs(found)
        outputs |= head_outputs(self._models[0], mean, {*self.needs} - {"embeddings"})
        return {name: outputs[name] for name in self.needs}

    def _images_of_members(self, images: Sequence[Tensor]) -> Iterator[Tensor]:
        for model, place in zip(self._models, self._reader_of, strict=True):
            yield images[place].to(device_of(model))

    def _outputs(self, number: int, image: Tensor, needs: Collection[str]) -> dict[str, Tensor]:
        """Return outputs of one model; a part of it that takes embeddings computes in float32."""
        model, precision = self._models[number], self._precisions[number]
        if not needs:
            return {}
        if not model.takes_embeddings:
            with precision.autocast():
                return model_outputs(model, image, needs)
        encoder = self._encoder(number, image)
        with precision.autocast():
            embeddings = encoder.embed(image).float()
        outputs = {"embeddings": embeddings}
        of_head = set(needs) - {"embeddings"}
        if of_head:
            outputs |= head_outputs(model, model(embedding=embeddings), of_head)
        return {name: rows for name, rows in outputs.items() if name in needs}

    def _encoder(self, number: int, image: Tensor) -> Model:
        """Return what embeds images for a model; made for the first batch, as there may be none."""
        model = self._models[number]
        if not model.takes_embeddings:
            return model
        if number not in self._encoders:
            shape = tuple(image.shape[1:])
            self._encoders[number] = inference_copy(model, self._precisions[number], shape)
        return self._encoders[number]


def log_mean_probability(members: Tensor) -> Tensor:
    """Return logits of the mean of the members' probabilities, `[B, S, C]` to `[B, C]`."""
    return members.log_softmax(dim=-1).logsumexp(dim=1) - math.log(members.shape[1])


def _on(device: torch.device, outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in outputs.items()
    }


def _stacked(logits: Sequence[Tensor]) -> Tensor:
    widths = [rows.shape[1] for rows in logits]
    if len(set(widths)) > 1:
        raise ConfigurationError(f"ensemble: expected equally many logits, found {widths}")
    return torch.stack(list(logits), dim=1)


def _check(predictors: Sequence[Predictor], needs: Collection[str], mc_samples: int) -> None:
    if not predictors:
        raise ConfigurationError("predictors: expected at least one, found none")
    unknown = sorted(set(needs) - set(ARRAYS))
    if unknown or not needs:
        found = ", ".join(unknown) or "nothing"
        raise ConfigurationError(f"needs: expected some of {', '.join(ARRAYS)}, found {found}")
    _check_kind(predictors, needs)
    if mc_samples < 1:
        raise ConfigurationError(f"mc_samples: expected at least 1, found {mc_samples}")
    if len(predictors) == 1 and "mc_logits" in needs and not dropouts(predictors[0].model):
        raise ConfigurationError(
            "mc_logits: expected a model with dropout or several models, found one without; train "
            'it with dropout ("model": {"dropout": 0.5, ...}), or give several archives of the '
            "same classes, trained from different seeds"
        )
    classes = [_classes(predictor) for predictor in predictors]
    for number, found_classes in enumerate(classes):
        if found_classes != classes[0]:
            raise ConfigurationError(
                "ensemble: expected the same classes in the same order, found "
                f"[{listed(classes[0], _MOST_CLASSES)}] in the first model and "
                f"[{listed(found_classes, _MOST_CLASSES)}] in model {number + 1}"
            )


def _check_kind(predictors: Sequence[Predictor], needs: Collection[str]) -> None:
    kinds = [predictor.model.label_task for predictor in predictors]
    if len(set(kinds)) > 1:
        raise ConfigurationError(
            f"ensemble: expected models of one kind of labels, found {' and '.join(kinds)}"
        )
    task = predictors[0].model.task
    absent = sorted(set(needs) - {"scores", *task.outputs})
    if absent:
        raise ConfigurationError(
            f'needs: a model of the kind "{kinds[0]}" has {", ".join(task.outputs)}, expected some '
            f"of them, found {', '.join(absent)}"
        )


def _classes(predictor: Predictor) -> list[str]:
    return list(predictor.model.vocab.get_index_to_token_vocabulary(LABEL_NAMESPACE).values())
