"""Archives as models: what is packed computes the same when it is loaded, and runs no code."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, load_file, save, save_file

from allencv_al.common import Params
from allencv_al.common.errors import (
    ArchiveError,
    ConfigurationError,
    ConfigurationFaults,
    WeightsError,
)
from allencv_al.models.archive import Archive, archive_model, load_archive

IMAGE = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def logits(archive: Archive) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = archive.model(image=IMAGE)["logits"]
    return result


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        found = {info.name: tar.extractfile(info) for info in tar}
        return {name: file.read() for name, file in found.items() if file is not None}


def repack(path: Path, members: dict[str, bytes]) -> Path:
    """Pack changed members again, with a manifest that is right about them."""
    members = {name: content for name, content in members.items() if name != "manifest.json"}
    manifest = {
        "format": "allencv_al model archive",
        "format_version": 1,
        "versions": {},
        "members": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
        },
    }
    members["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_a_loaded_model_computes_what_the_archived_one_did(tiny_run: Path) -> None:
    path = archive_model(tiny_run)
    assert path == tiny_run / "model.tar.gz"
    archive = load_archive(path)
    expected = load_file(tiny_run / "best.safetensors")
    loaded = archive.model.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    assert not archive.model.training
    assert archive.model.vocab.get_token_from_index(2) == "Emu"
    assert isinstance(archive.config, Params)
    assert archive.config["model"]["type"] == "basic_image_classifier"
    assert len(archive.dataset_reader.augmentation) == 3
    assert len(archive.validation_dataset_reader.augmentation) == 2
    assert archive.meta["torch"] == torch.__version__.partition("+")[0]


def test_the_folder_of_the_run_and_the_unpacked_archive_give_the_same(
    tiny_run: Path, tmp_path: Path
) -> None:
    expected = logits(load_archive(tiny_run))
    path = archive_model(tiny_run, "best", tmp_path / "deep" / "other.tar.gz")
    for name, content in members_of(path).items():
        (tmp_path / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "unpacked" / name).write_bytes(content)
    for source in (path, tmp_path / "unpacked", str(tmp_path / "unpacked")):
        assert torch.equal(logits(load_archive(source)), expected)


def test_archiving_twice_gives_the_same_bytes(tiny_run: Path) -> None:
    first = archive_model(tiny_run).read_bytes()
    assert archive_model(tiny_run).read_bytes() == first


def test_without_a_validation_reader_the_other_one_serves(tiny_run: Path) -> None:
    archive = load_archive(tiny_run, overrides={"validation_dataset_reader": None})
    assert archive.validation_dataset_reader is archive.dataset_reader


def test_loading_leaves_the_random_state_alone(tiny_run: Path) -> None:
    before = torch.random.get_rng_state()
    load_archive(tiny_run)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_weights_file_that_training_began_with_is_not_needed(tiny_run: Path) -> None:
    config = json.loads((tiny_run / "config.json").read_text())
    config["model"]["im2im_encoder"] = {
        "type": "pretrained_resnet",
        "resnet_model": "resnet18",
        "weights_file": "/nowhere/resnet18.pth",
    }
    config["model"]["im2vec_encoder"] = {
        "type": "flatten",
        "input_channels": 512,
        "input_height": 1,
        "input_width": 1,
    }
    config["model"]["weights_file"] = "/nowhere/classifier.safetensors"
    (tiny_run / "config.json").write_text(json.dumps(config))
    from allencv_al.modules.weights import building_without_weights

    with building_without_weights():
        from allencv_al.data.vocabulary import Vocabulary
        from allencv_al.models.model import Model

        vocab = Vocabulary.from_files(tiny_run / "vocabulary")
        model = Model.from_params(config["model"], vocab=vocab).eval()
    save_file(model.state_dict(), tiny_run / "best.safetensors")
    with torch.no_grad():
        expected = model(image=IMAGE)["logits"]
    assert torch.equal(logits(load_archive(archive_model(tiny_run))), expected)


def test_buffers_that_are_not_saved_are_right_after_loading(tiny_run: Path) -> None:
    archive = load_archive(tiny_run, overrides={"model.class_weights": {"Cat": 2.0, "Emu": 0.5}})
    assert archive.model.get_buffer("_class_weights").tolist() == [2.0, 1.0, 0.5]
    assert not any(tensor.is_meta for tensor in archive.model.buffers())


def test_overrides_change_the_config(tiny_run: Path) -> None:
    archive = load_archive(tiny_run, overrides='{"model.dropout": 0.25}')
    assert archive.config["model"]["dropout"] == 0.25


def test_an_override_that_matches_nothing_is_an_error(tiny_run: Path) -> None:
    with pytest.raises(ConfigurationFaults, match="modle"):
        load_archive(tiny_run, overrides='{"modle.dropout": 0.5}')


def test_an_override_cannot_bring_in_a_dotted_type(tiny_run: Path) -> None:
    with pytest.raises(ArchiveError, match="is a path to code"):
        load_archive(tiny_run, overrides='{"model.type": "subprocess.Popen"}')


@pytest.mark.parametrize("key", ["model", "dataset_reader", "validation_dataset_reader"])
def test_a_name_alone_is_no_path_to_code_either(tiny_run: Path, key: str) -> None:
    with pytest.raises(ArchiveError, match="is a dotted type"):
        load_archive(tiny_run, overrides=json.dumps({key: "subprocess.Popen"}))


def test_other_weights_can_be_loaded(tiny_run: Path, tmp_path: Path) -> None:
    zeros = {n: torch.zeros_like(t) for n, t in load_file(tiny_run / "best.safetensors").items()}
    save_file(zeros, tmp_path / "zeros.safetensors")
    archive = load_archive(tiny_run, weights_file=tmp_path / "zeros.safetensors")
    assert torch.equal(logits(archive), torch.zeros(2, 3))


def test_other_weights_that_do_not_fit_are_named(tiny_run: Path, tmp_path: Path) -> None:
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors does not fit"):
        load_archive(tiny_run, weights_file=tmp_path / "other.safetensors")


def test_a_device_that_is_not_there_is_an_error(tiny_run: Path) -> None:
    with pytest.raises(ConfigurationError, match="GPU 99 was asked for"):
        load_archive(tiny_run, cuda_device=99)
    assert load_archive(tiny_run, cuda_device="auto").model is not None


@pytest.mark.parametrize("freeze", [True, False])
def test_a_module_can_be_taken_out(tiny_run: Path, freeze: bool) -> None:
    archive = load_archive(tiny_run)
    encoder = archive.extract_module("_im2im_encoder", freeze=freeze)
    assert encoder is archive.model.get_submodule("_im2im_encoder")
    assert {p.requires_grad for p in encoder.parameters()} == {not freeze}
    layer = archive.model.get_submodule("_classification_layer")
    assert all(p.requires_grad for p in layer.parameters())


def test_a_module_that_is_not_there_gets_a_suggestion(tiny_run: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'no module "_im2im_encodr".*_im2im_encoder'):
        load_archive(tiny_run).extract_module("_im2im_encodr")


@pytest.mark.parametrize("name", ["config.json", "best.safetensors", "vocabulary"])
def test_what_a_run_lacks_is_named(tiny_run: Path, name: str) -> None:
    path = tiny_run / name
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
    else:
        path.unlink()
    if name == "vocabulary":
        archive_model(tiny_run)
        with pytest.raises(ArchiveError, match="vocabulary"):
            load_archive(tiny_run / "model.tar.gz")
    else:
        with pytest.raises(ArchiveError, match=f"{name} is missing"):
            archive_model(tiny_run)


# -- Hostile archives -------------------------------------------------------------------------


class Canary:
    """Something that leaves a file behind if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def change_config(members: dict[str, bytes], change: Callable[[Any], None]) -> None:
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()


def attack_pickle(members: dict[str, bytes], canary: Path) -> None:
    members["model.safetensors"] = pickle.dumps(Canary(canary))


def attack_torch_file(members: dict[str, bytes], canary: Path) -> None:
    file = io.BytesIO()
    torch.save({"x": Canary(canary)}, file)
    members["model.safetensors"] = file.getvalue()


def attack_extra_pickle(members: dict[str, bytes], canary: Path) -> None:
    members["weights.th"] = pickle.dumps(Canary(canary))


def attack_popen(members: dict[str, bytes], canary: Path) -> None:
    evil = {"type": "subprocess.Popen", "args": ["touch", str(canary)]}
    change_config(members, lambda config: config.update(model=evil))


def attack_popen_as_reader(members: dict[str, bytes], canary: Path) -> None:
    evil = {"type": "os.system", "command": f"touch {canary}"}
    change_config(members, lambda config: config.update(validation_dataset_reader=evil))


def attack_dotted_encoder(members: dict[str, bytes], canary: Path) -> None:
    evil = {"type": "pathlib.Path.touch", "self": str(canary)}
    change_config(members, lambda config: config["model"].update(im2im_encoder=evil))


def attack_string_type(members: dict[str, bytes], canary: Path) -> None:
    change_config(members, lambda config: config["model"].update(im2im_encoder="evil_module.Evil"))


def attack_unregistered(members: dict[str, bytes], canary: Path) -> None:
    change_config(members, lambda config: config["model"].update(type="evil_model"))


def attack_pretrained(members: dict[str, bytes], canary: Path) -> None:
    evil = {"_pretrained": {"archive_file": str(canary), "module_path": ""}}
    change_config(members, lambda config: config["model"].update(im2im_encoder=evil))


def attack_weights_file(members: dict[str, bytes], canary: Path) -> None:
    file = canary.with_suffix(".pth")
    file.write_bytes(pickle.dumps(Canary(canary)))
    change_config(
        members, lambda config: config["model"].update(weights_file=str(file), nonsense=1)
    )


def attack_jsonnet_import(members: dict[str, bytes], canary: Path) -> None:
    members["config.json"] = b"(import '" + str(canary).encode() + b"') + {}"


def attack_jsonnet_importstr(members: dict[str, bytes], canary: Path) -> None:
    text = members["config.json"].rstrip().removesuffix(b"}")
    members["config.json"] = text + b', "secret": importstr "/etc/passwd"}'


def attack_traversal(members: dict[str, bytes], canary: Path) -> None:
    members[f"vocabulary/../../{canary.name}"] = b"evil"


def attack_absolute(members: dict[str, bytes], canary: Path) -> None:
    members[str(canary)] = b"evil"


def attack_plugin_file(members: dict[str, bytes], canary: Path) -> None:
    members["evil_module.py"] = f"import pathlib; pathlib.Path({str(canary)!r}).touch()".encode()


def attack_plugin_list(members: dict[str, bytes], canary: Path) -> None:
    members[".allennlp_plugins"] = b"evil_module\n"


def attack_vocabulary_name(members: dict[str, bytes], canary: Path) -> None:
    members["vocabulary/../labels.txt"] = b"x"


ATTACKS = [value for name, value in sorted(globals().items()) if name.startswith("attack_")]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_hostile_archive_is_refused_and_runs_nothing(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attack: Callable[[dict[str, bytes], Path], None],
    form: str,
) -> None:
    # A module of the name that some attacks mention, ready to be imported, runs the canary too.
    lure = tmp_path / "lure"
    lure.mkdir()
    canary = tmp_path / "canary"
    (lure / "evil_module.py").write_text(
        f"import pathlib; pathlib.Path({str(canary)!r}).touch()\nclass Evil: pass\n"
    )
    monkeypatch.syspath_prepend(lure)
    monkeypatch.chdir(lure)
    members = members_of(archive_model(tiny_run))
    attack(members, canary)
    path = repack(tmp_path / "evil.tar.gz", members)
    if form == "folder":
        names = [name for name in members_of(path) if ".." not in name and name[0] != "/"]
        content = members_of(path)
        path = tmp_path / "evil"
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content[name])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError) as caught:
        load_archive(path)
    assert str(path) in str(caught.value)
    assert not canary.exists()
    assert "evil_module" not in sys.modules
    assert sorted(tmp_path.rglob("*")) == before


def test_the_same_members_without_an_attack_are_loaded(tiny_run: Path, tmp_path: Path) -> None:
    members = members_of(archive_model(tiny_run))
    path = repack(tmp_path / "good.tar.gz", members)
    assert torch.equal(logits(load_archive(path)), logits(load_archive(tiny_run)))


def test_a_dotted_type_is_refused_even_if_its_package_was_included(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allencv_al.common.config.plugins import import_package

    (tmp_path / "included_package.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import_package("included_package")
    members = members_of(archive_model(tiny_run))
    change_config(members, lambda config: config["model"].update(type="included_package.Model"))
    with pytest.raises(ArchiveError, match="is a path to code"):
        load_archive(repack(tmp_path / "evil.tar.gz", members))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.pop("model"), "model: expected an object"),
        (lambda config: config.update(model=[]), "model: expected an object"),
        (lambda config: config.pop("dataset_reader"), "dataset_reader: expected an object"),
        (lambda config: config["model"].update(dropuot=0.5), "model.dropuot"),
        (lambda config: config["model"].update(dropout="high"), "model.dropout"),
        (lambda config: config["model"].update(num_labels=2), "num_labels"),
        (lambda config: config["dataset_reader"].update(lazy=1), "dataset_reader.lazy"),
    ],
)
def test_a_config_that_cannot_be_built_is_an_archive_error(
    tiny_run: Path, tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    members = members_of(archive_model(tiny_run))
    change_config(members, change)
    with pytest.raises(ArchiveError, match=message):
        load_archive(repack(tmp_path / "changed.tar.gz", members))


def test_weights_that_do_not_fit_are_an_archive_error(tiny_run: Path, tmp_path: Path) -> None:
    members = members_of(archive_model(tiny_run))
    members["model.safetensors"] = save({"other": torch.zeros(2)})
    with pytest.raises(ArchiveError, match=r"model\.safetensors does not fit .* missing"):
        load_archive(repack(tmp_path / "changed.tar.gz", members))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff" * 8,
        (1 << 40).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (60).to_bytes(8, "little")
        + b'{"x":{"dtype":"F32","shape":[9],"data_offsets":[0,9999999]}}',
    ],
)
def test_a_wrong_safetensors_header_is_an_archive_error(
    tiny_run: Path, tmp_path: Path, header: bytes
) -> None:
    members = members_of(archive_model(tiny_run))
    members["model.safetensors"] = header
    with pytest.raises(ArchiveError, match="is not a safetensors file"):
        load_archive(repack(tmp_path / "changed.tar.gz", members))


def test_a_run_with_a_dotted_type_is_archived_with_a_warning(
    tiny_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = json.loads((tiny_run / "config.json").read_text())
    changed = copy.deepcopy(config)
    changed["trainer"]["type"] = "my_package.my_module.MyTrainer"
    (tiny_run / "config.json").write_text(json.dumps(changed))
    archive_model(tiny_run)
    assert "will be refused when it is loaded" in caplog.text


def test_archiving_a_pickle_is_refused(tiny_run: Path) -> None:
    (tiny_run / "best.safetensors").write_bytes(pickle.dumps({}))
    with pytest.raises(ArchiveError, match="is a pickle"):
        archive_model(tiny_run)


# A safetensors file begins with the length of its header, a multiple of 8: one of 128 looks like a
# pickle, one of 19,280 ("PK") like the zip file that torch.save writes.
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(150, 3000).map(lambda count: 8 * count))
@example(length=128 + 5 * 256)
@example(length=19_280)
def test_weights_are_told_from_a_pickle_whatever_the_length_of_their_header(
    tiny_run: Path, length: int
) -> None:
    weights = load((tiny_run / "best.safetensors").read_bytes())
    content = save(weights, metadata={"filling": ""})
    filling = "x" * (length - int.from_bytes(content[:8], "little"))
    content = save(weights, metadata={"filling": filling})
    assert int.from_bytes(content[:8], "little") == length
    (tiny_run / "best.safetensors").write_bytes(content)
    loaded = load_archive(archive_model(tiny_run)).model.state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
