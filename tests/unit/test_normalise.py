"""Value and observation normalisers against golden numbers and plain statistics."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a2po.networks import normalise
from a2po.networks.normalise import PopArt, RunningNorm, ValueNorm, popart_rescale

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# Values


@pytest.mark.parametrize("kind", [ValueNorm, PopArt])
def test_golden_valuenorm(kind: type[ValueNorm]) -> None:
    case = CASES["valuenorm"]
    norm = kind(beta=case["beta"])
    assert (norm.mean.item(), norm.var.item(), norm.std.item()) == (0.0, 1e-2, 0.1)
    for step in case["steps"]:
        norm.update(torch.tensor(step["batch"], dtype=torch.float64))
        assert norm.mean.item() == pytest.approx(step["mean"], rel=1e-12)
        assert norm.var.item() == pytest.approx(step["var"], rel=1e-11)
        assert norm.normalise(torch.tensor(2.0).double()).item() == pytest.approx(step["normalize_2"], rel=1e-9, abs=1e-15)
        assert norm.denormalise(torch.tensor(0.5).double()).item() == pytest.approx(step["denormalize_half"], rel=1e-12)


def test_stacked_value_statistics_equal_separate_ones() -> None:
    batches = [torch.randn(length, 4, 3) * torch.tensor([1.0, 10.0, 0.1]) + torch.tensor([0.0, 5.0, -2.0]) for length in (6, 1, 9)]
    stacked, separate = ValueNorm((3,), beta=0.9), [ValueNorm(beta=0.9) for _ in range(3)]
    for batch in batches:
        stacked.update(batch)
        for agent, norm in enumerate(separate):
            norm.update(batch[..., agent])
    torch.testing.assert_close(stacked.mean, torch.stack([norm.mean for norm in separate]))
    torch.testing.assert_close(stacked.std, torch.stack([norm.std for norm in separate]))
    values = torch.randn(5, 3)
    torch.testing.assert_close(stacked.denormalise(stacked.normalise(values)), values)
    assert stacked.normalise(values).dtype == torch.float32


def test_masked_value_targets_do_not_count() -> None:
    batch, mask = torch.randn(8, 2), torch.tensor([[1, 0]] * 5 + [[0, 0]] * 3)
    norm, expected = ValueNorm((2,), beta=0.9), ValueNorm(beta=0.9)
    norm.update(torch.where(mask != 0, batch, math.nan), mask)
    expected.update(batch[:5, 0])
    torch.testing.assert_close(norm.mean, torch.stack((expected.mean, torch.tensor(0.0).double())))
    torch.testing.assert_close(norm.var, torch.stack((expected.var, torch.tensor(1e-2).double())))
    norm.update(batch[:0])
    torch.testing.assert_close(norm.mean[0], expected.mean)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), scale=st.floats(1, 1e4), shift=st.floats(-1e4, 1e4))
def test_first_update_standardises_its_own_batch(seed: int, scale: float, shift: float) -> None:
    batch = torch.randn(200, generator=torch.Generator().manual_seed(seed)).double() * scale + shift
    norm = ValueNorm()
    norm.update(batch)
    normalised = norm.normalise(batch)
    assert normalised.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert normalised.std(correction=0).item() == pytest.approx(1.0, rel=1e-2)


def test_small_targets_are_not_blown_up() -> None:
    norm = ValueNorm()
    norm.update(torch.full((10,), 3.0))
    assert norm.std.item() == pytest.approx(0.1)
    assert norm.normalise(torch.tensor([3.0])).abs().item() < 1e-4


def test_golden_popart() -> None:
    case = CASES["popart"]
    weight, bias, x = (torch.tensor(numbers, dtype=torch.float64) for numbers in ([case["w"]], [case["b"]], case["x"]))
    mean, std, new_mean, new_std = (
        torch.tensor(case[name], dtype=torch.float64) for name in ("old_mean", "old_std", "new_mean", "new_std")
    )
    popart_rescale(weight, bias, mean, std, new_mean, new_std)
    for found, name in ((weight[0], "new_w"), (bias[0], "new_b"), ((weight @ x + bias)[0] * new_std + new_mean, "denormalised_output")):
        torch.testing.assert_close(found, torch.tensor(case[name], dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_popart_keeps_the_denormalised_outputs(shape: tuple[int, ...]) -> None:
    norm, layer = PopArt(shape, beta=0.9), torch.nn.Linear(5, 3 if shape else 1).double()
    x = torch.randn(20, 5, dtype=torch.float64)
    for scale in (1.0, 100.0, 0.01):
        before = norm.denormalise(layer(x) if shape else layer(x)[:, 0])
        weight = layer.weight.clone()
        norm.update_layer(torch.randn(50, *shape) * scale + scale, layer.weight, layer.bias)
        assert not torch.equal(weight, layer.weight)
        torch.testing.assert_close(norm.denormalise(layer(x) if shape else layer(x)[:, 0]), before)


def test_popart_takes_stacked_layers() -> None:
    norm, weight, bias = PopArt((2,), beta=0.9), torch.randn(2, 5, 1).double(), torch.randn(2, 1).double()
    x = torch.randn(2, 7, 5).double()
    before = norm.denormalise((x @ weight + bias.unsqueeze(1))[..., 0].T)
    norm.update_layer(torch.randn(50, 2) * 9 + 4, weight, bias)
    torch.testing.assert_close(norm.denormalise((x @ weight + bias.unsqueeze(1))[..., 0].T), before)


# Observations


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5), offset=st.floats(-1e6, 1e6))
def test_running_statistics_equal_those_of_everything_seen(seed: int, lengths: list[int], offset: float) -> None:
    stream = torch.Generator().manual_seed(seed)
    norm, seen, counted = RunningNorm((2, 3)), [], []
    for length in [*lengths, 4]:
        batch, alive = torch.randn(length, 2, 3, generator=stream).double() + offset, torch.rand(length, 2, generator=stream) < 0.7
        norm.update(torch.where(alive.unsqueeze(-1), batch, math.nan), alive)
        seen.append(batch)
        counted.append(alive)
    everything, alive = torch.cat(seen), torch.cat(counted)
    for agent in range(2):
        own = everything[alive[:, agent], agent]
        assert norm.count[agent].item() == len(own)
        if len(own):
            torch.testing.assert_close(norm.exact_mean[agent], own.mean(0), rtol=1e-12, atol=1e-9)
            torch.testing.assert_close(norm.m2[agent], (own - own.mean(0)).square().sum(0), rtol=1e-6, atol=1e-8)


def test_large_batches_are_merged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, alive = torch.randn(50, 4, 2, 3) * 3 + 100, torch.rand(50, 4, 2) < 0.8
    whole, parts = RunningNorm((2, 3)), RunningNorm((2, 3))
    whole.update(batch, alive)
    monkeypatch.setattr(normalise, "CHUNK_NUMBERS", 40)
    parts.update(batch, alive)
    assert torch.equal(whole.count, parts.count)
    torch.testing.assert_close(whole.exact_mean, parts.exact_mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whole.m2, parts.m2, rtol=1e-10, atol=1e-10)


def test_precision_over_many_updates_with_an_offset() -> None:
    """A million samples around 10 000 with standard deviation 0.1: float32 sums would lose it."""
    norm = RunningNorm((1,))
    for seed in range(100):
        norm.update(10_000 + 0.1 * torch.randn(10_000, 1, generator=torch.Generator().manual_seed(seed)).double())
    assert norm.inverse_std.item() == pytest.approx(10.0, rel=5e-3)


def test_normalised_observations_have_unit_moments() -> None:
    batch = torch.randn(4000, 2, 3) * torch.tensor([1.0, 20.0, 0.05]) + torch.tensor([0.0, -300.0, 1.0])
    norm = RunningNorm((2, 3))
    norm.update(batch)
    normalised = norm.normalise(batch)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(normalised.mean(0), torch.zeros(2, 3), rtol=0, atol=1e-3)
    torch.testing.assert_close(normalised.std(0, correction=0), torch.ones(2, 3), rtol=1e-3, atol=0)


def test_an_unused_normaliser_only_clips() -> None:
    norm = RunningNorm((2,), clip=5.0)
    assert norm.normalise(torch.tensor([[0.3, -80.0]])).tolist() == [[pytest.approx(0.3), -5.0]]


def test_constant_and_padded_features_stay_bounded() -> None:
    norm = RunningNorm((1, 3))
    norm.update(torch.tensor([0.0, 100.3, 7.0]).expand(1000, 1, 3))
    constant = norm.normalise(torch.tensor([[[0.0, 100.3, 7.0]]]))
    assert constant.abs().max() < 1e-2
    assert constant[0, 0, 0] == 0.0
    assert norm.normalise(torch.tensor([[[1.0, 0.0, 7.05]]]))[0, 0].tolist() == pytest.approx([10.0, -10.0, 5.0], abs=1e-3)


def test_agents_that_were_never_alive_pass_unchanged() -> None:
    norm = RunningNorm((2, 1))
    norm.update(torch.full((10, 2, 1), 50.0), torch.tensor([[True, False]]).expand(10, 2))
    assert norm.normalise(torch.full((1, 2, 1), 0.5))[0, 1, 0] == 0.5


def test_views_of_the_frozen_copies_stay_valid() -> None:
    norm = RunningNorm((2, 3))
    mean, inverse_std = norm.mean[1:], norm.inverse_std[1:]
    norm.update(torch.randn(10, 2, 3) * 3 + 1)
    assert torch.equal(mean, norm.mean[1:]) and torch.equal(inverse_std, norm.inverse_std[1:])
    assert mean.dtype == inverse_std.dtype == torch.float32
    norm.load_state_dict(RunningNorm((2, 3)).state_dict())
    assert not mean.any() and (inverse_std == 1).all()


@pytest.mark.parametrize("kind", [lambda: ValueNorm((2,)), lambda: PopArt((2,)), lambda: RunningNorm((2,))])
def test_state_round_trip_continues_bit_for_bit(kind: type) -> None:
    one, two = kind(), kind()
    one.update(torch.randn(9, 2))
    state = one.state_dict()
    two.load_state_dict(state)
    batch = torch.randn(5, 2)
    one.update(batch)
    assert not any(torch.equal(value, one.state_dict()[name]) for name, value in state.items())  # copies, not views
    two.update(batch)
    assert torch.equal(one.normalise(batch), two.normalise(batch))
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
    assert one.to("cpu") is one


def test_wrong_statistics_are_named() -> None:
    for norm, other in ((ValueNorm((2,)), ValueNorm((3,))), (RunningNorm((2, 3)), RunningNorm((2, 4)))):
        with pytest.raises(ValueError, match="do not fit"):
            norm.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="do not fit"):
        RunningNorm((2,)).load_state_dict({})
    with pytest.raises(ValueError, match=r"\[\.\.\., 2, 3\]"):
        RunningNorm((2, 3)).update(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="alive"):
        RunningNorm((2, 3)).update(torch.zeros(5, 2, 3), torch.ones(5))
    with pytest.raises(ValueError, match="mask"):
        ValueNorm().update(torch.zeros(5), torch.ones(4))
    with pytest.raises(ValueError, match="floating point"):
        ValueNorm().update(torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match="features"):
        RunningNorm(())
