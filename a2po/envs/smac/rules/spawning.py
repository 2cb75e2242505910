"""How a battle begins: the day's rules are drawn, units stand at their places, and the enemy has been on its way for a moment."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    ACCURACY,
    ALIVE,
    AT_ONCE,
    BUILT_IN,
    CHASE,
    CLOCK,
    DELAY,
    ENEMY_DAMAGE,
    ENEMY_SPEED,
    ENERGY,
    FACING_Y,
    FAR,
    FLIGHT,
    FLOATS,
    FRAILTY,
    GOAL_X,
    GOAL_Y,
    HEALERS,
    HP,
    HP_MAX,
    HP_REGEN,
    INTS,
    KIND,
    LAST_ACTION,
    LAYERS,
    LINE_DELAY,
    MASKED,
    MEDIVAC,
    MEDIVAC_MODE,
    NEXT_X,
    NEXT_Y,
    NUM_ALLIES,
    NUM_ENEMIES,
    OPPONENT,
    OPPONENTS,
    ORDER,
    ORDER_DELAY,
    OWNER,
    PHASE,
    PLANES,
    PROVOKER,
    RADIUS,
    REACHES,
    RULE,
    RULES,
    SECOND,
    SEED_HIGH,
    SEED_LOW,
    SEPARATION,
    SHIELD,
    SHIELD_MAX,
    SHIELD_REGEN,
    SHUFFLE,
    SIDE,
    SIMULTANEOUS,
    SPEED,
    STOP,
    STRENGTH,
    T_ENERGY,
    T_HEAL,
    T_HP,
    T_HP_REGEN,
    T_LAYERS,
    T_PLANES,
    T_RADIUS,
    T_SEPARATION,
    T_SHIELD,
    T_SHIELD_REGEN,
    T_SPEED,
    T_TARGETS,
    T_TURN_COS,
    T_TURN_SIN,
    TARGET,
    TERRAIN_VARIANT,
    TURN_COS,
    TURN_SIN,
    VARIANT,
    VIEW_X,
    WINDUP,
    X,
    Y,
)
from a2po.envs.smac.rules.chance import GOAL, HEALTH, LEADER, MASKS, PLACES, RULES_OF_THE_DAY, SKILL, TRIGGER, uniform
from a2po.envs.smac.rules.enemies import CHASE_LOOPS
from a2po.envs.smac.rules.motion import EDGE_HIGH, EDGE_LOW
from a2po.envs.smac.rules.muster import (
    O_ACCURACY_HIGH,
    O_ACCURACY_LOW,
    O_CHASE,
    O_FRAILTY_HIGH,
    O_FRAILTY_LOW,
    O_MASKED,
    O_OPPONENT,
    R_ORDER,
    assemble,
)

P = 16  # bound anew by specialise()

_BOTH_PLANES = 3
_FAR, _ZERO, _ONE = np.float32(FAR), np.float32(0.0), np.float32(1.0)


def begin(W, M, U, muster, ranges, seed_low, seed_high):
    """Set up one battle, before its first loop.

    Args:
        W, M, U: as in ``play_loop``.
        muster: who takes part, see ``a2po.envs.smac.rules.muster``.
        ranges: float32 [RULES, 2], from where to where each rule is drawn; whole numbers where the rule is one.
        seed_low, seed_high: the episode's seed, as two int32.
    """
    for row in range(FLOATS):
        for i in range(P):
            W[row, i] = _ZERO
    for row in range(INTS):
        for i in range(P):
            M[row, i] = 0
    M[CLOCK, SEED_LOW], M[CLOCK, SEED_HIGH] = seed_low, seed_high
    draw_rules(W, M, ranges)
    assemble(W, M, muster)
    roster, _, _, places, odds, _ = muster
    choose_leader(M, odds)
    share = uniform(M, np.int64(0), GOAL)
    goal_x = places[0, P, 0] + share * (places[0, P + 1, 0] - places[0, P, 0])
    goal_y = places[0, P, 1] + share * (places[0, P + 1, 1] - places[0, P, 1])
    for i in range(P):
        enlist(i, W, M, U, roster)
        W[GOAL_X, i], W[GOAL_Y, i] = goal_x, goal_y
    draw_skills(W, M, odds)
    if W[RULE, SHUFFLE] > 0:
        shuffle_enemies(W, M)


def choose_leader(M, odds):
    """Draw who leads the enemies in this battle, and when idle ones are sent off."""
    M[CLOCK, CHASE], M[CLOCK, PHASE] = int(odds[O_CHASE]), int(uniform(M, 0, TRIGGER) * np.float32(CHASE_LOOPS))
    share = uniform(M, 0, LEADER)
    for opponent in range(OPPONENTS):
        M[CLOCK, OPPONENT] += int(share >= odds[O_OPPONENT + opponent])
    if M[CLOCK, OPPONENT] != BUILT_IN:
        M[CLOCK, CHASE] = 0


def draw_skills(W, M, odds):
    """Draw what distinguishes agents of one type: their accuracy and frailty, and which enemies they cannot make out."""
    agents = M[CLOCK, NUM_ALLIES]
    for i in range(agents):
        W[ACCURACY, i] = odds[O_ACCURACY_LOW] + uniform(M, i, SKILL) * (odds[O_ACCURACY_HIGH] - odds[O_ACCURACY_LOW])
        W[FRAILTY, i] = odds[O_FRAILTY_LOW] + uniform(M, i, HEALTH) * (odds[O_FRAILTY_HIGH] - odds[O_FRAILTY_LOW])
    if odds[O_MASKED] > _ZERO:
        for enemy in range(agents, agents + M[CLOCK, NUM_ENEMIES]):
            for i in range(agents):
                masked = uniform(M, enemy, np.uint32(MASKS + np.uint32(i))) < odds[O_MASKED]
                M[MASKED, enemy] |= int(masked) << i


def draw_rules(W, M, ranges):
    """Draw the battle's rules: uniform over their ranges, both ends of a whole number's range alike."""
    for rule in range(RULES):
        low, high = ranges[rule, 0], ranges[rule, 1]
        share = uniform(M, rule, RULES_OF_THE_DAY)
        if TERRAIN_VARIANT <= rule <= LINE_DELAY:
            W[RULE, rule] = min(np.floor(low + share * (high - low + _ONE)), high)  # the sum may be rounded up
        else:
            W[RULE, rule] = low + share * (high - low)
    M[CLOCK, VARIANT] = int(W[RULE, TERRAIN_VARIANT])
    M[CLOCK, DELAY] = int(W[RULE, ORDER_DELAY])
    M[CLOCK, MEDIVAC] = int(W[RULE, MEDIVAC_MODE])
    M[CLOCK, SIMULTANEOUS] = int(W[RULE, AT_ONCE])


def enlist(i, W, M, U, roster):
    """Make the unit in column ``i`` what its type is, with the order of the roster."""
    kind, enemy = M[KIND, i], M[SIDE, i] == 1
    M[ORDER, i] = STOP if enemy and M[CLOCK, OPPONENT] != BUILT_IN else roster[R_ORDER, i]  # others give theirs with the first step
    M[WINDUP, i] = M[SECOND, i] = M[FLIGHT, i] = M[TARGET, i] = M[PROVOKER, i] = M[LAST_ACTION, i] = M[OWNER, i] = -1
    W[FACING_Y, i] = -_ONE  # the game's default: south
    W[VIEW_X, i] = W[ACCURACY, i] = _ONE
    if kind < 0:
        W[X, i] = W[Y, i] = W[NEXT_X, i] = W[NEXT_Y, i] = _FAR
        return
    M[ALIVE, i] = 1
    M[CLOCK, HEALERS] += int(U[kind, T_HEAL] > 0)
    M[LAYERS, i], M[PLANES, i] = int(U[kind, T_LAYERS]), int(U[kind, T_PLANES])
    M[REACHES, i] = _BOTH_PLANES if U[kind, T_HEAL] > 0 else int(U[kind, T_TARGETS])
    W[HP, i] = W[HP_MAX, i] = U[kind, T_HP]
    W[SHIELD, i] = W[SHIELD_MAX, i] = U[kind, T_SHIELD]
    W[ENERGY, i] = U[kind, T_ENERGY]
    W[HP_REGEN, i], W[SHIELD_REGEN, i] = U[kind, T_HP_REGEN], U[kind, T_SHIELD_REGEN]
    W[SPEED, i], W[TURN_COS, i], W[TURN_SIN, i] = U[kind, T_SPEED], U[kind, T_TURN_COS], U[kind, T_TURN_SIN]
    W[RADIUS, i], W[SEPARATION, i] = U[kind, T_RADIUS], U[kind, T_SEPARATION]
    W[STRENGTH, i] = W[RULE, ENEMY_DAMAGE] if enemy else _ONE
    W[SPEED, i] *= W[RULE, ENEMY_SPEED] if enemy else _ONE
    W[X, i] = W[NEXT_X, i] = min(max(W[X, i], EDGE_LOW), EDGE_HIGH)
    W[Y, i] = W[NEXT_Y, i] = min(max(W[Y, i], EDGE_LOW), EDGE_HIGH)


def shuffle_enemies(W, M):
    """Let the enemies of one type change places: each with one of its kind that comes at or behind it, drawn evenly."""
    first = M[CLOCK, NUM_ALLIES]
    last = first + M[CLOCK, NUM_ENEMIES]
    for i in range(first, last):
        same = 0
        for j in range(i, last):
            same += int(M[KIND, j] == M[KIND, i])
        left = int(uniform(M, i, PLACES) * np.float32(same))
        for j in range(i, last):
            if M[KIND, j] == M[KIND, i]:
                if left == 0:
                    W[X, i], W[X, j] = W[X, j], W[X, i]
                    W[Y, i], W[Y, j] = W[Y, j], W[Y, i]
                left -= 1
    for i in range(first, last):
        W[NEXT_X, i], W[NEXT_Y, i] = W[X, i], W[Y, i]
