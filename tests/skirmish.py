"""A stand-in for battles: agents that die, masked actions, per-agent states, wins, a step limit. Numbers without meaning, but learnable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Discrete

from a2po.envs import SimpleEnv, TaskSpec

DAMAGE, BONUS, LOOKS = 0.25, 5.0, 16


class Skirmish(SimpleEnv):
    """Agents shoot at enemies; each living enemy hits an agent that chance chose before. A side without anybody is beaten.

    Actions: 0 nothing (the dead, and they alone), 1 stop, 2 to 5 move (which does nothing), 6 + j shoot at enemy j while it lives.
    The dead see zeros but for their id, as in the public StarCraft code. Wider observations and states are filled with zeros.
    """

    saved = ("health", "enemies", "last_actions", "aims")

    def __init__(
        self, task: str, num_envs: int, *, seed: int, device: torch.device,
        agents: int = 3, enemies: int = 3, limit: int = 12,
        ids: bool = False, per_agent: bool = True, obs_size: int = 0, state_size: int = 0,
    ) -> None:  # fmt: skip
        self.health, self.enemies = np.zeros((num_envs, agents)), np.zeros((num_envs, enemies))
        self.last_actions = np.zeros((num_envs, agents), np.int64)
        self.aims = np.zeros((num_envs, LOOKS, enemies), np.int64)
        self.ids, self.per_agent = ids, per_agent
        self.identity = np.eye(agents, dtype=np.float32)
        self.actions = 6 + enemies
        names = [f"enemy_{j}_health" for j in range(enemies)] + ["own_health"] + [f"ally_{i}_health" for i in range(agents)]
        names += [f"last_action_{action}" for action in range(self.actions)]
        ids_names = [f"agent_id_{i}" for i in range(agents)] if ids else []
        self.obs_size = max(obs_size, len(names) + len(ids_names))
        self.state_size = max(state_size, len(names) + len(ids_names))
        names += [f"nothing_{i}" for i in range(self.obs_size - len(names) - len(ids_names))] + ids_names
        spec = TaskSpec(
            task=task,
            agents=tuple(f"marine_{i}" for i in range(agents)),
            obs_sizes=(self.obs_size,) * agents,
            state_size=self.state_size,
            state_per_agent=per_agent,
            action_spaces=(Discrete(self.actions),) * agents,
            reward_per_agent=False,
            max_episode_steps=limit,
            metrics=("won", "dead_allies", "dead_enemies"),
            feature_names=(tuple(names),) * agents,
            action_names=(("no-op", "stop", "north", "south", "east", "west", *(f"shoot {j}" for j in range(enemies))),) * agents,
            exact_state=True,
            observes_ids=ids,
        )
        super().__init__(spec, num_envs, seed=seed, device=device)

    def begin(self, copy: int, random: np.random.Generator) -> None:
        """All in good health; whom enemies aim at when is chance, and repeats itself after ``LOOKS`` steps."""
        self.health[copy], self.enemies[copy], self.last_actions[copy] = 1.0, 1.0, -1
        self.aims[copy] = random.integers(0, self.health.shape[1], size=self.aims.shape[1:])

    def metrics(self) -> Mapping[str, np.ndarray]:
        """``won`` is a yes or no, as in battles."""
        return {**self.counts, "won": self.counts["won"] > 0}

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both sides fire at once."""
        rows, before = np.arange(len(actions)), self.enemies.clip(0.0)
        shooting = (self.enemies > 0)[:, None] & (actions[:, :, None] - 6 == np.arange(self.enemies.shape[1]))
        aims, fire = self.aims[rows, self.length % LOOKS], self.enemies > 0
        self.enemies -= DAMAGE * shooting.sum(1)
        np.add.at(self.health, (rows[:, None].repeat(aims.shape[1], 1), aims), -DAMAGE * fire)
        self.last_actions = actions.copy()
        beaten, lost = (self.enemies <= 0).all(1), (self.health <= 0).all(1)
        won = beaten & ~lost
        self.counts["won"] += won
        self.counts["dead_allies"][:] = (self.health <= 0).sum(1)
        self.counts["dead_enemies"][:] = (self.enemies <= 0).sum(1)
        return (before - self.enemies.clip(0.0)).sum(1) + BONUS * won, beaten | lost

    def alive(self) -> np.ndarray:
        """Who has any health."""
        return self.health > 0

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Everybody's health, as seen by each; zeros for the dead."""
        copies, agents = self.health.shape
        alive, well = self.alive(), self.health.clip(0.0)
        everyone = np.concatenate([self.enemies.clip(0.0), well], axis=1)[:, None].repeat(agents, 1)
        seen = np.zeros((copies, agents, self.obs_size), np.float32)
        width, foes = everyone.shape[2], self.enemies.shape[1]
        seen[:, :, :foes], seen[:, :, foes], seen[:, :, foes + 1 : width + 1] = everyone[:, :, :foes], well, everyone[:, :, foes:]
        seen[:, :, width + 1 : width + 1 + self.actions] = self.last_actions[:, :, None] == np.arange(self.actions)
        seen *= alive[:, :, None]
        state = np.zeros((copies, agents, self.state_size), np.float32)
        shared = min(self.obs_size, self.state_size) - (agents if self.ids else 0)
        state[:, :, :shared] = seen[:, :, :shared]
        if self.ids:
            seen[:, :, -agents:] = state[:, :, -agents:] = self.identity
        mask = np.zeros((copies, agents, self.actions), bool)
        mask[:, :, 0], mask[:, :, 1:6] = ~alive, alive[:, :, None]
        mask[:, :, 6:] = alive[:, :, None] & (self.enemies > 0)[:, None]
        return seen, state if self.per_agent else state[:, 0], mask


def make(task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any) -> Skirmish:
    """The factory."""
    return Skirmish(task, num_envs, seed=seed, device=device, **options)
