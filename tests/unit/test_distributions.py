"""Action distributions against golden numbers, torch.distributions and sampled frequencies."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from a2po.networks.distributions import MaskedCategorical, TanhMeanGaussian, clamp_log_std, mask_logits

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def tensor(numbers: Any) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def close(actual: Tensor, expected: Any, tolerance: float = 1e-12) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


# Categorical


def test_golden_categorical() -> None:
    case = CASES["masked_categorical"]
    for mask in (torch.tensor(case["available"]), torch.tensor(case["available"], dtype=torch.bool), tensor(case["available"])):
        categorical = MaskedCategorical(tensor(case["logits"]), mask)
        close(categorical.log_probs.exp(), case["probs"])
        close(categorical.log_prob(torch.tensor(case["action"])), case["logprob"])
        close(categorical.entropy(), case["entropy"])
        assert categorical.mode().item() == case["greedy_action"]


def test_equals_torch_categorical_without_a_mask() -> None:
    logits = torch.randn(7, 3, 5, dtype=torch.float64)
    ours, theirs = MaskedCategorical(logits), torch.distributions.Categorical(logits=logits)
    actions = torch.randint(5, (7, 3))
    close(ours.log_prob(actions), theirs.log_prob(actions))
    close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), logits.argmax(-1))


def test_masked_actions_are_as_if_they_did_not_exist() -> None:
    logits = torch.randn(20, 3, dtype=torch.float64)
    padded = torch.cat((logits, torch.randn(20, 2, dtype=torch.float64) + 50), dim=-1)
    mask = torch.tensor([1, 1, 1, 0, 0])
    narrow, wide = MaskedCategorical(logits), MaskedCategorical(padded, mask)
    actions = torch.randint(3, (20,))
    close(wide.log_prob(actions), narrow.log_prob(actions))
    close(wide.entropy(), narrow.entropy())
    assert torch.equal(wide.mode(), narrow.mode())
    uniforms = torch.rand(20, 5, dtype=torch.float64)
    assert torch.equal(wide.sample(uniforms), narrow.sample(uniforms[:, :3]))


def test_masked_gradients_are_zero_and_finite() -> None:
    logits = torch.randn(6, 4, requires_grad=True)
    mask = torch.tensor([[1, 0, 1, 1]] * 5 + [[1, 0, 0, 0]], dtype=torch.bool)
    categorical = MaskedCategorical(logits, mask)
    (categorical.log_prob(torch.zeros(6, dtype=torch.int64)).sum() + categorical.entropy().sum()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert not logits.grad[~mask].any()
    assert not logits.grad[5].any()  # one legal action: nothing to learn


def test_gumbel_max_follows_the_probabilities() -> None:
    logits = tensor([1.0, 2.0, 0.5, -1.0]).expand(200_000, 4)
    categorical = MaskedCategorical(logits, torch.tensor([1, 0, 1, 1]))
    actions = categorical.sample(torch.Generator().manual_seed(0))
    assert actions.dtype == torch.int64
    frequencies = actions.bincount(minlength=4) / len(actions)
    assert frequencies[1] == 0
    close(frequencies.double(), CASES["masked_categorical"]["probs"], tolerance=5e-3)


def test_gumbel_max_by_hand() -> None:
    """With equal logits the largest uniform wins; −log(−log u) at u = ½ is 0.3665, at u = 0.1 it is −0.8340."""
    assert MaskedCategorical(torch.zeros(3)).sample(torch.tensor([0.2, 0.7, 0.5])).item() == 1
    uniforms = tensor([0.1, 0.5])
    assert MaskedCategorical(tensor([1.19, 0.0])).sample(uniforms).item() == 1
    assert MaskedCategorical(tensor([1.21, 0.0])).sample(uniforms).item() == 0


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), scale=st.floats(0, 1e4), edge=st.sampled_from([0.0, 0.5, 1.0, 1.0 - 2**-24]))
def test_an_illegal_action_is_never_chosen(seed: int, scale: float, edge: float) -> None:
    stream = torch.Generator().manual_seed(seed)
    logits, mask = torch.randn(16, 6, generator=stream) * scale, torch.rand(16, 6, generator=stream) < 0.3
    mask[torch.arange(16), torch.randint(6, (16,), generator=stream)] = True
    categorical = MaskedCategorical(logits, mask)
    uniforms = torch.rand(16, 6, generator=stream)
    uniforms[~mask] = edge
    uniforms[:4][mask[:4]] = 0.0
    for actions in (categorical.sample(uniforms), categorical.mode()):
        assert mask.gather(1, actions.unsqueeze(1)).all()
        assert categorical.log_prob(actions).isfinite().all()
    assert categorical.entropy().isfinite().all()


def test_a_row_without_legal_actions_is_uniform() -> None:
    categorical = MaskedCategorical(torch.randn(2, 4), torch.zeros(2, 4))
    close(categorical.entropy(), [math.log(4)] * 2, tolerance=1e-6)
    assert categorical.sample().shape == (2,)


def test_masked_logits_may_be_given_again() -> None:
    logits, mask = torch.randn(3, 4), torch.tensor([1, 0, 1, 1])
    assert torch.equal(MaskedCategorical(mask_logits(logits, mask)).log_probs, MaskedCategorical(logits, mask).log_probs)


def test_samples_repeat_with_their_stream() -> None:
    for distribution in (MaskedCategorical(torch.zeros(50, 4)), TanhMeanGaussian(torch.zeros(50, 4), torch.zeros(4))):
        one, two, other = (distribution.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, two)
        assert not torch.equal(one, other)


def test_wrong_categorical_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="floating-point"):
        MaskedCategorical(torch.zeros(3, dtype=torch.int64))
    for shape in ((4,), (2, 5, 3), (3, 3)):
        with pytest.raises(ValueError, match="action_mask"):
            MaskedCategorical(torch.zeros(5, 3), torch.ones(shape))
    with pytest.raises(ValueError, match="action"):
        MaskedCategorical(torch.zeros(5, 3)).log_prob(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="noise"):
        MaskedCategorical(torch.zeros(5, 3)).sample(torch.zeros(5))


# Gaussian


def test_golden_gaussian() -> None:
    case = CASES["diag_gaussian_tanh_mean"]
    gaussian = TanhMeanGaussian(tensor(case["raw_mean"]), tensor(case["log_std"]))
    close(gaussian.mean, case["mean"])
    close(gaussian.log_prob(tensor(case["action"])), case["logprob_sum"])
    close(gaussian.entropy(), case["entropy_sum"])
    assert torch.equal(gaussian.mode(), gaussian.mean)


def test_equals_torch_normal_for_stacked_agents() -> None:
    raw_mean, log_std = torch.randn(3, 10, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    action, noise = torch.randn(2, 3, 10, 4, dtype=torch.float64)
    ours, theirs = TanhMeanGaussian(raw_mean, log_std), torch.distributions.Normal(raw_mean.tanh(), log_std.exp().unsqueeze(1))
    close(ours.log_prob(action), theirs.log_prob(action).sum(-1))
    close(ours.entropy(), theirs.entropy().sum(-1))
    close(ours.sample(noise), theirs.mean + theirs.stddev * noise)


@pytest.mark.parametrize("stacked", [False, True])
def test_padded_dimensions_are_as_if_they_did_not_exist(stacked: bool) -> None:
    """Agent 0 has 2 real dimensions of 4, agent 1 has 3; whatever stands in the rest enters nothing."""
    sizes, raw_mean, log_std = (2, 3), torch.randn(2, 10, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    dims = tensor([[1, 1, 0, 0], [1, 1, 1, 0]])
    action, noise = torch.randn(2, 2, 10, 4, dtype=torch.float64)
    whole = TanhMeanGaussian(raw_mean, log_std, dims)
    for agent, size in enumerate(sizes):
        own = TanhMeanGaussian(raw_mean[agent, :, :size], log_std[agent, :size])
        padded = TanhMeanGaussian(raw_mean[agent], log_std[agent], dims[agent])
        if stacked:
            results = [result[agent] for result in (whole.log_prob(action), whole.entropy(), whole.sample(noise), whole.mode())]
        else:
            results = [padded.log_prob(action[agent]), padded.entropy(), padded.sample(noise[agent]), padded.mode()]
        log_prob, entropy, sample, mode = results
        close(log_prob, own.log_prob(action[agent, :, :size]))
        close(entropy, own.entropy())
        close(sample[:, :size], own.sample(noise[agent, :, :size]))
        assert not sample[:, size:].any()
        assert not mode[:, size:].any()


def test_gradients_reach_real_parameters_only() -> None:
    raw_mean, log_std = torch.randn(2, 5, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    gaussian = TanhMeanGaussian(raw_mean, log_std, torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]))
    (gaussian.log_prob(torch.randn(2, 5, 3)).sum() + gaussian.entropy().sum()).backward()
    assert raw_mean.grad is not None and log_std.grad is not None
    assert not raw_mean.grad[0, :, 2].any() and not log_std.grad[0, 2].any()
    assert raw_mean.grad[1].all() and log_std.grad[1].all()


def test_log_std_is_clamped() -> None:
    gaussian = TanhMeanGaussian(torch.zeros(2), torch.tensor([-50.0, 50.0]))
    assert gaussian.log_std.tolist() == clamp_log_std(torch.tensor([-50.0, 50.0])).tolist() == [-20.0, 2.0]
    assert gaussian.log_prob(torch.zeros(2)).isfinite()


def test_samples_have_the_stated_moments_and_are_not_squashed() -> None:
    gaussian = TanhMeanGaussian(tensor([0.4, -1.2]).expand(100_000, 2), tensor([-0.5, 0.3]))
    samples = gaussian.sample(torch.Generator().manual_seed(0))
    close(samples.mean(0), tensor([0.4, -1.2]).tanh(), 2e-2)
    close(samples.std(0), tensor([-0.5, 0.3]).exp(), 2e-2)
    assert samples.abs().max() > 1


def test_from_mean_skips_the_tanh() -> None:
    raw_mean, log_std = torch.randn(4, 3), torch.randn(3)
    action = torch.randn(4, 3)
    one, two = TanhMeanGaussian(raw_mean, log_std), TanhMeanGaussian.from_mean(raw_mean.tanh(), log_std)
    assert torch.equal(one.log_prob(action), two.log_prob(action))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    gaussian = TanhMeanGaussian(torch.zeros(2, 3, 4, dtype=dtype), torch.zeros(2, 4, dtype=dtype), torch.ones(2, 4, dtype=torch.bool))
    categorical = MaskedCategorical(torch.zeros(2, 3, dtype=dtype), torch.ones(3))
    for result in (gaussian.sample(), gaussian.log_prob(gaussian.mode()), gaussian.entropy(), categorical.entropy()):
        assert result.dtype == dtype
    assert gaussian.entropy().shape == gaussian.log_prob(gaussian.mode()).shape == (2, 3)


def test_wrong_gaussian_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="log_std"):
        TanhMeanGaussian(torch.zeros(2, 5, 3), torch.zeros(4))
    with pytest.raises(ValueError, match="log_std"):
        TanhMeanGaussian(torch.zeros(2, 5, 3), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="action_dims"):
        TanhMeanGaussian(torch.zeros(5, 3), torch.zeros(3), torch.ones(2))
    with pytest.raises(ValueError, match="action"):
        TanhMeanGaussian(torch.zeros(5, 3), torch.zeros(3)).log_prob(torch.zeros(3))
    with pytest.raises(ValueError, match="noise"):
        TanhMeanGaussian(torch.zeros(5, 3), torch.zeros(3)).sample(torch.zeros(5))
    with pytest.raises(ValueError, match="floating-point"):
        TanhMeanGaussian(torch.zeros(3, dtype=torch.int64), torch.zeros(3))
