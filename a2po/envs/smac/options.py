"""The options of the family ``smac``: what agents see, how steps are scored, and every rule that is a guess at the real game."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from a2po.envs.smac import fields as f
from a2po.envs.smac.opponents import Opponents, parse_opponents
from a2po.envs.smac.terrain import VARIANTS
from a2po.errors import TaskError, did_you_mean


@dataclass(frozen=True)
class Rule:
    """A rule that each battle draws from a range. By default the range is one value, with ``robust`` it is a wider one.

    A user gives a value, or [low, high].
    """

    columns: tuple[int, ...]
    """Of W[RULE]: one, or two for the ends of a range that the battle itself draws from."""
    default: tuple[float, float]
    robust: tuple[float, float]
    limits: tuple[float, float]
    names: tuple[Any, ...] = ()
    """What the values 0, 1 ... are called."""
    whole: bool = False


RULES: Mapping[str, Rule] = {
    # Loops added to a weapon's period at each attack. The catalog's own range.
    "cooldown_jitter": Rule((f.JITTER_LOW, f.JITTER_HIGH), (-1.0, 2.0), (-1.0, 2.0), (-8.0, 8.0)),
    # A factor on the time that missiles fly. No more than 2: a unit has one missile on its way, which must arrive before the next.
    "missile_flight": Rule((f.FLIGHT_SCALE,), (1.0, 1.0), (0.8, 1.2), (0.0, 2.0)),
    # Cells added to the distance at which units notice foes.
    "acquire_slop": Rule((f.ACQUIRE_SLOP,), (0.0, 0.0), (-0.5, 0.5), (-4.0, 16.0)),
    # Cells by which units stand off their places at most, in x and in y.
    "spawn_jitter": Rule((f.SPAWN_JITTER,), (0.1, 0.1), (0.0, 0.25), (0.0, 2.0)),
    # Whether both sides' groups are packed alike (moved, not turned), or the enemies' as in a mirror.
    "spawn_packing": Rule((f.PACKING,), (0.0, 0.0), (0.0, 1.0), (0.0, 1.0), names=("alike", "mirrored"), whole=True),
    # How the ground at cliff edges is read.
    "terrain": Rule((f.TERRAIN_VARIANT,), (0.0, 0.0), (0.0, 1.0), (0.0, 1.0), names=VARIANTS, whole=True),
    # Game loops that an order takes.
    "action_delay": Rule((f.ORDER_DELAY,), (0.0, 0.0), (0.0, 1.0), (0.0, 7.0), whole=True),
    # Whether who is blocked by others goes round them.
    "steering": Rule((f.STEERING,), (0.0, 0.0), (0.0, 1.0), (0.0, 1.0), names=("around", "straight"), whole=True),
    # Game loops from a colossus' blow to the damage of its two sweeps, which is dealt at once: by default in their middle.
    "line_delay": Rule((f.LINE_DELAY,), (6.0, 6.0), (4.0, 9.0), (1.0, 16.0), whole=True),
    # What an enemy medivac makes of an attack order.
    "enemy_medivac": Rule((f.MEDIVAC_MODE,), (0.0, 0.0), (0.0, 1.0), (0.0, 1.0), names=("scan_move", "idle"), whole=True),
    # Whether the blows of one game loop fall one after the other in a random order, or all at once.
    "damage_order": Rule((f.AT_ONCE,), (0.0, 0.0), (0.0, 1.0), (0.0, 1.0), names=("random", "simultaneous"), whole=True),
    # Whether the enemies of one type change places between episodes.
    "shuffle_enemies": Rule((f.SHUFFLE,), (0.0, 0.0), (0.0, 1.0), (0.0, 1.0), names=(False, True), whole=True),
    # A factor on the damage that enemies do.
    "enemy_damage": Rule((f.ENEMY_DAMAGE,), (1.0, 1.0), (0.9, 1.1), (0.0, 10.0)),
    # A factor on the speed of enemies.
    "enemy_speed": Rule((f.ENEMY_SPEED,), (1.0, 1.0), (0.95, 1.05), (0.0, 4.0)),
    # Game loops that the enemy has been moving at the first observation.
    "head_start": Rule((f.HEAD_START,), (2.0, 2.0), (1.0, 3.0), (0.0, 16.0), whole=True),
}


@dataclass(frozen=True)
class Options:
    """How a battle is set up. Besides these there are the rules of ``RULES``."""

    observation: str = "smac"
    """``smac``: SMAC's own observations and one state; ``on_policy``: those of the MAPPO and A2PO codes."""

    state: str = "agent"
    """With ``on_policy``: ``agent``, a state per agent, or ``shared``, one for all."""

    obs_last_action: bool = False
    """With ``smac``: show the allies' last actions (``on_policy`` always does)."""

    obs_pathing_grid: bool = False
    """Show whether eight points around the agent can be walked on."""

    obs_terrain_height: bool = False
    """Show the terrain's height at these points and at the agent's own."""

    obs_timestep_number: bool = False
    """Show the agents how much of the episode is over."""

    state_timestep_number: bool = False
    """Show the critic how much of the episode is over."""

    obs_own_pos: bool = False
    """With ``smac``: show an agent where on the map it is."""

    use_unit_ranges: bool = False
    """Each type of unit has its own ranges, as in SMACv2; then ``sight_range`` and ``shoot_range`` are not used."""

    min_attack_range: float = 2.0
    """With ``use_unit_ranges``: cells, centre to centre; no type's range to attack is shorter."""

    sight_range: float = 9.0
    """Cells, centre to centre, up to which an agent sees units."""

    shoot_range: float = 6.0
    """Cells, centre to centre, up to which the action mask lets an agent attack."""

    conic_fov: bool = False
    """With ``smac``: an agent sees, and can attack, only what lies in a cone, which actions of its own turn."""

    num_fov_actions: int = 12
    """With ``conic_fov``: how many directions there are; the cone is as wide as from one to the next."""

    smacv2_cone_bug: bool = False
    """With ``conic_fov``: test angles by their tangents, as SMACv2 does: near north and south the cone is not where it should be."""

    prob_obs_enemy: float = 1.0
    """With ``smac``: an enemy in sight belongs to the first agent that saw it; each other agent may see it with this probability, until
    that first one is dead."""

    smacv2_head_bug: bool = False
    """With ``smac``: what an agent sees of the enemies is blank up to the last one that it may not see, as in SMACv2; one that
    nobody has seen yet is one of these."""

    action_mask: bool = True
    """False: the mask allows an attack on any living enemy. What is out of range is not done, and the order before stays in force."""

    attack_probability: tuple[float, float] = (1.0, 1.0)
    """With ``smac``: from where to where each agent draws the chance that its orders to targets get through; it sees its own."""

    health_level: tuple[float, float] = (0.0, 0.0)
    """With ``smac``: from where to where each agent draws the share of its life below which it dies; it sees its own."""

    observe_teammates: bool = True
    """With drawn probabilities or levels: show those of the allies, too."""

    enemy_mask: float = 0.0
    """With ``smac``: the chance, for each agent and enemy, that the agent cannot make out that enemy's life and type."""

    reward_only_positive: bool = True
    """SMAC's default: the absolute value of the enemies' losses, so that shields that grow back pay (in SMACv2's battles they pay
    nothing); else own losses cost half."""

    reward_scale: bool = True
    """Divide rewards so that a win without enemy regeneration returns ``reward_scale_rate``."""

    reward_scale_rate: float = 20.0
    """What such a win returns."""

    reward_sparse: bool = False
    """1 for a win, -1 for a defeat and nothing else; scaled with ``reward_scale``, as SMAC does."""

    max_episode_steps: int | None = None
    """Steps after which an episode is truncated; None: the map's own limit."""

    timeouts_as_terminal: bool = False
    """Report the step limit as a true end."""

    opponent: Opponents = field(default_factory=Opponents)
    """Who leads the enemies: ``built_in``, ``heuristic``, ``focus_fire``, ``kiting``, the path of a bundle, or a table of weights."""

    robust: bool = False
    """Draw every rule that is not given anew for each battle, from its robust range."""

    ranges: np.ndarray = field(default_factory=lambda: rule_ranges({}, robust=False), compare=False, repr=False)
    """float32 [RULES, 2]: what the rules are drawn from. Not an option: made of the rules that are given."""

    @property
    def turns(self) -> int:
        """How many actions turn a cone of sight."""
        return self.num_fov_actions if self.conic_fov else 0

    @property
    def keeps_sightings(self) -> bool:
        """Whether it matters who saw an enemy first."""
        return self.prob_obs_enemy < 1 or self.smacv2_head_bug

    @property
    def draws_attack(self) -> bool:
        """Whether agents have their own chances that an attack gets through."""
        return tuple(self.attack_probability) != (1.0, 1.0)

    @property
    def draws_health(self) -> bool:
        """Whether agents die at their own levels of health."""
        return tuple(self.health_level) != (0.0, 0.0)


FLAGS = tuple(option.name for option in fields(Options) if option.name != "ranges")
CHOICES: Mapping[str, tuple[str, ...]] = {"observation": ("smac", "on_policy"), "state": ("agent", "shared")}
POSITIVE = ("sight_range", "shoot_range", "min_attack_range", "reward_scale_rate")
SHARES = ("prob_obs_enemy", "enemy_mask")
RANGES_OF_SHARES = {"attack_probability": 1.0, "health_level": 0.99}
"""And the largest: of health something must be left above the level."""
WHOLE = {"max_episode_steps": (1, 1_000_000), "num_fov_actions": (3, 64)}
SMAC_ONLY = (
    "obs_own_pos",
    "conic_fov",
    "smacv2_cone_bug",
    "prob_obs_enemy",
    "smacv2_head_bug",
    "attack_probability",
    "health_level",
    "enemy_mask",
)
"""Options that only the form ``smac`` of the observations can show."""
LARGEST = 1_000_000
"""Of any number: float32 keeps its square, int32 the step."""


def rule_ranges(given: Mapping[str, tuple[float, float]], *, robust: bool) -> np.ndarray:
    """float32 [RULES, 2]: from where to where a battle draws each of its rules."""
    ranges = np.zeros((f.RULES, 2), np.float32)
    for name, rule in RULES.items():
        low, high = given.get(name, rule.robust if robust else rule.default)
        if len(rule.columns) == 2:
            ranges[rule.columns[0]], ranges[rule.columns[1]] = low, high
        else:
            ranges[rule.columns[0]] = low, high
    return ranges


def parse_options(task: str, given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Options:
    """Check the options that a user gave; ``defaults`` are those of the battle, as far as the form of the observations can show them.

    Raises:
        TaskError: an option is unknown, or its value is not allowed.
    """
    known = [*FLAGS, *RULES]
    flags: dict[str, Any] = {}
    rules: dict[str, tuple[float, float]] = {}
    chosen = {name: value for name, value in (defaults or {}).items() if given.get("observation") != "on_policy" or name not in SMAC_ONLY}
    for name, value in {**chosen, **given}.items():
        if name in RULES:
            rules[name] = _rule(task, name, value)
        elif name in FLAGS:
            flags[name] = _flag(task, name, value)
        else:
            raise TaskError(f"{task}: unknown option '{name}'{did_you_mean(name, known)} (options: {', '.join(known)})")
    if "state" in flags and flags.get("observation") != "on_policy":
        raise TaskError(f"{task}: option 'state' is for observation='on_policy'; SMAC's own form has one state: leave it out")
    options = Options(**flags, ranges=rule_ranges(rules, robust=bool(flags.get("robust"))))
    plain = Options()
    strange = [name for name in SMAC_ONLY if getattr(options, name) != getattr(plain, name)]
    if options.observation == "on_policy" and strange:
        raise TaskError(f"{task}: option '{strange[0]}' is for observation='smac'")
    return options


def _flag(task: str, name: str, value: Any) -> Any:
    if name == "opponent":
        return parse_opponents(task, value)
    if name in CHOICES:
        allowed, good = " or ".join(repr(choice) for choice in CHOICES[name]), value in CHOICES[name]
    elif name in POSITIVE:
        allowed, good = f"a number above 0, at most {LARGEST:,}", _is_number(value) and value > 0
    elif name in WHOLE:
        low, high = WHOLE[name]
        allowed, good = f"an integer from {low} to {high:,}", isinstance(value, int) and _is_number(value) and low <= value <= high
    elif name in SHARES:
        allowed, good = "a number from 0 to 1", _is_number(value) and 0 <= value <= 1
    elif name in RANGES_OF_SHARES:
        ends = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
        allowed = f"a number from 0 to {RANGES_OF_SHARES[name]:g}, or a range [low, high] of these"
        good = len(ends) == 2 and all(map(_is_number, ends)) and 0 <= ends[0] <= ends[1] <= RANGES_OF_SHARES[name]
    else:
        allowed, good = "true or false", isinstance(value, bool)
    if not good:
        suggestion = did_you_mean(value, CHOICES[name]) if name in CHOICES and isinstance(value, str) else ""
        raise TaskError(f"{task}: option '{name}' must be {allowed}, got {value!r}{suggestion}")
    return ends if name in RANGES_OF_SHARES else value


def _rule(task: str, name: str, value: Any) -> tuple[float, float]:
    """(low, high) of a value or a pair of them."""
    rule = RULES[name]
    ends = list(value) if isinstance(value, (list, tuple)) else [value, value]
    numbers = [_rule_value(rule, end) for end in ends]
    low, high = rule.limits
    if len(numbers) == 2 and None not in numbers and low <= numbers[0] <= numbers[1] <= high:  # type: ignore[operator]
        return numbers[0], numbers[1]  # type: ignore[return-value]
    if rule.names:
        allowed = " or ".join(str(known).lower() if isinstance(known, bool) else repr(known) for known in rule.names)
    else:
        allowed = f"{'an integer' if rule.whole else 'a number'} from {low:g} to {high:g}"
    suggestion = did_you_mean(value, map(str, rule.names)) if isinstance(value, str) else ""
    raise TaskError(f"{task}: option '{name}' must be {allowed}, or a range [low, high] of these, got {value!r}{suggestion}")


def _rule_value(rule: Rule, value: Any) -> float | None:
    if rule.names:
        return float(rule.names.index(value)) if value in rule.names else None
    return float(value) if _is_number(value) and not (rule.whole and value != int(value)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST  # NaN is not
