"""Configs in the spelling of AllenNLP 0.9, and the configs of version 0.1, work unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.active_learning.active_learning_experiment import experiment_class
from allencv_al.common import Params
from allencv_al.common.config.config_check import check
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.compat import allennlp
from allencv_al.training.experiment import Experiment, check_experiment

CONFIGS = Path(__file__).parent / "configs_0_1"
OLD = CONFIGS / "allennlp_0_9.jsonnet"


@pytest.fixture(autouse=True)
def warn_again() -> None:
    allennlp._warn.cache_clear()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    from PIL import Image

    for label in ("cat", "dog"):
        for number in range(4):
            file = tmp_path / "images" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number, 0, 0)).save(file)
    return tmp_path / "images"


def translated(**config: Any) -> dict[str, Any]:
    found = Params({"train_data_path": "images", **config}).as_dict()
    del found["train_data_path"]
    return found


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.jsonnet")), ids=lambda path: path.stem)
def test_a_config_of_version_0_1_has_no_fault(file: Path) -> None:
    variables = dict.fromkeys(("TRAIN_PATH", "VALIDATION_PATH", "TEST_PATH"), "images")
    params = Params.from_file(file, ext_vars={**variables, "environment": "{}"})
    assert check(experiment_class(params), params.as_dict()) == []


def test_every_old_key_has_a_new_place(caplog: pytest.LogCaptureFixture) -> None:
    config = Params.from_file(OLD, ext_vars={"TRAIN_PATH": "images"}).as_dict()
    assert config["data_loader"] == {"type": "basic", "batch_size": 4, "shuffle": False}
    assert config["validation_data_loader"] == {"type": "basic", "batch_size": 2}
    assert config["trainer"] == {
        "type": "gradient_descent",
        "num_epochs": 3,
        "cuda_device": -1,
        "precision": "mixed",
        "checkpointer": {
            "keep_most_recent_by_count": 3,
            "keep_serialized_model_every_num_seconds": 1000,
            "save_every_num_seconds": 2000,
        },
        "callbacks": [
            {
                "type": "tensorboard",
                "summary_interval": 20,
                "distribution_interval": 40,
                "batch_size_interval": 5,
                "should_log_parameter_statistics": False,
                "should_log_learning_rate": True,
            },
            "track_epoch_callback",
        ],
        "optimizer": {"type": "sgd", "lr": 0.1},
    }
    assert "iterator is now data_loader; the old key will be removed in 0.4" in caplog.messages
    assert len(caplog.messages) == 14
    Params.from_file(OLD, ext_vars={"TRAIN_PATH": "images"})
    assert len(caplog.messages) == 14, "warned of twice"


def test_overrides_in_the_old_spelling_change_an_old_config() -> None:
    overrides = {"iterator.batch_size": 8, "trainer.num_serialized_models_to_keep": 5}
    config = Params.from_file(OLD, overrides, {"TRAIN_PATH": "images"}).as_dict()
    assert config["data_loader"]["batch_size"] == 8
    assert config["trainer"]["checkpointer"]["keep_most_recent_by_count"] == 5


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"iterator": {}, "data_loader": {}}, "iterator"),
        (
            {"active_learning": {"pool_data_path": "a"}, "pool_data_path": "b"},
            "active_learning.pool_data_path",
        ),
        ({"trainer": {"use_amp": True, "precision": "fp32"}}, "trainer.use_amp"),
        (
            {
                "trainer": {
                    "model_save_interval": 60,
                    "checkpointer": {"save_every_num_seconds": 60},
                }
            },
            "trainer.model_save_interval",
        ),
        (
            {
                "trainer": {
                    "checkpointer": {
                        "num_serialized_models_to_keep": 1,
                        "keep_most_recent_by_count": 1,
                    }
                }
            },
            "trainer.checkpointer.num_serialized_models_to_keep",
        ),
    ],
)
def test_an_old_and_a_new_key_of_one_thing_are_a_fault(config: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigurationFaults, match="found both; leave this one out") as raised:
        translated(**config)
    assert [fault.path for fault in raised.value.faults] == [place]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {
                "dataset_reader": {
                    "augmentation": [{"type": "keypoint_resize", "height": 9}, "flip"]
                }
            },
            {"dataset_reader": {"augmentation": [{"type": "resize", "height": 9}, "flip"]}},
        ),
        (
            {
                "iterator": {"batch_size": 1},
                "model": {"type": "rpn"},
                "dataset_reader": {"augmentation": ["flip", {"type": "normalize"}]},
                "trainer": {},
            },
            {
                "data_loader": {"batch_size": 1},
                "model": {"type": "rpn"},
                "dataset_reader": {"augmentation": ["flip"]},
                "trainer": {},
            },
        ),
        (
            {"model": {"type": "rpn"}, "dataset_reader": {"augmentation": ["normalize"]}},
            {"model": {"type": "rpn"}, "dataset_reader": {"augmentation": ["normalize"]}},
        ),
        ({"trainer": "default"}, {"trainer": {"type": "gradient_descent"}}),
        (
            {"active_learning": {"pool_data_path": "a"}},
            {"active_learning": {}, "pool_data_path": "a"},
        ),
        ({"active_learning": {"pool_data_path": None}}, {"active_learning": {}}),
        ({"trainer": {"use_amp": False}}, {"trainer": {}}),
        ({"trainer": {"use_amp": True, "precision": "auto"}}, {"trainer": {"precision": "mixed"}}),
        ({"trainer": {"num_serialized_models_to_keep": None}}, {"trainer": {}}),
        (
            {"trainer": {"num_serialized_models_to_keep": 2, "checkpointer": "default"}},
            {"trainer": {"checkpointer": {"type": "default", "keep_most_recent_by_count": 2}}},
        ),
        (
            {"trainer": {"shuffle": True}, "data_loader": {"shuffle": False}},
            {"trainer": {}, "data_loader": {"shuffle": True}},
        ),
        ({"trainer": {"summary_interval": 5}}, {"trainer": {}}),
        (
            {"vocabulary": {"directory_path": "saved", "min_count": {"labels": 2}}},
            {"vocabulary": {"type": "from_files", "directory": "saved"}},
        ),
        (
            {"vocabulary": {"directory_path": "saved", "extend": True, "min_count": {"labels": 2}}},
            {"vocabulary": {"type": "extend", "directory": "saved", "min_count": {"labels": 2}}},
        ),
        (
            {"trainer": {"summary_interval": 5, "callbacks": [{"type": "tensorboard"}]}},
            {"trainer": {"callbacks": [{"type": "tensorboard", "summary_interval": 5}]}},
        ),
    ],
)
def test_an_old_value_means_what_it_meant(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert translated(**old) == new


def test_only_a_saved_vocabulary_can_be_extended() -> None:
    with pytest.raises(ConfigurationFaults, match=r"vocabulary\.extend: needs directory_path"):
        translated(vocabulary={"extend": True})


@pytest.mark.parametrize("trainer", [{"type": "mine", "shuffle": True}, {"type": "no_op"}, 3])
def test_other_trainers_keep_their_keys(trainer: Any) -> None:
    assert translated(trainer=trainer) == {"trainer": trainer}


def test_configs_that_are_no_experiments_keep_their_keys() -> None:
    assert Params({"iterator": 1}).as_dict() == {"iterator": 1}


def test_a_fault_of_a_translated_value_names_its_new_place(images: Path) -> None:
    config = Params.from_file(OLD, ext_vars={"TRAIN_PATH": str(images)}).as_dict()
    config["trainer"]["num_serialized_models_to_keep"] = 0
    config["trainer"]["checkpointer"] = None
    with pytest.raises(ConfigurationFaults, match=r"checkpointer\.keep_most_recent_by_count"):
        check_experiment(Params(config), "old.jsonnet", Experiment)


def test_a_run_of_an_old_config_is_recovered_and_evaluated(images: Path, tmp_path: Path) -> None:
    run, trained = tmp_path / "run", ["train", str(OLD), "-s", str(tmp_path / "run")]
    options = ["-V", f"TRAIN_PATH={images}", "-o", '{"trainer.callbacks": []}']
    assert main([*trained, *options]) == 0
    config = json.loads((run / "config.json").read_text())
    assert "iterator" not in config and config["trainer"]["type"] == "gradient_descent"
    # As version 0.1 wrote it
    config["iterator"] = config.pop("data_loader")
    config["trainer"]["num_serialized_models_to_keep"] = config["trainer"].pop("checkpointer")[
        "keep_most_recent_by_count"
    ]
    (run / "config.json").write_text(json.dumps(config))
    assert main([*trained, *options, "--recover"]) == 0
    assert main(["evaluate", str(run / "model.tar.gz"), str(images)]) == 0


def test_the_reference_names_every_old_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "config.md").read_text()
    table = page.partition("## Keys of AllenNLP 0.9")[2]
    for key in (*allennlp._MOVED, *allennlp._OF_TENSORBOARD, "keypoint_resize"):
        assert f"{key.rpartition('.')[2]}" in table


def test_a_null_of_the_tensorboard_callback_is_its_default() -> None:
    callback = {"type": "tensorboard", "summary_interval": None, "log_dir": None}
    found = translated(trainer={"callbacks": [callback]})
    assert found["trainer"]["callbacks"] == [{"type": "tensorboard", "log_dir": None}]


def test_python_code_may_give_an_old_config_as_a_plain_dictionary(images: Path) -> None:
    config = Params.from_file(OLD, ext_vars={"TRAIN_PATH": str(images)}).as_dict()
    config["iterator"] = config.pop("data_loader")
    assert isinstance(Experiment.from_params(config), Experiment)


@pytest.mark.parametrize(
    ("model", "path", "remedy"),
    [
        ({"type": "detectron_rpn"}, "model.type", '"rpn" with a backbone'),
        ("pretrained_detectron_faster_rcnn", "model.type", "fasterrcnn_resnet50_fpn"),
        ({"type": "faster_rcnn", "rpn": {"type": "detectron_rpn"}}, "model.rpn.type", '"rpn"'),
    ],
)
def test_models_of_weights_that_are_gone_name_what_to_use(
    model: Any, path: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationFaults) as raised:
        allennlp.translate({"model": model})
    (fault,) = raised.value.faults
    assert fault.path == path and remedy in fault.message
