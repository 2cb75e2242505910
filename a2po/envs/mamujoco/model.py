"""Loading a robot, and reading addresses and names off its MjModel."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np

from a2po.envs.mamujoco.quiet import quiet
from a2po.envs.mamujoco.scenarios import Scenario
from a2po.errors import missing_extra


def load_model(scenario: Scenario, version: str) -> mujoco.MjModel:
    """The MjModel of ``scenario``, from the MJCF files that Gymnasium ships."""
    spec = find_spec("gymnasium")
    if spec is None or not spec.submodule_search_locations:
        raise missing_extra("gymnasium", "train", f"the robot {scenario.name}")
    path = Path(spec.submodule_search_locations[0]) / "envs" / "mujoco" / "assets" / scenario.model_files[version]
    with quiet:
        return mujoco.MjModel.from_xml_path(str(path))


@dataclass(frozen=True)
class Joint:
    """Where one joint lives in the model."""

    name: str
    qpos: range
    qvel: range
    actuator: int | None


_QPOS_PARTS = ("x", "y", "z", "qw", "qx", "qy", "qz")
_QVEL_PARTS = ("vx", "vy", "vz", "wx", "wy", "wz")


def joints_of(model: mujoco.MjModel) -> dict[str, Joint]:
    """All joints by name, in the model's order."""
    actuators = {int(joint): index for index, (joint, _) in enumerate(model.actuator_trnid)}
    joints = {}
    for index in range(model.njnt):
        free = model.jnt_type[index] == mujoco.mjtJoint.mjJNT_FREE
        qpos, qvel = int(model.jnt_qposadr[index]), int(model.jnt_dofadr[index])
        name = model.joint(index).name
        joints[name] = Joint(name, range(qpos, qpos + (7 if free else 1)), range(qvel, qvel + (6 if free else 1)), actuators.get(index))
    return joints


def joints_by_actuator(model: mujoco.MjModel) -> list[str]:
    """The joint that each actuator moves."""
    return [model.joint(int(joint)).name for joint in model.actuator_trnid[:, 0]]


def body_name(model: mujoco.MjModel, body: int) -> str:
    """A body's name; one without a name is called after the joint that moves it, as in ``@ankle_1``."""
    name = model.body(body).name
    return name or f"@{model.joint(int(model.body_jntadr[body])).name}"


def body_numbers(model: mujoco.MjModel) -> dict[str, int]:
    """Body name -> number."""
    return {body_name(model, body): body for body in range(model.nbody)}


def column_names(model: mujoco.MjModel, field: str, width: int) -> list[str]:
    """A name for every column of an MjData field that is flattened to ``width`` columns, as in ``qvel.root.wz``."""
    if field in ("qpos", "qvel", "qfrc_actuator"):
        names = [""] * width
        for joint in joints_of(model).values():
            addresses, parts = (joint.qpos, _QPOS_PARTS) if field == "qpos" else (joint.qvel, _QVEL_PARTS)
            for part, address in enumerate(addresses):
                names[address] = f"{field}.{joint.name}" + (f".{parts[part]}" if len(addresses) > 1 else "")
        return names
    per_body = width // model.nbody
    return [f"{field}.{body_name(model, body)}.{part}" for body in range(model.nbody) for part in range(per_body)]


def control_ranges(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest control per actuator, float32 [number of actuators] each."""
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    return low, high
