"""B copies of one StarCraft battle behind the contract of ``a2po.envs.protocol``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.spaces import Discrete

from a2po.envs.episodes import EpisodeTracker
from a2po.envs.protocol import EpisodeRecord, Observations, Step, TaskSpec
from a2po.envs.simple import legal_choices
from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.encoder import Snapshot
from a2po.envs.smac.filming import Filming
from a2po.envs.smac.layout import Layout
from a2po.envs.smac.options import Options
from a2po.envs.smac.rendering import picture_size
from a2po.envs.smac.rules.battle import LOOPS_PER_STEP
from a2po.envs.smac.rules.scoring import GOING, WON
from a2po.envs.smac.simulation import Shown, Simulation
from a2po.envs.smac.terrain import Terrain, load_terrain
from a2po.errors import ActionError, CheckpointError

if TYPE_CHECKING:
    from a2po.envs.smac.rivals import Rivals

METRICS = ("won", "dead_allies", "dead_enemies")
STEP_SECONDS = 0.5  # of the game's "normal" speed, on which its catalog counts


class StarCraftBattles:
    """B copies of one battle that step together and reset themselves."""

    def __init__(
        self, task: str, battle: BattleMap, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, options: Options
    ) -> None:
        self.battle, self.options, self.num_envs, self.device = battle, options, num_envs, device
        self.terrain = load_terrain(battle.terrain)
        self.layout = Layout.of(battle, options)
        self.spec = _spec(task, battle, self.layout, options)
        self.simulation = Simulation(battle, self.terrain, options, self.layout, num_envs, num_threads)
        self._rivals = _rivals(task, battle, self.terrain, options, num_envs, num_threads)
        self._tracker = EpisodeTracker(num_envs, seed, METRICS)
        self._mask = np.zeros((num_envs, battle.num_agents, self.layout.num_actions), bool)
        self._host, self._final = self._allocate(torch.device("cpu")), self._allocate(torch.device("cpu"))
        on_host = device.type == "cpu"
        self._result, self._final_result = (self._host, self._final) if on_host else (self._allocate(device), self._allocate(device))
        self.step_seconds, self.pictures_per_step, self.render_size = STEP_SECONDS, LOOPS_PER_STEP, picture_size(self.terrain)
        self._filming: Filming | None = None
        self._started = False

    def _allocate(self, device: torch.device) -> Observations:
        copies, agents, layout = self.num_envs, self.battle.num_agents, self.layout
        state = (copies, agents, layout.state_size) if layout.state_per_agent else (copies, layout.state_size)
        return Observations(
            torch.zeros((copies, agents, layout.obs_size), device=device),
            torch.zeros(state, device=device),
            torch.zeros((copies, agents, layout.num_actions), dtype=torch.bool, device=device),
            torch.zeros((copies, agents), dtype=torch.bool, device=device),
        )

    @property
    def episode_seeds(self) -> np.ndarray:
        """[B] int64: the seeds of the running episodes."""
        return self._tracker.seeds.copy()

    def reset(self, seeds: Sequence[int] | np.ndarray | None = None) -> Observations:
        """Start the next episode in every copy; see ``VectorEnv.reset``."""
        self._begin(np.arange(self.num_envs), seeds, self._host)
        self._started = True
        return self._deliver(self._host, self._result)

    def step(self, actions: torch.Tensor, out: Observations | None = None) -> Step:
        """Play one step; see ``VectorEnv.step``."""
        simulation, tracker = self.simulation, self._tracker
        target = self._direct(out)
        simulation.step(self._checked(actions), self._shown(target), self._rivals.decide(simulation) if self._rivals else None)
        tracker.add(simulation.rewards)
        terminated = simulation.results != GOING
        truncated = (tracker.length >= self.spec.max_episode_steps) & ~terminated
        if self.options.timeouts_as_terminal:
            terminated, truncated = terminated | truncated, np.zeros_like(truncated)
        reward = torch.from_numpy(simulation.rewards.copy()).to(self.device)
        if self._rivals:
            self._rivals.stepped()
        ended = np.flatnonzero(terminated | truncated)
        if ended.size:
            self._turn_over(ended, target)
        return Step(
            observations=self._deliver(target, out or self._result),
            reward=reward,
            terminated=torch.from_numpy(terminated).to(self.device),
            truncated=torch.from_numpy(truncated).to(self.device),
            invalid=torch.zeros(self.num_envs, dtype=torch.bool, device=self.device),
            final=_copied(self._final, self._final_result) if ended.size else self._final_result,
        )

    def _checked(self, actions: torch.Tensor) -> np.ndarray:
        """[B, N] int64, every one legal.

        Raises:
            ActionError: the shape or type is wrong, or an agent cannot do what it was told; the battles have not moved.
        """
        spec = self.spec
        if not self._started:
            raise RuntimeError("call reset() before the first step()")
        if list(actions.shape) != [self.num_envs, spec.num_agents] or actions.dtype != torch.int64:
            wanted = [self.num_envs, spec.num_agents]
            raise ActionError(f"{spec.task}: actions must be int64 {wanted}, got {actions.dtype} {list(actions.shape)}")
        chosen: np.ndarray = np.ascontiguousarray(actions.detach().cpu().numpy())
        legal = legal_choices(self._mask, chosen)
        if not legal.all():
            copy, agent = np.argwhere(~legal)[0].tolist()
            names, number = spec.action_names[agent], int(chosen[copy, agent])
            what = f"{number} ({names[number]})" if 0 <= number < len(names) else f"{number}"
            can = ", ".join(f"{action} {names[action]}" for action in np.flatnonzero(self._mask[copy, agent]))
            raise ActionError(f"{spec.task}: action {what} of '{spec.agents[agent]}' in copy {copy} is not legal now; legal are: {can}")
        return chosen

    def _turn_over(self, ended: np.ndarray, target: Observations) -> None:
        """Keep the true successors of the copies ``ended`` [K], record their episodes, and begin their next ones."""
        shown = (target.obs.numpy(), target.state.numpy(), self._mask, target.alive.numpy())
        for kept, values in zip(self._final, shown, strict=True):
            assert kept is not None  # battles have masks
            kept.numpy()[ended] = values[ended]
        self._tracker.finish(ended, np.zeros(self.num_envs, bool), self._metrics())
        self._begin(ended, None, target)

    def _metrics(self) -> dict[str, np.ndarray]:
        agents, everybody = self.battle.num_agents, self.battle.num_agents + self.battle.num_enemies
        alive = self.simulation.marks[:, f.ALIVE]
        values = (
            self.simulation.results == WON,
            agents - alive[:, :agents].sum(axis=1),
            self.battle.num_enemies - alive[:, agents:everybody].sum(axis=1),
        )
        return dict(zip(METRICS, values, strict=True))

    def _begin(self, copies: np.ndarray, seeds: Sequence[int] | np.ndarray | None, target: Observations) -> None:
        drawn = self._tracker.start(copies, seeds)
        self.simulation.begin(copies, drawn, self._shown(target))
        if self._rivals:
            self._rivals.begin(copies, drawn, self.simulation)

    def _direct(self, out: Observations | None) -> Observations:
        """Where to write: into ``out`` itself if it can take it as it is."""
        if out is None or out.action_mask is None:
            return self._host
        direct = all(slot is not None and slot.device.type == "cpu" and slot.is_contiguous() for slot in out)
        return out if direct else self._host

    def _shown(self, target: Observations) -> Shown:
        """Where to write what: in ``target``, but for the mask, which stays here, because the next actions are held against it."""
        state = target.state.numpy()
        return Shown(target.obs.numpy(), state if state.ndim == 3 else state[:, None], self._mask, target.alive.numpy())

    def _deliver(self, written: Observations, wanted: Observations) -> Observations:
        """Bring what was written to where it is wanted, the mask with it."""
        assert written.action_mask is not None  # battles have masks
        written.action_mask.numpy()[...] = self._mask
        return _copied(written, wanted)

    def snapshot(self) -> Snapshot:
        """What the battles look like now, for scripted players and pictures: copies of the units' rows."""
        W, M = self.simulation.units, self.simulation.marks
        agents, everybody = self.battle.num_agents, self.battle.num_agents + self.battle.num_enemies
        x, y, hp, shield, energy = (W[:, row, :everybody].copy() for row in (f.X, f.Y, f.HP, f.SHIELD, f.ENERGY))
        return Snapshot(
            x,
            y,
            hp,
            shield,
            energy,
            cooldown=M[:, f.COOLDOWN, :everybody].astype(np.float32),
            alive=M[:, f.ALIVE, :everybody] == 1,
            kind=M[:, f.KIND, :everybody].copy(),
            last_action=M[:, f.LAST_ACTION, :agents].astype(np.int64),
            step=M[:, f.CLOCK, f.STEP].copy(),
            variant=M[:, f.CLOCK, f.VARIANT].copy(),
            view=W[:, [f.VIEW_X, f.VIEW_Y], :agents].transpose(0, 2, 1),
            attack_probability=W[:, f.ACCURACY, :agents].copy(),
            health_level=W[:, f.FRAILTY, :agents].copy(),
            granted=self._agents_bits(f.SHOWN_TO) if self.options.keeps_sightings else None,
            masked=self._agents_bits(f.MASKED) if self.options.enemy_mask > 0 else None,
        )

    def _agents_bits(self, row: int) -> np.ndarray:
        """[B, N, E]: what a row's bits, one for each agent, say about each enemy."""
        agents, enemies = self.battle.num_agents, self.battle.num_enemies
        bits: np.ndarray = self.simulation.marks[:, None, row, agents : agents + enemies]
        return np.asarray((bits >> np.arange(agents)[:, None]) & 1 == 1)

    def drain_episodes(self) -> list[EpisodeRecord]:
        """The episodes that ended since the last call."""
        return self._tracker.drain()

    def render(self, copy: int) -> np.ndarray:
        """A picture of one copy from above: uint8 [H, W, 3]."""
        return self._film().picture(copy)

    def render_step(self, copy: int, actions: torch.Tensor, count: int) -> list[np.ndarray]:
        """``count`` pictures of one copy, the first as it stands, the others on its way through the step that ``actions`` will make."""
        nobody = np.zeros((self.num_envs, self.battle.num_enemies), np.int64)
        rivals = self._rivals.decide(self.simulation) if self._rivals else nobody
        return self._film().pictures(copy, actions[copy].cpu().numpy(), rivals[copy], count)

    def _film(self) -> Filming:
        if self._filming is None or self._filming.size != self.render_size:
            stage = Simulation(self.battle, self.terrain, self.options, self.layout, 1, 1)
            self._filming = Filming(self.simulation, stage, self.terrain, self.battle.units, self.render_size)
        return self._filming

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on bit for bit."""
        return {
            "task": self.spec.task,
            "num_envs": self.num_envs,
            "started": self._started,
            "units": self.simulation.units.copy(),
            "marks": self.simulation.marks.copy(),
            "mask": self._mask.copy(),
            "tracker": self._tracker.state_dict(),
            **({"rivals": self._rivals.state_dict()} if self._rivals else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state.

        Raises:
            CheckpointError: the state is of another task, of another number of copies, or of another version's battles.
        """
        own = {"units": self.simulation.units, "marks": self.simulation.marks, "mask": self._mask}
        fits = all(own[name].shape == np.shape(state[name]) for name in own)
        if (state["task"], state["num_envs"]) != (self.spec.task, self.num_envs) or not fits:
            raise CheckpointError(
                f"the saved environment is {state['num_envs']} copies of {state['task']}, this one {self.num_envs} of {self.spec.task}"
                + ("" if fits else "; the battles' memory has another layout: another version of a2po saved it")
            )
        if self._rivals:
            self._rivals.load_state_dict(state.get("rivals"))
        elif "rivals" in state:
            raise CheckpointError(f"{self.spec.task}: in the saved environment bundles lead enemies: go on with its own opponents")
        for name, array in own.items():
            array[...] = state[name]
        self._started = bool(state["started"])
        self._tracker.load_state_dict(state["tracker"])

    def close(self) -> None:
        """End the threads. Harmless when called twice."""
        self.simulation.close()
        if self._rivals:
            self._rivals.close()


def _rivals(task: str, battle: BattleMap, terrain: Terrain, options: Options, num_envs: int, num_threads: int | None) -> Rivals | None:
    if not options.opponent.bundles:
        return None
    from a2po.envs.smac.rivals import Rivals  # it needs onnxruntime

    return Rivals(task, battle, terrain, options.opponent, num_envs, num_threads)


def _copied(written: Observations, wanted: Observations) -> Observations:
    if wanted is not written:
        for slot, values in zip(wanted, written, strict=True):
            if slot is not None and values is not None:
                slot.copy_(values)
    return wanted


def _spec(task: str, battle: BattleMap, layout: Layout, options: Options) -> TaskSpec:
    return TaskSpec(
        task=task,
        agents=battle.agents,
        obs_sizes=(layout.obs_size,) * battle.num_agents,
        state_size=layout.state_size,
        state_per_agent=layout.state_per_agent,
        action_spaces=tuple(Discrete(layout.num_actions) for _ in battle.agents),
        reward_per_agent=False,
        max_episode_steps=options.max_episode_steps or battle.limit,
        metrics=METRICS,
        feature_names=layout.feature_names,
        action_names=layout.action_names,
        exact_state=True,
        observes_ids=options.observation == "on_policy",
    )
