"""timm's networks as vectors; `test_vit` and its sisters are timm's own smallest ones."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from fixtures import tiny_clip

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import WeightsError
from allencv_al.modules.im2im_encoders import TimmEncoder
from allencv_al.modules.im2vec_encoders import Im2VecEncoder, TimmVectorEncoder
from allencv_al.modules.network_encoder import NetworkEncoder
from allencv_al.modules.timm_networks import convert_checkpoint, published_names

SIZE = 160


def image(size: int = SIZE) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def with_weights(name: str, folder: Path, pool: str, **options: object) -> TimmVectorEncoder:
    """Return an encoder with the weights of timm's own network, which `saved` wrote."""
    return TimmVectorEncoder(name, pool, weights_file=folder / "w.pth", **options).eval()  # type: ignore[arg-type]


def saved(name: str, folder: Path) -> torch.nn.Module:
    network = timm.create_model(name).eval()
    torch.save(network.state_dict(), folder / "w.pth")
    return network


@pytest.mark.parametrize(
    "name",
    [
        "test_byobnet",  # average of a map
        "test_convnext",  # a norm behind the pooling
        "test_vit",  # class token
        "test_vit2",  # average of tokens, norm behind it
        "test_vit3",  # register tokens, attention pooling
        "test_mambaout",  # channels last
    ],
)
@torch.no_grad()
def test_the_vector_is_what_timms_own_classifier_gets(name: str, tmp_path: Path) -> None:
    network = saved(name, tmp_path)
    head = network.get_submodule(network.default_cfg["classifier"])
    seen: list[torch.Tensor] = []
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(image())
    vectors = with_weights(name, tmp_path, "model")(image())
    torch.testing.assert_close(vectors, seen[0].flatten(1))


@torch.no_grad()
def test_class_token_and_average_leave_register_tokens_out(tmp_path: Path) -> None:
    network = timm.create_model("test_vit", reg_tokens=3).eval()
    encoder = TimmVectorEncoder("test_vit", "cls_mean").eval()
    encoder.model = network
    tokens = network.forward_features(image())
    expected = torch.cat([tokens[:, 0], tokens[:, 4:].mean(1)], dim=1)
    assert torch.equal(encoder(image()), expected)


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_byobnet", "test_mambaout"])
def test_the_average_of_a_map_is_that_of_the_feature_encoder(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path)
    maps = TimmEncoder(name, weights_file=tmp_path / "w.pth").eval()(image())
    vectors = with_weights(name, tmp_path, "mean")(image())
    torch.testing.assert_close(vectors, maps.mean((2, 3)))


@pytest.mark.parametrize("pool", ["cls", "cls_mean"])
@pytest.mark.parametrize("name", ["resnet10t", "vit_base_patch16_siglip_224"])
def test_a_network_without_class_token_is_refused(name: str, pool: str) -> None:
    with (
        torch.device("meta"),
        pytest.raises(ConfigurationError, match=f'pool: {name} has no class token.*found "{pool}"'),
    ):
        TimmVectorEncoder(name, pool)  # type: ignore[arg-type]


@pytest.mark.parametrize("pool", ["cls", "mean"])
@pytest.mark.parametrize("name", ["pit_ti_224", "volo_d1_224"])
def test_tokens_of_unknown_order_are_not_pooled(name: str, pool: str) -> None:
    with (
        torch.device("meta"),
        pytest.raises(ConfigurationError, match=f"pool: {name} pools its tokens in a way of its"),
    ):
        TimmVectorEncoder(name, pool)  # type: ignore[arg-type]


def test_several_maps_have_no_average() -> None:
    with torch.device("meta"):
        encoder = TimmVectorEncoder("crossvit_tiny_240", "mean")
        with pytest.raises(ConfigurationError, match=r"several maps; expected .model"):
            encoder.get_output_dim()


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_vit", "eva02_tiny_patch14_224"])
def test_any_size_that_patches_divide_and_its_own_as_timm_computes_it(
    name: str, tmp_path: Path
) -> None:
    network = saved(name, tmp_path)
    size = network.default_cfg["input_size"][1]
    patch = network.patch_embed.patch_size[0]
    network.reset_classifier(0)
    encoder = with_weights(name, tmp_path, "model")
    torch.testing.assert_close(encoder(image(size)), network(image(size)))
    assert encoder(image(size + 2 * patch)).shape == (2, encoder.get_output_dim())
    encoder.check_input(3, size - patch, size + patch)
    with pytest.raises(ConfigurationError, match=r"cannot take images of 3x.*divisible by"):
        encoder.check_input(3, size + 1, size)


def test_a_network_of_one_size_is_built_for_another() -> None:
    name = "beit_base_patch16_224"
    with torch.device("meta"):
        with pytest.raises(ConfigurationError, match=r"cannot take images of 3x256x256.*224"):
            TimmVectorEncoder(name).check_input(3, 256, 256)
        encoder = TimmVectorEncoder(name, img_size=256)
        encoder.check_input(3, 256, 256)
        assert encoder.get_output_dim() == 768
        with pytest.raises(ConfigurationError, match="img_size: resnet10t is not built for one"):
            TimmVectorEncoder("resnet10t", img_size=96)


def test_weights_move_between_map_and_vector(tmp_path: Path) -> None:
    source = TimmEncoder("resnet10t")
    state = {f"_im2im_encoder.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({**state, "_classification_layer.weight": torch.zeros(2, 512)}, tmp_path / "w.pth")
    target = TimmVectorEncoder("resnet10t", weights_file=tmp_path / "w.pth")
    assert torch.equal(target.model.conv1[0].weight, source.model.conv1[0].weight)
    state = {f"_im2vec_encoder.{name}": tensor for name, tensor in target.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    TimmEncoder("resnet10t", weights_file=tmp_path / "w.pth")


def test_an_unknown_name_is_a_config_fault() -> None:
    with pytest.raises(ConfigurationError, match=r'model: timm has no model "vit_smal'):
        Im2VecEncoder.from_params({"type": "timm", "model": "vit_smal_patch14_dinov2"})


@torch.no_grad()
def test_weights_of_the_original_clip_are_converted(tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    original = open_clip.create_model(f"local-dir:{tiny_clip.write_tiny_clip(tmp_path)}").eval()
    torch.save(original.state_dict(), tmp_path / "clip.pt")
    network = timm.models.VisionTransformer(
        img_size=tiny_clip.SIZE,
        patch_size=8,
        embed_dim=16,
        depth=2,
        num_heads=2,
        pre_norm=True,
        act_layer="quick_gelu",
        num_classes=0,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-5),
    )
    network.pretrained_cfg = {"classifier": "head"}
    encoder = NetworkEncoder(network, 3, False, (published_names(network),))
    encoder.read_weights_file(tmp_path / "clip.pt", partial(convert_checkpoint, network=network))
    images = torch.randn(3, 3, tiny_clip.SIZE, tiny_clip.SIZE)
    original.visual.proj = None  # timm's vector is that before the projection
    torch.testing.assert_close(encoder(images), original.visual(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [64, 224])
def test_position_embeddings_are_fitted_to_another_size_as_timm_does(
    tmp_path: Path, size: int
) -> None:
    released = timm.create_model("test_vit")  # for 160 pixels
    torch.nn.init.normal_(released.pos_embed)
    tensors = released.state_dict() | {"mask_token": torch.zeros(1, 64)}  # as DINOv2 has
    torch.save(tensors, tmp_path / "w.pth")
    overlay = {"file": str(tmp_path / "w.pth"), "num_classes": 1000}
    oracle = timm.create_model(
        "test_vit", pretrained=True, pretrained_cfg_overlay=overlay, img_size=size
    )
    found = TimmVectorEncoder("test_vit", weights_file=tmp_path / "w.pth", img_size=size)
    assert found.model.pos_embed.shape != released.pos_embed.shape
    torch.testing.assert_close(found.model.pos_embed, oracle.pos_embed)
    torch.testing.assert_close(found.model.norm.weight, oracle.norm.weight)


@torch.no_grad()
def test_old_files_of_a_torchvision_densenet_are_converted(tmp_path: Path) -> None:
    original = torchvision.models.DenseNet(4, (2, 2, 2, 2), num_init_features=8).eval()
    old = {  # `norm.1` for `norm1`
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): tensor
        for name, tensor in original.state_dict().items()
        if not name.endswith("num_batches_tracked")  # which torch has since 0.4.1
    }
    torch.save(old, tmp_path / "w.pth")
    network = timm.models.DenseNet(4, (2, 2, 2, 2), num_classes=0)
    network.pretrained_cfg = {"classifier": "classifier"}
    encoder = NetworkEncoder(network, 3, False, (published_names(network),)).eval()
    encoder.read_weights_file(tmp_path / "w.pth", partial(convert_checkpoint, network=network))
    original.classifier = torch.nn.Identity()
    torch.testing.assert_close(encoder(image(64)), original(image(64)), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_file_of_a_torchvision_regnet_is_converted(tmp_path: Path) -> None:
    original = torchvision.models.regnet_y_400mf().eval()
    torch.save(original.state_dict(), tmp_path / "w.pth")
    encoder = TimmVectorEncoder("regnety_004", weights_file=tmp_path / "w.pth").eval()
    original.fc = torch.nn.Identity()
    torch.testing.assert_close(encoder(image(64)), original(image(64)), rtol=1e-4, atol=1e-4)


def test_the_layout_of_transformers_is_named(tmp_path: Path) -> None:
    tensors = {
        "embeddings.cls_token": torch.zeros(1, 1, 64),
        "encoder.layer.0.attention.attention.query.weight": torch.zeros(64, 64),
    }
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="names of the library transformers, which are not"):
        TimmVectorEncoder("test_vit", weights_file=tmp_path / "w.pth")


def test_weights_that_no_conversion_fits_are_explained(tmp_path: Path) -> None:
    tensors = timm.create_model("test_vit").state_dict()
    del tensors["blocks.1.attn.qkv.weight"]
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(model\.blocks\.1\.attn\.qkv\.weight\)"):
        TimmVectorEncoder("test_vit", weights_file=tmp_path / "w.pth", img_size=64)
