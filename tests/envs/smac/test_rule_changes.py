"""The changes that a bench tries: each of them changes battles, and what is left out changes none."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from a2po.envs.registry import families_with, make, perturbations, scripted_player
from a2po.envs.smac.options import RULES
from a2po.envs.smac.rule_changes import CHANGES

COPIES, STEPS = 4, 60


def changes(task: str, **options) -> dict[tuple[str, str], dict]:
    with closing(make(task, 1, num_threads=1, **options)) as env:
        return {(change.rule, change.value): dict(change.options) for change in perturbations(env)}


def rules(task: str, **options) -> set[str]:
    return {rule for rule, _ in changes(task, **options)}


def played(task: str, player: str = "heuristic", **options) -> bytes:
    """All observations and rewards of some battles between scripts."""
    script, shown = scripted_player(player, task), []
    with closing(make(task, COPIES, seed=5, num_threads=1, **{**script.options, **options})) as env:
        act, observations, begun = script.make(env, 0), env.reset(), None
        for _ in range(STEPS):
            step = env.step(act(observations, begun))
            observations, begun = step.observations, step.terminated | step.truncated
            shown += [observations.obs.numpy().tobytes(), step.reward.numpy().tobytes()]
    return b"".join(shown)


EVERYWHERE = {"enemy_damage", "cooldown_jitter", "action_delay", "steering", "damage_order", "robust"}
WALKERS = {*EVERYWHERE, "enemy_speed", "acquire_slop", "head_start"}
FROM_POINTS = {*WALKERS, "spawn_jitter", "shuffle_enemies"}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("smac/3s_vs_3z", {*FROM_POINTS, "missile_flight"}),  # both readings of its ground are the same
        ("smac/3m", {*FROM_POINTS, "terrain"}),  # three marines are packed alike in both ways
        ("smac/MMM2", {*FROM_POINTS, "terrain", "spawn_packing", "missile_flight", "enemy_medivac"}),
        ("smac/1c3s5z", {*FROM_POINTS, "terrain", "spawn_packing", "missile_flight", "line_delay"}),
        ("smac/2m_vs_1z", {*WALKERS, "spawn_jitter", "terrain"}),  # one enemy
        ("smac/2s_vs_1sc", {*EVERYWHERE, "acquire_slop", "spawn_jitter", "terrain", "missile_flight"}),  # and this one has no legs
        ("smac/2c_vs_64zg", {*FROM_POINTS, "terrain", "spawn_packing", "line_delay"} - {"acquire_slop"}),  # they hunt
        ("smacv2/protoss_5_vs_5", {*WALKERS, "shuffle_enemies", "missile_flight", "line_delay"}),
        ("smacv2/terran_10_vs_11", {*WALKERS, "shuffle_enemies", "missile_flight", "enemy_medivac"}),
    ],
)
def test_what_matters_where(task, expected):
    assert rules(task) == expected


def test_every_rule_has_a_change_and_other_families_have_none():
    assert set(CHANGES) == set(RULES)
    assert {"smac", "smacv2"} <= set(families_with("perturbations"))
    assert changes("matrix/climbing") == {}


def test_where_the_battles_own_orders_never_lead_their_rules_do_not_matter():
    led = {"enemy_medivac", "acquire_slop", "head_start"}
    assert rules("smac/MMM", opponent="kiting") == rules("smac/MMM") - led
    assert rules("smac/MMM", opponent={"kiting": 3, "built_in": 1}) == rules("smac/MMM")
    assert rules("smac/2s_vs_1sc", opponent="heuristic") == rules("smac/2s_vs_1sc")  # who cannot walk looks round for foes


@pytest.mark.parametrize(
    ("task", "options"), [("smac/3m", {}), ("smac/2s_vs_1sc", {}), ("smac/MMM", {"opponent": "focus_fire"})], ids=["3m", "one", "led"]
)
def test_what_is_not_offered_changes_no_battle(task, options):
    trained, offered = played(task, **options), rules(task, **options)
    for name in sorted(CHANGES.keys() - offered - {"head_start"}):  # which also moves what the dice show
        for value in RULES[name].names or RULES[name].robust:
            assert played(task, **options, **{name: value}) == trained, (name, value)


def test_what_is_offered_changes_battles():
    """But for the ground at the cliffs, where these scripts never come."""
    trained = played("smac/2s3z")
    same = {change for change, options in changes("smac/2s3z").items() if played("smac/2s3z", **options) == trained}
    assert same == {("terrain", "cliff")}


def test_a_change_to_what_the_team_knows_is_left_out():
    plain = changes("smac/3m")
    assert plain["action_delay", "1 loop"] == {"action_delay": 1} and plain["action_delay", "2 loops"] == {"action_delay": 2}
    assert plain["cooldown_jitter", "0 loops"] == {"cooldown_jitter": [0, 0]} and ("cooldown_jitter", "-2 to 4 loops") in plain
    assert plain["enemy_damage", "1.25 times"] == {"enemy_damage": 1.25} and plain["robust", "all drawn"] == {"robust": True}
    assert plain["shuffle_enemies", "true"] == {"shuffle_enemies": True} and plain["terrain", "cliff"] == {"terrain": "cliff"}
    delayed = changes("smac/3m", action_delay=1, enemy_damage=[1.1, 1.1])
    assert delayed.keys() ^ plain.keys() == {("action_delay", "0 loops"), ("action_delay", "1 loop"), ("enemy_damage", "1.1 times")}
    robust = changes("smac/3m", robust=True)
    assert ("robust", "all drawn") not in robust and {("terrain", "plateau"), ("terrain", "cliff")} <= robust.keys()
    drawn = changes("smac/3m", action_delay=[1, 2])
    assert {rule for rule, _ in drawn} == {rule for rule, _ in plain} and ("action_delay", "0 loops") in drawn


def test_a_change_is_laid_over_what_the_team_knows():
    for change, options in changes("smac/MMM", enemy_medivac="idle").items():
        with closing(make("smac/MMM", 1, num_threads=1, **{"enemy_medivac": "idle", **options})) as env:
            assert np.isfinite(env.options.ranges).all(), change
    assert changes("smac/MMM", enemy_medivac="idle")["enemy_medivac", "scan_move"] == {"enemy_medivac": "scan_move"}
