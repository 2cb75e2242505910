"""A player that gfootball finds under the name ``a2po`` once this folder is on ``gfootball.env.players.__path__``: see ``register``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path


def register() -> None:
    """Let gfootball find the player ``a2po``, so that ``--players "a2po:left_players=4,path=BUNDLE"`` means an exported team."""
    paths = import_module("gfootball.env.players").__path__
    here = str(Path(__file__).parent)
    if here not in paths:
        paths.append(here)
