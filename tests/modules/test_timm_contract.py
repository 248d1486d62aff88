"""What the encoders `timm` promise, over every architecture of the installed timm.

Everything runs on the `meta` device: no weights, no arithmetic. The oracle of a shape is what timm
says of itself (`num_features`, `head_hidden_size`).
"""

from __future__ import annotations

import re

import pytest
import timm
import torch
from fixtures.doc_page import DocPage
from timm.models import is_model_in_modules, list_modules

from allencv_al.common import ConfigurationError
from allencv_al.modules.im2im_encoders import TimmEncoder
from allencv_al.modules.im2vec_encoders import TimmVectorEncoder

PAGE = DocPage("docs/how_to/encoders.md")
LARGE = "vit_so400m_patch14_siglip_384"  # 384 is no multiple of 14
DEEP = ("cait_xxs24_224", "convmixer_768_32", "ghostnet_050")
SAMPLE = (
    *(pytest.param(name, marks=pytest.mark.slow) for name in DEEP),
    "eva02_tiny_patch14_224",
    "lcnet_035",
    "levit_128s",
    "test_byobnet",
    "test_efficientnet",
    "test_mambaout",
    "test_vit4",
    LARGE,
    "vit_tiny_patch16_224",
)


def documented(sentence: str) -> set[str]:
    """Return the names in code type of the documented sentence in which these words stand."""
    words = re.escape(sentence).replace(r"\ ", r"\s+")
    found = re.search(rf"{words}:(.*?)\.\n", PAGE.text, re.DOTALL)
    assert found, sentence
    return set(re.findall(r"`(\w+)`", found[1]))


def vector_problem(name: str) -> str | None:
    """Return how the encoder refuses a network; None after the length told was the one given."""
    with torch.device("meta"):
        encoder = TimmVectorEncoder(name)
        try:
            told = encoder.get_output_dim()
        except ConfigurationError as error:
            return str(error)
        network = encoder.model
        assert told == (getattr(network, "head_hidden_size", None) or network.num_features), name
        encoder.check_input(3, *encoder._image_size)
    assert all(parameter.startswith("model.") for parameter, _ in encoder.named_parameters())
    return None


def map_problem(name: str) -> str | None:
    """Return how the encoder refuses a network; None after the shape told was a map's."""
    with torch.device("meta"):
        encoder = TimmEncoder(name)
        size = encoder.model.default_cfg["input_size"][1:]
        try:
            channels, height, width = encoder.output_shape(3, *size)
        except ConfigurationError as error:
            return str(error)
        given = encoder(torch.empty(2, 3, *size)).shape
    assert given == (2, channels, height, width), name
    assert channels == encoder.model.num_features, name
    assert height is not None and 1 <= height <= size[0], name
    return None


def ends_of(module: str) -> list[str]:
    """Return the first and the last network of a family, by name."""
    names = timm.list_models(module=module)
    return sorted({names[0], names[-1]}) if names else []


def check_vectors(names: list[str]) -> None:
    refused = {name: problem for name in names if (problem := vector_problem(name))}
    assert set(refused) == documented("give no vector") & set(names), refused
    assert all("not a vector" in problem for problem in refused.values())


@pytest.mark.parametrize("name", SAMPLE)
def test_a_network_is_a_vector(name: str) -> None:
    assert vector_problem(name) is None


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == LARGE else n for n in SAMPLE]
)
def test_a_network_has_a_map_or_is_refused_with_the_reason(name: str) -> None:
    problem = map_problem(name)
    assert problem is None or "not a feature map" in problem
    refused = is_model_in_modules(name, documented("are without a feature map"))
    assert (problem is not None) == (refused or name == "levit_128s")  # its sisters have maps


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("module", list_modules())
def test_a_family_is_vectors_or_documented(module: str) -> None:
    check_vectors(ends_of(module))


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("module", list_modules())
def test_every_network_is_a_vector_or_documented(module: str) -> None:
    check_vectors(timm.list_models(module=module))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("module", list_modules())
def test_a_family_has_maps_or_is_documented(module: str) -> None:
    ends = ends_of(module)
    refused = all(map_problem(name) for name in ends)
    assert not ends or refused == (module in documented("are without a feature map"))
