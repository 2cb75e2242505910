"""B copies of one multi-agent MuJoCo task behind the contract of ``a2po.envs.protocol``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box

from a2po.envs.episodes import EpisodeTracker
from a2po.envs.mamujoco.factorisation import Factorisation, factorise
from a2po.envs.mamujoco.model import control_ranges, joints_by_actuator, load_model
from a2po.envs.mamujoco.observations import ObservationBuilder
from a2po.envs.mamujoco.options import Options
from a2po.envs.mamujoco.rendering import SIZE, CopyRenderer
from a2po.envs.mamujoco.rewards import Referee
from a2po.envs.mamujoco.rows import row_layout
from a2po.envs.mamujoco.scenarios import scenario_of
from a2po.envs.mamujoco.simulation import make_simulation
from a2po.envs.protocol import EpisodeRecord, Observations, Step, TaskSpec
from a2po.errors import ActionError, CheckpointError

METRICS = ("distance", "control_cost")  # per episode: metres along x, and the sum of what the controls cost


class MultiAgentMujoco:
    """B copies of one task that step together and reset themselves."""

    def __init__(self, task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, options: Options) -> None:
        self.num_envs, self.device, self.options = num_envs, device, options
        scenario, configuration = scenario_of(task)
        self._scenario = scenario
        self.model = load_model(scenario, options.model)
        layout = row_layout(self.model, scenario, options.contact_forces)
        self.factorisation = factorise(self.model, scenario, configuration, layout, options)
        self.spec = _spec(task, self.model, self.factorisation, options)
        self._simulation = make_simulation(self.model, layout, num_envs, scenario.frame_skip, num_threads, options.backend)
        self._referee = Referee(scenario, self.model, layout, options.healthy_bonus == "always")
        self._builder = ObservationBuilder(scenario, self.factorisation, layout, num_envs, options.standardise)
        self._tracker = EpisodeTracker(num_envs, seed, METRICS)
        self._rest = np.array(self.model.qpos0)
        self._x = layout.fields["qpos"].start
        self._start = np.zeros(num_envs)  # x at the start of the episode
        self._position = np.zeros(num_envs)  # the referee's position, from the step before
        self._control_columns = np.array(self.factorisation.control, np.int64)
        self._control = np.zeros((num_envs, self.model.nu))
        self._host, self._final = (self._builder.allocate(num_envs, torch.device("cpu")) for _ in range(2))
        on_host = device.type == "cpu"
        self._result, self._final_result = (self._host, self._final) if on_host else (self._allocate(), self._allocate())
        self.step_seconds = float(self.model.opt.timestep) * scenario.frame_skip
        self.render_size = SIZE
        self._renderer: CopyRenderer | None = None
        self._started = False

    def _allocate(self) -> Observations:
        return self._builder.allocate(self.num_envs, self.device)

    @property
    def episode_seeds(self) -> np.ndarray:
        """[B] int64: the seeds of the running episodes."""
        return self._tracker.seeds.copy()

    def reset(self, seeds: Sequence[int] | np.ndarray | None = None) -> Observations:
        """Start the next episode in every copy; see ``VectorEnv.reset``."""
        rows = self._begin(np.arange(self.num_envs), seeds)
        self._builder.fill(rows, self._host.obs.numpy(), self._host.state.numpy())
        self._started = True
        return self._deliver(self._host, self._result)

    def step(self, actions: torch.Tensor, out: Observations | None = None) -> Step:
        """Play one step; see ``VectorEnv.step``."""
        if not self._started:
            raise RuntimeError("call reset() before the first step()")
        control, simulation, tracker = self._controls(actions), self._simulation, self._tracker
        simulation.step(control)
        rows, faults = simulation.rows, simulation.faults()
        before, self._position = self._position, self._referee.position(rows)
        score = self._referee.score(rows, control, before, self._position)
        terminated, reward = score.terminated | faults, score.reward
        if faults.any():
            reward = np.where(faults, 0.0, reward)
        if not np.isfinite(reward).all():
            copy = int(np.flatnonzero(~np.isfinite(reward))[0])
            raise ActionError(f"{self.spec.task}: the reward of copy {copy} is {reward[copy]}: its actions are far outside their range")
        tracker.add(reward)
        tracker.sums[1] += score.control_cost
        truncated = (tracker.length >= self.options.max_episode_steps) & ~faults
        if self.options.timeouts_as_terminal:
            terminated, truncated = terminated | truncated, np.zeros_like(truncated)
        target = self._direct(out)
        obs, state = target.obs.numpy(), target.state.numpy()
        self._builder.fill(rows, obs, state)
        ended = np.flatnonzero(terminated | truncated)
        if ended.size:
            self._turn_over(ended, faults, obs, state)
        return Step(
            observations=self._deliver(target, out or self._result),
            reward=torch.from_numpy(reward.astype(np.float32)).to(self.device),
            terminated=torch.from_numpy(terminated).to(self.device),
            truncated=torch.from_numpy(truncated).to(self.device),
            invalid=torch.from_numpy(faults).to(self.device),
            final=self._deliver(self._final, self._final_result) if ended.size else self._final_result,
        )

    def _controls(self, actions: torch.Tensor) -> np.ndarray:
        """[B, N, A] padded, per agent -> [B, actuators], float64 and unclipped as Gymnasium passes them on."""
        spec = self.spec
        expected = (self.num_envs, spec.num_agents, spec.max_action_size)
        if tuple(actions.shape) != expected:
            raise ActionError(f"actions must have the shape {list(expected)}, got {list(actions.shape)}")
        given = actions.detach().to("cpu", torch.float32).reshape(self.num_envs, -1).numpy()
        self._control[...] = given.take(self._control_columns, axis=1)
        if not np.isfinite(self._control).all():
            copy, actuator = np.argwhere(~np.isfinite(self._control))[0]
            agent, slot = divmod(int(self._control_columns[actuator]), spec.max_action_size)
            raise ActionError(
                f"the action of {spec.agents[agent]} in copy {copy} is not finite: "
                f"{spec.action_names[agent][slot]} = {self._control[copy, actuator]}"
            )
        return self._control

    def _turn_over(self, ended: np.ndarray, faults: np.ndarray, obs: np.ndarray, state: np.ndarray) -> None:
        """Keep the true successors of the copies ``ended`` [K], record their episodes, and show their next ones."""
        last_obs, last_state = obs[ended], state[ended]
        self._final.obs.numpy()[ended], self._final.state.numpy()[ended] = last_obs, last_state
        self._tracker.sums[0, ended] = self._simulation.rows[ended, self._x] - self._start[ended]
        self._tracker.finish(ended, faults)
        rows = self._begin(ended, None)
        self._builder.fill(rows, last_obs, last_state)  # the arrays serve again
        obs[ended], state[ended] = last_obs, last_state

    def _begin(self, copies: np.ndarray, seeds: Sequence[int] | np.ndarray | None) -> np.ndarray:
        """Start the next episode of ``copies`` [K]; return their rows [K, width]."""
        episode_seeds = self._tracker.start(copies, seeds)
        qpos, qvel = np.empty((len(copies), self.model.nq)), np.empty((len(copies), self.model.nv))
        scale = self._scenario.reset_noise
        for index, seed in enumerate(episode_seeds.tolist()):
            # The generator that gymnasium's reset(seed=seed) makes, and its order of draws
            generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
            qpos[index] = self._rest + generator.uniform(low=-scale, high=scale, size=self.model.nq)
            if self._scenario.normal_velocity_noise:
                qvel[index] = scale * generator.standard_normal(self.model.nv)
            else:
                qvel[index] = generator.uniform(low=-scale, high=scale, size=self.model.nv)
        self._simulation.reset(copies, qpos, qvel)
        rows: np.ndarray = self._simulation.rows[copies]
        self._start[copies] = rows[:, self._x]
        self._position[copies] = self._referee.position(rows)
        return rows

    def _direct(self, out: Observations | None) -> Observations:
        """Where to build the observations: in ``out`` itself if it can take them as they are."""
        fits = out is not None and out.obs.device.type == "cpu" and out.obs.is_contiguous() and out.state.is_contiguous()
        return out if fits and out is not None else self._host

    def _deliver(self, built: Observations, target: Observations) -> Observations:
        if target is not built:
            target.obs.copy_(built.obs)
            target.state.copy_(built.state)
        if target is not self._host:
            target.alive.fill_(True)
        return target

    def drain_episodes(self) -> list[EpisodeRecord]:
        """The episodes that ended since the last call."""
        return self._tracker.drain()

    def render(self, copy: int) -> np.ndarray:
        """A picture of one copy: uint8 [H, W, 3], where ``render_size`` is (W, H).

        Raises:
            DependencyError: OpenGL is missing.
        """
        if self._renderer is None or self._renderer.size != self.render_size:
            self._close_renderer()
            self._renderer = CopyRenderer(self.model, self.render_size, self._scenario.field_of_view)
        return self._renderer.render(self._simulation.data(copy))

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on bit for bit."""
        return {
            "task": self.spec.task,
            "num_envs": self.num_envs,
            "started": self._started,
            "simulation": self._simulation.states(),
            "rows": self._simulation.rows.copy(),
            "start": self._start.copy(),
            "position": self._position.copy(),
            "tracker": self._tracker.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state.

        Raises:
            CheckpointError: the state is of another task, or of another number of copies.
        """
        if (state["task"], state["num_envs"]) != (self.spec.task, self.num_envs):
            raise CheckpointError(
                f"the saved environment is {state['num_envs']} copies of {state['task']}, this one {self.num_envs} of {self.spec.task}"
            )
        self._started = bool(state["started"])
        self._simulation.set_states(np.asarray(state["simulation"]), np.asarray(state["rows"]))
        self._start[...], self._position[...] = state["start"], state["position"]
        self._tracker.load_state_dict(state["tracker"])

    def close(self) -> None:
        """Free threads and the renderer. Harmless when called twice."""
        self._simulation.close()
        self._close_renderer()

    def _close_renderer(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _spec(task: str, model: Any, factorisation: Factorisation, options: Options) -> TaskSpec:
    low, high = control_ranges(model)
    actuators = {joint: index for index, joint in enumerate(joints_by_actuator(model))}
    spaces = []
    for joints in factorisation.partition:
        own = [actuators[joint] for joint in joints]
        spaces.append(Box(low[own], high[own], dtype=np.float32))
    return TaskSpec(
        task=task,
        agents=factorisation.agents,
        obs_sizes=tuple(len(seen) for seen in factorisation.obs),
        state_size=len(factorisation.state),
        state_per_agent=False,
        action_spaces=tuple(spaces),
        reward_per_agent=False,
        max_episode_steps=options.max_episode_steps,
        metrics=METRICS,
        feature_names=factorisation.feature_names,
        action_names=factorisation.partition,
        exact_state=True,
    )
