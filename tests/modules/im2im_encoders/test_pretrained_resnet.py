from __future__ import annotations

import email.message
import io
import re
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import WeightsError
from allencv_al.modules.im2im_encoders import Im2ImEncoder, ResnetEncoder


def no_network(*_: Any, **__: Any) -> Any:
    raise urllib.error.URLError("no network in tests")


@pytest.fixture(autouse=True)
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for downloads, and nothing to download from."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub_home"))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    return tmp_path / "hub_home" / "hub" / "checkpoints"


def test_parameter_names_are_the_tutorials() -> None:
    names = [
        name for name, _ in ResnetEncoder("resnet18", True, pretrained=False).named_parameters()
    ]
    groups = [r"^model\.(0|1)\.", r"^model\.4\.", r"^model\.5\.", r"^model\.6\.", r"^model\.7\."]
    assert all(sum(bool(re.search(group, name)) for group in groups) == 1 for name in names)
    assert all(any(re.search(group, name) for name in names) for group in groups)


@pytest.mark.parametrize("size", [64, 100, None])
def test_pooling_makes_any_size_1x1(size: int | None) -> None:
    with torch.device("meta"):
        encoder = ResnetEncoder("resnet50")
        assert encoder.output_shape(3, size, size) == (2048, 1, 1)
        unpooled = ResnetEncoder("resnet50", do_last_layer_pooling=False)
        assert unpooled.output_shape(3, 224, 224) == (2048, 7, 7)
        assert unpooled.output_shape(3, None, 224) == (2048, None, 7)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_every_resnet_is_there(name: Any) -> None:
    with torch.device("meta"):
        channels = ResnetEncoder(name).get_output_channels()
    assert channels == (512 if name in ("resnet18", "resnet34") else 2048)


def test_fewer_stages() -> None:
    encoder = ResnetEncoder("resnet18", True, 2, pretrained=False)
    assert encoder.output_shape(3, 64, 64) == (128, 1, 1)
    with pytest.raises(ConfigurationError, match="num_layers: expected int from 1 to 4, found 5"):
        ResnetEncoder("resnet18", num_layers=5, pretrained=False)


def test_unknown_resnets_are_config_faults() -> None:
    with pytest.raises(ConfigurationError, match="resnet18"):
        Im2ImEncoder.from_params({"type": "pretrained_resnet", "resnet_model": "resnet72"})


def test_it_computes_what_torchvision_does(tmp_path: Path) -> None:
    network = models.resnet18().eval()
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    encoder = ResnetEncoder("resnet18", weights_file=tmp_path / "resnet18.pth")
    image = torch.randn(2, 3, 64, 64)
    logits = network.fc(encoder(image).flatten(1))
    assert torch.allclose(logits, network(image), atol=1e-5)
    fewer = ResnetEncoder("resnet18", num_layers=3, weights_file=tmp_path / "resnet18.pth")
    assert torch.equal(fewer.model[6][0].conv1.weight, network.layer3[0].conv1.weight)


def test_a_file_of_another_resnet_names_the_keys(tmp_path: Path) -> None:
    torch.save(models.resnet18().state_dict(), tmp_path / "w.pth")
    message = r"w\.pth does not fit ResnetEncoder: .* missing \(model\.4\.2\.conv1\.weight"
    with pytest.raises(WeightsError, match=message):
        ResnetEncoder("resnet34", weights_file=tmp_path / "w.pth")


def test_without_network_the_message_says_which_file_goes_where(empty_hub: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        ResnetEncoder("resnet18")
    message = str(caught.value)
    assert "resnet18-f37072fd.pth" in message
    assert str(empty_hub) in message
    assert "no network in tests" in message


def test_a_file_put_there_is_found(empty_hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = models.resnet18()
    empty_hub.mkdir(parents=True)
    torch.save(network.state_dict(), empty_hub / "resnet18-f37072fd.pth")
    encoder = ResnetEncoder("resnet18")
    assert torch.equal(encoder.model[0].weight, network.conv1.weight)
    assert capsys.readouterr().out == ""


def test_a_download_says_nothing_on_stdout(
    empty_hub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        response = io.BytesIO(b"not weights")
        response.info = email.message.Message  # type: ignore[attr-defined]
        return response

    monkeypatch.setattr(torch.hub, "urlopen", broken)
    with pytest.raises(WeightsError, match="invalid hash value"):
        ResnetEncoder("resnet18")
    assert capsys.readouterr().out == ""
    assert not list(empty_hub.glob("*.pth"))


def test_a_frozen_random_network_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    ResnetEncoder("resnet18", pretrained=False)
    assert "frozen with random weights" in caplog.text
