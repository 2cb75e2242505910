"""PettingZoo games as a batched environment.

A game written in Python can seldom save its state, and pickles have no place in a checkpoint. So a running episode is saved
as its seed and the actions so far; loading plays them again and compares what is seen with what was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from a2po.envs.pettingzoo.game import Game
from a2po.envs.pettingzoo.layout import Layout, read_layout
from a2po.envs.pettingzoo.options import Options
from a2po.envs.pettingzoo.probe import replays, state_works
from a2po.envs.protocol import TaskSpec
from a2po.envs.simple import SimpleEnv
from a2po.errors import CheckpointError, TaskError

DEFAULT_STEPS = 1000


class PettingZooEnv(SimpleEnv):
    """B copies of one game, stepped one after the other.

    Args:
        task: its name.
        build: makes one PettingZoo environment.
        options: ours.
        given: the options that the game got.
        num_envs: B.
        seed: the run's seed.
        device: where the tensors live.
    """

    saved: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        task: str,
        build: Callable[[], Any],
        options: Options,
        given: Mapping[str, Any],
        num_envs: int,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._build, self._limit = build, options.max_cycles
        first = build()
        self.layout = read_layout(task, first)
        own_state = options.state != "observations" and state_works(lambda: self._game(build(), True))
        if options.state == "own" and not own_state:
            raise TaskError(f"{task}: option 'state' is 'own', but the game's state() does not work all through an episode")
        exact = options.exact_state and replays(lambda: self._game(build(), own_state))
        self.games = [self._game(env, own_state) for env in [first, *(build() for _ in range(num_envs - 1))]]
        self.games[0].reset(0)
        state_size = self.games[0].state().size
        limits = [steps for steps in (options.max_cycles, options.max_episode_steps) if steps is not None]
        spec = _spec(self.layout, state_size, min(limits, default=DEFAULT_STEPS), not options.team_reward, exact)
        count, widest = spec.num_agents, spec.max_action_size
        self._obs = np.zeros((num_envs, count, spec.max_obs_size), np.float32)
        self._state = np.zeros((num_envs, state_size), np.float32)
        self._legal = np.zeros((num_envs, count, widest), bool)
        self._alive = np.zeros((num_envs, count), bool)
        self.step_seconds = 1.0 / float(getattr(first, "metadata", {}).get("render_fps", 10))
        self._played: list[list[np.ndarray]] = [[] for _ in range(num_envs)]
        super().__init__(spec, num_envs, seed=seed, device=device)

    def _game(self, env: Any, own_state: bool) -> Game:
        return Game(env, self.layout, own_state=own_state, limit=self._limit)

    def begin_all(self, copies: np.ndarray, seeds: np.ndarray) -> None:
        """The games draw from the episodes' seeds themselves."""
        for copy, seed in zip(copies.tolist(), seeds.tolist(), strict=True):
            self.games[copy].reset(seed)
            self._played[copy] = []
            self._look(copy)

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step of every game."""
        for copy, game in enumerate(self.games):
            game.step(actions[copy])
            self._played[copy].append(actions[copy].copy())
            self._look(copy)
        reward = np.stack([game.reward for game in self.games])
        return reward if self.spec.reward_per_agent else reward.mean(axis=1), np.array([game.terminated for game in self.games])

    def truncated(self) -> np.ndarray:
        """The game's own limit, and ours."""
        cut: np.ndarray = super().truncated() | np.array([game.truncated for game in self.games])
        return cut

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """What the games showed last."""
        return self._obs, self._state, self._legal if self.spec.discrete else None

    def alive(self) -> np.ndarray:
        """Who takes part now."""
        return self._alive

    def render(self, copy: int) -> np.ndarray:
        """The game's picture."""
        try:
            picture = self.games[copy].env.render()
        except NotImplementedError:
            picture = None
        if not isinstance(picture, np.ndarray) or picture.ndim != 3:
            raise NotImplementedError(
                f"{self.spec.task} draws no picture: its render() gave {'nothing' if picture is None else f'a {type(picture).__name__}'}"
            )
        return np.ascontiguousarray(picture[..., :3], np.uint8)

    def state_dict(self) -> dict[str, Any]:
        """Seeds and actions of the running episodes, and what is seen now."""
        spec = self.spec
        empty = (
            np.zeros((0, spec.num_agents), np.int64) if spec.discrete else np.zeros((0, spec.num_agents, spec.max_action_size), np.float32)
        )
        played = [np.stack(actions) if actions else empty for actions in self._played]
        return {"tracker": self._tracker.state_dict(), "played": played, "obs": self._obs.copy(), "state": self._state.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play the running episodes up to where they were; without ``spec.exact_state`` only seeds and records come back.

        Raises:
            CheckpointError: the state is of another number of copies or another game, or the replay shows something else.
        """
        for name, own in (("obs", self._obs), ("state", self._state)):
            if own.shape != state[name].shape:
                shapes = f"{list(state[name].shape)}, this environment's {list(own.shape)}"
                raise CheckpointError(f"{self.spec.task}: the saved '{name}' is {shapes}")
        self._tracker.load_state_dict(state["tracker"])
        if not self.spec.exact_state or (self._tracker.episode < 0).any():
            return
        for copy, game in enumerate(self.games):
            game.reset(int(self.seeds[copy]))
            self._played[copy] = [np.array(actions) for actions in state["played"][copy]]
            for actions in self._played[copy]:
                game.step(actions)
            self._look(copy)
        if not (np.array_equal(self._obs, state["obs"]) and np.array_equal(self._state, state["state"])):
            raise CheckpointError(
                f"{self.spec.task}: the saved episodes, played again, show something else: another version of the game, or chance that "
                "its seed does not rule. --init-from begins a new run with the trained weights; with env.options.exact_state=false that "
                "one can be resumed with new episodes"
            )
        self._show()

    def close(self) -> None:
        """Close the games."""
        games, self.games = self.games, []
        for game in games:
            game.env.close()

    def _look(self, copy: int) -> None:
        game = self.games[copy]
        self._obs[copy], self._legal[copy], self._alive[copy] = game.obs, game.mask, game.alive
        self._state[copy] = game.state()


def _spec(layout: Layout, state_size: int, steps: int, reward_per_agent: bool, exact: bool) -> TaskSpec:
    kind = "action" if layout.discrete else "control"
    return TaskSpec(
        task=layout.task,
        agents=tuple(str(name) for name in layout.agents),
        obs_sizes=layout.obs_sizes,
        state_size=state_size,
        state_per_agent=False,
        action_spaces=layout.action_spaces,
        reward_per_agent=reward_per_agent,
        max_episode_steps=steps,
        metrics=(),
        feature_names=tuple(tuple(f"obs_{index}" for index in range(size)) for size in layout.obs_sizes),
        action_names=tuple(tuple(f"{kind}_{index}" for index in range(size)) for size in layout.action_sizes),
        exact_state=exact,
    )
