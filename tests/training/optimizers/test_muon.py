"""Muon against its definition."""

from __future__ import annotations

import copy

import pytest
import torch
from fixtures.optimizer_parts import Net, make, named, train

from allencv_al.training.optimizers.muon import orthogonalize


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
