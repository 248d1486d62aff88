"""Benchmark sets find their data, and their configs are sound for every encoder."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.comparison.benchmark_sets import (
    SETS,
    DataPaths,
    among_candidates,
    benchmark_config,
    encoder_config,
    find_data,
)
from allencv_al.comparison.cells import check_comparison


def test_weights_stand_behind_the_name() -> None:
    offline = encoder_config("offline")
    assert offline is not None
    assert (offline["type"], offline["model"]) == ("timm", "tf_efficientnet_lite0")
    assert offline["weights_file"] == "package:efficientnet_lite0"
    own = encoder_config("squeezenet1_1:a/b.pth")
    assert own is not None
    assert (own["type"], own["model"], own["weights"]) == (
        "torchvision",
        "squeezenet1_1",
        "a/b.pth",
    )
    published = encoder_config("timm:vit_small_patch14_dinov2")
    assert published is not None
    assert published["pretrained"] is True and published["requires_grad"] is False
    assert encoder_config("pixels") is None
    text = encoder_config("open_clip:ViT-B-32:a/b.pth")
    assert text is not None
    assert (text["type"], text["model"], text["weights"]) == ("open_clip", "ViT-B-32", "a/b.pth")
    with pytest.raises(ConfigurationError, match="open_clip:ViT-B-32: names no weights; expected"):
        encoder_config("open_clip:ViT-B-32")


@pytest.mark.parametrize("name", SETS)
def test_the_config_of_every_set_is_sound(name: str, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    paths = DataPaths(str(tmp_path / "train"))
    config = benchmark_config(name, paths, "timm:test_efficientnet")
    check_comparison(Params(config), {"margin": {"type": "margin"}}, name)
    labels = {"honeypot": 60, "diverging_sine": 80}.get(name, 210)  # 21 points, as in BoSS
    assert config["active_learning"]["budget"] == labels


def test_images_of_many_sizes_have_no_pixels_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="many sizes; choose another encoder"):
        benchmark_config("cats_dogs", DataPaths(str(tmp_path)), "pixels", 10, 20)


def test_a_tar_archive_is_unpacked_once(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "src" / "pets" / part / "cat").mkdir(parents=True)
        (tmp_path / "src" / "pets" / part / "cat" / "1.jpg").touch()
    archive = tmp_path / "pets.tar"
    with tarfile.open(archive, "w") as file:
        file.add(tmp_path / "src" / "pets", "pets")
    paths = find_data("cats_dogs", archive, tmp_path / "run")
    root = Path(paths.train).parent
    assert root.is_relative_to(tmp_path / "run") and root.name == "pets"
    (root / "mark").touch()
    assert find_data("cats_dogs", archive, tmp_path / "run") == paths
    assert (root / "mark").exists()
    # Another archive of the same name is another data set
    with tarfile.open(archive, "w") as file:
        file.add(tmp_path / "src" / "pets", "other")
    assert "other" in find_data("cats_dogs", archive, tmp_path / "run").train


@pytest.mark.parametrize("name", ["cats_dogs"])
def test_data_that_cannot_be_fetched_are_described(name: str, tmp_path: Path) -> None:
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    with tarfile.open(tmp_path / "whole.tgz", "w:gz") as file:
        file.add(__file__)
    cut = (tmp_path / "whole.tgz").read_bytes()[:-500]
    (tmp_path / "cut.tgz").write_bytes(cut)
    for place in (tmp_path / "absent", tmp_path / "broken.tar", tmp_path / "cut.tgz"):
        with pytest.raises(DataError, match=r"--data: expected .*train/CLASS"):
            find_data(name, place, tmp_path / "run")


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_a_file_where_a_folder_is_expected_is_described(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"expected a folder.*found a file"):
        find_data(name, tmp_path / "file", tmp_path / "run")


def test_cifar_10_and_mnist_are_found_where_they_are(shared_data: Path, tmp_path: Path) -> None:
    cifar10 = find_data("cifar10", shared_data / "cifar10", tmp_path)
    assert cifar10.test == f"{shared_data / 'cifar10'}::test"
    mnist = find_data("mnist", shared_data / "mnist_test", tmp_path)
    assert mnist == DataPaths(f"{shared_data / 'mnist_test'}::test")


def test_of_a_large_pool_strategies_see_a_part_and_random_needs_none(tmp_path: Path) -> None:
    both = {"random": {"type": "random"}, "few": {"type": "margin"}}
    found = among_candidates(both, "cifar10")
    assert found["random"] == {"type": "random"}
    assert found["few"] == {"type": "subsample", "size": 1000, "strategy": {"type": "margin"}}
    assert among_candidates(both, "digits") == both
    assert among_candidates(both, "digits", 50)["few"]["size"] == 50
    (tmp_path / "points.npz").touch()
    config = benchmark_config("honeypot", DataPaths(str(tmp_path / "points.npz")), "offline")
    check_comparison(Params(config), found, "honeypot")
