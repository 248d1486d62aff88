from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from allencv_al.common import ConfigurationError, Lazy, Params
from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.errors import WeightsError
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import BasicImageClassifier, Model
from allencv_al.modules.im2im_encoders import ResnetEncoder
from allencv_al.modules.im2vec_encoders import FlattenEncoder, Im2VecEncoder, PoolEncoder
from allencv_al.modules.weights import building_without_weights

SMALL: dict[str, Any] = {
    "type": "basic_image_classifier",
    "im2im_encoder": {
        "type": "feedforward",
        "input_channels": 3,
        "num_layers": 2,
        "hidden_channels": [4, 6],
        "activations": "relu",
        "downsample": True,
    },
    "im2vec_encoder": {
        "type": "flatten",
        "input_channels": 6,
        "input_height": 2,
        "input_width": 2,
    },
}
CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")


def vocabulary(count: int = 3, namespace: str = "labels") -> Vocabulary:
    return Vocabulary({namespace: dict.fromkeys(CLASSES[:count], 1)})


def build(count: int = 3, **changes: Any) -> BasicImageClassifier:
    model = Model.from_params(Params({**SMALL, **changes}), vocab=vocabulary(count))
    assert isinstance(model, BasicImageClassifier)
    return model


def batch(size: int = 5, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, 8, 8, generator=generator)
    return images, torch.randint(count, (size,), generator=generator)


def test_the_tutorials_python_form() -> None:
    vocab = Vocabulary({"labels": {"Cat": 1234, "Dog": 1234}})
    with torch.device("meta"):
        im2im_encoder = ResnetEncoder("resnet50")
        im2vec_encoder = FlattenEncoder(input_channels=2048, input_height=1, input_width=1)
        classifier = BasicImageClassifier(vocab, im2vec_encoder, im2im_encoder)
    names = [name for name, _ in classifier.named_parameters()]
    assert {name.split(".")[0] for name in names} == {"_im2im_encoder", "_classification_layer"}
    assert "_im2im_encoder.model.7.2.conv3.weight" in names
    assert classifier._classification_layer.weight.shape == (2, 2048)


def test_the_tutorials_config_form() -> None:
    config = {
        "type": "basic_image_classifier",
        "im2im_encoder": {
            "type": "pretrained_resnet",
            "resnet_model": "resnet50",
            "requires_grad": True,
        },
        "im2vec_encoder": {
            "type": "flatten",
            "input_channels": 2048,
            "input_height": 1,
            "input_width": 1,
        },
    }
    with torch.device("meta"):
        classifier = Model.from_params(Params(config), vocab=vocabulary())
        outputs = classifier(torch.empty(2, 3, 512, 512))
    assert outputs["probs"].shape == (2, 3)


def test_outputs() -> None:
    model = build(dropout=0.5).eval()
    images, labels = batch()
    unlabeled = model(images)
    assert set(unlabeled) == {"logits", "probs"}
    assert torch.allclose(unlabeled["probs"].sum(-1), torch.ones(5))
    labeled = model(images, labels)
    expected = torch.nn.functional.cross_entropy(unlabeled["logits"], labels)
    assert torch.allclose(labeled["loss"], expected)


def test_the_embedding_is_what_the_last_layer_sees() -> None:
    model = build().eval()
    images, _ = batch()
    vectors = model.embed(images)
    assert vectors.shape == (5, 24)
    assert torch.allclose(model._classification_layer(vectors), model(images)["logits"])


def test_without_an_im2im_encoder_the_image_itself_is_encoded() -> None:
    model = BasicImageClassifier(vocabulary(), FlattenEncoder(3, 8, 8))
    assert model(batch()[0])["logits"].shape == (5, 3)


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.2}, {"label_smoothing": 0.1}])
def test_it_learns(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = build(**changes).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    images, labels = batch(16)
    for _ in range(60):
        optimizer.zero_grad()
        model(images, labels)["loss"].backward()
        optimizer.step()
    model.get_metrics(reset=True)
    model(images, labels)
    assert model.get_metrics()["accuracy"] == 1.0


def test_the_multi_margin_loss_is_torchs() -> None:
    torch.manual_seed(0)
    model = build(loss="multi_margin", class_weights=[1.0, 2.0, 0.5]).eval()
    images, labels = torch.randn(6, 3, 8, 8), torch.tensor([0, 1, 2, 2, 1, 0])
    outputs = model(images, labels)
    expected = torch.nn.MultiMarginLoss(weight=torch.tensor([1.0, 2.0, 0.5]))
    torch.testing.assert_close(outputs["loss"], expected(outputs["logits"], labels))


def test_label_smoothing_and_class_weights_are_torchs() -> None:
    images, labels = batch()
    model = build(label_smoothing=0.1, class_weights=[1.0, 2.0, 0.5]).eval()
    outputs = model(images, labels)
    expected = torch.nn.functional.cross_entropy(
        outputs["logits"], labels, torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1
    )
    assert torch.allclose(outputs["loss"], expected)


def test_balanced_class_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    model = build(4, class_weights="balanced")
    labels = np.array([0] * 90 + [1] * 9 + [3])  # one image of a class, and a class without any
    assert model.class_weights is not None and model.class_weights.tolist() == [1.0] * 4
    model.balance_classes(labels)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    np.testing.assert_allclose(model.class_weights[[0, 1, 3]], expected)
    assert model.class_weights[2] == 1.0
    model.balance_classes(np.array([0, 1, 2, 3]))  # the next round
    assert model.class_weights.tolist() == [1.0] * 4


def test_weights_of_the_config_do_not_depend_on_labels() -> None:
    for weights in (None, [1.0, 2.0, 0.5]):
        model = build(class_weights=weights)
        model.balance_classes(np.array([0, 0, 1]))
        assert weights is None or model.get_buffer("_class_weights").tolist() == weights


def test_balanced_weights_are_kept_and_not_taken_from_a_weights_file(tmp_path: Path) -> None:
    balanced = build(class_weights="balanced")
    balanced.balance_classes(np.array([0, 0, 0, 1]))
    path = tmp_path / "model.safetensors"
    save_file(balanced.state_dict(), path)
    assert build(weights_file=path).class_weights is None
    other = build(class_weights="balanced", weights_file=path)
    assert other.get_buffer("_class_weights").tolist() == [1.0] * 3
    other.load_state_dict(balanced.state_dict())
    weights = [value.item() for value in other.get_buffer("_class_weights")]
    assert weights == pytest.approx([4 / 6, 2.0, 1.0])


def test_class_weights_by_name() -> None:
    by_name = build(class_weights={"cat": 3.0})
    by_index = build(class_weights=[1.0, 1.0, 3.0])
    by_index.load_state_dict(by_name.state_dict())
    images, labels = batch()
    assert torch.equal(
        by_name.eval()(images, labels)["loss"], by_index.eval()(images, labels)["loss"]
    )
    assert not any("class_weights" in name for name in by_name.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.5}, "dropout: expected float >= 0 and < 1, found 1.5"),
        ({"label_smoothing": -0.1}, "label_smoothing: expected float >= 0 and < 1, found -0.1"),
        (
            {"loss": "multi_margin", "label_smoothing": 0.1},
            'label_smoothing: expected 0 with loss "multi_margin", found 0.1',
        ),
        ({"num_labels": 0}, "num_labels: expected int >= 1, found 0"),
        ({"num_labels": 2}, 'num_labels: expected at least 3, the classes in "labels", found 2'),
        ({"class_weights": [1.0]}, "class_weights: expected 3 weights, one for each class"),
        ({"class_weights": [1.0, -1.0, 1.0]}, "class_weights.1: expected float >= 0, found -1.0"),
        ({"class_weights": {"cot": 1.0}}, 'class_weights: "cot" is no class.* "cat"'),
        ({"label_namespace": "tags"}, 'label_namespace: the vocabulary has no class in "tags"'),
        ({"weights_file": "/absent.pth"}, r"weights_file: no such file"),
        ({"initializer": {"regexes": [["nothing", "zero"]]}}, "'nothing' is found in no"),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(**changes)


def test_encoders_that_do_not_fit_are_an_error_for_python_callers_too() -> None:
    with torch.device("meta"):
        encoder = ResnetEncoder("resnet50")
        with pytest.raises(ConfigurationError, match=r"takes 2048x7x7, .* 2048x1x1"):
            BasicImageClassifier(vocabulary(), FlattenEncoder(2048, 7, 7), encoder)
        with pytest.raises(ConfigurationError, match=r"takes 512x\?x\?, .* 2048x1x1"):
            BasicImageClassifier(vocabulary(), PoolEncoder(512), encoder)


def test_readable_output_is_strict_json() -> None:
    model = build().eval()
    outputs = model.make_output_human_readable(model(batch()[0]))
    indices = outputs["probs"].argmax(-1)
    assert torch.equal(outputs["prediction"], indices)
    assert outputs["class"] == [CLASSES[i] for i in indices.tolist()]


def test_class_names_come_from_the_models_namespace() -> None:
    vocab = vocabulary(2, "species_labels")
    model = BasicImageClassifier(
        vocab, FlattenEncoder(3, 8, 8), num_labels=4, label_namespace="species_labels"
    )
    outputs = {"probs": torch.eye(4)}
    assert model.make_output_human_readable(outputs)["class"] == ["ant", "bee", "2", "3"]


def test_training_metrics_are_apart_and_cheap() -> None:
    model = build()
    images, labels = batch()
    model.train()(images, labels)
    assert set(model.get_metrics()) == {"accuracy"}
    training = model.get_metrics()["accuracy"]
    model.eval()(images.flip(0), labels)
    model.get_metrics(reset=True)
    assert model.train().get_metrics() == {"accuracy": training}
    assert set(model.metric_state()) == {"_accuracy"}


def test_metrics_of_the_config_stand_beside_its_own() -> None:
    model = build(metrics=["macro_f1", {"type": "f1", "positive_label": 0}])
    images, gold = batch()
    model(images, gold)
    training = model.collect_metrics()
    assert list(training) == ["accuracy", "macro_f1", "f1_precision", "f1_recall", "f1"]
    other = build(metrics=["macro_f1", {"type": "f1", "positive_label": 0}])
    other.load_metric_state(model.metric_state())
    assert other.collect_metrics() == training, "a mid-epoch checkpoint holds their sums"
    model.eval()(images, gold)
    found = model.collect_metrics(reset=True)
    assert found["f1"] == found["per_class_f1"]["ant"]


def test_an_evaluation_without_batches_has_metrics() -> None:
    metrics = build().eval().get_metrics(reset=True)
    assert metrics == {
        "accuracy": 0.0,
        "balanced_accuracy": 0.0,
        "macro_f1": 0.0,
        "roc_auc": 0.0,
        "average_precision": 0.0,
        "expected_calibration_error": 0.0,
        "per_class_accuracy": dict.fromkeys(CLASSES[:3]),
        "per_class_precision": dict.fromkeys(CLASSES[:3]),
        "per_class_f1": dict.fromkeys(CLASSES[:3]),
        "per_class_roc_auc": dict.fromkeys(CLASSES[:3]),
        "per_class_average_precision": dict.fromkeys(CLASSES[:3]),
        "confusion_matrix": [[0] * 3] * 3,
    }


def test_unlabeled_batches_leave_the_metrics_alone() -> None:
    model = build().eval()
    model(batch()[0])
    assert model.get_metrics()["confusion_matrix"] == [[0] * 3] * 3


def test_logits_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        outputs = build()(*batch())
    assert {tensor.dtype for tensor in outputs.values()} == {torch.float32}


def test_a_frozen_encoder_stays_in_eval_mode_through_the_model() -> None:
    encoder = ResnetEncoder("resnet18", pretrained=False)
    model = BasicImageClassifier(vocabulary(), PoolEncoder(512), encoder)
    model.train()
    assert model.training
    assert not any(module.training for module in encoder.modules())
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    images = torch.randn(2, 3, 64, 64)
    model(images, torch.tensor([0, 1]))["loss"].backward()
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert model._classification_layer.weight.grad is not None
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def view(changes: dict[str, Any]) -> ConfigView:
    from allencv_al.common.config.specs.annotations import spec_of
    from allencv_al.common.config.specs.type_specs import Scope

    found = spec_of(Model).view({**SMALL, **changes}, "model", Scope(assume_injected=True))
    assert found is not None
    return found


def shape_faults(
    shape: tuple[int, int | None, int | None] = (3, 8, 8), **changes: Any
) -> list[str]:
    return [str(fault) for fault in BasicImageClassifier.shape_faults(view(changes), shape)]


RESNET = {"type": "pretrained_resnet", "resnet_model": "resnet50"}


def flatten(channels: int, height: int, width: int) -> dict[str, Any]:
    return {
        "type": "flatten",
        "input_channels": channels,
        "input_height": height,
        "input_width": width,
    }


def test_a_chain_that_fits_has_no_fault() -> None:
    assert shape_faults() == []
    assert shape_faults((3, None, None)) == []
    right = flatten(2048, 1, 1)
    assert shape_faults((3, None, None), im2im_encoder=RESNET, im2vec_encoder=right) == []


@pytest.mark.parametrize(
    ("shape", "changes", "path", "found"),
    [
        ((3, 16, 16), {}, "model.im2vec_encoder", ("6x2x2", "6x4x4")),
        ((1, 8, 8), {}, "model.im2im_encoder", ("3x?x?", "1x8x8")),
        ((3, None, None), {"im2vec_encoder": flatten(5, 2, 2)}, "model.im2vec_encoder", ("5x2x2",)),
        (
            (3, 224, 224),
            {
                "im2im_encoder": {**RESNET, "do_last_layer_pooling": False},
                "im2vec_encoder": flatten(2048, 1, 1),
            },
            "model.im2vec_encoder",
            ("2048x1x1", "2048x7x7"),
        ),
        (
            (3, 8, 8),
            {"im2im_encoder": {"type": "torchvision", "model": "squeezenet1_1"}},
            "model.im2im_encoder",
            ("3x8x8", "too small"),
        ),
        ((3, 9, 8), {"im2im_encoder": None}, "model.im2vec_encoder", ("6x2x2", "3x9x8")),
    ],
)
def test_a_chain_that_does_not_fit_names_both_shapes(
    shape: tuple[int, int | None, int | None],
    changes: dict[str, Any],
    path: str,
    found: tuple[str, ...],
) -> None:
    faults = shape_faults(shape, **changes)
    assert len(faults) == 1
    assert faults[0].startswith(f"{path}: ")
    assert faults[0].count(path) == 1
    assert all(text in faults[0] for text in found)


@pytest.mark.parametrize(
    ("encoder", "scaling", "is_fault"),
    [
        ({"requires_grad": True}, "center_l2", True),
        ({"requires_grad": True}, "l2", False),
        ({"requires_grad": False}, "center_l2", False),
    ],
)
def test_statistics_of_embeddings_need_an_encoder_that_does_not_train(
    encoder: dict[str, Any], scaling: str, is_fault: bool
) -> None:
    changes = {
        "im2im_encoder": {"type": "cifar_resnet", "depth": 20, **encoder},
        "im2vec_encoder": {"type": "pool", "input_channels": 64},
        "embedding_scaling": scaling,
    }
    faults = shape_faults((3, 32, 32), **changes)
    assert [fault.startswith("model.embedding_scaling: ") for fault in faults] == [True] * is_fault
    if is_fault:
        with pytest.raises(ConfigurationError, match=r"embedding_scaling: .*freeze the encoder"):
            build(**changes)


def test_the_last_layer_sees_scaled_embeddings() -> None:
    model = build(embedding_scaling="l2").eval()
    image = batch(4)[0]
    embedding = model.embed(image)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(model(image)["logits"], model(embedding=embedding)["logits"])
    assert model.linear_layer(embedding).allclose(model(image)["logits"])


def test_the_shape_check_leaves_the_default_device_alone() -> None:
    for _ in BasicImageClassifier.shape_faults(view({}), (3, 16, 16)):
        assert torch.get_default_device().type == "cpu"


def test_weights_of_a_run_of_ours(tmp_path: Path) -> None:
    first = build()
    save_file(first.state_dict(), tmp_path / "model.safetensors")
    second = build(weights_file=str(tmp_path / "model.safetensors"))
    images, _ = batch()
    assert torch.equal(first.eval()(images)["logits"], second.eval()(images)["logits"])
    with pytest.raises(WeightsError, match=r"_classification_layer\.weight is 3x24, expected 5x24"):
        build(5, weights_file=str(tmp_path / "model.safetensors"))
    with building_without_weights():
        build(weights_file="/absent.pth")


def test_a_whole_torchvision_classifier(tmp_path: Path) -> None:
    network = models.resnet18(num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = build(
        im2im_encoder={
            "type": "pretrained_resnet",
            "resnet_model": "resnet18",
            "pretrained": False,
        },
        im2vec_encoder={"type": "pool", "input_channels": 512},
        weights_file=str(tmp_path / "w.pth"),
    ).eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.allclose(model(images)["logits"], network(images), atol=1e-5)


def test_the_initializer_comes_after_the_weights(tmp_path: Path) -> None:
    save_file(build().state_dict(), tmp_path / "model.safetensors")
    model = build(
        weights_file=str(tmp_path / "model.safetensors"),
        initializer={"regexes": [["_classification_layer.bias", "zero"]]},
    )
    assert model._classification_layer.bias.eq(0).all()
    assert model._classification_layer.weight.ne(0).any()


@pytest.mark.slow
def test_compiled_it_gives_the_same_in_a_single_graph() -> None:
    model = build()
    images, labels = batch()
    expected = model(images, labels)
    eager = model.get_metrics(reset=True)
    model.compile(backend="eager", fullgraph=True)
    for _ in range(3):
        found = model(images, labels)
    assert torch.allclose(found["loss"], expected["loss"], atol=1e-6)
    assert model.get_metrics() == eager
    assert not any("orig_mod" in name for name in model.state_dict())


def test_an_embedding_takes_the_place_of_the_image() -> None:
    model = build().eval()
    image, label = batch()
    direct = model(image=image, label=label)
    by_way = model(embedding=model.embed(image), label=label)
    assert all(torch.equal(direct[name], by_way[name]) for name in ("logits", "probs", "loss"))
    with pytest.raises(ValueError, match="either image or embedding"):
        model(image=image, embedding=model.embed(image))
    with pytest.raises(ValueError, match="either image or embedding"):
        model()


@pytest.mark.parametrize(
    ("im2im_encoder", "fixed"),
    [
        (SMALL["im2im_encoder"], False),
        ({"type": "cifar_resnet", "depth": 20, "requires_grad": False}, True),
        ({"type": "cifar_resnet", "depth": 20, "requires_grad": True}, False),
        (None, True),
    ],
)
def test_an_embedding_is_fixed_where_nothing_before_it_trains(
    im2im_encoder: dict[str, Any] | None, fixed: bool
) -> None:
    pool = {"type": "pool", "input_channels": 64 if im2im_encoder else 3}
    vector = SMALL["im2vec_encoder"] if im2im_encoder is SMALL["im2im_encoder"] else pool
    model = build(im2im_encoder=im2im_encoder, im2vec_encoder=vector)
    assert model.embedding_is_fixed() is fixed


@pytest.mark.parametrize("loss", ["cross_entropy", "multi_margin"])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("wrong", [3, -1, -100])
def test_a_label_that_is_no_class_is_named_by_every_loss(
    loss: str, weights: list[float] | None, wrong: int
) -> None:
    vocab = Vocabulary({"labels": dict.fromkeys("abc", 1)})
    options: dict[str, Any] = {"loss": loss, "class_weights": weights}
    model = BasicImageClassifier(vocab, FlattenEncoder(3, 2, 2), **options)
    with pytest.raises(ValueError, match=f"class index {wrong}: expected 0 to 2"):
        model(torch.rand(2, 3, 2, 2), torch.tensor([0, wrong]))


def test_classes_without_weight_alone_have_the_loss_0_and_no_gradient() -> None:
    vocab = Vocabulary({"labels": dict.fromkeys("ab", 1)})
    model = BasicImageClassifier(vocab, FlattenEncoder(3, 2, 2), class_weights=[0.0, 1.0])
    loss = model(torch.rand(2, 3, 2, 2), torch.tensor([0, 0]))["loss"]
    loss.backward()
    assert loss.item() == 0.0
    assert model.linear_layer.weight.grad is not None
    assert not model.linear_layer.weight.grad.any()


POOL = {"type": "pool"}
FLATTEN = {"type": "flatten"}
LAYERS = {"num_layers": 1, "hidden_dims": 5, "activations": "relu"}


def unstated(**changes: Any) -> dict[str, Any]:
    """Return a config that gives no size of what comes in."""
    encoder = {k: v for k, v in SMALL["im2im_encoder"].items() if k != "input_channels"}
    return {**SMALL, "im2im_encoder": encoder, "im2vec_encoder": FLATTEN, **changes}


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 6 * 2 * 2),
        ({"im2vec_encoder": POOL}, 6),
        ({"im2vec_encoder": {**FLATTEN, "feedforward": LAYERS}}, 5),
        ({"im2im_encoder": None}, 3 * 8 * 8),
        ({"im2im_encoder": None, "im2vec_encoder": POOL}, 3),
        ({"im2vec_encoder": {**FLATTEN, "input_height": 2}}, 6 * 2 * 2),
    ],
)
def test_sizes_that_a_config_leaves_out_come_from_what_is_before(
    changes: dict[str, Any], length: int
) -> None:
    config = unstated(**changes)
    assert shape_faults(**config) == []
    model = Model.from_params(config, vocab=vocabulary(), image_shape=(3, 8, 8))
    assert model.linear_layer.in_features == length
    assert model(batch()[0])["logits"].shape == (5, 3)


def test_an_own_encoder_gets_the_sizes_that_it_names() -> None:
    @Im2VecEncoder.register("corners_of_a_map", exist_ok=True)
    class Corners(Im2VecEncoder):
        def __init__(self, input_channels: int) -> None:
            super().__init__()
            self.channels = input_channels

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, :, 0, 0]

        def get_input_channels(self) -> int:
            return self.channels

        def get_output_dim(self) -> int:
            return self.channels

    config = unstated(im2vec_encoder={"type": "corners_of_a_map"})
    assert shape_faults(**config) == []
    assert Model.from_params(config, vocab=vocabulary()).linear_layer.in_features == 6


def test_a_size_that_varies_must_be_given() -> None:
    expected = [
        "model.im2vec_encoder.input_height: missing key, expected int >= 1",
        "model.im2vec_encoder.input_width: missing key, expected int >= 1",
    ]
    assert shape_faults((3, None, None), **unstated()) == expected
    with pytest.raises(ConfigurationError, match=r"im2vec_encoder\.input_height: missing key"):
        Model.from_params(unstated(), vocab=vocabulary())


def test_layers_of_another_length_are_a_fault_of_the_layers() -> None:
    layers = {**LAYERS, "input_dim": 25}
    config = unstated(im2vec_encoder={**FLATTEN, "feedforward": layers})
    (fault,) = shape_faults(**config)
    assert fault.startswith("model.im2vec_encoder.feedforward: expected 24, the length of a flat")


def test_in_python_an_encoder_may_be_built_later() -> None:
    encoder = Lazy(PoolEncoder, mode="max")
    model = BasicImageClassifier(vocabulary(), encoder, ResnetEncoder("resnet18", pretrained=False))
    assert model.linear_layer.in_features == 512


VIT = {"type": "timm", "model": "test_vit"}


def test_an_image_may_go_into_the_vector_encoder() -> None:
    config = {"im2im_encoder": None, "im2vec_encoder": VIT}
    assert shape_faults((3, 160, 160), **config) == []
    (fault,) = shape_faults((3, 161, 160), **config)
    assert "TimmVectorEncoder cannot take images of 3x161x160" in fault
    model = build(**config)
    names = {name for name, _ in model.named_parameters()}
    assert "_im2vec_encoder.model.blocks.0.attn.qkv.weight" in names
    assert not model.embedding_is_fixed()
    assert build(im2im_encoder=None, im2vec_encoder={**VIT, "requires_grad": False})
    loss = model(*batch_of(160))["loss"]
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_frozen_vector_encoder_has_fixed_embeddings() -> None:
    config = {"im2im_encoder": None, "im2vec_encoder": {**VIT, "requires_grad": False}}
    model = build(**config)
    assert model.embedding_is_fixed()
    assert BasicImageClassifier.fixed_embedding_in(view(config), (3, 160, 160))
    model.train()
    images, label = batch_of(160)
    embedding = model.embed(images)
    assert not embedding.requires_grad
    with_images = model(image=images, label=label)["loss"]
    assert torch.equal(model(embedding=embedding, label=label)["loss"], with_images)


def test_a_whole_vector_classifier_is_read_from_a_file(tmp_path: Path) -> None:
    import timm

    network = timm.create_model("test_vit", num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = build(im2im_encoder=None, im2vec_encoder=VIT, weights_file=str(tmp_path / "w.pth"))
    images, _ = batch_of(160)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images)["logits"], network(images))


def batch_of(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, size, size, generator=generator), torch.tensor([0, 2])
