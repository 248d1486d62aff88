"""Fingerprints: equal where outputs would be, and only there."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from overrides import overrides
from torch import nn

from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model
from allencv_al.selection.pool.fingerprints import (
    decoding_fingerprint,
    describe,
    digest,
    embedding_fingerprint,
    weights_fingerprint,
)

RESIZE = {"type": "resize", "height": 8, "width": 8}
CONFIG: dict[str, Any] = {
    "type": "image_classification_directory",
    "augmentation": [RESIZE, {"type": "normalize"}],
}


def reader(**changes: Any) -> DatasetReader:
    made: DatasetReader = DatasetReader.from_params({**CONFIG, **changes})
    return made


def test_readers_of_one_config_have_one_fingerprint() -> None:
    assert decoding_fingerprint(reader()) == decoding_fingerprint(reader())


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": []},
        {"augmentation": [RESIZE]},
        {"augmentation": [{**RESIZE, "width": 9}, {"type": "normalize"}]},
        {"augmentation": [{**RESIZE, "interpolation": "area"}, {"type": "normalize"}]},
        {"augmentation": [RESIZE, {"type": "normalize", "mean": [0.5, 0.5, 0.5]}]},
        {"augmentation": [RESIZE, {"type": "bgr_normalize"}]},
        {"augmentation": [{"type": "normalize"}, {"type": "flip"}]},
        {"max_pixels": 1000},
    ],
)
def test_other_pixels_are_another_fingerprint(changes: dict[str, Any]) -> None:
    assert decoding_fingerprint(reader(**changes)) != decoding_fingerprint(reader())


@pytest.mark.parametrize(
    "changes", [{"lazy": False}, {"on_error": "raise"}, {"unlabeled": "always"}]
)
def test_what_does_not_touch_pixels_does_not_matter(changes: dict[str, Any]) -> None:
    assert decoding_fingerprint(reader(**changes)) == decoding_fingerprint(reader())


def test_readers_of_other_layouts_decode_alike() -> None:
    cifar = reader(type="cifar_binary")
    assert decoding_fingerprint(cifar) == decoding_fingerprint(reader())


def test_use_changes_nothing() -> None:
    """What transforms keep for the next picture is no part of what they are."""
    transforms = [RESIZE, {"type": "rotate", "p": 1}, {"type": "normalize"}]
    used, fresh = reader(augmentation=transforms), reader(augmentation=transforms)
    image = np.zeros((9, 9, 3), np.uint8)
    used.load(Instance("a", image), 0)
    deferred = used.deferred
    assert deferred is not None
    deferred(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    assert decoding_fingerprint(used) == decoding_fingerprint(fresh)
    assert decoding_fingerprint(pickle.loads(pickle.dumps(used))) == decoding_fingerprint(fresh)


def test_a_reader_that_decodes_in_its_own_way_is_described_whole() -> None:
    class Darker(DatasetReader):
        def __init__(self, by: int) -> None:
            super().__init__()
            self._by = by

        @overrides
        def decode(self, instance: Instance) -> Sample:
            sample = super().decode(instance)
            return Sample(sample.image // self._by)

    found = {decoding_fingerprint(made) for made in (Darker(2), Darker(3), reader())}
    assert len(found) == 3
    assert decoding_fingerprint(Darker(2)) in found


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from allencv_al.selection.pool.fingerprints import *; "
        "from allencv_al.data.dataset_readers.base import DatasetReader; "
        f"print(decoding_fingerprint(DatasetReader.from_params({CONFIG!r})))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == decoding_fingerprint(reader())


def network(change: Callable[[nn.Module], Any] = lambda model: None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    with torch.no_grad():
        change(model)
    return model


def test_equal_networks_have_one_fingerprint() -> None:
    assert weights_fingerprint(network()) == weights_fingerprint(network())
    assert weights_fingerprint(network().eval()) == weights_fingerprint(network())


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model[0].weight[1, 2].add_(1e-6),
        lambda model: model[1].running_mean[0].add_(1),
        lambda model: model.append(nn.ReLU()),
        lambda model: model[0].double(),
        lambda model: setattr(model[2], "p", 0.4),
        lambda model: setattr(model[1], "eps", 0.1),
    ],
)
def test_every_number_and_every_layer_matters(change: Callable[[nn.Module], Any]) -> None:
    assert weights_fingerprint(network(change)) != weights_fingerprint(network())


def test_numbers_of_every_type_can_be_read() -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.int64, torch.bool):
        module = nn.Module()
        module.register_buffer("x", torch.ones(3, dtype=dtype))
        module.register_buffer("scalar", torch.ones((), dtype=dtype))
        module.register_buffer("nothing", torch.ones(0, dtype=dtype))
        assert weights_fingerprint(module) == weights_fingerprint(module)


def test_a_part_of_the_state_can_be_all_that_matters() -> None:
    first, second = network(), network(lambda model: model[0].bias.add_(1))
    parts = [{"w": model.state_dict()["0.weight"]} for model in (first, second)]
    assert weights_fingerprint(first, parts[0]) == weights_fingerprint(second, parts[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.5),
        ("1", 1),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2), np.zeros(2, np.float32)),
        (Path("a"), Path("b")),
        (re.compile("a"), re.compile("b")),
        (int, str),
        (None, False),
    ],
)
def test_different_values_are_described_differently(one: Any, other: Any) -> None:
    assert describe(one) != describe(other)
    assert describe(one) == describe(pickle.loads(pickle.dumps(one)))


def test_the_order_of_mappings_and_sets_does_not_matter() -> None:
    assert describe({"a": 1, "b": {3, 2}}) == describe({"b": {2, 3}, "a": 1})


def test_what_refers_to_itself_is_described() -> None:
    value: list[Any] = [1]
    value.append(value)
    assert describe(value) == "[1, <itself>]"


def test_a_digest_tells_where_texts_end() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert len(digest()) == 64


def test_class_weights_from_labels_change_no_embedding() -> None:
    model = Model.from_params(
        {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "pool", "input_channels": 3},
            "class_weights": "balanced",
        },
        vocab=Vocabulary({"labels": {"cat": 1, "dog": 1}}),
    )
    before = embedding_fingerprint(model)
    model.balance_classes(np.array([0, 0, 0, 1]))
    assert embedding_fingerprint(model) == before
