"""An environment of your own: two pickers share an orchard. The page docs/environments.md walks through this file.

    a2po check-env examples.own_environment:make
    a2po train --task examples.own_environment:make --steps 200000

Run from the folder above. A module that is not installed is found in the working folder.
"""

import numpy as np
import torch
from gymnasium.spaces import Discrete

from a2po.envs import SimpleEnv, TaskSpec

MOVES = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
SIZE, APPLES, LIMIT = 5, 4, 30


class Orchard(SimpleEnv):
    """Whoever steps on an apple picks it and is paid 1; time costs both. Over when all are picked, cut after LIMIT steps."""

    saved = ("pickers", "apples", "hanging")  # the arrays that are the whole state of the games

    def __init__(self, task: str, num_envs: int, *, seed: int, device: torch.device) -> None:
        self.pickers = np.zeros((num_envs, 2, 2), np.int64)  # [B, N, row and column]
        self.apples = np.zeros((num_envs, APPLES, 2), np.int64)
        self.hanging = np.zeros((num_envs, APPLES), bool)
        seen = [f"{who}_{axis}" for who in ("own", "mate") for axis in ("row", "column")]
        seen += [f"apple{i}_{what}" for i in range(APPLES) for what in ("row", "column", "hanging")]
        spec = TaskSpec(
            task=task,
            agents=("red", "blue"),
            obs_sizes=(len(seen), len(seen)),
            state_size=2 * len(seen),
            state_per_agent=False,
            action_spaces=(Discrete(len(MOVES)), Discrete(len(MOVES))),
            reward_per_agent=True,
            max_episode_steps=LIMIT,
            metrics=("apples",),
            feature_names=(tuple(seen), tuple(seen)),
            action_names=(("stay", "up", "down", "left", "right"),) * 2,
            exact_state=True,
        )
        super().__init__(spec, num_envs, seed=seed, device=device)

    def begin(self, copy: int, random: np.random.Generator) -> None:
        """Everybody and every apple on a field of its own."""
        fields = random.permutation(SIZE * SIZE)[: 2 + APPLES]
        places = np.stack(np.divmod(fields, SIZE), axis=1)
        self.pickers[copy], self.apples[copy], self.hanging[copy] = places[:2], places[2:], True

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions [B, N] -> reward [B, N], and whether the game is over [B]."""
        self.pickers += MOVES[actions]
        here = (self.pickers[:, :, None] == self.apples[:, None]).all(-1) & self.hanging[:, None]  # [B, N, apples]
        here[:, 1] &= ~here[:, 0]  # an apple that both reach is red's
        self.hanging &= ~here.any(1)
        self.counts["apples"] += here.sum((1, 2))
        return here.sum(2) - 0.05, ~self.hanging.any(1)

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Everything as seen from where the agent stands, for both; no step leads out of the orchard."""
        mates = self.pickers[:, ::-1] - self.pickers
        apples = (self.apples[:, None] - self.pickers[:, :, None]) * self.hanging[:, None, :, None]
        hanging = np.broadcast_to(self.hanging[:, None, :, None], (*apples.shape[:3], 1))
        seen = np.concatenate([apples, hanging], axis=-1).reshape(len(apples), 2, -1)
        obs = np.concatenate([self.pickers, mates, seen], axis=2) / SIZE
        beyond = self.pickers[:, :, None] + MOVES  # [B, N, A, 2]
        return obs, obs.reshape(len(obs), -1), ((beyond >= 0) & (beyond < SIZE)).all(-1)

    def render(self, copy: int) -> np.ndarray:
        """The orchard from above."""
        picture = np.full((SIZE, SIZE, 3), 240, np.uint8)
        picture[tuple(self.apples[copy][self.hanging[copy]].T)] = (60, 160, 60)
        for place, colour in zip(self.pickers[copy], ((210, 50, 50), (50, 80, 210)), strict=True):
            picture[tuple(place)] = colour
        return picture.repeat(48, axis=0).repeat(48, axis=1)


def make(task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None) -> Orchard:
    """The factory that ``module:factory`` names; options of the task would be further arguments."""
    return Orchard(task, num_envs, seed=seed, device=device)
