"""One battle's memory: float32 ``W[FLOATS, P]`` and int32 ``M[INTS, P]``. A column is a unit: allies first, then enemies, then empty ones.

The batch holds all battles as ``[B, FLOATS, P]`` and ``[B, INTS, P]``; P is 16, 32, 64 or 96, known when the rules are compiled.
The rows are plain numbers because compiled code reads them as constants. Dead units and empty columns stand at ``FAR``:
no pair loop has to ask whether a unit lives. Distances are map cells, times game loops (16 per second).
"""

from __future__ import annotations

from typing import Final

SIZES: Final = (16, 32, 64, 96)
"""The values that P can take."""

FAR: Final = 1e9

# Rows of W, one number per unit.
X, Y = 0, 1  # position of the centre
NEXT_X, NEXT_Y = 2, 3  # where the unit will be at the end of the loop
FACING_X, FACING_Y = 4, 5  # unit vector
VELOCITY_X, VELOCITY_Y = 6, 7  # cells per loop, of units that accelerate
HP, SHIELD, ENERGY = 8, 9, 10
HP_MAX, SHIELD_MAX = 11, 12
RADIUS, SEPARATION = 13, 14  # for ranges; for bodies that keep each other away
GOAL_X, GOAL_Y = 15, 16  # of a move or an attack-move
BEAM_X, BEAM_Y = 17, 18  # centre of a line attack that is on its way
BEAM_DX, BEAM_DY = 19, 20  # and the unit vector along which it sweeps
BEFORE = 21  # hp + shield when the last environment step ended
RULE = 22  # not per unit: the battle's own values of the options, columns below
SHIFT_X, SHIFT_Y = 23, 24  # how bodies push each other in one pass
HP_REGEN, SHIELD_REGEN = 25, 26  # per loop
WISH_X, WISH_Y = 27, 28  # what the unit walks to or looks at in this loop
SPEED = 29  # cells per loop
TURN_COS, TURN_SIN = 30, 31  # of the largest turn per loop
VIEW_X, VIEW_Y = 32, 33  # of an agent with a cone of sight: where it looks, unit vector
KNOWN_X, KNOWN_Y = 34, 35  # where the unit stood at the last observation that found it alive; SMACv2 looks there for the dead
ACCURACY = 36  # chance that an agent's order to a target gets through
FRAILTY = 37  # share of its life below which an agent dies
STRENGTH = 38  # factor on the damage that the unit does
FLOATS = 39

# Rows of M.
KIND = 0  # row of the table of unit types; -1: an empty column
SIDE = 1  # 0 ally, 1 enemy; -1: an empty column
ALIVE = 2
LAYERS = 3  # bits: bodies that share one collide
PLANES = 4  # bits: 1 ground, 2 air; a weapon reaches one or both
ORDER = 5  # STOP ... below
ORDER_TARGET = 6  # a unit's column, or -1
TARGET = 7  # whom the unit attacks or heals now, or -1
COOLDOWN = 8  # loops until the weapon is ready
WINDUP = 9  # loops until the blow that was begun falls; -1: none
SECOND = 10  # loops until the second blow of a double attack; -1: none
AIM = 11  # whom the begun blow is for
FLIGHT = 12  # loops until what was shot arrives; -1: nothing is on its way
FLIGHT_TARGET = 13
CALM = 14  # loops without damage that are still missing until shields grow again
PROVOKER = 15  # who shot at the unit or at a friend that called for help; -1: nobody
HELP = 16  # loops until the unit may call for help again
RANK = 17  # FIGHTING, MOVING or IDLE in this loop
LAST_ACTION = 18  # of an agent; -1 before its first
CREDIT = 19  # 1 once the unit's death was counted in the reward
HITS = 20  # damage events that the unit took
ATTACKS = 21  # attacks that the unit began
CLOCK = 22  # not per unit: counters of the battle, columns below
REACHES = 23  # plane bits that the unit can hurt; a healer threatens all
EVENT = 24  # bits: what falls in this loop
QUEUE = 25  # in which order
DETOUR = 26  # sixteenths of a turn that the unit turns off its way, left or right (< 0), to get round bodies
RIGHT = 27  # of an enemy: bits of the agents that may see it
SHOWN_TO = 28  # of an enemy: bits of the agents that might see it when their turn to look came
OWNER = 29  # of an enemy: the agent that saw it first, or -1
MASKED = 30  # of an enemy: bits of the agents that cannot make out its life and type
INTS = 31

# Columns of W[RULE]: the options as this battle drew them.
JITTER_LOW, JITTER_HIGH = 0, 1  # loops added to a weapon's period
FLIGHT_SCALE = 2  # 1: missiles fly; 0: they arrive at once
ACQUIRE_SLOP = 3  # added to the scan range
SPAWN_JITTER = 4  # cells, to each side
TERRAIN_VARIANT = 5  # 0 or 1
ORDER_DELAY = 6  # loops
MEDIVAC_MODE = 7  # SCAN_MOVE or IDLE_HEAL
AT_ONCE = 8  # 1: simultaneous blows
SHUFFLE = 9  # 1: the enemies of one type change places
HEAD_START = 10  # loops that the enemy has been moving when the agents see it first
PACKING = 11  # 0: both sides' groups are packed alike; 1: the enemies' as in a mirror
STEERING = 12  # 0: who is blocked goes round; 1: everybody walks straight on
LINE_DELAY = 13  # loops from a colossus' blow to its damage
ENEMY_DAMAGE = 14  # factor on what the enemies' weapons do
ENEMY_SPEED = 15  # factor on how fast they walk
RULES = 16

# Columns of M[CLOCK].
SEED_LOW, SEED_HIGH = 0, 1  # of the episode, as bit patterns
LOOP = 2  # game loops since the battle began
STEP = 3  # environment steps since the first observation
NUM_ALLIES, NUM_ENEMIES = 4, 5
VARIANT = 6  # which of the terrain's walkable grids
DELAY = 7  # loops that an order takes to reach a unit
MEDIVAC = 8  # how an enemy medivac understands an attack-move: SCAN_MOVE or IDLE_HEAL
SIMULTANEOUS = 9  # 1: the blows of one loop fall at once; 0: one after the other
HEALERS = 10  # how many units heal
CHASE = 11  # 1: idle enemies are sent against the nearest ally twice a second
PHASE = 12  # game loop, modulo that half second, in which it happens
OPPONENT = 13  # who leads the enemies, one of the numbers below

# Bits of M[EVENT].
BLOW, SECOND_BLOW, ARRIVAL, EXPLOSION = 1, 2, 4, 8

# Orders.
STOP = 0  # stand still, look at nobody
MOVE = 1  # to the goal
ATTACK = 2  # the order's target, wherever it goes
ATTACK_MOVE = 3  # to the goal, fighting whom it meets
HUNT = 4  # the nearest foe wherever it is, until it is dead, then the next
GUARD = 5  # fight who comes, stay
HEAL = 6  # the order's target

# M[CLOCK, OPPONENT]: who leads the enemies.
BUILT_IN = 0  # the battle's own orders
HEURISTIC = 1  # SMAC's script: the nearest one until it is dead
FOCUS_FIRE = 2  # all on one
KITING = 3  # shoot, and step back while the weapon is not ready
RIVALS = 4  # actions from outside: another team
OPPONENTS = 5

# M[RANK]: who gives way to whom.
FIGHTING, MOVING, IDLE = 0, 1, 2

SCAN_MOVE, IDLE_HEAL = 0, 1

# Columns of the table of unit types, float32 [types, TYPE_COLUMNS].
T_SPEED = 0  # cells per loop
T_ACCELERATION = 1  # cells per loop and loop; 0: at full speed at once
T_TURN_COS, T_TURN_SIN = 2, 3  # of the largest turn per loop
T_INNER = 4  # radius that walls see
T_RANGE = 5  # edge to edge; -1: no weapon
T_SCAN = 6  # edge to edge
T_SLOP = 7  # how far beyond its range a begun attack still lands
T_PERIOD = 8  # loops, before the random delay
T_WINDUP = 9  # loops from the beginning of an attack to its blow, whole
T_SECOND = 10  # loops from the first blow to the second, whole; 0: one blow
T_DAMAGE = 11
T_BONUS = 12  # added against T_BONUS_BITS
T_BONUS_BITS = 13  # attribute bits
T_ATTRIBUTES = 14  # own attribute bits
T_ARMOR = 15  # against what reaches life; shields have none
T_MISSILE = 16  # cells per loop; 0: no missile
T_TARGETS = 17  # plane bits that the weapon reaches
T_ARC_COS = 18  # cosine of the largest angle between facing and target at which an attack begins
T_AREA = 19  # NO_AREA, LINE or BURST
T_HP_REGEN, T_SHIELD_REGEN = 20, 21  # per loop
T_SHIELD_DELAY = 22  # loops without damage
T_ENERGY_MAX, T_ENERGY_REGEN = 23, 24
T_HEAL = 25  # hp per loop; 0: no healer
T_HEAL_RANGE = 26  # edge to edge
T_HEAL_SCAN = 27  # how far it looks for wounded ones by itself
T_HEAL_COST = 28  # energy per hp
T_HEAL_MINIMUM = 29  # energy to begin by itself
T_CLIFFS = 30  # 1: walks over cliffs
T_FLIES = 31
T_HP, T_SHIELD, T_ENERGY = 32, 33, 34  # at the start
T_RADIUS, T_SEPARATION = 35, 36
T_LAYERS, T_PLANES = 37, 38
T_COOLDOWN_MAX = 39  # what SMAC divides a cooldown (of a healer: the energy) by
T_AREA_RADIUS = 40  # of a burst; half the length of a line
T_STRUCTURE_DAMAGE = 41  # of a burst, to buildings; 0: as to others
TYPE_COLUMNS = 42

NO_AREA, LINE, BURST = 0, 1, 2

# Attribute bits.
LIGHT, ARMORED, BIOLOGICAL, MECHANICAL, STRUCTURE, MASSIVE = 1, 2, 4, 8, 16, 32
# Plane bits.
GROUND, AIR = 1, 2
# Collision layer bits.
ON_GROUND, COLOSSUS, STRUCTURES, FLYING = 1, 2, 4, 8

# What one walks on: the terrain of a map as int8 ``ground[variants, 32, 32]``, index [x, y].
SIZE = 32  # cells per side
