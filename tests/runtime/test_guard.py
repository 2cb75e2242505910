"""What an actor was not trained on is an error that names agent and feature."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from a2po.errors import ObservationError, UserError
from a2po.runtime import Team, guard


@pytest.fixture(scope="module")
def team(uneven):
    return Team.load(uneven[1])


@pytest.fixture
def obs():
    return np.zeros((4, 2, 2), np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_names_agent_feature_and_row(team, obs, value):
    obs[2, 1, 0] = value
    with pytest.raises(ObservationError, match=rf"agent 'column': feature 'rounds_played' \(index 0\) is {value} in row 2$"):
        team.act(obs)
    with pytest.raises(ObservationError, match=r"agent 'column': feature 'rounds_played'"):
        team.act({"row": obs[:, 0], "column": obs[:, 1]})
    obs[3, 1, 1] = value
    with pytest.raises(UserError, match=r"\(and 1 more\)"):
        team.act(obs)


def test_too_large_for_single_precision_is_not_finite(team, obs):
    with pytest.raises(ObservationError, match=r"feature 'noise' \(index 1\) is inf"):
        team.act(np.where(np.arange(2) == 1, 1e300, obs.astype(np.float64)))


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e30])
def test_any_one_number_is_found_and_large_ones_are_none(rows, value):
    numbers = np.random.default_rng(0).normal(size=(rows, 7)).astype(np.float32)
    assert guard.all_finite(numbers)
    for row, column in ((0, 0), (rows - 1, 6), (rows // 2, 3)):
        numbers[row, column] = value
        assert guard.all_finite(numbers) == np.isfinite(value)
        numbers[row, column] = 0.0


def test_padding_is_not_looked_at(exported):
    policy, path = exported
    spec, team = policy.team.spec, Team.load(path)
    obs = np.zeros((2, spec.num_agents, spec.max_obs_size), np.float32)
    expected = team.act(obs)
    for agent, size in enumerate(spec.obs_sizes):
        obs[:, agent, size:] = np.nan
    np.testing.assert_array_equal(team.act(obs), expected)


def test_torch_tensors(team, obs):
    np.testing.assert_array_equal(team.act(torch.from_numpy(obs)), team.act(obs))
    with pytest.raises(ObservationError, match=r"observation: not an array .*detach"):
        team.act(torch.from_numpy(obs).requires_grad_())


@pytest.mark.parametrize("shape", [(2,), (2, 3), (4, 3, 2), (4, 2, 1), (1, 4, 2, 2)])
def test_wrong_shape(team, shape):
    with pytest.raises(ObservationError, match=r"observation of 2 agents: expected shape \[2, 2\] or \[batch, 2, 2\], got"):
        team.act(np.zeros(shape, np.float32))


def test_wrong_shape_in_a_dict_names_the_agent(team):
    with pytest.raises(ObservationError, match=r"agent 'row': observation: expected shape \[2\] or \[batch, 2\], got \[3\]"):
        team.act({"row": np.zeros(3), "column": np.zeros(2)})


@pytest.mark.parametrize("bad", [np.zeros((2, 2), int), np.zeros((2, 2), bool), np.array([["a", "b"]] * 2), [[0.0, 1.0], [0.0]], None])
def test_wrong_type(team, bad):
    with pytest.raises(ObservationError, match=r"expected floats|not an array"):
        team.act(bad)


def test_float64_is_taken(team, obs):
    np.testing.assert_array_equal(team.act(obs.astype(np.float64)), team.act(obs))


def test_names(team, obs):
    with pytest.raises(ObservationError, match=r"no agent 'colunm'; did you mean 'column'\? \(there are: row, column\)"):
        team.act({"colunm": obs[:, 1]})
    with pytest.raises(ObservationError, match=r"agents \[\] given"):
        team.act({})


def test_rows_must_agree(team, obs):
    with pytest.raises(ObservationError, match=r"rows per agent \{'row': 4, 'column': 3\} do not agree"):
        team.act({"row": obs[:, 0], "column": obs[:3, 1]})
    with pytest.raises(ObservationError, match="do not agree"):
        team.act({"row": obs[:, 0], "column": obs[0, 1]})
    with pytest.raises(ObservationError, match=r"do not agree with the observations'"):
        team.act(obs, np.ones((3, 2, 3), bool))
    with pytest.raises(ObservationError, match="but observations for"):
        team.act({"row": obs[:, 0]}, {"column": np.ones((4, 3), bool)})


def test_mask_without_a_legal_action_names_the_agent(team, obs):
    mask = np.ones((4, 2, 3), bool)
    mask[1, 0, :2] = False  # the third action is padding: only the first two are the agent's own
    with pytest.raises(ObservationError, match="agent 'row': the action mask of row 1 allows no action"):
        team.act(obs, mask)


def test_mask_types(team, obs):
    mask = np.ones((4, 2, 3), bool)
    mask[:, :, 1:] = False
    for kind in (bool, np.uint8, np.float32):
        assert not team.act(obs, mask.astype(kind)).any()
    with pytest.raises(ObservationError, match="expected bools"):
        team.act(obs, mask * 0.5)


def test_continuous_team_takes_no_mask(exported):
    policy, path = exported
    spec = policy.team.spec
    if spec.discrete:
        pytest.skip("discrete")
    obs = np.zeros((spec.num_agents, spec.max_obs_size), np.float32)
    with pytest.raises(ObservationError, match="continuous"):
        Team.load(path).act(obs, np.ones((spec.num_agents, spec.max_action_size), bool))


def test_noise_is_checked(team, obs):
    with pytest.raises(ObservationError, match="noise: not finite"):
        team.act(obs, noise=np.full((4, 2, 3), np.nan))
    for wrong in (-0.1, 1.5):  # standard normal, say
        noise = np.full((4, 2, 3), 0.5)
        noise[0, 0, 2] = wrong  # padding
        team.act(obs, noise=noise)
        noise[3, 1, 0] = wrong
        with pytest.raises(ObservationError, match=r"noise: discrete actions are sampled with uniform numbers in \[0, 1\)"):
            team.act(obs, noise=noise)
    with pytest.raises(ObservationError, match="noise of 2 agents: expected shape"):
        team.act(obs, noise=np.zeros((4, 3)))
