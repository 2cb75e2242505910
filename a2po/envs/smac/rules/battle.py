"""Battles in a batch: orders, game loops, reward, end. The one function that others call, for a range of battles that a thread does."""

from __future__ import annotations

from a2po.envs.smac.fields import ALIVE, BEFORE, CHASE, CLOCK, DELAY, HEAD_START, HP, NUM_ALLIES, RULE, SHIELD, STEP
from a2po.envs.smac.layout import L_SIGHTINGS
from a2po.envs.smac.rules.damage import condemn, succumb
from a2po.envs.smac.rules.enemies import chase, lead
from a2po.envs.smac.rules.features import observe_agents
from a2po.envs.smac.rules.loop import play_loop
from a2po.envs.smac.rules.orders import command
from a2po.envs.smac.rules.scoring import outcome, reward
from a2po.envs.smac.rules.sightings import look_around
from a2po.envs.smac.rules.spawning import begin
from a2po.envs.smac.rules.states import write_state

P = 16  # bound anew by specialise()

# What to do with the battles: one environment step, begin them, one game loop without orders and score, just the orders, just show them.
STEP_BATTLES, BEGIN_BATTLES, LOOP_BATTLES, ORDER_BATTLES, SHOW_BATTLES = 0, 1, 2, 3, 4
LOOPS_PER_STEP = 8
LOOPS_AFTER_DEATH = 2  # of a step, once agents that were frail at its beginning have died; SMACv2's


def play_battles(
    what, first, last, copies, seeds, actions, rivals, rewards, results, show, W, M, U, G, height, paths, S, muster, ranges, L, V
):
    """Play, or begin, the battles ``copies`` [K] from first to last of these. One function for all: the loop is most of its code.

    Args:
        what: STEP_BATTLES: ``actions`` [B, N] int64 are used, and ``rivals`` [B, E] int64 where another team leads the enemies;
            ``rewards`` [B] and ``results`` [B] are set. BEGIN_BATTLES: ``seeds`` [K, 2] int32, ``muster`` and ``ranges`` are used.
            LOOP_BATTLES. ORDER_BATTLES: ``actions`` and ``rivals`` are used. SHOW_BATTLES.
        first, last: a range in ``copies``.
        show: obs [B, N, O], state [B, 1 or N, S], mask [B, N, A] and alive [B, N], written but for LOOP_BATTLES and ORDER_BATTLES.
        W, M: [B, FLOATS, P] and [B, INTS, P]; the rest as in ``play_loop``, ``begin``, ``reward`` and ``observe_agents``.
    """
    obs, state, mask, alive = show
    for k in range(first, last):
        b = copies[k]
        own_W, own_M = W[b], M[b]
        loops = LOOPS_PER_STEP if what == STEP_BATTLES else 0 if what == SHOW_BATTLES else 1
        if what == BEGIN_BATTLES:
            begin(own_W, own_M, U, muster, ranges, seeds[k, 0], seeds[k, 1])
            loops = int(own_W[RULE, HEAD_START])
        if what == STEP_BATTLES:
            condemn(own_W, own_M)
        for loop in range(loops):
            if (what == STEP_BATTLES and loop == own_M[CLOCK, DELAY]) or what == ORDER_BATTLES:
                command(0, own_W, own_M, U, L, V, actions[b])
                lead(own_W, own_M, U, G, L, V, rivals[b])
            if what == ORDER_BATTLES:
                break
            if own_M[CLOCK, CHASE] == 1:
                chase(own_W, own_M, U)
            if what == STEP_BATTLES and loop == LOOPS_PER_STEP - LOOPS_AFTER_DEATH:
                succumb(own_W, own_M, U)
            play_loop(own_W, own_M, U, G, paths)
        if what == BEGIN_BATTLES:
            for i in range(P):
                own_W[BEFORE, i] = own_W[HP, i] + own_W[SHIELD, i]
        if what == STEP_BATTLES:
            own_M[CLOCK, STEP] += 1
            results[b] = outcome(own_W, own_M, U, S)
            rewards[b] = reward(own_W, own_M, S, results[b])
        if what != LOOP_BATTLES and what != ORDER_BATTLES:
            agents = own_M[CLOCK, NUM_ALLIES]
            if L[L_SIGHTINGS] == 1:
                look_around(own_W, own_M, L, V)
            observe_agents(0, agents, own_W, own_M, U, L, V, G, height, obs[b], mask[b])
            write_state(0, agents, own_W, own_M, U, L, V, G, height, state[b])
            for i in range(agents):
                alive[b, i] = own_M[ALIVE, i] == 1
