"""What the six scenarios are: joint graphs, partitions among agents, rewards. Data only: nothing here imports MuJoCo.

Sources: the partitions and hyperedges are those of gymnasium-robotics' ``mamujoco_v1``; the six configurations that it
lacks (Ant 8x1, HalfCheetah 3x2, Walker2d 3x2 and 6x1, Humanoid and HumanoidStandup 17x1) follow the original
multiagent_mujoco in the form that HAPPO and A2PO ran. Rewards and limits are Gymnasium's ``*-v5``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Partition = tuple[tuple[str, ...], ...]
Range = tuple[float, float]


@dataclass(frozen=True)
class RewardRule:
    """reward = forward * speed + healthy bonus - control cost - contact cost (Standup: height instead of speed)."""

    progress: Literal["root", "torso", "center_of_mass", "height"]
    control_cost: float
    forward: float = 1.0
    contact_cost: float = 0.0
    max_contact_cost: float = math.inf
    healthy_bonus: float = 0.0
    healthy_height: Range | None = None
    healthy_angle: Range | None = None
    healthy_state: Range | None = None
    closed_range: bool = False  # Ant alone is healthy at the very ends of its range


@dataclass(frozen=True)
class Scenario:
    """One robot: its model, how its joints hang together, how agents may share them, and what it is paid for."""

    name: str
    model_files: Mapping[str, str]  # "v5" or "v2" -> MJCF file of gymnasium
    frame_skip: int
    partitions: Mapping[str, Partition]
    edges: Partition  # each a hyperedge: its joints are neighbours of each other
    reward: RewardRule
    reset_noise: float
    normal_velocity_noise: bool
    bodies: Mapping[str, tuple[str, ...]] | None = None  # joint -> bodies that it feels ("@joint": the body it moves)
    own_fields: tuple[str, ...] = ("qpos", "qvel")  # what an agent sees of its own joints; of others' only qpos
    clipped_velocity: Literal["nowhere", "state", "everywhere"] = "nowhere"
    contact_clip: float | None = None
    field_of_view: float = 45.0  # degrees that the camera sees

    @property
    def contact_forces(self) -> bool:
        """True if Gymnasium shows, or charges for, contact forces."""
        return "cfrc_ext" in self.own_fields


def _each(*joints: str) -> Partition:
    return tuple((joint,) for joint in joints)


def _pairs(*pairs: str) -> Partition:
    return tuple(tuple(pair.split()) for pair in pairs)


ANT = Scenario(
    name="Ant",
    model_files={"v5": "ant.xml", "v2": "ant.xml"},
    frame_skip=5,
    partitions={
        "2x4": _pairs("hip_1 ankle_1 hip_2 ankle_2", "hip_3 ankle_3 hip_4 ankle_4"),
        "2x4d": _pairs("hip_1 ankle_1 hip_4 ankle_4", "hip_2 ankle_2 hip_3 ankle_3"),
        "4x2": _pairs("hip_1 ankle_1", "hip_2 ankle_2", "hip_3 ankle_3", "hip_4 ankle_4"),
        "8x1": _each("hip_1", "ankle_1", "hip_2", "ankle_2", "hip_3", "ankle_3", "hip_4", "ankle_4"),
    },
    edges=_pairs("hip_4 ankle_4", "hip_1 ankle_1", "hip_2 ankle_2", "hip_3 ankle_3", "hip_1 hip_2 hip_3 hip_4"),
    bodies={
        "hip_1": ("torso", "front_left_leg"),
        "ankle_1": ("front_left_leg", "aux_1", "@ankle_1"),
        "hip_2": ("torso", "front_right_leg"),
        "ankle_2": ("front_right_leg", "aux_2", "@ankle_2"),
        "hip_3": ("torso", "back_leg"),
        "ankle_3": ("back_leg", "aux_3", "@ankle_3"),
        "hip_4": ("torso", "right_back_leg"),
        "ankle_4": ("right_back_leg", "aux_4", "@ankle_4"),
    },
    own_fields=("qpos", "qvel", "cfrc_ext"),
    contact_clip=1.0,
    reward=RewardRule(
        progress="torso", control_cost=0.5, contact_cost=5e-4, healthy_bonus=1.0, healthy_height=(0.2, 1.0), closed_range=True
    ),
    reset_noise=0.1,
    normal_velocity_noise=True,
    field_of_view=55.0,  # of its spread legs
)

HALF_CHEETAH = Scenario(
    name="HalfCheetah",
    model_files={"v5": "half_cheetah.xml", "v2": "half_cheetah.xml"},
    frame_skip=5,
    partitions={
        "2x3": _pairs("bthigh bshin bfoot", "fthigh fshin ffoot"),
        "3x2": _pairs("bfoot bshin", "bthigh ffoot", "fshin fthigh"),
        "6x1": _each("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"),
    },
    edges=_pairs("bfoot bshin", "bshin bthigh", "bthigh fthigh", "fthigh fshin", "fshin ffoot"),
    reward=RewardRule(progress="root", control_cost=0.1),
    reset_noise=0.1,
    normal_velocity_noise=True,
)

HOPPER = Scenario(
    name="Hopper",
    model_files={"v5": "hopper.xml", "v2": "hopper.xml"},
    frame_skip=4,
    partitions={"3x1": _each("thigh_joint", "leg_joint", "foot_joint")},
    edges=_pairs("foot_joint leg_joint", "leg_joint thigh_joint"),
    clipped_velocity="everywhere",
    reward=RewardRule(
        progress="root",
        control_cost=1e-3,
        healthy_bonus=1.0,
        healthy_height=(0.7, math.inf),
        healthy_angle=(-0.2, 0.2),
        healthy_state=(-100.0, 100.0),
    ),
    reset_noise=5e-3,
    normal_velocity_noise=False,
)

WALKER = Scenario(
    name="Walker2d",
    model_files={"v5": "walker2d_v5.xml", "v2": "walker2d.xml"},
    frame_skip=4,
    partitions={
        "2x3": _pairs("foot_joint leg_joint thigh_joint", "foot_left_joint leg_left_joint thigh_left_joint"),
        "3x2": _pairs("foot_joint leg_joint", "thigh_joint foot_left_joint", "leg_left_joint thigh_left_joint"),
        "6x1": _each("foot_joint", "leg_joint", "thigh_joint", "foot_left_joint", "leg_left_joint", "thigh_left_joint"),
    },
    edges=_pairs(
        "foot_joint leg_joint",
        "leg_joint thigh_joint",
        "foot_left_joint leg_left_joint",
        "leg_left_joint thigh_left_joint",
        "thigh_joint thigh_left_joint",
    ),
    # gymnasium clips the velocities of the global observation, gymnasium-robotics shows the agents the raw ones
    clipped_velocity="state",
    reward=RewardRule(progress="root", control_cost=1e-3, healthy_bonus=1.0, healthy_height=(0.8, 2.0), healthy_angle=(-1.0, 1.0)),
    reset_noise=5e-3,
    normal_velocity_noise=False,
)

_ABDOMEN = "abdomen_x abdomen_y abdomen_z"
_RIGHT_HIP = "right_hip_x right_hip_y right_hip_z"
_LEFT_HIP = "left_hip_x left_hip_y left_hip_z"
_RIGHT_SHOULDER = "right_shoulder1 right_shoulder2"
_LEFT_SHOULDER = "left_shoulder1 left_shoulder2"

HUMANOID = Scenario(
    name="Humanoid",
    model_files={"v5": "humanoid.xml", "v2": "humanoid.xml"},
    frame_skip=5,
    partitions={
        "9|8": _pairs(
            f"{_ABDOMEN} {_RIGHT_SHOULDER} right_elbow {_LEFT_SHOULDER} left_elbow",
            f"{_RIGHT_HIP} right_knee {_LEFT_HIP} left_knee",
        ),
        "17x1": _each(
            *f"{_LEFT_SHOULDER} {_ABDOMEN} {_RIGHT_SHOULDER} right_elbow left_elbow".split(),
            *f"{_LEFT_HIP} {_RIGHT_HIP} right_knee left_knee".split(),
        ),
    },
    edges=_pairs(
        _ABDOMEN,
        _RIGHT_HIP,
        _LEFT_HIP,
        f"left_elbow {_LEFT_SHOULDER}",
        f"right_elbow {_RIGHT_SHOULDER}",
        f"left_knee {_LEFT_HIP}",
        f"right_knee {_RIGHT_HIP}",
        f"{_LEFT_SHOULDER} {_ABDOMEN}",
        f"{_RIGHT_SHOULDER} {_ABDOMEN}",
        f"{_ABDOMEN} {_LEFT_HIP}",
        f"{_ABDOMEN} {_RIGHT_HIP}",
    ),
    bodies={
        "abdomen_y": ("torso", "lwaist", "pelvis"),
        "abdomen_z": ("torso", "lwaist", "pelvis"),
        "abdomen_x": ("pelvis", "right_thigh", "left_thigh"),
        **dict.fromkeys(_RIGHT_HIP.split(), ("right_thigh", "right_shin")),
        "right_knee": ("right_shin", "right_foot"),
        **dict.fromkeys(_LEFT_HIP.split(), ("left_thigh", "left_shin")),
        "left_knee": ("left_shin", "left_foot"),
        **dict.fromkeys(_RIGHT_SHOULDER.split(), ("torso", "right_upper_arm", "right_lower_arm")),
        "right_elbow": ("right_lower_arm",),
        **dict.fromkeys(_LEFT_SHOULDER.split(), ("torso", "left_upper_arm", "left_lower_arm")),
        "left_elbow": ("left_lower_arm",),
    },
    own_fields=("qpos", "qvel", "cinert", "cvel", "qfrc_actuator", "cfrc_ext"),
    reward=RewardRule(
        progress="center_of_mass",
        forward=1.25,
        control_cost=0.1,
        contact_cost=5e-7,
        max_contact_cost=10.0,
        healthy_bonus=5.0,
        healthy_height=(1.0, 2.0),
    ),
    reset_noise=1e-2,
    normal_velocity_noise=False,
)

STANDUP = Scenario(
    name="HumanoidStandup",
    model_files={"v5": "humanoidstandup.xml", "v2": "humanoidstandup.xml"},
    frame_skip=5,
    partitions=HUMANOID.partitions,
    edges=HUMANOID.edges,
    bodies=HUMANOID.bodies,
    own_fields=HUMANOID.own_fields,
    reward=RewardRule(progress="height", control_cost=0.1, contact_cost=0.5e-6, max_contact_cost=10.0),
    reset_noise=1e-2,
    normal_velocity_noise=False,
    field_of_view=60.0,  # it lies on its back: at 45 the picture ends above its feet
)

SCENARIOS = {scenario.name: scenario for scenario in (ANT, HALF_CHEETAH, HOPPER, WALKER, HUMANOID, STANDUP)}
TASKS = tuple(f"mamujoco/{name}-{conf}" for name, scenario in SCENARIOS.items() for conf in scenario.partitions)


def scenario_of(task: str) -> tuple[Scenario, str]:
    """The scenario and the configuration of ``mamujoco/<Scenario>-<conf>``."""
    name, _, configuration = task.removeprefix("mamujoco/").partition("-")
    return SCENARIOS[name], configuration
