"""What time does by itself: timers run, shields, life and energy grow."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    ALIVE,
    CALM,
    COOLDOWN,
    ENERGY,
    FLIGHT,
    HELP,
    HP,
    HP_MAX,
    HP_REGEN,
    KIND,
    SECOND,
    SHIELD,
    SHIELD_MAX,
    SHIELD_REGEN,
    T_ENERGY_MAX,
    T_ENERGY_REGEN,
    T_HEAL,
    WINDUP,
)

_NONE, _ONE = np.int32(0), np.int32(1)


def upkeep(first, last, W, M):
    """End a loop for units first..last. Without branches, so that it is vector code."""
    for i in range(first, last):
        M[COOLDOWN, i] = M[COOLDOWN, i] - _ONE if M[COOLDOWN, i] > _NONE else _NONE
        M[HELP, i] = M[HELP, i] - _ONE if M[HELP, i] > _NONE else _NONE
        M[WINDUP, i] = M[WINDUP, i] - _ONE if M[WINDUP, i] > _NONE else M[WINDUP, i]
        M[SECOND, i] = M[SECOND, i] - _ONE if M[SECOND, i] > _NONE else M[SECOND, i]
        M[FLIGHT, i] = M[FLIGHT, i] - _ONE if M[FLIGHT, i] > _NONE else M[FLIGHT, i]
    for i in range(first, last):
        alive = np.float32(M[ALIVE, i])
        shield = W[SHIELD, i] + (W[SHIELD_REGEN, i] * alive if M[CALM, i] <= _NONE else np.float32(0.0))
        W[SHIELD, i] = shield if shield < W[SHIELD_MAX, i] else W[SHIELD_MAX, i]
        life = W[HP, i] + W[HP_REGEN, i] * alive
        W[HP, i] = life if life < W[HP_MAX, i] else W[HP_MAX, i]
        M[CALM, i] = M[CALM, i] - _ONE if M[CALM, i] > _NONE else _NONE


def recharge(first, last, W, M, U):
    """The energy of healers among units first..last grows."""
    for i in range(first, last):
        if M[ALIVE, i] == 1 and U[M[KIND, i], T_HEAL] > 0:
            kind = M[KIND, i]
            W[ENERGY, i] = min(W[ENERGY, i] + U[kind, T_ENERGY_REGEN], U[kind, T_ENERGY_MAX])
