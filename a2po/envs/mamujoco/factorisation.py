"""Which columns of a row each agent sees, in which order, and which actuators it moves.

k-hop views: joints are nodes, hyperedges join joints. At hop 0 an agent sees everything of its own joints, at hop j the
positions of the joints it newly reaches; within a hop joints go by name. Bodies are felt once per agent. The root's
position (without where it stands on the ground) and velocity come last.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from a2po.envs.mamujoco.model import Joint, body_numbers, column_names, joints_by_actuator, joints_of
from a2po.envs.mamujoco.options import Options
from a2po.envs.mamujoco.rows import RowLayout
from a2po.envs.mamujoco.scenarios import Partition, Scenario


@dataclass(frozen=True)
class Columns:
    """The row's columns, followed by a few made ones: a zero, a one, and clipped velocities where they are needed."""

    rows: dict[str, slice]
    names: tuple[str, ...]
    zero: int
    one: int
    clipped_qvel: slice | None

    @property
    def width(self) -> int:
        """All columns, made ones included."""
        return len(self.names)


@dataclass(frozen=True)
class Factorisation:
    """How a task is divided among its agents."""

    agents: tuple[str, ...]
    partition: Partition  # joints per agent, in the order of its actions
    columns: Columns
    obs: tuple[tuple[int, ...], ...]  # per agent: the columns it sees
    state: tuple[int, ...]  # the columns of the global state
    control: tuple[int, ...]  # per actuator: its place in the flattened padded actions [N * A]
    action_sizes: tuple[int, ...]

    @property
    def feature_names(self) -> tuple[tuple[str, ...], ...]:
        """Per agent: the names of what it sees; the ones that spell its number are ``agent_id.<agent>``."""
        return tuple(tuple(self._name(agent, place, column) for place, column in enumerate(seen)) for agent, seen in enumerate(self.obs))

    def _name(self, agent: int, place: int, column: int) -> str:
        ids_start = len(self.obs[agent]) - len(self.agents)
        is_id = column == self.columns.one or (column == self.columns.zero and self.columns.one in self.obs[agent] and place >= ids_start)
        return f"agent_id.{self.agents[place - ids_start]}" if is_id else self.columns.names[column]

    @property
    def table(self) -> np.ndarray:
        """int64 [N, O]: the columns of all agents, padded with the zero column to the widest."""
        width = max(len(seen) for seen in self.obs)
        return np.array([[*seen, *[self.columns.zero] * (width - len(seen))] for seen in self.obs], np.int64)


def factorise(model: mujoco.MjModel, scenario: Scenario, configuration: str, layout: RowLayout, options: Options) -> Factorisation:
    """Divide ``scenario`` as ``configuration`` and ``options`` say."""
    partition = scenario.partitions[configuration]
    actuated = joints_by_actuator(model)
    if options.action_split == "contiguous":
        partition = _contiguous(partition, actuated)
    columns = _columns(model, scenario, layout)
    state = _global_columns(model, scenario, columns, options.layout)
    if options.obsk == "full":
        views = [state for _ in partition]
    else:
        viewer = _Viewer(model, scenario, columns, swap_abdomen=options.compat == "gymnasium-robotics")
        views = [viewer.view(joints, int(options.obsk)) for joints in partition]
    if options.agent_ids:
        one_hot = [[columns.one if other == agent else columns.zero for other in range(len(views))] for agent in range(len(views))]
        views = [view + tail for view, tail in zip(views, one_hot, strict=True)]
    sizes = tuple(len(joints) for joints in partition)
    place = {joint: agent * max(sizes) + slot for agent, joints in enumerate(partition) for slot, joint in enumerate(joints)}
    return Factorisation(
        agents=tuple(f"agent_{agent}" for agent in range(len(partition))),
        partition=partition,
        columns=columns,
        obs=tuple(tuple(view) for view in views),
        state=tuple(state),
        control=tuple(place[joint] for joint in actuated),
        action_sizes=sizes,
    )


def _contiguous(partition: Partition, actuated: list[str]) -> Partition:
    ends = np.cumsum([len(joints) for joints in partition]).tolist()
    return tuple(tuple(actuated[start:end]) for start, end in zip([0, *ends], ends, strict=False))


def _columns(model: mujoco.MjModel, scenario: Scenario, layout: RowLayout) -> Columns:
    names = [name for field, place in layout.fields.items() for name in column_names(model, field, place.stop - place.start)]
    zero, one = len(names), len(names) + 1
    names += ["zero", "one"]
    clipped = None
    if scenario.clipped_velocity != "nowhere":
        clipped = slice(len(names), len(names) + model.nv)
        names += column_names(model, "qvel", model.nv)
    return Columns(layout.fields, tuple(names), zero, one, clipped)


def _global_columns(model: mujoco.MjModel, scenario: Scenario, columns: Columns, version: str) -> list[int]:
    """Gymnasium's observation. The v2 layout keeps what is always zero: the world body, root actuation, contact forces."""
    root, old = _hidden_positions(model), version == "v2"
    sizes = {"cinert": 10, "cvel": 6, "cfrc_ext": 6, "qfrc_actuator": 6}  # what v5 leaves out: the world body, the root
    found = []
    for field in scenario.own_fields:
        if field == "qvel" and columns.clipped_qvel is not None:
            found += _range(columns.clipped_qvel)
        elif field == "cfrc_ext" and field not in columns.rows:
            found += [columns.zero] * (6 * model.nbody if old else 0)
        else:
            skipped = root if field == "qpos" else 0 if field == "qvel" or old else sizes[field]
            found += _range(columns.rows[field])[skipped:]
    return found


def _hidden_positions(model: mujoco.MjModel) -> int:
    """How many leading positions say only where the robot stands: x, and y for one that moves freely."""
    return 2 if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE else 1


def _range(place: slice) -> list[int]:
    return list(range(place.start, place.stop))


class _Viewer:
    """Builds k-hop views."""

    def __init__(self, model: mujoco.MjModel, scenario: Scenario, columns: Columns, *, swap_abdomen: bool) -> None:
        self._model, self._scenario, self._columns = model, scenario, columns
        self._joints = joints_of(model)
        self._bodies = body_numbers(model)
        if swap_abdomen and "abdomen_y" in self._joints:
            y, z = self._joints["abdomen_y"], self._joints["abdomen_z"]
            self._joints |= {"abdomen_y": Joint(y.name, z.qpos, z.qvel, y.actuator), "abdomen_z": Joint(z.name, y.qpos, y.qvel, z.actuator)}
        self._qvel = columns.rows["qvel"]
        if scenario.clipped_velocity == "everywhere" and columns.clipped_qvel is not None:
            self._qvel = columns.clipped_qvel

    def view(self, own: tuple[str, ...], hops: int) -> list[int]:
        """The columns that the agent of the joints ``own`` sees."""
        columns: list[int] = []
        felt: set[tuple[str, int]] = set()
        for joint in sorted(own):
            for field in self._scenario.own_fields:
                columns += self._own_columns(joint, field, felt)
        seen, reached = set(own), set(own)
        for _ in range(hops):
            reached = {joint for edge in self._scenario.edges if reached & set(edge) for joint in edge} - seen
            seen |= reached
            columns += [column for joint in sorted(reached) for column in self._positions(self._joints[joint])]
        return columns + self._root_columns()

    def _own_columns(self, joint: str, field: str, felt: set[tuple[str, int]]) -> list[int]:
        if field == "qpos":
            return self._positions(self._joints[joint])
        if field in ("qvel", "qfrc_actuator"):
            start = self._qvel.start if field == "qvel" else self._columns.rows[field].start
            return [start + address for address in self._joints[joint].qvel]
        if field not in self._columns.rows:
            return []  # contact forces, when they are off
        place = self._columns.rows[field]
        size = (place.stop - place.start) // self._model.nbody
        columns: list[int] = []
        for name in (self._scenario.bodies or {})[joint]:
            body = self._bodies[name]
            if (field, body) not in felt:
                felt.add((field, body))
                columns += range(place.start + body * size, place.start + (body + 1) * size)
        return columns

    def _positions(self, joint: Joint) -> list[int]:
        return [self._columns.rows["qpos"].start + address for address in joint.qpos]

    def _root_columns(self) -> list[int]:
        roots = [joint for joint in self._joints.values() if joint.actuator is None]
        qpos = [column for joint in roots for column in self._positions(joint)][_hidden_positions(self._model) :]
        return qpos + [self._qvel.start + address for joint in roots for address in joint.qvel]
