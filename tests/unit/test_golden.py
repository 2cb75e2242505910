"""The golden file and its tests.

JSON key                                        test
_meta                                           the tolerance: 1e-9 in float64; ours are 1e-12
preopc                                          test_advantages.py::test_golden_preopc
preopc_sequence                                 test_advantages.py::test_golden_sequence_multiplies_the_preceding_ratios_first
truncation_conventions                          test_advantages.py::test_golden_truncation_bootstraps_from_the_true_successor,
                                                here: test_the_public_codes_time_limits
surrogates                                      test_objectives.py::test_golden_surrogates, here: test_the_parts_of_a_surrogate
n1_reduction                                    test_objectives.py::test_golden_single_agent, here: test_one_agent_under_every_rule
adaptive_clip                                   test_ordering.py::test_golden_adaptive_clip
adaptive_clip_ratio_proportional_public_code    test_ordering.py::test_golden_ratio_proportional_clip
selection                                       test_ordering.py::test_golden_orders, test_ordering.py::test_golden_scores,
                                                test_ordering.py::test_golden_order_with_scores_that_change
value_loss                                      test_objectives.py::test_golden_value_loss; the public code's fault is not ours
valuenorm                                       test_normalise.py::test_golden_valuenorm
popart                                          test_normalise.py::test_golden_popart
advantage_normalisation                         test_advantages.py::test_golden_normalisation
masked_categorical                              test_distributions.py::test_golden_categorical
diag_gaussian_tanh_mean                         test_distributions.py::test_golden_gaussian
qmix_mixer, qmix_td_lambda, qmix_double_q       the tests of QMIX
epsilon_schedule                                the tests of QMIX
tabular_dec_mdp                                 test_advantages.py::test_mean_over_sampled_rollouts_is_the_exact_expectation,
                                                and the tests of the task
bounds                                          test_bounds.py::test_golden_bounds
smac_reporting                                  here: test_win_rates_are_summarised_as_published
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from a2po.algorithms import advantages as estimators
from a2po.algorithms import objectives, ordering
from a2po.algorithms.batch import Batch
from a2po.algorithms.update_rules import A2PO, COPPO, HAPPO, IPPO, MAPPO, RPISA, UpdateRule
from a2po.evaluation.seed_statistics import median_over_seeds
from a2po.training.prepare import _with_true_ends

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())


def tensor(numbers: Any) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def close(actual: Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, tensor(expected), rtol=1e-12, atol=1e-12)


def test_every_key_is_in_the_list_and_every_test_exists() -> None:
    listed = [line.split("  ")[0] for line in str(__doc__).splitlines()[3:] if line[:1] not in ("", " ")]
    assert {key for line in listed for key in line.split(", ")} == set(CASES)
    for file, name in re.findall(r"(test_\w+\.py)::(test_\w+)", str(__doc__)):
        assert f"def {name}(" in (Path(__file__).parent / file).read_text(), name
    assert all(name in globals() for line in re.findall(r"here: (.*)", str(__doc__)) for name in line.split(", "))


def test_the_parts_of_a_surrogate() -> None:
    """The clip ranges along the order, the product over the agents before, and the sample's value from the parts."""
    golden = CASES["surrogates"]
    ratios, advantages = tensor(golden["ratios_BxN"]), tensor(golden["advantages"])
    for position, entry in enumerate(golden["a2po"]["per_agent"], start=1):
        preceding = golden["a2po"]["order"][: position - 1]
        clip = ordering.adaptive_clip(golden["eps"], position, golden["n_agents"], golden["c_eps"])
        assert clip == pytest.approx(entry["eps_i"], abs=1e-12)
        product = ratios[:, preceding].prod(1)
        close(product, entry["preceding_product"])
        own = ratios[:, entry["agent"]]
        close(objectives.surrogate(A2PO, own, product, advantages, clip=clip), entry["per_sample_min"])
        close(objectives.surrogate(A2PO, own, product, advantages, clip=clip, others_clip=clip / 2), entry["per_sample_min"])


@pytest.mark.parametrize(
    ("rule", "field"),
    [(MAPPO, "ppo_loss"), (IPPO, "ppo_loss"), (RPISA, "ppo_loss"), (COPPO, "coppo_loss"), (HAPPO, "happo_loss"), (A2PO, "a2po_loss")],
    ids=lambda value: value.name if isinstance(value, UpdateRule) else "",
)
def test_one_agent_under_every_rule(rule: UpdateRule, field: str) -> None:
    case = CASES["n1_reduction"]
    clip = ordering.adaptive_clip(case["eps"], 1, 1, 0.5)
    close(
        objectives.surrogate_loss(rule, tensor(case["ratios"]).unsqueeze(1), 0, [], tensor(case["advantages"]), None, clip=clip),
        case[field],
    )


def test_the_public_codes_time_limits() -> None:
    """A step that the time limit cuts contributes nothing, and what comes before it takes the step's value for the return."""
    case = CASES["truncation_conventions"]
    values, length = tensor(case["values_with_bootstrap"]), len(case["rewards"])
    unused = {field.name: torch.zeros(1) for field in fields(Batch)}
    cut = torch.tensor(case["bad_masks"])[1:] == 0  # the mask of the step after it
    rollout = {"rewards": tensor(case["rewards"]), "values": values[:length], "next_values": values[1:], "truncated": cut}
    batch = Batch(**unused | rollout | {"terminated": torch.zeros(length, dtype=torch.bool)})
    zeroed = _with_true_ends(batch, without_error=True)
    flow = (zeroed.rewards, zeroed.values, zeroed.next_values, zeroed.terminated, zeroed.truncated)
    close(estimators.gae(*flow, discount=case["gamma"], trace_decay=case["lam"]), case["official_zeroing"])


def test_win_rates_are_summarised_as_published() -> None:
    case = CASES["smac_reporting"]
    per_seed = {seed: float(np.median(rates)) for seed, rates in enumerate(case["last10_win_rates_per_seed"])}
    assert list(per_seed.values()) == case["per_seed_median"]
    assert median_over_seeds(per_seed).value == pytest.approx(case["median_over_seeds"], abs=1e-12)
