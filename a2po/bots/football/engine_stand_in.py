"""The module ``gfootball_engine`` that gfootball's own Python drives, over a2po's engine instead of Boost.Python.

Two things differ, neither in a game: ``step`` returns when the ball is in play again, and ``real_time`` is not kept.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from a2po.envs.football.engine import PICTURE, Engine
from a2po.envs.football.frames import STICKY
from a2po.envs.football.scenarios import ROLES, Player, Scenario
from a2po.errors import UserError

BUTTONS = (
    "idle", "left", "top_left", "top", "top_right", "right", "bottom_right", "bottom", "bottom_left", "long_pass", "high_pass",
    "short_pass", "shot", "keeper_rush", "sliding", "pressure", "team_pressure", "switch", "sprint", "dribble", "release_direction",
    "release_long_pass", "release_high_pass", "release_short_pass", "release_shot", "release_keeper_rush", "release_sliding",
    "release_pressure", "release_team_pressure", "release_switch", "release_sprint", "release_dribble", "builtin_ai",
)  # fmt: skip
"""What the engine can be told, in the order of its numbers."""
MODES = ("Normal", "KickOff", "GoalKick", "FreeKick", "Corner", "ThrowIn", "Penalty")


def _numbered(name: str, words: Sequence[str]) -> Any:
    return IntEnum(name, [(word, number) for number, word in enumerate(words)], module=__name__)


e_BackendAction = _numbered("e_BackendAction", BUTTONS)
e_PlayerRole = _numbered("e_PlayerRole", [f"e_PlayerRole_{role}" for role in ROLES])
e_GameMode = _numbered("e_GameMode", [f"e_GameMode_{mode}" for mode in MODES])
e_Team = _numbered("e_Team", ("e_Left", "e_Right"))
e_RenderingMode = _numbered("e_RenderingMode", ("e_Disabled", "e_Onscreen", "e_Offscreen"))
GameState = _numbered("GameState", ("game_created", "game_initiated", "game_running", "game_done"))
_STICKY_CODES = tuple(BUTTONS.index(word) for word in STICKY)
_SAVED = struct.Struct("<QB")


class FormationEntry(NamedTuple):
    """Where a player stands."""

    x: float
    y: float
    role: int
    lazy: bool
    controllable: bool

    @property
    def position(self) -> tuple[float, float, float]:
        """In the own team's view."""
        return self.x, self.y, 0.0


@dataclass
class ScenarioConfig:
    """One game's setup, with the engine's own defaults."""

    ball_position: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    left_team: list[FormationEntry] = field(default_factory=list)
    right_team: list[FormationEntry] = field(default_factory=list)
    left_agents: int = 1
    right_agents: int = 0
    use_magnet: bool = True
    offsides: bool = True
    real_time: bool = False
    game_engine_random_seed: int = 42
    reverse_team_processing: bool = False
    left_team_difficulty: float = 1.0
    right_team_difficulty: float = 0.6
    deterministic: bool = False
    end_episode_on_score: bool = False
    end_episode_on_possession_change: bool = False
    end_episode_on_out_of_play: bool = False
    game_duration: int = 3000
    second_half: int = 999999999
    control_all_players: bool = False

    @classmethod
    def make(cls) -> ScenarioConfig:
        """A new one."""
        return cls()

    @property
    def controllable_left_players(self) -> int:
        """How many players of the left team can be controlled."""
        return sum(entry.controllable for entry in self.left_team)

    @property
    def controllable_right_players(self) -> int:
        """And of the right one."""
        return sum(entry.controllable for entry in self.right_team)

    @property
    def dynamic_player_selection(self) -> bool:
        """Agents may change players: they are fewer than those that can be controlled."""
        agents = ((self.left_agents, self.controllable_left_players), (self.right_agents, self.controllable_right_players))
        return any(count not in (0, players) for count, players in agents)

    def scenario(self) -> Scenario:
        """The same as the engine's wrapper takes it."""
        left, right = (
            tuple(Player(entry.role, entry.x, entry.y, entry.lazy, entry.controllable) for entry in team)
            for team in (self.left_team, self.right_team)
        )
        return Scenario(
            "stock", self.left_agents, left, right, self.game_duration, (self.ball_position[0], self.ball_position[1]),
            self.left_team_difficulty, self.right_team_difficulty, self.second_half, False, self.deterministic, self.offsides,
            self.end_episode_on_score, self.end_episode_on_out_of_play, self.end_episode_on_possession_change,
        )  # fmt: skip


@dataclass
class GameConfig:
    """How the engine runs."""

    render: bool = False
    physics_steps_per_frame: int = 10
    render_resolution_x: int = 1280
    render_resolution_y: int = 720


class PlayerInfo(NamedTuple):
    """What is seen of a player."""

    position: list[float]
    direction: list[float]
    tired_factor: float
    is_active: bool
    has_card: bool
    role: int
    designated_player: bool


class ControllerInfo(NamedTuple):
    """What is seen of an agent."""

    controlled_player: int


class SharedInfo:
    """What is seen of a game."""

    is_in_play = True

    def __init__(self, frame: Any, config: ScenarioConfig) -> None:
        self.ball_position, self.ball_direction, self.ball_rotation = (
            frame[name].tolist() for name in ("ball", "ball_direction", "ball_rotation")
        )
        self.left_team, self.right_team = (_players(frame, f"{side}_team") for side in ("left", "right"))
        self.left_goals, self.right_goals = (int(goals) for goals in frame["score"])
        self.left_controllers, self.right_controllers = (
            [ControllerInfo(int(player)) for player in frame[f"{side}_agent_controlled_player"]] for side in ("left", "right")
        )
        self.ball_owned_team, self.ball_owned_player = int(frame["ball_owned_team"]), int(frame["ball_owned_player"])
        self.game_mode = e_GameMode(int(frame["game_mode"]))
        self.step = config.game_duration - int(frame["steps_left"])


def _players(frame: Any, team: str) -> list[PlayerInfo]:
    names = ("", "_direction", "_tired_factor", "_active", "_yellow_card", "_roles")
    columns = zip(*(frame[team + name].tolist() for name in names), strict=True)
    designated = int(frame[f"{team}_designated_player"])
    return [
        PlayerInfo(place, moves, tired, bool(active), bool(card), int(role), index == designated)
        for index, (place, moves, tired, active, card, role) in enumerate(columns)
    ]


class GameEnv:
    """One game, as gfootball drives it."""

    def __init__(self) -> None:
        self.config, self.game_config, self.state = ScenarioConfig(), GameConfig(), GameState.game_created
        self._codes = np.zeros(0, np.int32)

    def start_game(self) -> None:
        """Open the engine."""
        wanted = self.game_config
        size = (wanted.render_resolution_x, wanted.render_resolution_y) if wanted.render else PICTURE
        self._engine = Engine(render=wanted.render, size=size, physics_steps=wanted.physics_steps_per_frame)

    def reset(self, config: ScenarioConfig, animations: bool) -> None:
        """Begin a game. Raises: UserError: more players are to be controlled than can be."""
        for side, wanted, there in (
            ("left", config.left_agents, config.controllable_left_players),
            ("right", config.right_agents, config.controllable_right_players),
        ):
            if wanted > there:
                raise UserError(f"{side}_players={wanted}: this level lets {there} players of that side be controlled")
        self.config, self._codes = config, np.zeros(config.left_agents + config.right_agents, np.int32)
        self._engine.reset(
            config.scenario(),
            seed=config.game_engine_random_seed,
            left_agents=config.left_agents,
            right_agents=config.right_agents,
            reverse=config.reverse_team_processing,
        )

    def perform_action(self, code: int, left: bool, agent: int) -> None:
        """What an agent does in the coming step."""
        self._codes[agent if left else self.config.left_agents + agent] = code

    def step(self) -> None:
        """Play one step, and on until the ball is in play."""
        self._engine.step_codes(self._codes)
        self._codes[:] = 0

    def get_info(self) -> SharedInfo:
        """What is seen."""
        return SharedInfo(self._engine.frame, self.config)

    def sticky_action_state(self, code: int, left: bool, agent: int) -> bool:
        """An action goes on."""
        if code in _STICKY_CODES:
            return bool(self._engine.frame[f"{'left' if left else 'right'}_agent_sticky_actions"][agent, _STICKY_CODES.index(code)])
        return self._engine.holds(code, agent, left=left)

    @property
    def waiting_for_game_count(self) -> int:
        """Steps since the ball went out of play. The engine counts; gfootball counts the same and is not listened to."""
        return self._engine.waited

    @waiting_for_game_count.setter
    def waiting_for_game_count(self, steps: int) -> None: ...

    def get_state(self, pickle: bytes) -> bytes:
        """The whole game, and the caller's ``pickle`` with it."""
        return _SAVED.pack(len(pickle), self.state) + pickle + self._engine.save()

    def set_state(self, saved: bytes) -> bytes:
        """Go back to a saved game. Returns: the caller's pickle."""
        size, state = _SAVED.unpack_from(saved)
        end = _SAVED.size + size
        self._engine.restore(saved[end:])
        self.state = GameState(state)
        return saved[_SAVED.size : end]

    def render(self, swap_buffer: bool = True) -> None:
        """Nothing to do: ``get_frame`` draws."""

    def get_frame(self) -> bytes:
        """What the camera sees: the bytes of pixels, the lowest row first."""
        return self._engine.picture()[::-1].tobytes()

    def tracker_setup(self, start: int, end: int) -> None:
        """The engine's own tracing is for whoever looks for faults in it."""


def module() -> ModuleType:
    """Everything above as the module ``gfootball_engine``."""
    made = ModuleType("gfootball_engine")
    public = (GameEnv, ScenarioConfig, GameConfig, FormationEntry, SharedInfo, PlayerInfo, ControllerInfo)
    numbered = (e_BackendAction, e_PlayerRole, e_GameMode, e_Team, e_RenderingMode, GameState)
    vars(made).update({each.__name__: each for each in (*public, *numbered)})
    return made
