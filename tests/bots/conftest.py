"""Exported football teams that nobody trained."""

from __future__ import annotations

import pytest

from a2po.bots.football.stock import _folder
from a2po.envs.football.library import find_library
from a2po.errors import DependencyError, require


@pytest.fixture(scope="session")
def engine() -> None:
    """The engine is there."""
    try:
        find_library()
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def football_bundle(engine, policy_at, build, tmp_path_factory):
    """``football_bundle(scenario, **network)``: the folder of a bundle, for whose proof only a few steps are played."""

    def made(scenario: str, **network):
        policy = policy_at(tmp_path_factory.mktemp("football") / "run", f"football/{scenario}", **network)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("a2po.exporters.build.RECURRENT_STEPS", 12)
            patch.setattr("a2po.exporters.parity.BATCHES", (1, 2))
            return build(policy)

    return made


@pytest.fixture(scope="session")
def five(football_bundle):
    """Four recurrent agents of 5_vs_5."""
    return football_bundle("5_vs_5", recurrent_layers=1, recurrent_size=8, hidden_sizes=(16,))


@pytest.fixture(scope="session")
def gfootball(engine) -> None:
    """gfootball's Python is there, and what it imports."""
    try:
        require("gfootball's Python", cv2="football", absl="football", six="football")
        _folder()
    except DependencyError as error:
        pytest.skip(str(error))
