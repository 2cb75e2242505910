"""Pictures of real battles: what is filmed within a step is what the step then does, and filming changes nothing."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from a2po.envs import make
from a2po.envs.registry import scripted_player, scripted_players
from a2po.envs.smac import fields as f
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.play import play
from a2po.evaluation.video import pictures_per_step


def begin(task, player="nearest", num_envs=1, **options):
    env = make(task, num_envs, seed=3, num_threads=1, **options)
    return env, scripted_player(player, task).make(env, 0), env.reset()


@pytest.mark.parametrize(
    ("delay", "opponent", "level"), [(0, "built_in", 0), (3, "built_in", 0), (0, "kiting", 0), (3, "focus_fire", 0), (0, "built_in", 0.3)]
)
def test_what_is_filmed_is_what_happens(delay, opponent, level):
    env, act, seen = begin("smac/2s3z", num_envs=2, action_delay=delay, opponent=opponent, health_level=level)
    with closing(env):
        for _ in range(30):
            actions = act(seen, None)
            before = [memory.copy() for memory in (env.simulation.units, env.simulation.marks)]
            pictures = env.render_step(1, actions, 4)
            assert len(pictures) == 4 and (pictures[0] != pictures[3]).any()
            assert all(np.array_equal(*pair) for pair in zip(before, (env.simulation.units, env.simulation.marks), strict=True))
            filmed = env._filming._stage  # its battle stands at the end of the step
            seen = env.step(actions).observations
            moved = [f.X, f.Y, f.FACING_X, f.HP, f.SHIELD]
            assert np.array_equal(filmed.units[0, moved], env.simulation.units[1, moved])
            assert np.array_equal(filmed.marks[0, f.ALIVE : f.HELP], env.simulation.marks[1, f.ALIVE : f.HELP])
        assert env.simulation.marks[1, f.ATTACKS].sum() > 10


def test_pictures_have_the_size_that_is_asked_for():
    env, _, _ = begin("smac/3s_vs_5z")
    with closing(env):
        assert env.render(0).shape == (env.render_size[1], env.render_size[0], 3)
        env.render_size = (120, 80)
        assert env.render(0).shape == (80, 120, 3)


def test_a_film_shows_what_happens_within_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    facts = play(player="nearest", task="smac/3m", steps=6, video="film.mp4")["video"]
    assert (facts["frames"], facts["per_step"], facts["every"], facts["fps"], facts["speed"]) == (48, 8, 1, 16.0, 1.0)
    frames = imageio.imread(Path("film.mp4"), plugin="FFMPEG")
    assert all((one != other).any() for one, other in itertools.pairwise(frames[:, 60:]))  # below the caption
    facts = play(player="nearest", task="smac/3m", steps=6, video="film.gif")["video"]
    assert (facts["frames"], facts["per_step"], round(facts["fps"])) == (24, 4, 8) and facts["width"] * 2 == frames.shape[2]


def test_as_many_pictures_in_a_step_as_the_format_takes():
    assert [pictures_per_step(suffix, 0.5, 8) for suffix in (".mp4", ".gif")] == [8, 4]
    assert (pictures_per_step(".mp4", 0.2, 8), pictures_per_step(".mp4", None, 8), pictures_per_step(".mp4", 0.05, 1)) == (4, 1, 1)


def test_battles_have_the_scripts_and_the_heuristic_shoots_far():
    assert list(scripted_players("smac/3m")) == list(scripted_players("smac/8m")) == [
        "random", "heuristic", "nearest", "focus_fire", "kiting",
    ]  # fmt: skip
    result = evaluate(player="heuristic", task="smac/3m", episodes=4, seed=5)
    assert result["task_options"] == {"shoot_range": 64.0, "min_attack_range": 64.0} and (result["policy"], result["episodes"]) == (
        "heuristic",
        4,
    )
    assert result["returns"] == evaluate(player="heuristic", task="smac/3m", episodes=4, seed=5)["returns"]


def test_scripts_beat_chance():
    """Eight marines that shoot against eight: random play never wins there."""
    rates = {
        player: evaluate(player=player, task="smac/8m", episodes=20)["metrics"]["won"]["mean"] for player in scripted_players("smac/8m")
    }
    assert rates["random"] == 0 and rates["heuristic"] > 0.5 and rates["nearest"] > 0.5
