"""Teams for the solvable games: how they begin, what they would do, and training with a small configuration."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import torch
from _games import DISCOUNT, Game
from torch import Tensor

from a2po.config import TrainConfig, validate
from a2po.envs.play import play
from a2po.networks.stack import AdamSettings
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import generator, stream_seed
from a2po.training.greedy import TeamActor
from a2po.training.method import method_for
from a2po.training.runs import make_env

SURE = 0.8
"""What the good beginning gives to every best action."""
COPIES = 64
UPDATE = {"num_epochs": 4, "num_minibatches": 1, "critic_learning_rate": 5e-3, "discount": DISCOUNT}
LOOKS = 20
"""Steps that show every situation."""
REPLAY, BATCH, UPDATES = 2048, 128, 8


def config_for(game: Game, algorithm: str, seed: int, *, good: bool, little: bool = False) -> TrainConfig:
    """Small, and the same for all policy gradients. Q learners explore for the first half of their steps.

    From a good beginning they explore as much as gives their best actions the probability that those of the others have, or ``little``.
    """
    total = game.rounds * game.rollout * COPIES
    own = {"rollout_length": game.rollout, "chunk_length": game.rollout, "actor_learning_rate": game.learning_rate}
    q = {
        "replay_episodes": REPLAY, "batch_episodes": BATCH, "updates_per_round": UPDATES, "target_every": 256,
        "epsilon_start": 0.05 if little else epsilon_start(game, good=good), "epsilon_steps": total // 2,
        "warm_up_episodes": 0 if good else BATCH,
    }  # fmt: skip
    memory = {"recurrent_layers": 1, "recurrent_size": 16} if game.remembers else {}
    values = {
        "task": game.task, "algorithm": algorithm, "seed": seed, "device": "cpu",
        "env": {"num_envs": COPIES, "num_threads": 1, "options": dict(game.options)},
        "network": {"hidden_sizes": (32,), "normalise_observations": False, **memory},
        "update": {**UPDATE, **own},
        "qmix": q, "run": {"total_steps": total},
    }  # fmt: skip
    return validate(values)


def epsilon_start(game: Game, *, good: bool) -> float:
    """A random action may be the best one, too."""
    return (1 - SURE) * game.actions / (game.actions - 1) if good else 1.0


@torch.no_grad()
def look_around(config: TrainConfig, game: Game) -> Tensor:
    """[T, B, N, O] what is seen in one episode of every copy, played at random."""
    env = make_env(config, COPIES, stream_seed(config.seed, "looking around"))
    stream, mask = generator(config.seed, "random play"), env.reset().action_mask
    assert mask is not None
    seen = [env.reset().obs.clone()]
    while len(seen) < min(game.length, LOOKS):
        seen.append(env.step(torch.multinomial(mask.flatten(0, 1).float(), 1, generator=stream).view(COPIES, -1)).observations.obs.clone())
    env.close()
    return torch.stack(seen)


def outputs(team: TeamPolicy, obs: Tensor) -> Tensor:
    """[T, B, N, A] logits, or Q values, of a team that sees [T, B, N, O] from the beginning of an episode. With gradient."""
    steps, copies, agents, _ = obs.shape
    rows = obs.flatten(0, 1).transpose(0, 1)
    (values,) = team.actor(0, agents).unroll(rows, None, team.initial_state(copies), torch.ones(steps, copies))
    return values.view(agents, steps, copies, -1).permute(1, 2, 0, 3)


def teach(team: TeamPolicy, game: Game, obs: Tensor, iterations: int = 300) -> None:
    """Fit the outputs to those of a policy that makes every best choice with the probability ``SURE``, by least squares."""
    adam = AdamSettings()
    leaves = [team.actor(0, team.spec.num_agents).weights[name] for name in team.actors.shapes]
    for _ in range(iterations):
        own, loss = outputs(team, obs), torch.zeros(())
        for decision in game.decisions.values():
            actions = team.spec.action_sizes[decision.agent]
            situations = decision.situations(obs)
            best = torch.tensor(decision.best)[situations[situations >= 0]]
            wanted = torch.nn.functional.one_hot(best, actions) * math.log(SURE * (actions - 1) / (1 - SURE))
            loss = loss + (own[:, :, decision.agent, :actions][situations >= 0] - wanted).square().mean()
        team.actors.adam_step(slice(0, team.actors.num_networks), torch.autograd.grad(loss, leaves), 1e-2, adam)
    for moments in (team.actors.first_moments, team.actors.second_moments, team.actors.steps):
        moments.zero_()


@torch.no_grad()
def tables(team: TeamPolicy, game: Game, obs: Tensor, *, greedy: bool) -> dict[str, Tensor]:
    """Decision -> [K, A] mean probabilities in each situation, float64; of the greedy policy, or of that with the outputs as logits."""
    own, found = outputs(team, obs).double(), {}
    for name, decision in game.decisions.items():
        values = own[:, :, decision.agent, : team.spec.action_sizes[decision.agent]]
        chosen = torch.nn.functional.one_hot(values.argmax(-1), values.shape[-1]).double() if greedy else values.softmax(-1)
        situations = decision.situations(obs)
        found[name] = torch.stack([chosen[situations == k].mean(0) for k in range(len(decision.best))])
    return found


def initial_team(config: TrainConfig, game: Game, obs: Tensor, *, good: bool) -> TeamPolicy:
    """Nearly uniform as every new team, or taught."""
    env = make_env(config, 1, 0)
    env.close()
    team = TeamPolicy(env.spec, config.network, seed=config.seed)
    if good:
        teach(team, game, obs)
    return team


def train(config: TrainConfig, team: TeamPolicy) -> Iterator[tuple[int, float]]:
    """Steps so far and CPU seconds of the round, after each one."""
    env = make_env(config, COPIES, stream_seed(config.seed, "environment"))
    method, step = method_for(config, env, team), 0
    method.start()
    while step < config.run.total_steps:
        began = time.process_time()
        method.collect(step)
        method.update(learning_rate_scale=1.0)
        method.advance()
        env.drain_episodes()
        step += method.buffer.length * COPIES
        yield step, time.process_time() - began
    env.close()


def played(config: TrainConfig, team: TeamPolicy, seeds: Sequence[int] | None = None) -> list[float]:
    """Returns of one greedy episode in every copy, really played."""
    env = make_env(config, COPIES, stream_seed(config.seed, "evaluation"))
    records = play(env, TeamActor(team, COPIES, env.device), COPIES, seeds=seeds)
    env.close()
    return [record["return"] for record in records]
