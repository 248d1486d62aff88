"""Dropout members: each is one function of the image, and what dropout means on the whole."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from allencv_al.selection.pool.mc_dropout import ConsistentDropout, dropouts

GOLDEN = [0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1]


def network(p: float = 0.5) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(6, 16), nn.ReLU(), nn.Dropout(p), nn.Linear(16, 12), nn.Dropout(p)
        )
    return model.eval()


def of_member(model: nn.Module, inputs: Tensor, member: int | None, seed: int = 0) -> Tensor:
    with torch.no_grad(), ConsistentDropout(model, seed) as dropout:
        dropout.use(member)
        outputs: Tensor = model(inputs)
    return outputs


def images(count: int = 9, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *(shape or (6,)), generator=generator)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9])
def test_a_member_is_one_function_whatever_the_batch(batch_size: int) -> None:
    model, inputs = network(), images()
    whole = of_member(model, inputs, 3)
    parts = torch.cat([of_member(model, part, 3) for part in inputs.split(batch_size)])
    assert torch.allclose(parts, whole, atol=1e-6)


def test_a_member_is_one_function_whatever_the_order() -> None:
    model, inputs = network(), images()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(of_member(model, inputs[order], 1), of_member(model, inputs, 1)[order])


def test_a_member_drops_the_same_units_for_every_image() -> None:
    ones = torch.ones(5, 100)
    outputs = of_member(nn.Dropout(0.3).eval(), ones, 0)
    assert bool((outputs == outputs[0]).all())
    assert outputs.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert 55 < (outputs[0] > 0).sum() < 85


def test_members_and_seeds_and_modules_differ() -> None:
    model, inputs = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).eval(), torch.ones(1, 4000)
    found = {
        tuple(of_member(model[:1], inputs, member, seed)[0].tolist())
        for member in range(4)
        for seed in range(3)
    }
    assert len(found) == 12
    # Of two modules with masks of their own a quarter of the units stays, of equal masks a half.
    kept = (of_member(model, inputs, 0) > 0).float().mean()
    assert abs(kept - 0.25) < 0.04


def test_masks_are_what_they_were_in_every_earlier_run() -> None:
    """Resumed scoring needs the masks of the process before; these are of the first version."""
    outputs = of_member(nn.Dropout(0.5).eval(), torch.ones(1, 16), 0, 0)
    assert (outputs[0] > 0).int().tolist() == GOLDEN


def test_calls_in_between_change_nothing() -> None:
    model, inputs = network(), images()
    with torch.no_grad(), ConsistentDropout(model) as dropout:
        dropout.use(0)
        before = model(inputs)
        torch.manual_seed(5)
        torch.rand(3)
        for member in (4, 2, None, 0):
            dropout.use(member)
            again = model(inputs)
    assert torch.equal(before, again)


def test_the_global_generator_is_not_touched() -> None:
    state = torch.random.get_rng_state()
    of_member(network(), images(), 3)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_a_member_the_model_is_as_it_is() -> None:
    model, inputs = network(), images()
    with torch.no_grad():
        assert torch.equal(of_member(model, inputs, None), model(inputs))


def test_the_model_is_left_as_it_was() -> None:
    model, inputs = network(), images()
    with torch.no_grad():
        before = model(inputs)
    state = copy.deepcopy(model.state_dict())
    of_member(model, inputs, 2)
    with pytest.raises(ZeroDivisionError), ConsistentDropout(model) as dropout:
        dropout.use(1)
        raise ZeroDivisionError
    with torch.no_grad():
        assert torch.equal(model(inputs), before)
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_the_mean_of_many_members_is_that_of_plain_dropout() -> None:
    """For a network that is linear behind the dropout: the output without dropout, exactly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)).eval()
    inputs, count = images(4), 4000
    with torch.no_grad(), ConsistentDropout(model) as dropout:
        total = torch.zeros(4, 3)
        for member in range(count):
            dropout.use(member)
            total += model(inputs)
        dropout.use(None)
        assert torch.allclose(total / count, model(inputs), atol=0.06)


def test_mean_and_variance_over_members_are_those_of_torch_s_dropout() -> None:
    model, inputs, count = network(0.4), images(3), 3000
    ours = torch.stack([of_member(model, inputs, member) for member in range(count)])
    model.train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = torch.stack([model(inputs) for _ in range(count)])
    error = theirs.std(0) / count**0.5
    assert bool(((ours.mean(0) - theirs.mean(0)).abs() < 6 * error).all())
    assert torch.allclose(ours.std(0), theirs.std(0), rtol=0.15)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Dropout1d(0.5), (64, 5)),
        (nn.Dropout2d(0.5), (64, 5, 4)),
        (nn.Dropout3d(0.5), (64, 3, 2, 2)),
    ],
)
def test_dropout_of_channels_drops_whole_channels(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    outputs = of_member(module.eval(), torch.ones(3, *shape), 0).flatten(2)
    assert bool((outputs == outputs[:1, :, :1]).all())
    assert set(outputs.unique().tolist()) == {0.0, 2.0}
    assert 16 < (outputs[0, :, 0] > 0).sum() < 48


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("kind", [nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_alpha_dropout_gives_the_values_of_torch_s(kind: type[nn.Module], p: float) -> None:
    module = kind(p)  # type: ignore[call-arg]
    inputs = torch.full((2, 500, 2), 0.7)
    ours = of_member(module.eval(), inputs, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = module.train()(inputs)
    assert torch.allclose(ours.unique(), theirs.unique(), atol=1e-6)
    assert ours.unique().numel() == 2
    share = [(outputs == outputs.min()).float().mean() for outputs in (ours, theirs)]
    assert abs(share[0] - share[1]) < 0.1


def test_everything_is_dropped_at_p_one() -> None:
    for module in (nn.Dropout(1.0), nn.AlphaDropout(1.0)):
        assert bool((of_member(module.eval(), torch.ones(2, 8), 0) == 0).all())


def test_images_of_another_size_get_a_mask_of_their_own_and_the_first_stays() -> None:
    module = nn.Dropout(0.5).eval()
    small, large = images(2, 3, 4, 4), images(2, 3, 6, 6)
    with torch.no_grad(), ConsistentDropout(module) as dropout:
        dropout.use(0)
        outputs = [module(small), module(large), module(small), module(large)]
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[1], outputs[3])


def test_an_inplace_dropout_is_no_other() -> None:
    inputs = torch.ones(2, 50)
    inplace = of_member(nn.Dropout(0.5, inplace=True).eval(), inputs.clone(), 0)
    assert torch.equal(inplace, of_member(nn.Dropout(0.5).eval(), inputs, 0))


def test_half_precision_stays_half_precision() -> None:
    assert of_member(nn.Dropout(0.5).eval(), torch.ones(2, 4).bfloat16(), 0).dtype == torch.bfloat16


def test_only_what_drops_something_counts() -> None:
    model = nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.2), nn.Linear(2, 2))
    assert list(dropouts(model)) == ["1"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_has_the_same_masks() -> None:
    module, inputs = nn.Dropout(0.5).eval(), images(3, 40)
    assert torch.equal(of_member(module, inputs.cuda(), 1).cpu(), of_member(module, inputs, 1))
