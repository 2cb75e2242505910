"""Padded arrays and dicts become rows, game by game, and actions go the same way back, wherever the agents of a file stand."""

from __future__ import annotations

import numpy as np
import pytest

from a2po.errors import ObservationError
from a2po.runtime.bundle import AgentSpec
from a2po.runtime.forms import MASK, OBSERVATION, Forms


def agent(name, seen, actions):
    features, named = (tuple(f"{kind}{i}" for i in range(size)) for kind, size in (("x", seen), ("a", actions)))
    return AgentSpec(name, "f", "w", 0, ("obs",), seen, features, True, actions, named, (), (), 0, 0, None)


ANNA, BERT, CARL = agent("anna", 3, 2), agent("bert", 2, 4), agent("carl", 3, 2)
SPLIT = [[ANNA, CARL], [BERT]]
"""The agents of the first file do not stand side by side."""


@pytest.fixture
def forms():
    return Forms(SPLIT, [ANNA, BERT, CARL], (3, 4))


def padded():
    """[2, 3, 3]: game, agent and feature as digits; the padding is 9."""
    obs = np.array([[[100 * game + 10 * row + i for i in range(3)] for row in range(3)] for game in range(2)], np.float32)
    obs[:, 1, 2] = 9.0
    return obs


def test_padded_arrays(forms):
    (first, second), form = forms.read(OBSERVATION, padded())
    assert first.tolist() == [[0, 1, 2], [20, 21, 22], [100, 101, 102], [120, 121, 122]]
    assert second.tolist() == [[10, 11], [110, 111]]
    assert forms.write(form, [np.array([0, 1, 2, 3]), np.array([7, 8])]).tolist() == [[0, 7, 1], [2, 8, 3]]
    controls = forms.write(form, [np.arange(8.0).reshape(4, 2), np.ones((2, 4))])
    assert controls.tolist() == [[[0, 1, 0, 0], [1] * 4, [2, 3, 0, 0]], [[4, 5, 0, 0], [1] * 4, [6, 7, 0, 0]]]


def test_one_game_without_an_axis(forms):
    (first, second), form = forms.read(OBSERVATION, padded()[1])
    assert first.tolist() == [[100, 101, 102], [120, 121, 122]] and second.tolist() == [[110, 111]]
    assert forms.write(form, [np.array([5, 6]), np.array([7])]).tolist() == [5, 7, 6]


def test_a_whole_team_in_one_file_is_not_copied():
    forms, obs = Forms([[ANNA, CARL]], [ANNA, CARL], (3, 2)), padded()[:, ::2].copy()
    (rows,), form = forms.read(OBSERVATION, obs)
    assert np.shares_memory(rows, obs) and rows.shape == (4, 3)
    actions = np.arange(4)
    assert np.shares_memory(forms.write(form, [actions]), actions)
    turned, form = Forms([[CARL, ANNA]], [ANNA, CARL], (3, 2)).read(OBSERVATION, obs)  # rows in the order of the file
    assert turned[0][:, 0].tolist() == [20, 0, 120, 100]


@pytest.mark.parametrize("batched", [True, False])
def test_dicts(forms, batched):
    obs = padded() if batched else padded()[0]
    seen = {"carl": obs[..., 2, :], "anna": obs[..., 0, :], "bert": obs[..., 1, :2]}
    rows, form = forms.read(OBSERVATION, seen)
    expected, _ = forms.read(OBSERVATION, obs)
    for own, other in zip(rows, expected, strict=True):
        np.testing.assert_array_equal(own, other)
    actions = forms.write(form, [np.arange(4), np.array([7, 8])] if batched else [np.arange(2), np.array([7])])
    assert list(actions) == ["carl", "anna", "bert"]
    found = {name: own.tolist() for name, own in actions.items()}
    assert found == ({"carl": [1, 3], "anna": [0, 2], "bert": [7, 8]} if batched else {"carl": 1, "anna": 0, "bert": 7})


def test_some_agents(forms):
    obs = padded()
    (rows,), form = forms.read(OBSERVATION, {"carl": obs[:, 2]})
    assert rows.tolist() == [[20, 21, 22], [120, 121, 122]]
    (part,) = form.parts
    assert (part.group, part.places, part.agents) == (0, [1], (CARL,))
    assert forms.write(form, [np.array([4, 5])])["carl"].tolist() == [4, 5]
    (rows,), form = forms.read(OBSERVATION, {"bert": obs[:, 1, :2]})
    assert (form.parts[0].group, form.parts[0].places) == (1, None)


def test_masks_may_have_another_form_than_observations(forms):
    mask = np.ones((2, 3, 4), bool)
    mask[1, 2, 0] = False
    _, form = forms.read(OBSERVATION, padded())
    as_array, _ = forms.read(MASK, mask, form)
    as_dict, _ = forms.read(MASK, {"bert": mask[:, 1], "anna": mask[:, 0, :2], "carl": mask[:, 2, :2]}, form)
    for own, other in zip(as_array, as_dict, strict=True):
        np.testing.assert_array_equal(own, other)
    assert as_array[0].tolist() == [[True, True], [True, True], [True, True], [False, True]]
    _, some = forms.read(OBSERVATION, {"carl": padded()[:, 2]})
    with pytest.raises(ObservationError, match=r"action mask: rows per agent .* do not agree with the observations' \{'carl': 2\}"):
        forms.read(MASK, mask, some)


def test_no_games_at_all(forms):
    (first, second), form = forms.read(OBSERVATION, padded()[:0])
    assert (first.shape, second.shape) == ((0, 3), (0, 2))
    assert forms.write(form, [np.zeros(0, np.int64)] * 2).shape == (0, 3)
