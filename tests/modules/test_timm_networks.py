"""timm's networks by name, as timm itself builds them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import WeightsError
from allencv_al.modules import timm_networks
from allencv_al.modules.timm_networks import (
    build_network,
    image_size,
    known_model,
    network_config,
    published_names,
)


@pytest.mark.parametrize("name", ["resnet10t", "resnet10t.c3_in1k"])
def test_a_name_of_timm_is_no_problem(name: str) -> None:
    assert list(known_model(name)) == []


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet10x", "resnet10t"), ("resnet18.a1_in2k", "resnet18.a1_in1k"), ("nonsense", "")],
)
def test_another_name_is_a_problem_with_the_nearest_ones(name: str, near: str) -> None:
    [(parameter, message)] = known_model(name)
    assert parameter == "model" and message.startswith(f'timm has no model "{name}"')
    assert ("did you mean" in message) == bool(near) and near in message


@torch.no_grad()
@pytest.mark.parametrize("size", [160, 192])
def test_a_transformer_takes_any_size_that_its_patches_divide(size: int) -> None:
    network = build_network("test_vit", False, 3, None).eval()
    assert network(torch.zeros(1, 3, size, size)).shape == (1, 64)
    assert image_size(network, None) == (160, 160)
    assert image_size(network, 192) == (192, 192)


def test_a_network_is_built_for_one_size_where_that_is_asked_for() -> None:
    with torch.device("meta"):
        network = build_network("beit_base_patch16_224", False, 3, 256)
        assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 768)
        with pytest.raises(ConfigurationError, match="img_size: resnet10t is not built for one"):
            build_network("resnet10t", False, 3, 96)


def test_patches_that_do_not_divide_their_own_size_need_a_network_of_one_size() -> None:
    with torch.device("meta"):
        network = build_network("vit_so400m_patch14_siglip_384", False, 3, None)
        assert network(torch.zeros(1, 3, 384, 384)).shape == (1, 1152)


def test_a_pooling_that_a_network_refuses_is_its_own() -> None:
    with torch.device("meta"):
        assert build_network("resnet10t", False, 3, None, "")(torch.zeros(1, 3, 64, 64)).ndim == 4
        tokens = build_network("test_vit", False, 3, None, "avg")
        assert tokens(torch.zeros(1, 3, 160, 160)).shape == (1, 64)
        own = build_network("volo_d1_224", False, 3, None, "max")  # it knows avg and token only
        assert own(torch.zeros(1, 3, 224, 224)).shape == (1, 384)


def test_channels_are_those_of_the_images() -> None:
    with torch.device("meta"):
        network = build_network("resnet10t", False, 5, None)
        assert network(torch.zeros(1, 5, 64, 64)).shape == (1, 512)


def test_published_weights_lose_their_classifier() -> None:
    import timm

    with torch.device("meta"):
        names = published_names(build_network("resnet10t", False, 3, None))
        assert (names.head, names.ignored) == ("fc.", ())
        distilled = build_network("deit_tiny_distilled_patch16_224", False, 3, None)
        names = published_names(distilled)
        assert (names.head, names.ignored) == ("head.", ("head_dist.",))
    assert network_config(timm.create_model("test_vit"))["input_size"] == (3, 160, 160)
    assert network_config(torch.nn.Identity()) == {}


def test_without_network_the_message_says_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def no_network(*_: Any, **__: Any) -> Any:
        raise OSError("no network in tests")

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(WeightsError, match=r"no network in tests.* local file in weights_file"):
        build_network("resnet10t", True, 3, None)
    with pytest.raises(ConfigurationError, match="timm cannot build 'resnet10t': no network"):
        build_network("resnet10t", False, 3, None)


def test_a_check_downloads_nothing_and_names_what_cannot_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(timm_networks, "downloading_enabled", lambda: False)
    monkeypatch.setattr(timm_networks, "unreachable", lambda url: asked.append(url) or "it is off")
    with pytest.raises(WeightsError, match=r"resnet10t are not on this machine.*\(it is off\)"):
        build_network("resnet10t", True, 3, None)
    assert asked == ["https://huggingface.co/timm/resnet10t.c3_in1k"]
    monkeypatch.setattr(timm_networks, "unreachable", lambda url: None)
    build_network("resnet10t", True, 3, None)
