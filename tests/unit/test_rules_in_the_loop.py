"""Every rule in the real learner against one slow loop: an agent at a time, a ratio at a time, the golden ``surrogate_loss``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from a2po.algorithms import advantages as estimators
from a2po.algorithms import objectives, ordering
from a2po.algorithms.batch import Batch
from a2po.algorithms.diagnostics import UpdateReport
from a2po.algorithms.learner import PolicyLearner
from a2po.algorithms.turn import distribution_of
from a2po.algorithms.update_rules import RULES, UpdateRule, rule
from a2po.config import UpdateConfig, validate
from a2po.errors import ConfigError
from a2po.networks.group import Group
from a2po.networks.stack import AdamSettings
from a2po.networks.team_policy import TeamPolicy
from a2po.training.prepare import _with_true_ends, prepare
from a2po.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
TASK = "mamujoco/HalfCheetah-6x1"
SEQUENTIAL = [name for name, value in RULES.items() if not value.simultaneous and not value.one_per_rollout]


def one_rollout(folder: Path, *, task: str = TASK, **network: Any) -> tuple[TeamPolicy, Batch]:
    """A team after one round, and the batch of its next rollout, with dead samples."""
    config = validate(
        {
            "task": task,
            "algorithm": "mappo",
            "env": {"num_envs": 4, "num_threads": 1, "options": {"max_episode_steps": 5} if task.startswith("mamujoco") else {}},
            "network": {"hidden_sizes": (10, 10), "head_gain": 0.5, **network},
            "update": {"rollout_length": 12, "chunk_length": 4, "num_epochs": 1, "num_minibatches": 1},
            "run": {"evaluate_every": 0, "checkpoint_every": 10**9},
        }
    )
    folder.mkdir(exist_ok=True)
    trainer = Trainer(config, folder, torch.device("cpu"), print)
    trainer.round()
    trainer.sampler.collect()
    trainer.buffer.alive[3:6, 1, 2 % trainer.team.spec.num_agents] = False
    batch = prepare(trainer.team, trainer.buffer)
    trainer.close()
    return trainer.team, batch


def copy_of(team: TeamPolicy) -> TeamPolicy:
    fresh = TeamPolicy(team.spec, team.network, seed=99)
    fresh.load_state_dict({name: value.clone() for name, value in team.state_dict().items()})
    return fresh


def settings_for(**update: Any) -> UpdateConfig:
    return UpdateConfig(**{"num_epochs": 2, "num_minibatches": 1, "actor_learning_rate": 0.02, "critic_learning_rate": 0.02, **update})


def log_probs(team: TeamPolicy, batch: Batch, agent: int) -> Tensor:
    """[M] with gradient to the leaves of the agent's own group."""
    return asked(Group(team, (agent,)), batch)[0]


def asked(group: Group, batch: Batch) -> Tensor:
    """[n, M] log-probabilities in the order of the samples, whatever that of the chunks is."""
    own = batch.of(group.agents)
    part = own.everything()
    rows = torch.arange(batch.num_samples)[part.samples]
    return distribution_of(group.actor, own, part).log_prob(own.samples[:, rows])[:, rows.argsort()]


def blocks_of(report: UpdateReport) -> list[list[int]]:
    return [[agent for agent in report.order if report.positions[agent] == place] for place in range(1, len(set(report.positions)) + 1)]


def slow_actors(team: TeamPolicy, batch: Batch, own_rule: UpdateRule, settings: UpdateConfig, report: UpdateReport) -> Tensor:
    """[N, P] the actors after a round in the reported order."""
    agents, adam = list(range(team.spec.num_agents)), AdamSettings(settings.adam_epsilon, settings.max_grad_norm)
    with torch.no_grad():
        old = [log_probs(team, batch, agent) for agent in agents]
    data = (batch.rewards, batch.values, batch.next_values, batch.terminated, batch.truncated)
    scan = {"discount": settings.discount, "trace_decay": settings.trace_decay}
    done: list[int] = []
    for place, block in enumerate(blocks_of(report), start=1):
        with torch.no_grad():
            rho = torch.ones_like(batch.mask[0])
            for agent in done:
                rho = rho * torch.where(batch.mask[agent] > 0, (log_probs(team, batch, agent) - old[agent]).exp(), 1.0)
        ratios_of_rollout = rho.view(batch.rewards.shape[:2]).unsqueeze(-1).expand_as(batch.rewards)
        corrects = own_rule.correct_advantage if settings.advantage is None else settings.advantage == "preopc"
        corrected = corrects and done
        estimate = estimators.preopc(*data, ratios_of_rollout, trace=settings.trace, **scan) if corrected else estimators.gae(*data, **scan)
        if settings.advantage_normalisation == "pooled":
            advantages = list(estimators.normalise(batch.agent_major(estimate), batch.mask))
        else:
            advantages = [estimators.normalise(batch.agent_major(estimate)[agent], batch.mask[agent]) for agent in agents]
        clips = [settings.clip] * len(agents)
        if (settings.clip_schedule or "adaptive") == "adaptive" and (own_rule.adaptive_clip or settings.clip_schedule):
            clips = [ordering.adaptive_clip(settings.clip, place, len(set(report.positions)), settings.clip_coefficient)] * len(agents)
        if settings.clip_schedule == "ratio_proportional":
            with torch.no_grad():
                moved = [torch.where(batch.mask[agent] > 0, log_probs(team, batch, agent) - old[agent], 0.0) for agent in agents]
            clips = ordering.ratio_proportional_clip(settings.clip, torch.stack(moved, 1).exp()).tolist()
        for _ in range(settings.num_epochs):
            gradients = []
            for agent in block:
                group = Group(team, (agent,))
                with torch.no_grad():
                    columns = [log_probs(team, batch, other) - old[other] for other in agents]
                columns[agent] = asked(group, batch)[0] - old[agent]
                alive = [torch.where(batch.mask[other] > 0, column, 0.0).exp() for other, column in enumerate(columns)]
                inside = [other for other in block if other != agent]
                others = {"none": [], "all": [other for other in agents if other != agent], "preceding": done + inside}[own_rule.others]
                loss = objectives.surrogate_loss(
                    own_rule, torch.stack(alive, 1), agent, others, advantages[agent], batch.mask[agent], clip=clips[agent],
                    others_clip=settings.clip / 2 if settings.others_clip == "fixed" else None,
                )  # fmt: skip
                gradients.append((group, torch.autograd.grad(loss, group.actor_leaves)))
            for group, gradient in gradients:
                group.step_actors(gradient, settings.actor_learning_rate, adam)
        done += block
    return team.actors.values.clone()


CASES = [(name, None) for name in RULES if name != "rpisa"] + [(name, blocks) for name in SEQUENTIAL for blocks in (1, 2, 4)]


@pytest.mark.parametrize(("algorithm", "num_blocks"), CASES)
def test_the_learner_is_the_slow_loop(algorithm: str, num_blocks: int | None, tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run")
    settings, fast = settings_for(num_blocks=num_blocks), copy_of(team)
    report = PolicyLearner(fast, rule(algorithm), settings, seed=0).update(batch)
    assert sorted(report.order) == list(range(6))
    expected = slow_actors(team, batch, rule(algorithm), settings, report)
    torch.testing.assert_close(fast.actors.values, expected, rtol=1e-3, atol=2e-5)
    assert report.per_agent["total_variation"] != [0.0] * 6


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("a2po", {"trace": "squared"}),
    ("a2po", {"trace": "cumulative"}),
    ("a2po", {"advantage": "gae"}),
    ("a2po", {"clip_schedule": "constant"}),
    ("a2po", {"clip_schedule": "ratio_proportional"}),
    ("a2po", {"clip_coefficient": 0.1}),
    ("a2po", {"others_clip": "fixed"}),
    ("a2po", {"advantage_normalisation": "pooled"}),
    ("happo", {"advantage": "preopc"}),
    ("happo", {"clip_schedule": "adaptive"}),
]


@pytest.mark.parametrize(
    ("algorithm", "options"), OPTIONS, ids=lambda value: value if isinstance(value, str) else "-".join(map(str, *value.items()))
)
def test_every_option_is_in_the_loop(algorithm: str, options: dict[str, Any], tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run")
    fast, plain = copy_of(team), copy_of(team)
    report = PolicyLearner(fast, rule(algorithm), settings_for(**options), seed=0).update(batch)
    expected = slow_actors(team, batch, rule(algorithm), settings_for(**options), report)
    torch.testing.assert_close(fast.actors.values, expected, rtol=1e-3, atol=2e-5)
    without = slow_actors(plain, batch, rule(algorithm), settings_for(), report)
    assert (expected - without).abs().max() > 1e-3


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("target", ["preopc", "vtrace"])
def test_what_critics_learn(target: str, shared: bool, tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run", share_parameters=shared)
    with torch.no_grad():
        old = asked(Group(team, range(6)), batch)
    learner, weights = PolicyLearner(team, rule("a2po"), settings_for(value_target=target, num_blocks=3, num_epochs=3), seed=0), []
    genuine = learner._turn

    def turn(place: Any, now: Any) -> Any:
        given = genuine(place, now)
        with torch.no_grad():
            moved = torch.where(batch.mask > 0, asked(Group(team, range(6)), batch) - old, 0.0)
        weights.append(moved.sum(0).exp().clamp(max=1.0) if target == "vtrace" else torch.ones_like(moved[0]))
        returns = batch.agent_major(batch.values) + weights[-1] * batch.agent_major(now.advantages)
        torch.testing.assert_close(given.targets, team.normalise_returns(returns)[list(place.agents)], rtol=1e-4, atol=1e-4)
        return given

    learner._turn = turn  # type: ignore[method-assign]
    learner.update(batch)
    assert len(weights) == 3 and bool((weights[-1] < 0.9).any()) == (target == "vtrace")


def test_the_public_codes_score(tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run")
    report = PolicyLearner(team, rule("a2po"), settings_for(score="advantage_over_value", rescore="once"), seed=0).update(batch)
    plain = estimators.gae(
        batch.rewards, batch.values, batch.next_values, batch.terminated, batch.truncated, discount=0.99, trace_decay=0.95
    )
    normalised = estimators.normalise(batch.agent_major(plain), batch.mask)  # over all agents together
    [scores] = report.scores
    for agent in range(6):
        alive = batch.mask[agent] > 0
        expected = (normalised[agent] / batch.old_values[agent]).abs()[alive].mean()
        assert scores[agent] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("algorithm", RULES)
def test_the_schedule_of_the_learning_rate_holds_for_everything(algorithm: str, shared: bool, tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run", share_parameters=shared)
    before = team.actors.values.clone(), team.critics.values.clone()
    PolicyLearner(team, rule(algorithm), settings_for(two_stage=True), seed=0).update(batch, learning_rate_scale=0.0)
    assert torch.equal(team.actors.values, before[0]) and torch.equal(team.critics.values, before[1])
    assert team.actors.steps.any() and team.critics.steps.any()


def test_a_shared_critic_learns_from_the_mean_over_all_agents_samples(tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run", share_parameters=True)
    learner, found = PolicyLearner(copy_of(team), rule("mappo"), settings_for(num_epochs=1), seed=0), []
    genuine = learner.trainer.train
    learner.trainer.train = lambda turn, *rest, **which: found.append(turn.targets) or genuine(turn, *rest, **which)  # type: ignore[method-assign,func-returns-value]
    report = learner.update(batch)
    group, part = Group(team, range(6)), batch.everything()
    values = group.critic.unroll(batch.state, batch.critic_memory, batch.keep_of(part))
    loss = objectives.value_loss(values, batch.old_values, found[0], clip=0.2, huber_delta=10.0).mean()
    norm = torch.stack([part.norm() for part in torch.autograd.grad(loss, group.critic_leaves)]).norm()
    assert report.per_agent["critic_grad_norm"] == pytest.approx([float(norm)] * 6, rel=1e-4)


def test_the_rules_differ(tmp_path: Path) -> None:
    """Else the test above would prove little."""
    team, batch = one_rollout(tmp_path / "run")
    results = []
    for name in ("mappo", "coppo", "happo", "a2po"):
        fast = copy_of(team)
        PolicyLearner(fast, rule(name), settings_for(order=None if rule(name).simultaneous else "cyclic"), seed=0).update(batch)
        results.append(fast.actors.values)
    for index, one in enumerate(results):
        assert all((one - other).abs().max() > 1e-3 for other in results[:index])


@pytest.mark.parametrize("two_stage", [False, True])
@pytest.mark.parametrize("algorithm", RULES)
def test_how_often_critics_are_trained(algorithm: str, two_stage: bool, tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run")
    before = team.critics.steps.clone(), team.actors.steps.clone()
    settings = settings_for(num_minibatches=3, two_stage=two_stage)
    report = PolicyLearner(team, rule(algorithm), settings, seed=0).update(batch)
    trained = torch.tensor([[float(agent in report.order)] for agent in range(6)])
    assert torch.equal(team.actors.steps - before[1], 2 * 3 * trained)
    assert torch.equal(team.critics.steps - before[0], 2 * 3 * (1 + two_stage) * trained)


def test_happo_trains_its_critics_once_all_actors_are_done_on_plain_returns(tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run")
    learner, seen = PolicyLearner(team, rule("happo"), settings_for(), seed=0), []
    genuine = learner.trainer.train

    def train(turn: Any, *rest: Any, **which: Any) -> None:
        before = team.actors.values.clone(), team.critics.values.clone()
        genuine(turn, *rest, **which)
        moved = [bool((value != old).any()) for value, old in zip((team.actors.values, team.critics.values), before, strict=True)]
        seen.append((turn.agents, moved))
        if moved[1]:
            plain = estimators.gae(
                batch.rewards, batch.values, batch.next_values, batch.terminated, batch.truncated, discount=0.99, trace_decay=0.95
            )
            torch.testing.assert_close(turn.targets, team.normalise_returns(batch.agent_major(plain + batch.values)))

    learner.trainer.train = train  # type: ignore[method-assign]
    learner.update(batch)
    assert [moved for _, moved in seen] == [[True, False]] * 6 + [[False, True]]
    assert seen[-1][0] == tuple(range(6)) and sorted(agents[0] for agents, _ in seen[:-1]) == list(range(6))


def test_happos_critics_do_not_touch_its_actors(tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run")
    actors = []
    for rate in (0.02, 0.5):
        own = copy_of(team)
        PolicyLearner(own, rule("happo"), settings_for(num_minibatches=2, critic_learning_rate=rate), seed=0).update(batch)
        actors.append(own.actors.values)
    assert torch.equal(*actors)


def test_one_agent_per_rollout(tmp_path: Path) -> None:
    """RPISA: the next agent each round, the others stand still; a resumed learner goes on with whoever waits."""
    team, batch = one_rollout(tmp_path / "run")
    learner = PolicyLearner(team, rule("rpisa"), settings_for(order="random"), seed=0)
    served = []
    for turn in range(12):
        if turn == 4:
            saved = {name: value.clone() for name, value in learner.state_dict().items()}
            learner = PolicyLearner(team, rule("rpisa"), settings_for(order="random"), seed=5)
            learner.load_state_dict(saved)
        before = team.actors.values.clone()
        report = learner.update(batch)
        moved = [agent for agent in range(6) if not torch.equal(before[agent], team.actors.values[agent])]
        assert moved == report.order and len(moved) == 1
        served += moved
    assert sorted(served[:6]) == sorted(served[6:]) == list(range(6)) and served[:6] != sorted(served[:6])


def test_rpisa_goes_along_its_order_from_rollout_to_rollout(tmp_path: Path) -> None:
    """Semi-greedy: the best score of those that wait, then a random one, and so on."""
    team, batch = one_rollout(tmp_path / "run")
    learner, waiting = PolicyLearner(team, rule("rpisa"), settings_for(order="semi_greedy"), seed=3), list(range(6))
    stream = torch.Generator()
    stream.set_state(learner.order_stream.get_state())
    for position in range(6):
        report = learner.update(batch)
        uniform = float(torch.rand((), generator=stream, dtype=torch.float64)) if position % 2 else None
        assert report.order == [ordering.next_agent("semi_greedy", position, report.scores[0], waiting, uniform)]
        assert report.positions[report.order[0]] == position + 1 == max(report.positions)
        waiting.remove(report.order[0])


@pytest.mark.parametrize(
    "first", ["semi_greedy", "semi_greedy_random_first", "greedy", "reverse_greedy", "reverse_semi_greedy", "random", "cyclic"]
)
@pytest.mark.parametrize("rescore", ["per_agent", "once"])
def test_every_order_is_the_one_of_its_scores(first: str, rescore: str, tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run")
    learner = PolicyLearner(team, rule("a2po"), settings_for(order=first, rescore=rescore), seed=3)
    stream = torch.Generator()
    stream.set_state(learner.order_stream.get_state())
    report = learner.update(batch)
    remaining = list(range(6))
    for position in range(6):
        scores = report.scores[min(position, len(report.scores) - 1)]
        uniform = float(torch.rand((), generator=stream, dtype=torch.float64)) if ordering.is_random(first, position) else None
        agent = ordering.next_agent(first, position, scores, remaining, uniform)
        assert agent == report.order[position]
        remaining.remove(agent)
    assert len(report.scores) == (6 if rescore == "per_agent" and ordering.is_greedy(first) else 1)


def test_what_has_no_meaning_is_refused(tmp_path: Path) -> None:
    team, _ = one_rollout(tmp_path / "run")
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("mappo", {"num_blocks": 2}, "update.num_blocks = 2 has no meaning for mappo"),
        ("coppo", {"advantage": "preopc"}, "update.advantage = 'preopc' has no meaning for coppo"),
        ("mappo", {"clip_schedule": "adaptive"}, "update.clip_schedule"),
        ("a2po", {"num_blocks": 7}, "more than the task's 6 agents"),
        ("rpisa", {"num_blocks": 2}, "update.num_blocks = 2 has no meaning for rpisa, which updates one agent per rollout"),
        ("rpisa", {"advantage": "preopc"}, "update.advantage = 'preopc' has no meaning for rpisa"),
        ("rpisa", {"clip_schedule": "ratio_proportional"}, "update.clip_schedule = 'ratio_proportional' has no meaning for rpisa"),
        ("happo", {"value_target": "vtrace"}, "needs corrected advantages"),
        ("a2po", {"value_target": "vtrace", "advantage": "gae"}, "needs corrected advantages"),
    ]
    for algorithm, update, message in wrong:
        with pytest.raises(ConfigError, match=message):
            PolicyLearner(team, rule(algorithm), settings_for(**update), seed=0)


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("num_blocks", [None, 2])
def test_critics_that_wait_for_the_end_are_those_of_the_turns(num_blocks: int | None, layers: int, tmp_path: Path) -> None:
    """One stack at the end, or each with its actor: the same but for rounding, where minibatches are not drawn."""
    team, batch = one_rollout(tmp_path / "run", recurrent_layers=layers, recurrent_size=8)
    states = []
    for wait in (True, False):
        own = copy_of(team)
        learner = PolicyLearner(own, rule("a2po"), settings_for(num_blocks=num_blocks, two_stage=True), seed=0)
        assert learner.critics_last
        learner.critics_last = wait
        learner.update(batch)
        states.append(own.state_dict())
    for name, value in states[0].items():
        if name.startswith("critics."):
            torch.testing.assert_close(value, states[1][name], rtol=1e-4, atol=2e-6)
        else:
            assert torch.equal(value, states[1][name]), name
    assert not torch.equal(states[0]["critics.weights.linear0_weight"], team.state_dict()["critics.weights.linear0_weight"])


class Waits(TorchDispatchMode):
    """Counts the operations for which the host waits for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += operation.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select")
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("network", [{}, {"share_parameters": True, "recurrent_layers": 1, "recurrent_size": 8}], ids=["mlp", "shared gru"])
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("mappo", {}),
        ("coppo", {}),
        ("happo", {"num_blocks": 2}),
        ("a2po", {"num_blocks": 2}),
        ("a2po", {"clip_schedule": "ratio_proportional"}),
    ],
)
def test_no_minibatch_waits_for_the_device(algorithm: str, settings: dict[str, Any], network: dict[str, Any], tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run", **network)
    learner = PolicyLearner(team, rule(algorithm), settings_for(num_minibatches=3, entropy_coefficient=0.01, **settings), seed=0)
    genuine, waits = learner.trainer._epoch, Waits()

    def epoch(*given: Any, **which: Any) -> None:
        with waits:
            genuine(*given, **which)

    learner.trainer._epoch = epoch  # type: ignore[method-assign]
    learner.update(batch)
    assert waits.count == 0
    with waits:
        assert bool(batch.mask.sum() > 0)
    assert waits.count == 1


def spoilt(values: Tensor, where: Tensor) -> Tensor:
    """Rubbish where the flags are True, which fit the first axes."""
    flags = where.view(*where.shape, *[1] * (values.dim() - where.dim()))
    return torch.where(flags, 5.0 * torch.randn(values.shape, generator=torch.Generator().manual_seed(1)), values)


@pytest.mark.parametrize("network", [{}, {"share_parameters": True}, {"critics": "one"}], ids=["separate", "shared", "one critic"])
@pytest.mark.parametrize("algorithm", RULES)
def test_what_does_not_count_changes_no_bit(algorithm: str, network: dict[str, Any], tmp_path: Path) -> None:
    """Samples of dead agents and steps of an episode that a fault ended, in blocks and minibatches, in weights, figures and bounds."""
    team, batch = one_rollout(tmp_path / "run", **network)
    ends = batch.truncated[:, 2, 0].nonzero().flatten().tolist()
    invalid = torch.zeros(batch.rewards.shape[:2], dtype=torch.bool)
    invalid[ends[0] + 1 : ends[1] + 1, 2] = True  # one whole episode of one copy
    flags = invalid.flatten()
    kept = dataclasses.replace(batch, mask=batch.mask * ~flags, value_mask=batch.value_mask * ~flags)
    dead = kept.mask == 0
    assert flags.any() and (dead & ~flags).any()
    of_samples = {name: spoilt(getattr(kept, name), dead) for name in ("obs", "samples")}
    of_steps = {name: spoilt(getattr(kept, name), invalid) for name in ("rewards", "values", "next_values")}
    critics = {"state": spoilt(kept.state, flags), "old_values": torch.where(flags, 7.0, kept.old_values)}
    rubbish = dataclasses.replace(kept, **of_samples, **of_steps, **critics)
    blocks = {"num_blocks": 4} if algorithm in SEQUENTIAL else {}
    found = []
    for own_batch in (kept, rubbish, batch):
        own = copy_of(team)
        report = PolicyLearner(own, rule(algorithm), settings_for(num_minibatches=3, entropy_coefficient=0.01, **blocks), seed=0).update(
            own_batch
        )
        found.append((own.state_dict(), report))
    assert all(torch.equal(value, found[1][0][name]) for name, value in found[0][0].items())
    assert found[0][1] == found[1][1]
    assert not torch.equal(found[0][0]["actors.weights.linear0_weight"], found[2][0]["actors.weights.linear0_weight"])


# --- shared parameters ---


def pooled_loss(team: TeamPolicy, batch: Batch, own_rule: UpdateRule, turn: Any, settings: UpdateConfig) -> Tensor:
    """The policy loss of a turn, a sample at a time: one mean over all samples of all its agents."""
    everyone = Group(team, range(team.spec.num_agents))
    now = asked(everyone, batch)
    log_ratios = torch.where(batch.mask > 0, now - turn["old"], 0.0)
    total, count = torch.zeros(()), 0
    for agent in turn["agents"]:
        others = torch.zeros_like(log_ratios[0])
        for other in range(team.spec.num_agents):
            if other != agent and own_rule.others != "none":
                moved = log_ratios if other in turn["agents"] else turn["log_ratios"]
                others = others + moved[other].detach()
        gains = objectives.surrogate(own_rule, log_ratios[agent].exp(), others.exp(), turn["advantages"][agent], clip=turn["clip"])
        for sample in batch.mask[agent].nonzero().flatten().tolist():
            total, count = total - gains[sample], count + 1
    return total / count


def slow_shared(team: TeamPolicy, batch: Batch, own_rule: UpdateRule, settings: UpdateConfig, orders: list[list[list[int]]]) -> Tensor:
    """[1, P] the one actor after the sweeps, each a list of blocks."""
    agents, adam = range(team.spec.num_agents), AdamSettings(settings.adam_epsilon, settings.max_grad_norm)
    data = (batch.rewards, batch.values, batch.next_values, batch.terminated, batch.truncated)
    scan = {"discount": settings.discount, "trace_decay": settings.trace_decay}
    estimate = estimators.gae(*data, **scan)

    def log_probs_now() -> Tensor:
        with torch.no_grad():
            return asked(Group(team, agents), batch)

    old, moved = log_probs_now(), False
    for blocks in orders:
        chosen: list[int] = []
        for place, block in enumerate(blocks, start=1):
            chosen = chosen + block
            log_ratios = torch.where(batch.mask > 0, log_probs_now() - old, 0.0)
            if own_rule.correct_advantage and moved:  # rescore once: only the chosen agents' columns are new
                rho = log_ratios.sum(0).exp().view(batch.rewards.shape[:2]).unsqueeze(-1).expand_as(batch.rewards)
                estimate[..., chosen] = estimators.preopc(*data, rho, **scan)[..., chosen]
            clip = ordering.adaptive_clip(settings.clip, place, len(blocks), 0.5) if own_rule.adaptive_clip else settings.clip
            turn = {"agents": chosen, "old": old, "log_ratios": log_ratios, "clip": clip}
            turn["advantages"] = estimators.normalise(batch.agent_major(estimate), batch.mask)
            for _ in range(settings.num_epochs if own_rule.simultaneous else 1):
                loss = pooled_loss(team, batch, own_rule, turn, settings)
                everyone = Group(team, agents)
                everyone.step_actors(torch.autograd.grad(loss, everyone.actor_leaves), settings.actor_learning_rate, adam)
            moved = True
    return team.actors.values.clone()


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize(
    ("algorithm", "num_blocks"), [("mappo", None), ("coppo", None), ("happo", 2), ("a2po", 2), ("a2po", 3), ("a2po", 1)]
)
def test_shared_parameters_are_the_slow_loop(algorithm: str, num_blocks: int | None, layers: int, tmp_path: Path) -> None:
    """Cumulative blocks, ⌈epochs / blocks⌉ sweeps, every other agent's ratio, one mean over all samples."""
    team, batch = one_rollout(tmp_path / "run", share_parameters=True, recurrent_layers=layers, recurrent_size=8)
    order = None if rule(algorithm).simultaneous else "cyclic"
    settings, fast = settings_for(num_blocks=num_blocks, num_epochs=4, order=order), copy_of(team)
    learner = PolicyLearner(fast, rule(algorithm), settings, seed=0)
    turns: list[tuple[int, ...]] = []
    genuine = learner.trainer.train
    learner.trainer.train = lambda turn, *rest, **which: turns.append(turn.agents) or genuine(turn, *rest, **which)  # type: ignore[method-assign,func-returns-value]
    report = learner.update(batch)
    sizes = ordering.block_sizes(6, num_blocks) if order else [6]
    begins = [sum(sizes[:index]) for index in range(len(sizes))]
    blocks = [list(range(begin, begin + size)) for begin, size in zip(begins, sizes, strict=True)]
    sweeps = -(-4 // len(blocks)) if order else 1
    cumulative = [tuple(range(begin + size)) for begin, size in zip(begins, sizes, strict=True)]
    assert turns[: sweeps * len(blocks)] == cumulative * sweeps and report.order == list(range(6))
    expected = slow_shared(team, batch, rule(algorithm), settings, [blocks] * sweeps)
    torch.testing.assert_close(fast.actors.values, expected, rtol=1e-3, atol=3e-5)


def test_scores_that_are_looked_at_once_are_those_of_the_first_sweep(tmp_path: Path) -> None:
    """The public code orders every epoch by the plain advantages of the round's beginning."""
    team, batch = one_rollout(tmp_path / "run", share_parameters=True)
    learner = PolicyLearner(team, rule("a2po"), settings_for(order="greedy", rescore="once", num_blocks=6, num_epochs=18), seed=0)
    turns: list[tuple[int, ...]] = []
    genuine = learner.trainer.train
    learner.trainer.train = lambda turn, *rest, **which: turns.append(turn.agents) or genuine(turn, *rest, **which)  # type: ignore[method-assign,func-returns-value]
    report = learner.update(batch)
    assert len(report.scores) == 1 and report.order == sorted(range(6), key=lambda agent: -report.scores[0][agent])
    assert turns == [tuple(sorted(report.order[: place + 1])) for place in range(6)] * 3


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("settings", [{}, {"order": "cyclic"}, {"rescore": "once"}], ids=["rescored", "cyclic", "once"])
def test_the_teams_one_critic_learns_one_corrected_return(settings: dict[str, Any], shared: bool, tmp_path: Path) -> None:
    """With the team's reward and one V all agents have one advantage: the mean over them is that, and not a mixture of old and new ones."""
    team, batch = one_rollout(tmp_path / "run", critics="one", share_parameters=shared)
    learner, corrected = PolicyLearner(team, rule("a2po"), settings_for(num_blocks=3, num_epochs=3, **settings), seed=0), []
    genuine = learner._targets

    def targets(agents: tuple[int, ...], now: Any) -> Tensor:
        assert torch.equal(now.advantages, now.advantages[..., :1].expand_as(now.advantages))
        corrected.append(now.advantages[..., 0].clone())
        return genuine(agents, now)

    learner._targets = targets  # type: ignore[method-assign]
    learner.update(batch)
    assert len(corrected) == 3 and not torch.equal(corrected[0], corrected[1]) and not torch.equal(corrected[1], corrected[2])


@pytest.mark.parametrize("task", ["matrix/uneven", "mamujoco/Humanoid-9|8"])
@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("algorithm", ["mappo", "coppo", "happo", "a2po", "ippo", "rpisa"])
def test_unequal_agents_share_parameters(algorithm: str, layers: int, task: str, tmp_path: Path) -> None:
    critics = {"critic_input": "observation"} if algorithm == "ippo" else {}
    team, batch = one_rollout(tmp_path / "run", task=task, share_parameters=True, recurrent_layers=layers, recurrent_size=8, **critics)
    before = team.actors.values.clone()
    blocks = {"num_blocks": 2} if algorithm in SEQUENTIAL else {}
    report = PolicyLearner(team, rule(algorithm), settings_for(num_minibatches=2, **blocks), seed=0).update(batch)
    assert (team.actors.values != before).any() and bool(torch.isfinite(team.actors.values).all())
    assert all(len(values) == 2 for values in report.per_agent.values())


@pytest.mark.parametrize("network", [{}, {"recurrent_layers": 1, "recurrent_size": 8, "layer_norm": True}], ids=["mlp", "gru"])
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("algorithm", [name for name in RULES if name != "ippo"])
def test_the_first_ratios_are_one_for_every_rule(algorithm: str, shared: bool, network: dict[str, Any], tmp_path: Path) -> None:
    """Invariant (f): else what training recomputes is not what was played."""
    team, batch = one_rollout(tmp_path / "run", share_parameters=shared, **network)
    blocks = {"num_blocks": 2} if algorithm in SEQUENTIAL else {}
    learner, first = PolicyLearner(team, rule(algorithm), settings_for(num_minibatches=2, **blocks), seed=0), []
    genuine = objectives.surrogate

    def surrogate(own_rule: UpdateRule, ratio: Tensor, *rest: Any, **ranges: Any) -> Tensor:
        first.append(ratio.detach().clone())
        return genuine(own_rule, ratio, *rest, **ranges)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objectives, "surrogate", surrogate)
        learner.update(batch)
    assert (first[0] - 1.0).abs().max() <= 1e-6 < (first[1] - 1.0).abs().max()


def test_one_critic_of_a_shared_team_learns_the_mean(tmp_path: Path) -> None:
    team, batch = one_rollout(tmp_path / "run", share_parameters=True, critics="one")
    before = team.critics.values.clone()
    PolicyLearner(team, rule("a2po"), settings_for(num_blocks=2), seed=0).update(batch)
    assert batch.old_values.shape[0] == 1 and (team.critics.values != before).any()


# --- time limits ---


def test_cut_steps_bootstrap_or_end_or_are_left_out() -> None:
    """The golden numbers of both conventions, through what ``prepare`` makes of a batch."""
    case = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text(encoding="utf-8"))["truncation_conventions"]
    column = lambda values: torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)  # noqa: E731
    values = column(case["values_with_bootstrap"])
    cut = column([0, 0, 1, 0]) != 0
    successors = torch.where(cut, case["final_obs_value"], values[1:])
    fields = dict.fromkeys((field.name for field in dataclasses.fields(Batch)), torch.zeros(0))
    batch = Batch(**{**fields, "rewards": column(case["rewards"]), "values": values[:-1], "next_values": successors,
                     "terminated": torch.zeros_like(cut), "truncated": cut})  # fmt: skip
    found = {}
    ways = {
        "bootstrap": batch,
        "terminal": _with_true_ends(batch, without_error=False),
        "zeroed": _with_true_ends(batch, without_error=True),
    }
    for name, own in ways.items():
        data = (own.rewards, own.values, own.next_values, own.terminated, own.truncated)
        found[name] = estimators.gae(*data, discount=case["gamma"], trace_decay=case["lam"]).flatten().tolist()
    assert found["bootstrap"] == pytest.approx(case["recommended_bootstrap"], abs=1e-9)
    assert found["zeroed"] == pytest.approx(case["official_zeroing"], abs=1e-9)
    assert found["terminal"][2] == pytest.approx(1.0 - 3.0) and found["terminal"][3] == pytest.approx(case["official_zeroing"][3])
