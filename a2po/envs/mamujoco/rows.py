"""One row of numbers per copy: what the reward and all agents' observations are cut from.

The row is ``[qpos | qvel | cinert | cvel | qfrc_actuator | cfrc_ext | positions for the reward]``, as far as the
scenario uses them, in float64 as MuJoCo computes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from a2po.envs.mamujoco.scenarios import Scenario

# The reward's displacement: where MuJoCo keeps the position, which lags one substep behind qpos as Gymnasium's does.
_REWARD_FIELD = {"torso": "xpos", "center_of_mass": "xipos"}


@dataclass(frozen=True)
class RowLayout:
    """Which MjData fields a row holds, and where."""

    fields: dict[str, slice]
    width: int


def row_layout(model: mujoco.MjModel, scenario: Scenario, contact_forces: bool) -> RowLayout:
    """The fields that ``scenario`` needs, one after another."""
    names = [name for name in scenario.own_fields if name != "cfrc_ext" or contact_forces]
    if scenario.reward.progress in _REWARD_FIELD:
        names.append(_REWARD_FIELD[scenario.reward.progress])
    sizes = {"qpos": model.nq, "qvel": model.nv, "qfrc_actuator": model.nv, "cinert": 10 * model.nbody}
    sizes |= {"cvel": 6 * model.nbody, "cfrc_ext": 6 * model.nbody, "xpos": 3 * model.nbody, "xipos": 3 * model.nbody}
    found, start = {}, 0
    for name in names:
        found[name] = slice(start, start + sizes[name])
        start += sizes[name]
    return RowLayout(found, start)
