"""Chance without a generator: every draw is a hash of the episode's seed and of what it is for.

Nothing is carried from draw to draw, so a battle's chance does not depend on the batch, the threads or the device.
"""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import CLOCK, LOOP, SEED_HIGH, SEED_LOW

# What a draw is for.
RELOAD, PRIORITY, PLACE_X, PLACE_Y, RULES_OF_THE_DAY, PLACES, GOAL = (np.uint32(purpose) for purpose in range(1, 8))
SPREAD_X, SPREAD_Y, START, NUM_GROUPS, DIAGONALS, GROUP_PLACE, MEMBERSHIP = (np.uint32(purpose) for purpose in range(8, 15))
TRIGGER, LEADER, SKILL, HEALTH, SUCCESS, TURN_TO_LOOK = (np.uint32(purpose) for purpose in range(15, 21))
# Of these there are many: for each attempt to draw a team, for each agent.
TYPES, MASKS, SHARING = np.uint32(64), np.uint32(128), np.uint32(256)

_FIRST, _SECOND = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_PER_INT = np.float32(2.0**-24)


def mixed(h, value):
    """Take ``value`` into the hash: the finaliser of MurmurHash3, in 32 bits."""
    h = np.uint32(h ^ np.uint32(value))
    h = np.uint32(h ^ np.uint32(h >> np.uint32(16)))
    h = np.uint32(h * _FIRST)
    h = np.uint32(h ^ np.uint32(h >> np.uint32(13)))
    h = np.uint32(h * _SECOND)
    return np.uint32(h ^ np.uint32(h >> np.uint32(16)))


def bits(M, unit, purpose):
    """32 random bits for one unit in this loop."""
    h = mixed(np.uint32(M[CLOCK, SEED_LOW]), np.uint32(M[CLOCK, SEED_HIGH]))
    h = mixed(h, np.uint32(M[CLOCK, LOOP]))
    return mixed(h, np.uint32(np.uint32(unit) + np.uint32(np.uint32(128) * purpose)))


def uniform(M, unit, purpose):
    """A number in [0, 1)."""
    return np.float32(np.uint32(bits(M, unit, purpose) >> np.uint32(8))) * _PER_INT
