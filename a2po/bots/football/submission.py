"""Writes a Kaggle submission of an exported football team: one file, with the part of a2po that plays it.

python -m a2po.bots.football.submission BUNDLE submission.tar.gz
"""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from a2po.bots.football.team import FootballTeam
from a2po.errors import EXIT_USER_ERROR, UserError
from a2po.files import complete_file
from a2po.runtime.bundle import MANIFEST, read_bundle, read_source

PLAYERS = (11, 11)
"""Of Kaggle's games."""
FOLDER = "/kaggle_simulations/agent"
"""Where Kaggle unpacks a submission."""
VENDORED = (
    "__init__.py", "errors.py", "lazy.py", "runtime/*.py", "bots/__init__.py", "bots/football/__init__.py",
    "bots/football/kaggle.py", "bots/football/team.py", "envs/__init__.py", "envs/football/__init__.py",
    *(f"envs/football/{module}" for module in ("encoder.py", "frames.py", "options.py", "scenarios.py", "scenarios.toml")),
)  # fmt: skip
"""What of a2po a submission brings along."""
MAIN = f'''"""A team that a2po exported, for Kaggle's football. Needs numpy and onnxruntime."""

import os
import sys

HERE = "{FOLDER}" if os.path.isdir("{FOLDER}") else os.path.dirname(os.path.abspath(globals().get("__file__", "main.py")))
sys.path.insert(0, HERE)

try:
    from a2po.bots.football.kaggle import KaggleAgent

    _team = KaggleAgent(os.path.join(HERE, "bundle"))
except Exception as error:  # a submission that raises loses; one that stands still may draw
    print(f"the team cannot play: {{error}}", file=sys.stderr)
    _team = None


def agent(obs):
    """What the controlled players do: a list of numbers from 0 to 18."""
    return _team(obs) if _team else [0] * int(obs["controlled_players"])
'''


def write_submission(bundle: Path | str, path: Path | str, *, players: tuple[int, int] = PLAYERS) -> Path:
    """Write a .tar.gz that Kaggle takes as it is: ``main.py``, the bundle, and the part of a2po that plays it.

    Args:
        bundle: of a football task.
        path: of the file, which may exist.
        players: of the own team and of the other one, in the games that are to be played.

    Returns: ``path``.

    Raises:
        BundleError: there is no such bundle, or it plays something else or with other team sizes.
        UserError: the path is no .tar.gz.
    """
    path = Path(path)
    if not path.name.endswith(".tar.gz"):
        raise UserError(f"'{path}': a submission is a .tar.gz")
    FootballTeam(read_bundle(bundle)).check_sizes(*players)
    source = read_source(bundle)
    files = {"main.py": MAIN.encode(), f"bundle/{MANIFEST}": source.text}
    files |= {f"bundle/{name}": content for name, content in source.files.items()}
    root = Path(__file__).parents[2]
    files |= {f"a2po/{file.relative_to(root).as_posix()}": file.read_bytes() for pattern in VENDORED for file in root.glob(pattern)}
    with complete_file(path) as temporary, tarfile.open(temporary, "w:gz") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return path


def main(arguments: Sequence[str]) -> int:
    """The command line: a bundle and the file to write."""
    try:
        if len(arguments) != 2:
            raise UserError("usage: python -m a2po.bots.football.submission BUNDLE submission.tar.gz")
        written = write_submission(*arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USER_ERROR
    print(f"wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
