"""Rewards: against a loop over games and agents that says them one by one, and by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from a2po.envs.football.frames import frame_type
from a2po.envs.football.rewards import SHAPED_WEIGHTS, Rewards

LEFT = 5
AGENTS = 4
KIND = frame_type(LEFT, LEFT, AGENTS)


def zone_worth(x: float, y: float) -> float:
    if -1 <= x < -0.64 and -0.27 < y < 0.27:
        return -2.0
    if -1 <= x < -0.2 and -0.42 < y < 0.42:
        return -1.0
    if -0.2 <= x <= 0.2 and -0.42 < y < 0.42:
        return 0.0
    if 0.64 < x <= 1 and -0.27 < y < 0.27:
        return 2.0
    if 0.2 < x <= 1 and -0.42 < y < 0.42:
        return 1.0
    return 0.0


def shaped(before: np.void, after: np.void, weights: dict[str, float]) -> float:
    """The step of one game, as the paper's code scores it."""
    (ours, theirs), (ours_before, theirs_before) = after["score"].tolist(), before["score"].tolist()
    x, y, _ = after["ball"].tolist()
    goal = (ours > ours_before) - (theirs > theirs_before)
    win = ours - theirs if after["steps_left"] == 0 and ours > theirs else 0
    cards = [sum(after[name].tolist()) - sum(before[name].tolist()) for name in ("left_team_yellow_card", "right_team_yellow_card")]
    zone = zone_worth(x, y) - zone_worth(*before["ball"].tolist()[:2])
    owners = (before["ball_owned_team"].item(), after["ball_owned_team"].item())
    possession = {(1, 0): 0.1, (0, 1): -0.1}.get(owners, 0.0)
    distance = ((x + 1) ** 2 + y**2) ** 0.5 - ((x - 1) ** 2 + y**2) ** 0.5
    values = {"goal": goal, "win": win, "yellow_card": cards[1] - cards[0], "zone": zone, "possession": possession, "distance": distance}
    return float(sum(weights[name] * value for name, value in values.items()))


class Checkpoints:
    """The rings of one agent in one game, one after the other."""

    def __init__(self) -> None:
        self.collected = 0

    def step(self, agent: int, goal: float, after: np.void) -> float:
        reward = 0.0
        if goal == 1:
            reward, self.collected = 0.1 * (10 - self.collected), 10
        elif after["ball_owned_team"] == 0 and after["ball_owned_player"] == after["left_agent_controlled_player"][agent]:
            x, y, _ = after["ball"].tolist()
            while self.collected < 10 and ((x - 1) ** 2 + y**2) ** 0.5 <= 0.99 - 0.8 / 9 * self.collected:
                self.collected += 1
                reward += 0.1
        return reward


def games(steps: int, num_games: int, seed: int) -> np.ndarray:
    """Frames [T, B] that have everything in them that is scored, and nothing else."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((steps, num_games), KIND)
    shape = frames.shape
    borders = np.array([-1, -0.64, -0.2, 0.2, 0.64, 1, 1.01, -1.01])
    frames["ball"][..., 0] = np.where(rng.random(shape) < 0.3, rng.choice(borders, shape), rng.uniform(-1.05, 1.05, shape))
    frames["ball"][..., 1] = np.where(
        rng.random(shape) < 0.3, rng.choice([-0.42, -0.27, 0.27, 0.42], shape), rng.uniform(-0.45, 0.45, shape)
    )
    scores = rng.choice(3, shape, p=[0.8, 0.12, 0.08])[..., None] == [1, 2]
    frames["score"] = np.cumsum(scores, axis=0)
    for side in ("left", "right"):
        frames[f"{side}_team_yellow_card"] = np.cumsum(rng.random((*shape, LEFT)) < 0.05, axis=0) > 0
    frames["ball_owned_team"] = rng.choice([-1, 0, 0, 1], shape)
    frames["ball_owned_player"] = rng.integers(0, LEFT, shape)
    frames["left_agent_controlled_player"] = rng.permuted(np.broadcast_to(np.arange(LEFT), (*shape, LEFT)), axis=-1)[..., :AGENTS]
    frames["steps_left"] = np.arange(steps)[::-1, None]
    return frames


@pytest.mark.parametrize("names", [("scoring",), ("scoring", "checkpoints"), ("shaped",), ("scoring", "checkpoints", "shaped")])
def test_as_a_loop_says(names: tuple[str, ...]) -> None:
    frames = games(steps=40, num_games=25, seed=len(names))
    rewards = Rewards(names, 25, AGENTS, weights={"distance": 0.001})
    weights = {**SHAPED_WEIGHTS, "distance": 0.001}
    rewards.begin(np.arange(25))
    rings = [[Checkpoints() for _ in range(AGENTS)] for _ in range(25)]
    for before, after in pairwise(frames):
        expected = np.zeros((25, AGENTS))
        for game, agent in np.ndindex(expected.shape):
            then, now = before[game], after[game]
            goal = float((now["score"][0] - now["score"][1]) - (then["score"][0] - then["score"][1]))
            expected[game, agent] += goal if "scoring" in names else 0.0
            expected[game, agent] += rings[game][agent].step(agent, goal, now) if "checkpoints" in names else 0.0
            expected[game, agent] += shaped(then, now, weights) if "shaped" in names else 0.0
        paid = rewards.step(before, after)
        assert paid.dtype == np.float64
        np.testing.assert_allclose(paid, expected, rtol=0, atol=1e-12)
    if "checkpoints" in names:
        assert {ring.collected for game in rings for ring in game} == {10}


def show(**fields: object) -> np.ndarray:
    """A frame [1] of a game at the start of which ours is the ball, but for ``fields``."""
    frame = np.zeros(1, KIND)
    for name, value in {"ball_owned_team": -1, "ball_owned_player": -1, "steps_left": 100, **fields}.items():
        frame[name] = value
    frame["left_agent_controlled_player"] = [1, 2, 3, 4]
    return frame


def paid(rewards: Rewards, *frames: np.ndarray) -> list[list[float]]:
    """What each step pays each agent."""
    return [rewards.step(before, after)[0].round(9).tolist() for before, after in pairwise(frames)]


def test_a_goal_from_the_box_nets_three() -> None:
    shot, kick_off = show(ball=[0.9, 0, 0]), show(score=[1, 0])
    assert paid(Rewards(("shaped",), 1, 4), shot, kick_off) == [[3.0] * 4]
    conceded = (show(ball=[-0.9, 0, 0]), show(score=[0, 1]))
    assert paid(Rewards(("shaped",), 1, 4), *conceded) == [[-3.0] * 4]
    assert paid(Rewards(("scoring",), 1, 4), *conceded) == [[-1.0] * 4]


def test_zones_cancel_out_on_the_way_there_and_back() -> None:
    way = [show(ball=[x, 0, 0]) for x in (0, 0.3, 0.7, 0.3, -0.3, -0.7, 0.9, 0)]
    steps = [reward for reward, *_ in paid(Rewards(("shaped",), 1, 4), *way)]
    assert steps == [1, 1, -1, -2, -1, 4, -2] and sum(steps) == 0


def test_each_checkpoint_is_collected_once_by_who_has_the_ball() -> None:
    rewards = Rewards(("checkpoints",), 1, 4)

    def at(distance: float, owner: int, team: int = 0) -> np.ndarray:
        return show(ball=[1 - distance, 0, 0], ball_owned_team=team, ball_owned_player=owner)

    way = (show(), at(0.98, 2), at(0.98, 2), at(0.72, 2), at(0.72, 3), at(0.5, 0), at(0.5, 2, team=1), at(0.1, 2), at(0.95, 2))
    assert paid(rewards, *way) == [
        [0, 0.1, 0, 0],  # the first ring
        [0, 0, 0, 0],
        [0, 0.3, 0, 0],  # three more: 0.90, 0.81, 0.72
        [0, 0, 0.4, 0],  # a mate collects for himself
        [0, 0, 0, 0],  # the goalkeeper is nobody's
        [0, 0, 0, 0],  # the other team's second player
        [0, 0.6, 0, 0],
        [0, 0, 0, 0],
    ]
    assert rewards.arrays["checkpoints"].tolist() == [[0, 10, 4, 0]]
    assert paid(rewards, show(), show(score=[1, 0])) == [[1.0, 0.0, 0.6, 1.0]]  # the goal: what is left, for everybody
    assert paid(rewards, show(score=[1, 0]), show(score=[2, 0])) == [[0.0] * 4]
    rewards.begin([0])
    assert paid(rewards, show(), at(0.98, 2)) == [[0, 0.1, 0, 0]]


def test_an_episode_begins_in_its_copy_alone() -> None:
    rewards = Rewards(("checkpoints",), 3, 4)
    rewards.arrays["checkpoints"][:] = 5
    rewards.begin(np.array([1]))
    assert rewards.arrays["checkpoints"].tolist() == [[5] * 4, [0] * 4, [5] * 4]


@pytest.mark.parametrize(("score", "steps_left", "expected"), [((3, 1), 0, 10.0), ((3, 1), 1, 0.0), ((1, 1), 0, 0.0), ((0, 2), 0, 0.0)])
def test_winning_is_paid_at_the_end(score: tuple[int, int], steps_left: int, expected: float) -> None:
    frames = (show(score=score), show(score=score, steps_left=steps_left))
    assert paid(Rewards(("shaped",), 1, 4), *frames) == [[expected] * 4]


def test_cards_and_possession() -> None:
    card = [1, 0, 0, 0, 0]
    assert paid(Rewards(("shaped",), 1, 4), show(), show(right_team_yellow_card=card)) == [[1.0] * 4]
    assert paid(Rewards(("shaped",), 1, 4), show(), show(left_team_yellow_card=card)) == [[-1.0] * 4]
    ours, theirs, free = (show(ball_owned_team=team) for team in (0, 1, -1))
    assert paid(Rewards(("shaped",), 1, 4), ours, theirs, ours, free, theirs) == [[-0.1] * 4, [0.1] * 4, [0.0] * 4, [0.0] * 4]


@pytest.mark.parametrize(
    ("names", "weights", "ends"),
    [
        (("shaped",), {}, True),
        (("shaped",), {"win": 0.0}, False),
        (("scoring", "checkpoints"), {}, False),
        (("scoring", "shaped"), {}, True),
    ],
)
def test_where_winning_is_paid_the_time_limit_is_an_end(names: tuple[str, ...], weights: dict[str, float], ends: bool) -> None:
    assert Rewards(names, 1, 4, weights=weights).time_limit_ends is ends
