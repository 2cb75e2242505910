"""Checks of what is simulated: MuJoCo and its pictures, Gymnasium, the football engine."""

from __future__ import annotations

import os

from a2po.doctor.finding import Finding, load, versions, works
from a2po.errors import DependencyError

FALLING = "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"


def mujoco() -> Finding:
    """Lets something fall."""
    module = load("mujoco", "train", "the tasks mamujoco/...")
    load("gymnasium", "train", "the tasks mamujoco/...")
    model = module.MjModel.from_xml_string(FALLING)
    data = module.MjData(model)
    module.mj_step(model, data)
    assert data.qvel[2] < 0.0
    return works(f"{module.__version__}, gymnasium {versions('gymnasium').get('gymnasium', '?')}")


def opengl() -> Finding:
    """Opens an off-screen context and draws, as pictures and videos do."""
    module = load("mujoco", "train", "pictures of mamujoco/...")
    from a2po.envs.mamujoco.rendering import CopyRenderer

    model = module.MjModel.from_xml_string(FALLING)
    data = module.MjData(model)
    module.mj_forward(model, data)
    try:
        renderer = CopyRenderer(model, (64, 48))
    except DependencyError as error:
        reason, _, mend = str(error).partition("): ")
        return Finding("missing", f"{reason})", mend)
    picture = renderer.render(data)
    renderer.close()
    assert picture.shape == (48, 64, 3) and picture.max() > 0
    return works("draws off screen")


def football() -> Finding:
    """Finds the engine, loads it, and plays the self-test."""
    from a2po.envs.football.installer.selftest import EXPECTED, OtherGame, self_test
    from a2po.envs.football.library import find_library
    from a2po.errors import WorkFailed

    named = "unset A2PO_FOOTBALL" if os.environ.get("A2PO_FOOTBALL") else ""  # what we build is not looked at while it is set
    try:
        found = find_library()
    except DependencyError as error:
        reason, _, _ = str(error).partition("; ")
        return Finding("missing", reason, named or "a2po install football")
    try:
        game = self_test(found.folder)
    except OtherGame as error:
        return Finding("doubtful", str(error), named or "a2po install football --accept-difference")
    except WorkFailed as error:
        return Finding("broken", f"{found.folder}: {error}", named or "a2po install football --force")
    return works(f"plays {'the stored game' if game == EXPECTED else 'the game that was accepted'}, {found.folder}")
