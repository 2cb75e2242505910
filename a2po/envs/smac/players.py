"""Scripts that play a battle for the whole team: SMAC's own heuristic, attack-nearest, and the enemies' focus fire and kiting.

They look at the battle itself (``env.snapshot()``), not at the observations. In shapes: B battles, N agents, E enemies, T target slots
(the last actions). A slot is an enemy, or an agent to be healed where the agent that chooses is a healer.
"""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from a2po.envs.protocol import Observations
from a2po.envs.scripted import ScriptedPlayer
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.encoder import Snapshot
from a2po.envs.smac.rules.scripts import LONG_WAIT
from a2po.envs.smac.units import Unit

NOTHING, STOP, FIRST_MOVE, AFTER_MOVES = 0, 1, 2, 6  # actions; then those that turn a cone of sight, if there is one, then targets
DIRECTIONS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]], np.float32)  # of the moves: north, south, east, west
EAST = DIRECTIONS[2]
SIGHT = 9.0
EVERYWHERE = 64.0  # farther than any two units of a map are apart
NOBODY = -1


class Battlefield(Protocol):
    """What the scripts need of an environment."""

    battle: BattleMap

    def snapshot(self) -> Snapshot:
        """The units of all battles."""
        ...


class View:
    """The living units of B battles, and what the agents' target slots hold."""

    def __init__(self, env: Battlefield, num_slots: int) -> None:
        now, agents, units = env.snapshot(), env.battle.num_agents, env.battle.num_agents + env.battle.num_enemies
        self.x, self.y, self.alive, self.kind = (np.asarray(values)[:, :units] for values in (now.x, now.y, now.alive, now.kind))
        self.hp, self.shield = (np.asarray(values)[:, :units] for values in (now.hp, now.shield))
        self.waits = np.asarray(now.cooldown)[:, :agents] >= LONG_WAIT
        self.num_agents, kinds = agents, env.battle.units
        self.life = self.hp / np.array([unit.hp for unit in kinds])[self.kind]  # [B, N + E], 1 is whole
        self.radius = np.array([unit.radius for unit in kinds])[self.kind]
        self.range = np.array([unit.weapon.range if unit.weapon else -1.0 for unit in kinds])[self.kind]
        self.healer = np.array([unit.heal is not None for unit in kinds])[self.kind[:, :agents], None]  # [B, N, 1]
        self._serves = np.array([[_serves(one, other) for other in kinds] for one in kinds])
        columns = np.arange(num_slots) + np.where(self.healer, 0, agents)  # [B, N, T]
        exists = columns < np.where(self.healer, agents, units)
        self._columns = np.where(exists, columns, 0)
        self.filled = exists & self.of_slots(self.alive)
        # Of those whom the agent's weapon can hurt, and whom a healer can heal: the living, and the wounded.
        served = self._serves[self.kind[:, :agents, None], self.of_slots(self.kind)]
        self.fit = self.filled & served & (~self.healer | (self.of_slots(self.life) < 1))
        self.distance = np.hypot(*(self.of_slots(axis) - axis[:, :agents, None] for axis in (self.x, self.y)))

    def of_slots(self, values: np.ndarray) -> np.ndarray:
        """[B, N + E] of the units -> [B, N, T] of the agents' slots."""
        return np.take_along_axis(values[:, None], self._columns, -1)

    def within_reach(self) -> np.ndarray:
        """[B, N, T]: targets that the agent's weapon can hurt and has in range; nothing for healers."""
        reach = self.range[:, : self.num_agents, None] + self.radius[:, : self.num_agents, None] + self.of_slots(self.radius)
        return np.asarray(self.fit & ~self.healer & (self.distance <= reach))

    def threats(self) -> np.ndarray:
        """[B, N, E]: living enemies whose weapons can hurt the agent."""
        foes, agents = slice(self.num_agents, None), slice(0, self.num_agents)
        armed = self.alive[:, foes] & (self.range[:, foes] >= 0)
        return np.asarray(armed[:, None] & self._serves[self.kind[:, None, foes], self.kind[:, agents, None]])

    def nearest(self) -> np.ndarray:
        """[B, N]: the nearest fit slot, or NOBODY."""
        return np.where(self.fit.any(-1), np.where(self.fit, self.distance, np.inf).argmin(-1), NOBODY)

    def attack(self, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """[B, N]: the action for each slot ``target`` [B, N]: attack it or heal it; walk to where an order to it would not be legal."""
        slots = mask.shape[-1] - self.distance.shape[-1] + np.maximum(target, 0)
        legal = np.take_along_axis(mask, slots[..., None], -1)[..., 0]
        place = [np.take_along_axis(self.of_slots(axis), np.maximum(target, 0)[..., None], -1)[..., 0] for axis in (self.x, self.y)]
        heading = np.stack([axis - own[:, : self.num_agents] for axis, own in zip(place, (self.x, self.y), strict=True)], -1)
        return np.where(target == NOBODY, STOP, np.where(legal, slots, step_towards(heading, mask)))

    def actions(self, chosen: np.ndarray, device: torch.device) -> Tensor:
        """What the living do: ``chosen`` [B, N]; the dead do nothing."""
        return torch.from_numpy(np.where(self.alive[:, : self.num_agents], chosen, NOTHING).astype(np.int64)).to(device)


def _serves(one: Unit, other: Unit) -> bool:
    """Whether a unit's weapon can hurt another one, or a healer can heal it."""
    if one.heal:
        return "biological" in other.attributes and "structure" not in other.attributes and other.planes == {"ground"}
    return one.weapon is not None and bool(one.weapon.targets & other.planes)


def step_towards(heading: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """[B, N]: of the legal moves the one that leads best where ``heading`` [B, N, 2] points; stop if none does."""
    progress = np.where(mask[..., FIRST_MOVE:AFTER_MOVES], heading @ DIRECTIONS.T, -np.inf)
    return np.where(progress.max(-1) > 0, FIRST_MOVE + progress.argmax(-1), STOP)


class Heuristic:
    """SMAC's own heuristic: the nearest living enemy wherever it is, until that one is dead; healers: the nearest wounded agent.

    Weapons are sent against whom they can hurt. A healer stays with its patient until that one is dead or whole. Who finds nobody stops.
    """

    def __init__(self, env: Battlefield) -> None:
        self._env = env
        self._target: np.ndarray | None = None  # [B, N] slot, or NOBODY

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N]; ``begun`` [B] says whose episode has just begun."""
        mask = _mask(observations)
        view = View(self._env, _slots(self._env, mask))
        nearest = view.nearest()
        kept = self._kept(nearest, begun)
        still_fit = np.take_along_axis(view.fit, np.maximum(kept, 0)[..., None], -1)[..., 0] & (kept != NOBODY)
        self._target = np.where(still_fit, kept, nearest)
        return view.actions(view.attack(self._target, mask), observations.obs.device)

    def _kept(self, nearest: np.ndarray, begun: Tensor | None) -> np.ndarray:
        """[B, N]: the targets of the step before, none where an episode begins."""
        if self._target is None or begun is None:
            return np.full_like(nearest, NOBODY)
        return np.where(begun.cpu().numpy()[:, None], NOBODY, self._target)


class FocusFire:
    """All on one: of the enemies that many have in range the one with the least hp and shield; whoever has not, the nearest.

    Many: at least half as many as have that one in range whom most have. Healers: the nearest wounded agent.
    """

    def __init__(self, env: Battlefield) -> None:
        self._env = env

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N]."""
        mask = _mask(observations)
        view = View(self._env, _slots(self._env, mask))
        reached, enemies = view.within_reach(), view.alive.shape[1] - view.num_agents
        count = (reached & view.alive[:, : view.num_agents, None]).sum(1)[:, :enemies]  # [B, E]
        many = (count > 0) & (2 * count >= count.max(-1, keepdims=True))
        life = np.where(many, (view.hp + view.shield)[:, view.num_agents :], np.inf)
        focus = np.broadcast_to(life.argmin(-1)[:, None], view.healer.shape[:2])
        joins = many.any(-1)[:, None] & np.take_along_axis(reached, focus[..., None], -1)[..., 0]
        return view.actions(view.attack(np.where(joins, focus, view.nearest()), mask), observations.obs.device)


class Kiting:
    """Attack the nearest; while the weapon is not ready, step back from the nearest threat within its range that has a shorter one.

    Steps back are those of the agents: straight north, south, east or west. Healers: the nearest wounded agent.
    """

    def __init__(self, env: Battlefield) -> None:
        self._env = env

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N]."""
        mask = _mask(observations)
        view = View(self._env, _slots(self._env, mask))
        back = step_towards(-_to_the_threat(view), mask)
        chosen = np.where(back == STOP, view.attack(view.nearest(), mask), back)
        return view.actions(chosen, observations.obs.device)


def _to_the_threat(view: View) -> np.ndarray:
    """[B, N, 2]: from each agent to the threat that it should step back from; 0 where there is none."""
    agents = view.num_agents
    threats = view.threats()
    offset = np.stack([axis[:, None, agents:] - axis[:, :agents, None] for axis in (view.x, view.y)], -1)  # [B, N, E, 2]
    distance = np.where(threats, np.hypot(offset[..., 0], offset[..., 1]), np.inf)
    nearest = distance.argmin(-1)[..., None]
    reach = view.range[:, :agents, None] + view.radius[:, :agents, None] + view.radius[:, None, agents:]
    shorter = view.range[:, None, agents:] < view.range[:, :agents, None]
    flee = np.take_along_axis(threats & shorter & (distance <= reach), nearest, -1) & view.waits[..., None]
    return np.where(flee, np.take_along_axis(offset, nearest[..., None], 2)[:, :, 0], 0.0)


class Nearest:
    """Attack the nearest target that the mask allows; else step towards the nearest enemy in sight, else east.

    Healers heal, of those whom the mask allows, the one with the smallest part of its life.
    """

    def __init__(self, env: Battlefield) -> None:
        self._env = env

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N]."""
        mask = _mask(observations)
        slots = _slots(self._env, mask)
        allowed, view = mask[..., -slots:], View(self._env, slots)
        cost = np.where(view.healer, view.of_slots(view.life), view.distance)
        target = np.where(allowed, cost, np.inf).argmin(-1)
        chosen = np.where(allowed.any(-1), mask.shape[-1] - slots + target, step_towards(_to_the_nearest(view), mask))
        return view.actions(chosen, observations.obs.device)


def _to_the_nearest(view: View) -> np.ndarray:
    """[B, N, 2]: from each agent to the nearest enemy in sight, or east."""
    agents, place = view.num_agents, np.stack([view.x, view.y], -1)
    offset = place[:, None, agents:] - place[:, :agents, None]  # [B, N, E, 2]
    distance = np.where(view.alive[:, None, agents:], np.hypot(offset[..., 0], offset[..., 1]), np.inf)
    nearest = np.take_along_axis(offset, distance.argmin(-1)[..., None, None], 2)[:, :, 0]
    return np.where((distance.min(-1) < SIGHT)[..., None], nearest, EAST)


def _mask(observations: Observations) -> np.ndarray:
    """Legal actions, bool [B, N, A]."""
    return cast(Tensor, observations.action_mask).cpu().numpy()


def _slots(env: Battlefield, mask: np.ndarray) -> int:
    """T: all actions but those that have no target."""
    return int(min(mask.shape[-1], env.battle.num_actions)) - AFTER_MOVES


PLAYERS = {
    # SMAC's heuristic orders attacks beyond the action mask's range.
    "heuristic": ScriptedPlayer(lambda env, seed: Heuristic(cast(Battlefield, env)), {"shoot_range": EVERYWHERE}),
    "nearest": ScriptedPlayer(lambda env, seed: Nearest(cast(Battlefield, env))),
    "focus_fire": ScriptedPlayer(lambda env, seed: FocusFire(cast(Battlefield, env))),
    "kiting": ScriptedPlayer(lambda env, seed: Kiting(cast(Battlefield, env))),
}
