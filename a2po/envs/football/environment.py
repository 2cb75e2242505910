"""B copies of one football scenario behind the contract of ``a2po.envs.protocol``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from gymnasium.spaces import Discrete

from a2po.envs.football.encoder import Encoder
from a2po.envs.football.engine import PICTURE
from a2po.envs.football.engines import Game, ThreadedEngines
from a2po.envs.football.frames import ACTIONS, NORMAL
from a2po.envs.football.library import find_library
from a2po.envs.football.opponents import opponent_for, opponent_name
from a2po.envs.football.options import Options, encoder_for
from a2po.envs.football.painter import Painter
from a2po.envs.football.picture import SIZE, picture
from a2po.envs.football.rewards import Rewards
from a2po.envs.football.scenarios import Scenario
from a2po.envs.football.workers import ProcessEngines
from a2po.envs.protocol import TaskSpec
from a2po.envs.simple import SimpleEnv
from a2po.errors import CheckpointError, TaskError

METRICS = ("won", "drawn", "goals", "conceded")
STEP_SECONDS = 0.1


class Observer(Protocol):
    """Somebody who watches every step, to count passes, say."""

    def begin(self, copies: np.ndarray, frames: np.ndarray) -> None:
        """Episodes begin in ``copies`` [K]; ``frames`` [B]."""
        ...

    def step(self, actions: np.ndarray, frames: np.ndarray) -> None:
        """``actions`` [B, N] led to ``frames`` [B], the last ones of episodes that end now included."""
        ...

    def summary(self, copy: int) -> Mapping[str, Any]:
        """What goes into the record of the episode that ends in ``copy``."""
        ...


class Football(SimpleEnv):
    """B games that step together and reset themselves."""

    opaque_state: ClassVar[tuple[str, ...]] = ("engine",)
    """Some hundred of a saved game's bytes were never set: they lie between numbers, and differ from engine to engine."""

    saved: ClassVar[tuple[str, ...]] = ("last_actions", "last_mode", "last_owner", "lost")

    def __init__(
        self, task: str, scenario: Scenario, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, options: Options
    ) -> None:
        self.options, self.scenario = options, _adapted(scenario, options)
        agents = options.agents or scenario.agents
        _check_agents(task, scenario, self.scenario, agents)
        self.opponent = opponent_for(task, options.opponent, self.scenario, num_envs)
        """Who leads the right team; None: the engine."""
        self._opponents = self.opponent.agents if self.opponent else 0
        self.encoder = encoder_for(self.scenario, options, agents)
        self.observer: Observer | None = None
        """Sees every step from the next ``reset`` on; None: nobody."""
        super().__init__(_spec(task, self.scenario, agents, self.encoder, options), num_envs, seed=seed, device=device)
        self.last_actions = np.full((num_envs, agents), -1, np.int64)
        self.last_mode, self.last_owner = np.full(num_envs, -1.0, np.float32), np.full(num_envs, -1.0, np.float32)
        self.lost = np.zeros(num_envs, bool)
        self._answers = np.zeros((num_envs, self._opponents), np.int64)  # of the opponent, as seen on the pitch
        weights = {"distance": options.distance_reward} if "shaped" in options.reward_names else {}
        self._rewards = Rewards(options.reward_names, num_envs, agents, weights=weights)
        self._games: list[Game | None] = [None] * num_envs
        self.engines: ThreadedEngines | ProcessEngines
        kind = Game(self.scenario, 0, agents, self._opponents).frame_type
        if options.workers == "processes":
            self.engines = ProcessEngines(num_envs, kind, num_threads)
        else:
            self.engines = ThreadedEngines(np.zeros(num_envs, kind), num_threads)
        self.frames = self.engines.frames
        """[B], see ``frames``: what the copies show now."""
        self._build = find_library().build
        self.step_seconds, self.render_size = STEP_SECONDS, SIZE
        self.names = ("agents", opponent_name(options.opponent))
        """Of the teams, in pictures."""
        self._painter: Painter | None = None
        self._drawn_by_engine = False

    def begin_all(self, copies: np.ndarray, seeds: np.ndarray) -> None:
        """Begin the next games of ``copies``."""
        games = [self._game(seed) for seed in seeds.tolist()]
        for copy, game in zip(copies.tolist(), games, strict=True):
            self._games[copy] = game
        self.engines.begin(copies, games)
        self._rewards.begin(copies)
        for memory, value in ((self.last_actions, -1), (self.last_mode, -1), (self.last_owner, -1), (self.lost, False)):
            memory[copies] = value
        if self.opponent:
            self.opponent.begin(copies, seeds)
        if self.observer:
            self.observer.begin(copies, self.frames)

    def _game(self, seed: int) -> Game:
        """The game of an episode: the engine's seed, and whose line-up is whose, are drawn from the episode's seed."""
        drawn = int(np.random.SeedSequence(seed).generate_state(1)[0])
        swapped = self.scenario.swapped and drawn & 1
        return Game(self.scenario.with_lineups_swapped() if swapped else self.scenario, drawn >> 1, self.spec.num_agents, self._opponents)

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Play one step of every game."""
        before = self.frames.copy()
        if self.opponent:
            self._answers = self.opponent.act(before, self.length)
        self.lost = self.engines.step(np.concatenate((actions, self._answers), axis=1))
        self.last_actions[...] = actions
        if self.observer:
            self.observer.step(actions, self.frames)
        reward = self._rewards.step(before, self.frames).mean(axis=1)
        over = self._ended()
        if self._rewards.time_limit_ends:
            over |= self.frames["steps_left"] <= 0
        return np.where(self.lost, 0.0, reward), over

    def _ended(self) -> np.ndarray:
        """[B] bool: what ends a game before its time, as the stock environment has it."""
        scenario, frames = self.scenario, self.frames
        mode, owner = frames["game_mode"], frames["ball_owned_team"]
        over = np.zeros(self.num_envs, bool)
        if scenario.end_on_score:
            over |= (frames["score"] > 0).any(axis=1)
        if scenario.end_on_out_of_play:
            over |= (mode != NORMAL) & (self.last_mode == NORMAL)
        if scenario.end_on_possession_change:
            over |= (owner != -1) & (self.last_owner != -1) & (owner != self.last_owner)
        self.last_mode[...] = mode
        np.copyto(self.last_owner, owner, where=owner != -1)
        return over

    def faults(self) -> np.ndarray:
        """[B] bool: games whose engine broke."""
        return self.lost.copy()

    def alive(self) -> np.ndarray:
        """[B, N] bool: False for an agent whose player was sent off; then it controls nobody."""
        return np.asarray(self.frames["left_agent_controlled_player"] >= 0)

    def metrics(self) -> Mapping[str, np.ndarray]:
        """From the score."""
        ours, theirs = self.frames["score"].T
        return dict(zip(METRICS, (ours > theirs, ours == theirs, ours, theirs), strict=True))

    def remarks(self, copy: int) -> Mapping[str, Any]:
        """What the observer has counted."""
        return self.observer.summary(copy) if self.observer else {}

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features of every agent, which are its state, too, and the masks."""
        obs = self.encoder.features(self.frames, self.last_actions)
        masks = self.encoder.masks(self.frames) if self.options.action_masks else np.ones((*obs.shape[:2], len(ACTIONS)), bool)
        return obs, obs, masks

    def draw_by_engine(self) -> None:
        """From now on ``render`` shows what the engine's camera sees, in one size: that of the first picture."""
        self._drawn_by_engine, self.render_size = True, PICTURE

    def render(self, copy: int) -> np.ndarray:
        """A picture of one copy, from above unless the engine draws: uint8 [H, W, 3], where ``render_size`` is (W, H)."""
        game = self._games[copy]
        if self._drawn_by_engine and game:
            self._painter = self._painter or Painter(self.render_size)
            return self._painter.picture(game, self.engines.save(copy))
        known = [*self.last_actions[copy], *self._answers[copy]] if self.length[copy] else None
        return picture(self.frames[copy], self.render_size, actions=known, names=self.names)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on; the games' part fits this build of the engine alone."""
        games: list[dict[str, Any]] = []
        for copy, game in enumerate(self._games):
            if game is not None:
                games.append({"seed": int(self.seeds[copy]), "engine": np.frombuffer(self.engines.save(copy), np.uint8).copy()})
        state = super().state_dict()
        rewards = {name: values.copy() for name, values in self._rewards.arrays.items()}
        if self.opponent:
            state["opponent"] = self.opponent.state_dict()
        shown = self.frames.view(np.float32).copy()  # not needed to go on, but what the engines' bytes mean
        return {**state, "frames": shown, "task": self.spec.task, "build": self._build, "games": games, "rewards": rewards}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state.

        Raises:
            CheckpointError: it is of another task, of another number of copies, or of another build of the engine.
        """
        task = self.spec.task
        if state["games"] and (state["task"], len(state["games"])) != (task, self.num_envs):
            raise CheckpointError(
                f"the saved environment is {len(state['games'])} copies of {state['task']}, this one {self.num_envs} of {task}"
            )
        if state["games"] and state["build"] != self._build:
            raise CheckpointError(
                f"{task}: the games were saved by another build of the football engine ({state['build']}, here {self._build}); "
                "go on with that build, or begin a new run with the trained weights (a2po train --init-from RUN)"
            )
        if ("opponent" in state) != (self.opponent is not None):
            raise CheckpointError(f"{task}: in the saved environment another opponent plays: go on with its option 'opponent'")
        for copy, saved in enumerate(state["games"]):
            game = self._games[copy] = self._game(int(saved["seed"]))
            self.engines.restore(copy, game, np.asarray(saved["engine"], np.uint8).tobytes())
        if self.opponent:
            self.opponent.load_state_dict(state["opponent"])
        for name, values in self._rewards.arrays.items():
            values[...] = state["rewards"][name]
        super().load_state_dict(state)

    def close(self) -> None:
        """End the threads and give the engines back. Harmless when called twice."""
        self.engines.close()
        if self._painter:
            self._painter.close()


def _adapted(scenario: Scenario, options: Options) -> Scenario:
    """The scenario with what the options change of it."""
    names = ("duration", "left_difficulty", "right_difficulty")
    changes: dict[str, Any] = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return replace(scenario if options.keeper else scenario.with_fixed_keepers(), **changes)


def _check_agents(task: str, scenario: Scenario, played: Scenario, agents: int) -> None:
    controllable = played.controllable("left")
    if agents > controllable:
        keeper = " besides the goalkeeper (option 'keeper')" if scenario.controllable("left") > controllable else ""
        raise TaskError(f"{task}: option 'agents' is {agents}, but only {controllable} players of the left team can be controlled{keeper}")


def _spec(task: str, scenario: Scenario, agents: int, encoder: Encoder, options: Options) -> TaskSpec:
    players = [index for index, player in enumerate(scenario.left) if player.controllable]
    fixed = agents == len(players)
    return TaskSpec(
        task=task,
        agents=tuple(f"player_{index}" for index in players) if fixed else tuple(f"agent_{index}" for index in range(agents)),
        obs_sizes=(encoder.size,) * agents,
        state_size=encoder.size,
        state_per_agent=True,
        action_spaces=tuple(Discrete(len(ACTIONS)) for _ in range(agents)),
        reward_per_agent=False,
        max_episode_steps=scenario.duration + 1,
        metrics=METRICS,
        feature_names=(encoder.feature_names,) * agents,
        action_names=(ACTIONS,) * agents,
        exact_state=True,
        observes_ids=options.obs_agent_id,
    )
