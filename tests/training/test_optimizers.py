"""Every registered optimizer against PyTorch's, and the groups they share."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.errors import CheckpointError, ConfigurationFaults
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.optimizers.muon import orthogonalize
from allencv_al.training.optimizers.torch_optimizers import SGD, Adam

TORCH_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
NAMES = [*TORCH_CLASSES, "muon"]


class Net(torch.nn.Module):
    """Two convolutions, a batch norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.body = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = self.body(self.norm(self.stem(image)).relu()).mean((2, 3))
        logits: torch.Tensor = self.head(hidden)
        return logits


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def named(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return list(model.named_parameters())


def make(config: Any, model: torch.nn.Module) -> Optimizer:
    return Optimizer.from_params(config, model_parameters=named(model))


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        images = torch.randn(8, 1, 6, 6, generator=generator)
        labels = (images.mean((1, 2, 3)) > 0).long()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_every_registered_optimizer_is_tested() -> None:
    assert sorted(NAMES) == sorted(Optimizer.list_available())
    assert Optimizer.list_available()[0] == "adam"


@pytest.mark.parametrize("name", TORCH_CLASSES)
@pytest.mark.parametrize("weight_decay", [None, 0.1])
def test_steps_like_pytorchs_with_the_same_defaults(
    name: str, weight_decay: float | None, net: Net
) -> None:
    twin = copy.deepcopy(net)
    options = {} if weight_decay is None else {"weight_decay": weight_decay}
    train(net, make({"type": name, **options}, net), 4)
    train(twin, TORCH_CLASSES[name](twin.parameters(), **options), 4)
    assert torch.equal(weights(net), weights(twin))


@pytest.mark.parametrize("name", NAMES)
def test_learns(name: str, net: Net) -> None:
    rates = {"adadelta": 1.0, "sgd": 0.3, "radam": 0.1}
    losses = train(net, make({"type": name, "lr": rates.get(name, 0.02)}, net), 60)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("name", NAMES)
def test_goes_on_bit_equal_from_its_state(name: str, net: Net) -> None:
    groups = [[["^stem"], {"lr": 0.01}], [["^head"]]]
    optimizer = make({"type": name, "parameter_groups": groups}, net)
    train(net, optimizer, 3)
    twin = copy.deepcopy(net)
    resumed = make({"type": name, "parameter_groups": groups}, twin)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(net, optimizer, 3)
    train(twin, resumed, 3)
    assert torch.equal(weights(net), weights(twin))


def test_refuses_the_state_of_other_parameters(net: Net) -> None:
    state = make({"parameter_groups": [[["^stem"]]]}, net).state_dict()
    other = make({"parameter_groups": [[["^body"]]]}, net)
    with pytest.raises(CheckpointError, match=r"only there \['stem.bias', 'stem.weight'\]"):
        other.load_state_dict(state)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_documented(name: str) -> None:
    arguments = signature_of(Optimizer.resolve(name)[0]).arguments
    assert [a.name for a in arguments.values() if not a.description] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_negative_rate_is_a_fault_and_an_error(name: str, net: Net) -> None:
    with pytest.raises(
        ConfigurationFaults, match=r"lr: expected (a number of at least 0|float >= 0), found -1"
    ):
        make({"type": name, "lr": -1}, net)
    with pytest.raises(ConfigurationError, match="lr: expected"):
        Optimizer.by_name(name)(named(net), lr=-1)


@pytest.mark.parametrize("option", ["foreach", "fused"])
@pytest.mark.parametrize("name", TORCH_CLASSES)
def test_foreach_and_fused_are_offered_where_torch_has_them(
    name: str, option: str, net: Net
) -> None:
    cls = Optimizer.resolve(name)[0]
    offered = option in signature_of(cls).arguments
    assert offered == (option in TORCH_CLASSES[name](net.parameters()).defaults)
    if offered:
        twin = copy.deepcopy(net)
        train(net, make({"type": name, option: True}, net), 3)
        train(twin, TORCH_CLASSES[name](twin.parameters(), **{option: True}), 3)
        assert torch.equal(weights(net), weights(twin))


def test_contradicting_options_are_a_configuration_error(net: Net) -> None:
    with pytest.raises(ConfigurationError, match=r"SGD: .*[Nn]esterov"):
        make({"type": "sgd", "nesterov": True}, net)


class TestGroups:
    def groups(self, optimizer: torch.optim.Optimizer) -> list[tuple[str, list[str]]]:
        return [(g["name"], g["parameter_names"]) for g in optimizer.param_groups]

    def test_follow_the_config_and_keep_the_order_of_the_model(self, net: Net) -> None:
        optimizer = make(
            {"parameter_groups": [[["^head"]], [["^norm", "^stem"], {"weight_decay": 0.5}]]}, net
        )
        assert self.groups(optimizer) == [
            ("^head", ["head.weight", "head.bias"]),
            ("^norm | ^stem", ["stem.weight", "stem.bias", "norm.weight", "norm.bias"]),
            ("default", ["body.weight", "body.bias"]),
        ]
        assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0, 0.5, 0.0]

    def test_without_any_there_is_the_default_group(self, net: Net) -> None:
        assert self.groups(make("sgd", net)) == [("default", [name for name, _ in named(net)])]

    def test_the_default_group_is_there_even_if_empty(self, net: Net) -> None:
        optimizer = make({"parameter_groups": [[["."]]]}, net)
        assert self.groups(optimizer)[-1] == ("default", [])
        train(net, optimizer, 1)

    def test_of_the_seed_without_options(self, net: Net) -> None:
        optimizer = make(
            {
                "type": "adam",
                "lr": 1e-3,
                "parameter_groups": [[["^stem|^norm"]], [["^body"]], [["^head"]]],
            },
            net,
        )
        assert [len(g["params"]) for g in optimizer.param_groups] == [4, 2, 2, 0]
        assert {g["lr"] for g in optimizer.param_groups} == {1e-3}

    def test_take_every_option_of_the_optimizer_and_initial_lr(self, net: Net) -> None:
        options = {"lr": 1, "initial_lr": 0.5, "betas": [0.5, 0.6], "amsgrad": True}
        optimizer = make({"parameter_groups": [[["^head"], options]]}, net)
        group = optimizer.param_groups[0]
        assert (group["lr"], group["initial_lr"], group["amsgrad"]) == (1.0, 0.5, True)
        assert group["betas"] == (0.5, 0.6)
        assert type(group["lr"]) is float
        train(net, optimizer, 1)

    def test_requires_grad_false_freezes_and_drops_a_group(self, net: Net) -> None:
        optimizer = make({"parameter_groups": [[["^stem"], {"requires_grad": False}]]}, net)
        assert [name for name, _ in self.groups(optimizer)] == ["default"]
        assert not net.stem.weight.requires_grad
        before = net.stem.weight.clone()
        train(net, optimizer, 2)
        assert torch.equal(net.stem.weight, before)

    def test_from_python_take_strings_and_patterns(self, net: Net) -> None:
        by_text: Any = [[["^head"]], (("^norm",), {"lr": 0.1})]
        by_pattern: Any = [([re.compile("^head")],), ([re.compile("^norm")], {"lr": 0.1})]
        for groups in (by_text, by_pattern):
            optimizer = Adam(named(net), parameter_groups=groups)
            assert [name for name, _ in self.groups(optimizer)] == ["^head", "^norm", "default"]

    def test_a_parameter_may_match_two_expressions_of_one_group(self, net: Net) -> None:
        optimizer = make({"parameter_groups": [[["^head", "weight"]]]}, net)
        assert len(optimizer.param_groups[0]["params"]) == 5

    def test_that_match_nothing_or_overlap_are_told_all_at_once(self, net: Net) -> None:
        groups = [[["^head"]], [["weight$", "^nothing"]], [["^neither"]]]
        with pytest.raises(ConfigurationError) as raised:
            make({"parameter_groups": groups}, net)
        message = str(raised.value)
        assert 'parameter_groups.1.0.1: "^nothing" matches no parameter' in message
        assert 'parameter_groups.2.0.0: "^neither" matches no parameter' in message
        assert "stem.weight, stem.bias, norm.weight" in message
        assert '"head.weight" belongs to 2 groups: "^head" and "weight$ | ^nothing"' in message
        assert "head.bias belongs" not in message

    def test_faults_of_names_have_a_line_and_a_path_each(self, net: Net) -> None:
        groups = [[["^head"]], [["."]], [["^neither"]]]
        with pytest.raises(ConfigurationFaults) as raised:
            make({"parameter_groups": groups}, net)
        found = {fault.path: fault.message for fault in raised.value.faults}
        assert set(found) == {"parameter_groups.2.0.0", "parameter_groups.1"}
        message = '"head.weight", "head.bias" belong to 2 groups: "^head" and "."'
        assert found["parameter_groups.1"] == message

    def test_of_frozen_parameters_are_an_error_that_says_so(self, net: Net) -> None:
        net.stem.requires_grad_(False)
        with pytest.raises(ConfigurationError) as raised:
            make({"parameter_groups": [[["^stem"]], [["^head"]], [["^gone"]]]}, net)
        message = str(raised.value)
        assert "matches frozen parameters only (requires_grad is false): stem.weight" in message
        assert '"^gone" matches no parameter' in message
        assert "; frozen: stem.weight, stem.bias" in message

    def test_leave_frozen_parameters_out(self, net: Net) -> None:
        net.stem.requires_grad_(False)
        optimizer = make({"parameter_groups": [[["^(stem|norm)"]]]}, net)
        assert optimizer.param_groups[0]["parameter_names"] == ["norm.weight", "norm.bias"]

    def test_of_a_model_without_anything_to_train(self, net: Net) -> None:
        with pytest.raises(ConfigurationError, match="no parameter that requires gradients"):
            make("sgd", net.requires_grad_(False))

    def test_of_a_large_model_list_some_of_its_names(self) -> None:
        model = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(1)) for _ in range(100)])
        with pytest.raises(ConfigurationError, match="and 60 more"):
            make({"parameter_groups": [[["^x"]]]}, model)

    @pytest.mark.parametrize(
        ("groups", "path", "message"),
        [
            ([[["^(stem"]]], "0.0.0", "expected a regular expression"),
            ([["^stem"]], "0.0", "expected list"),
            ([[[]]], "0.0", "expected at least one regular expression"),
            ([[["^stem"], {}, 1]], "0", "found 3 values"),
            ([[["^stem"], {"lr": "fast"}]], "0.1.lr", 'expected float >= 0, found "fast"'),
            ([[["^stem"], {"lr": -1.0}]], "0.1.lr", "expected float >= 0, found -1.0"),
            ([[["^stem"], {"initial_lr": True}]], "0.1.initial_lr", "expected float"),
            ([[["^stem"], {"momentun": 1}]], "0.1.momentun", 'did you mean "momentum"'),
            ([[["^stem"], {"requires_grad": "false"}]], "0.1.requires_grad", "expected bool"),
            ([[["^stem"], {"params": []}]], "0.1.params", "unknown option of SGD"),
        ],
    )
    def test_faults_have_their_path(
        self, groups: list[Any], path: str, message: str, net: Net
    ) -> None:
        with pytest.raises(ConfigurationFaults) as raised:
            make({"type": "sgd", "parameter_groups": groups}, net)
        (fault,) = raised.value.faults
        assert fault.path == f"parameter_groups.{path}"
        assert message in fault.message
        with pytest.raises(ConfigurationError, match=r"parameter_groups\.0"):
            SGD(named(net), parameter_groups=groups)

    def test_faults_of_one_group_do_not_hide_those_of_another(self, net: Net) -> None:
        with pytest.raises(ConfigurationFaults) as raised:
            make({"parameter_groups": [[["("]], [["^head"], {"lr": "x", "pace": 1}]]}, net)
        paths = {fault.path for fault in raised.value.faults}
        assert paths == {
            "parameter_groups.0.0.0",
            "parameter_groups.1.1.lr",
            "parameter_groups.1.1.pace",
        }


class TestMuon:
    @pytest.mark.parametrize("adjustment", ["original", "match_rms_adamw", "spectral_unclamped"])
    def test_updates_matrices_like_pytorchs(self, adjustment: str) -> None:
        """PyTorch iterates in bfloat16 everywhere, so the numbers agree to its 8 bits."""
        torch.manual_seed(0)
        ours = torch.nn.ModuleList(
            [torch.nn.Linear(a, b, bias=False) for a, b in ((6, 4), (4, 9), (5, 5), (6, 4))]
        )
        theirs = copy.deepcopy(ours)
        mine = make({"type": "muon", "lr": 0.1, "adjust_lr_fn": adjustment}, ours)
        try:
            oracle = torch.optim.Muon(theirs.parameters(), lr=0.1, adjust_lr_fn=adjustment)
        except ValueError as error:
            pytest.skip(f"torch {torch.__version__}: {error}")
        for _ in range(3):
            for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                a.grad = torch.randn_like(a)
                b.grad = a.grad.clone()
            mine.step()
            oracle.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=0.02, rtol=0.02)

    def test_takes_a_filter_as_the_matrix_of_its_outputs(self) -> None:
        torch.manual_seed(0)
        filters = torch.nn.Conv2d(3, 4, 3, bias=False)
        matrix = torch.nn.Linear(27, 4, bias=False)
        matrix.weight.data = filters.weight.data.flatten(1).clone()
        channels_last = copy.deepcopy(filters).to(memory_format=torch.channels_last)
        gradient = torch.randn(4, 3, 3, 3)
        for module in (filters, matrix, channels_last):
            optimizer = make({"type": "muon"}, module)
            module.weight.grad = gradient.view_as(module.weight).clone()
            optimizer.step()
        torch.testing.assert_close(filters.weight.flatten(1), matrix.weight)
        torch.testing.assert_close(filters.weight, channels_last.weight)

    def test_leaves_biases_and_norms_to_adamw(self, net: Net) -> None:
        twin = copy.deepcopy(net)
        images = torch.randn(8, 1, 6, 6)
        for model, optimizer in (
            (net, make({"type": "muon", "lr": 0.01}, net)),
            (twin, torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1)),
        ):
            model(images).square().sum().backward()
            optimizer.step()
        for (name, ours), (_, theirs) in zip(named(net), named(twin), strict=True):
            assert torch.equal(ours, theirs) == (ours.ndim == 1), name

    def test_leaves_a_group_to_adamw_if_asked_to(self, net: Net) -> None:
        twin = copy.deepcopy(net)
        groups = [[["^head"], {"use_muon": False}]]
        train(net, make({"type": "muon", "parameter_groups": groups}, net), 1)
        train(twin, torch.optim.AdamW(twin.parameters(), lr=1e-3, weight_decay=0.1), 1)
        assert torch.equal(net.head.weight, twin.head.weight)
        assert not torch.equal(net.stem.weight, twin.stem.weight)

    def test_default_updates_are_as_large_as_adamws(self) -> None:
        """RMS of about 0.2 (arXiv:2502.16982), so that one rate suits both."""
        torch.manual_seed(0)
        layer = torch.nn.Linear(64, 48, bias=False)
        optimizer = make({"type": "muon", "lr": 1.0, "weight_decay": 0.0}, layer)
        before = layer.weight.detach().clone()
        layer.weight.grad = torch.randn_like(layer.weight)
        optimizer.step()
        rms = (layer.weight - before).square().mean().sqrt().item()
        assert rms == pytest.approx(0.2, rel=0.3)

    @pytest.mark.parametrize("shape", [(3, 8, 5), (2, 5, 8), (1, 6, 6)])
    def test_orthogonalize_brings_singular_values_near_one(
        self, shape: tuple[int, int, int]
    ) -> None:
        torch.manual_seed(0)
        matrices = torch.randn(shape)
        result = orthogonalize(matrices, (3.4445, -4.775, 2.0315), 5, 1e-7)
        assert result.shape == matrices.shape
        values = torch.linalg.svdvals(result)
        assert values.min() > 0.3
        assert values.max() < 1.3
        u, _, v = torch.linalg.svd(matrices, full_matrices=False)
        cosine = torch.nn.functional.cosine_similarity(result.flatten(1), (u @ v).flatten(1), dim=1)
        assert cosine.min() > 0.9

    def test_a_zero_gradient_does_no_harm(self) -> None:
        layer = torch.nn.Linear(3, 3)
        optimizer = make("muon", layer)
        for parameter in layer.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        assert all(p.isfinite().all() for p in layer.parameters())

    def test_calls_the_closure(self) -> None:
        layer = torch.nn.Linear(2, 2)
        optimizer = make("muon", layer)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = layer(torch.ones(1, 2)).square().sum()
            loss.backward()
            return loss

        assert optimizer.step(closure).item() > 0
