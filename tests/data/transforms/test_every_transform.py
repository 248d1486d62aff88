"""What holds for every registered transform."""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

import numpy as np
import pytest
from fixtures.transform_samples import (
    ARGUMENTS,
    MOVING,
    NAMES,
    built,
    full_sample,
    outcome,
    picture,
)

from allencv_al.common.config.config_check import check
from allencv_al.common.config.registrable import FromParams
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.errors import ConfigurationError
from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform

NORMALIZING = {"normalize", "bgr_normalize", "pretrained"}


def test_the_names_of_the_readme_are_there() -> None:
    expected = """resize smallest_max_size longest_max_size center_crop random_crop
        random_resized_crop pad_if_needed normalize bgr_normalize flip horizontal_flip vertical_flip
        rotate affine channel_shuffle color_jitter random_brightness_contrast hue_saturation_value
        gaussian_blur gauss_noise coarse_dropout to_gray elastic_transform grid_distortion
        random_bbox_safe_crop"""
    assert set(expected.split()) <= set(NAMES)


def test_each_is_registered_by_the_module_the_table_says(name: str) -> None:
    found = ImageTransform.by_name(name)
    assert found.__module__ == ImageTransform.builtin[name]


def test_each_parameter_is_documented(name: str) -> None:
    cls = ImageTransform.by_name(name)
    assert isinstance(cls, type)
    for argument in signature_of(cls).arguments.values():
        assert argument.description, f"{name}: {argument.name} has no description"


def test_uint8_pictures_stay_uint8_pictures(name: str) -> None:
    for seed in range(3):
        result = built(name, p=1)(picture(), seed)
        assert result.dtype == (np.float32 if name in NORMALIZING else np.uint8)
        assert result.ndim == 3
        assert result.shape[2] == 3
        assert result.flags.c_contiguous


def test_a_picture_with_all_its_labels_passes_through(name: str) -> None:
    result = built(name, p=1).apply(full_sample(), np.random.default_rng(0))
    assert result.mask is not None
    assert result.mask.dtype == np.uint8
    assert result.mask.shape == result.image.shape[:2]
    assert result.boxes is not None
    assert result.boxes.dtype == np.float32
    assert result.box_labels == ["block"] * len(result.boxes)
    assert result.keypoints is not None
    assert result.keypoints.dtype == np.float32
    assert result.keypoints.shape == (1, 2)


def test_empty_lists_of_boxes_and_points_stay_empty(name: str) -> None:
    sample = full_sample()
    sample.boxes, sample.box_labels = np.zeros((0, 4), np.float32), []
    sample.keypoints = np.zeros((0, 2), np.float32)
    result = built(name, p=1).apply(sample, np.random.default_rng(0))
    assert result.boxes is not None
    assert result.boxes.shape == (0, 4)
    assert result.box_labels == []
    assert result.keypoints is not None
    assert result.keypoints.shape == (0, 2)


def test_the_input_is_not_written_to(name: str) -> None:
    sample = full_sample()
    before = copy.deepcopy(sample)
    for array in (sample.image, sample.mask, sample.boxes, sample.keypoints):
        assert array is not None
        array.flags.writeable = False
    transform = built(name, p=1)
    for seed in range(3):
        transform.apply(copy.copy(sample), np.random.default_rng(seed))
    assert np.array_equal(sample.image, before.image)
    assert np.array_equal(sample.mask, before.mask)  # type: ignore[arg-type]


def test_one_seed_gives_one_result_whatever_ran_before(name: str) -> None:
    transform = built(name)
    first = [outcome(transform, seed) for seed in range(6)]
    again = [outcome(built(name), seed) for seed in reversed(range(6))]
    assert first == again[::-1]


def seed_globals(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  this is the state that must not matter


def global_state() -> object:
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002


def test_global_random_state_neither_matters_nor_moves(name: str) -> None:
    transform = built(name, p=1)
    seed_globals(1)
    expected = outcome(transform, 5)
    state = global_state()
    assert outcome(transform, 5) == expected
    assert global_state() == state
    seed_globals(2)
    assert outcome(transform, 5) == expected


def test_p_0_never_fires_and_always_apply_always_does(name: str) -> None:
    if name in NORMALIZING:
        return
    sample = full_sample()
    assert built(name, p=0).apply(sample, np.random.default_rng(0)) is sample
    assert outcome(built(name, p=0, always_apply=True), 1) == outcome(built(name, p=1), 1)


def test_it_fires_about_as_often_as_p_says(name: str) -> None:
    if name in NORMALIZING:
        return
    transform = built(name, p=0.3)
    sample = Sample(picture(41, 41))
    generator = np.random.default_rng(0)
    fired = sum(transform.apply(sample, generator) is not sample for _ in range(120))
    assert 20 <= fired <= 54  # 36 expected, 5.0 the standard deviation


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (7, 300)])
def test_odd_shapes_pass(name: str, shape: tuple[int, int]) -> None:
    arguments = {"pad_if_needed": True} if name in ("center_crop", "random_crop") else {}
    result = built(name, p=1, **arguments)(picture(*shape), seed=1)
    assert result.ndim == 3
    assert min(result.shape) >= 1


@pytest.mark.parametrize("shape", [(60, 80), (80, 60), (33, 47), (200, 31)])
def test_output_size_is_what_comes_out(name: str, shape: tuple[int, int]) -> None:
    arguments = {"pad_if_needed": True} if name in ("center_crop", "random_crop") else {}
    transform = built(name, p=1, **arguments)
    known = transform.output_size(*shape)
    assert transform(picture(*shape), seed=2).shape[:2] == known
    for partly in ((shape[0], None), (None, shape[1]), (None, None)):
        for said, known_one in zip(transform.output_size(*partly), known, strict=True):
            assert said in (None, known_one)


def test_output_size_is_unknown_where_chance_decides_it(name: str) -> None:
    if name in NORMALIZING:
        return
    transform = built(name, p=0.5)
    always = built(name, p=1).output_size(60, 80)
    kept = tuple(new if new == old else None for new, old in zip(always, (60, 80), strict=True))
    assert transform.output_size(60, 80) == kept


def test_it_goes_to_a_worker_and_works_the_same(name: str) -> None:
    transform = built(name)
    expected = [outcome(transform, seed) for seed in range(4)]
    sent = pickle.loads(pickle.dumps(transform))
    assert [outcome(sent, seed) for seed in range(4)] == expected


# Bad values


class Holder(FromParams):
    def __init__(self, augmentation: list[ImageTransform]) -> None:
        self.augmentation = augmentation


BAD = [
    ("resize", {"height": 0, "width": 5}, "height"),
    ("resize", {"height": 5, "width": -1}, "width"),
    ("resize", {"height": 5, "width": 5, "interpolation": "best"}, "interpolation"),
    ("resize", {"height": 5}, "width"),
    ("smallest_max_size", {"max_size": 0}, "max_size"),
    ("longest_max_size", {"max_size": -3}, "max_size"),
    ("center_crop", {"height": 0, "width": 1}, "height"),
    ("random_crop", {"height": 1, "width": 0}, "width"),
    ("random_crop", {"height": 1, "width": 1, "border_mode": "mirror"}, "border_mode"),
    ("random_resized_crop", {"height": 5, "width": 5, "scale": [0.5, 1.5]}, "scale"),
    ("random_resized_crop", {"height": 5, "width": 5, "scale": [0.8, 0.2]}, "scale"),
    ("random_resized_crop", {"height": 5, "width": 5, "ratio": [0, 1]}, "ratio"),
    ("random_bbox_safe_crop", {"height": 5, "width": 5, "erosion_rate": 2}, "erosion_rate"),
    ("pad_if_needed", {"min_height": 0}, "min_height"),
    ("horizontal_flip", {"p": 1.5}, "p"),
    ("vertical_flip", {"p": -0.1}, "p"),
    ("flip", {"p": "often"}, "p"),
    ("rotate", {"limit": -5}, "limit"),
    ("rotate", {"limit": [30, -30]}, "limit"),
    ("rotate", {"limits": 30}, "limits"),
    ("affine", {"scale": 0}, "scale"),
    ("affine", {"translate_px": 1, "translate_percent": 0.1}, "translate_px"),
    ("affine", {"shear": [5, 1]}, "shear"),
    ("elastic_transform", {"sigma": 0}, "sigma"),
    ("elastic_transform", {"alpha": -1}, "alpha"),
    ("elastic_transform", {"alpha_affine": -1}, "alpha_affine"),
    ("grid_distortion", {"num_steps": 0}, "num_steps"),
    ("grid_distortion", {"distort_limit": 1.2}, "distort_limit"),
    ("channel_shuffle", {"p": 2}, "p"),
    ("to_gray", {"p": 2}, "p"),
    ("color_jitter", {"brightness": -0.2}, "brightness"),
    ("color_jitter", {"contrast": [-0.2, 1]}, "contrast"),
    ("color_jitter", {"saturation": [1.2, 1]}, "saturation"),
    ("color_jitter", {"hue": 0.6}, "hue"),
    ("random_brightness_contrast", {"brightness_limit": 1.2}, "brightness_limit"),
    ("random_brightness_contrast", {"contrast_limit": [0.3, 0.1]}, "contrast_limit"),
    ("hue_saturation_value", {"hue_shift_limit": 181}, "hue_shift_limit"),
    ("hue_saturation_value", {"sat_shift_limit": 256}, "sat_shift_limit"),
    ("hue_saturation_value", {"val_shift_limit": [-300, 0]}, "val_shift_limit"),
    ("gaussian_blur", {"blur_limit": 4}, "blur_limit"),
    ("gaussian_blur", {"blur_limit": [5, 3]}, "blur_limit"),
    ("gaussian_blur", {"sigma_limit": -1}, "sigma_limit"),
    ("gauss_noise", {"var_limit": [50, 10]}, "var_limit"),
    ("gauss_noise", {"mean": 300}, "mean"),
    ("coarse_dropout", {"max_holes": 0}, "max_holes"),
    ("coarse_dropout", {"min_height": 9}, "max_height"),
    ("coarse_dropout", {"fill_value": "noise"}, "fill_value"),
    ("rand_augment", {"num_ops": -1}, "num_ops"),
    ("rand_augment", {"magnitude": 31}, "magnitude"),
    ("trivial_augment", {"p": 1.5}, "p"),
    ("normalize", {"std": [1, 0, 1]}, "std"),
    ("normalize", {"mean": [1, 0]}, "mean"),
    ("normalize", {"max_pixel_value": 0}, "max_pixel_value"),
    ("normalize", {"p": 0.5}, "p"),
    ("bgr_normalize", {"std": [1, 1, -1]}, "std"),
    ("pretrained", {**ARGUMENTS["pretrained"], "resize": 39}, "resize"),
    ("pretrained", {**ARGUMENTS["pretrained"], "height": 0}, "height"),
]


def test_each_transform_has_a_bad_value_in_the_list() -> None:
    assert {name for name, _, _ in BAD} == set(NAMES)


@pytest.mark.parametrize(
    ("name", "arguments", "culprit"), BAD, ids=[f"{n}-{c}-{i}" for i, (n, _, c) in enumerate(BAD)]
)
def test_a_bad_value_is_a_fault_at_its_path_before_anything_is_built(
    name: str, arguments: dict[str, Any], culprit: str
) -> None:
    config = {"augmentation": [{"type": "to_gray"}, {"type": name, **arguments}]}
    faults = check(Holder, config)
    assert [fault.path.split(".")[:3] for fault in faults] == [["augmentation", "1", culprit]]
    with pytest.raises(ConfigurationError, match=culprit):
        ImageTransform.from_params({"type": name, **arguments})


@pytest.mark.parametrize(("name", "arguments", "culprit"), BAD)
def test_a_bad_value_given_in_python_names_the_argument(
    name: str, arguments: dict[str, Any], culprit: str
) -> None:
    wrong_kind = {"interpolation", "border_mode", "limits", "fill_value", "mean"}
    if culprit in wrong_kind or "often" in arguments.values() or arguments == {"height": 5}:
        return  # a type checker's business
    with pytest.raises(ConfigurationError, match=rf"^{culprit}(\.\d)?: expected .* found "):
        ImageTransform.by_name(name)(**arguments)


def test_good_configs_have_no_faults(name: str) -> None:
    assert check(Holder, {"augmentation": [{"type": name, **ARGUMENTS.get(name, {})}]}) == []


@pytest.mark.parametrize("name", sorted({*NAMES} - {*MOVING, "pretrained"}))
def test_what_moves_no_pixel_moves_no_label(name: str) -> None:
    sample = full_sample()
    result = built(name, p=1).apply(sample, np.random.default_rng(0))
    assert result.mask is sample.mask
    assert result.boxes is sample.boxes
    assert result.box_labels is sample.box_labels
    assert result.keypoints is sample.keypoints
