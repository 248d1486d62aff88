from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from allencv_al.common.errors import WeightsError
from allencv_al.modules.weights import (
    NameMap,
    building_without_weights,
    load_weights,
    read_weights,
    reading_enabled,
)


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code in a weights file was run')",))


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_state_dict_is_found_in_a_checkpoint(
    tmp_path: Path, wrapper: str | None, prefix: str
) -> None:
    module = network()
    state = {prefix + name: tensor for name, tensor in module.state_dict().items()}
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, tmp_path / "w.pth")
    tensors = read_weights(tmp_path / "w.pth")
    assert tensors.keys() == module.state_dict().keys()
    assert tensors["0.weight"].equal(module[0].weight)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.arange(3)}, tmp_path / "w.safetensors")
    assert read_weights(tmp_path / "w.safetensors")["a"].tolist() == [0, 1, 2]


def test_code_in_a_weights_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth: cannot be read as tensors only"):
        read_weights(tmp_path / "evil.pth")


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04broken", b"\x80\x02broken"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_one_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        read_weights(tmp_path / name)


def test_an_absent_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth: no such weights file"):
        read_weights(tmp_path / "absent.pth")
    (tmp_path / "weights.h5").touch()
    with pytest.raises(WeightsError, match=r"weights\.h5: expected a weights file ending in"):
        read_weights(tmp_path / "weights.h5")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"expected tensors by name.* found list"):
        read_weights(tmp_path / "list.pth")


def test_a_misfit_names_missing_unexpected_and_reshaped_keys() -> None:
    state = dict(network().state_dict())
    state["0.weight"] = torch.zeros(2, 4, 1, 1)
    state["head.weight"] = torch.zeros(1)
    del state["1.bias"]
    with pytest.raises(WeightsError) as caught:
        load_weights(network(), state, "w.pth")
    message = str(caught.value)
    assert "w.pth does not fit Sequential" in message
    assert "1 missing (1.bias)" in message
    assert "1 unexpected (head.weight)" in message
    assert "1 of another shape (0.weight is 2x4x1x1, expected 2x3x1x1)" in message


def test_quantized_weights_are_refused() -> None:
    state = {
        name: tensor.to(torch.int8) if tensor.is_floating_point() else tensor
        for name, tensor in network().state_dict().items()
    }
    with pytest.raises(WeightsError, match=r"of another type \(0\.weight is torch\.int8, expected"):
        load_weights(network(), state, "w.pth")


def test_nothing_is_copied_from_a_misfit() -> None:
    module = network()
    before = module[0].bias.clone()
    with pytest.raises(WeightsError):
        load_weights(module, {"0.bias": torch.full((2,), 9.0)}, "w.pth")
    assert module[0].bias.equal(before)


def test_a_long_list_of_keys_is_cut() -> None:
    extra = {f"extra.{i}": torch.zeros(1) for i in range(50)}
    with pytest.raises(WeightsError, match=r"50 unexpected \(extra\.0, .* and 38 more\)"):
        load_weights(network(), {**network().state_dict(), **extra}, "w.pth")


def test_the_import_rule_that_fits_is_taken() -> None:
    module = network()
    foreign = {
        name.replace("0.", "conv.").replace("1.", "bn."): tensor
        for name, tensor in network().state_dict().items()
        if not name.endswith("num_batches_tracked")  # absent from old files
    }
    foreign["fc.weight"] = torch.zeros(5)
    rules = [
        NameMap("others", {"c.": "0."}),
        NameMap("theirs", {"conv.": "0.", "bn.": "1."}, head="fc."),
    ]
    load_weights(module, foreign, "w.pth", rules)
    assert module[0].weight.equal(foreign["conv.weight"])


def test_the_message_is_about_the_rule_that_came_nearest() -> None:
    foreign = {"conv.weight": torch.zeros(2, 3, 1, 1), "conv.bias": torch.zeros(2)}
    rule = NameMap("theirs", {"conv.": "0.", "bn.": "1."})
    with pytest.raises(WeightsError, match=r"4 missing \(1\.weight, .*\)$"):
        load_weights(network(), foreign, "w.pth", [rule])


def test_longer_prefixes_come_first() -> None:
    rule = NameMap("theirs", {"": "model.", "features.": "model.0."}, ("classifier.",), "fc.")
    assert rule.rename("features.bias") == "model.0.bias"
    assert rule.rename("stem.bias") == "model.stem.bias"
    assert rule.rename("classifier.1.bias") is None
    assert rule.rename("fc.bias") is None
    whole = rule.inside("encoder.", "head.")
    assert whole.rename("fc.bias") == "head.bias"
    assert whole.rename("features.bias") == "encoder.model.0.bias"


def test_reading_can_be_switched_off() -> None:
    assert reading_enabled()
    with building_without_weights():
        assert not reading_enabled()
    with torch.device("meta"):
        assert not reading_enabled()
    assert reading_enabled()


@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path, is_compressed: bool) -> None:
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"w": torch.zeros(4_000_000)}, plain)
    how = zipfile.ZIP_DEFLATED if is_compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", how) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    if is_compressed:
        assert packed.stat().st_size < 100_000
        with pytest.raises(WeightsError, match=r"bytes unpack to 16,\d+,\d+, .* bomb"):
            read_weights(packed)
    else:
        assert torch.equal(read_weights(packed)["w"], torch.zeros(4_000_000))
    assert torch.equal(read_weights(plain)["w"], torch.zeros(4_000_000))


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, which discourages such tensors
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: torch.zeros(2, device="meta"), "a (meta, torch.float32)"),
        (lambda: torch.zeros(2).to_sparse(), "a (torch.sparse_coo, torch.float32)"),
        (lambda: torch.zeros(2, dtype=torch.complex64), "a (torch.strided, torch.complex64)"),
        (
            lambda: torch.quantize_per_tensor(torch.zeros(2), 0.5, 0, torch.qint8),
            "a (torch.strided, torch.qint8)",
        ),
    ],
    ids=["meta", "sparse", "complex", "quantized"],
)
def test_tensors_that_cannot_be_copied_are_named(
    tmp_path: Path, make: Callable[[], torch.Tensor], expected: str
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": make(), "b": torch.zeros(1)}, path)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert str(caught.value).endswith(f"expected dense tensors of real numbers, found {expected}")
