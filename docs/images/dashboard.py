"""Draw docs/images/dashboard.svg: the dashboard of a real training, three quarters through.

python docs/images/dashboard.py [STEPS]
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

import a2po
from a2po.config import resolve
from a2po.training.dashboard import Dashboard
from a2po.training.view import SilentView, Status

PICTURE = Path(__file__).with_suffix(".svg").resolve()
# The picture loads nothing from elsewhere: the reader's own fixed-width font will do.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")


class PictureView(SilentView):
    """Draws the dashboard once, into a file."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def start(self, step: int, total: int) -> None:
        """See ``View.start``."""
        self.dashboard, self.total, self.drawn = Dashboard(step, total, self.messages), total, False

    def say(self, message: str) -> None:
        """See ``View.say``."""
        self.messages.append(message)

    def show(self, status: Status) -> None:
        """See ``View.show``."""
        self.dashboard.update(status)
        if status.step >= 0.75 * self.total and not self.drawn:
            console = Console(file=io.StringIO(), record=True, force_terminal=True, width=80, height=24)
            console.print(self.dashboard)
            console.save_svg(str(PICTURE), title="a2po train", code_format=FORMAT)
            self.drawn = True


def main() -> None:
    """Train in a temporary folder, so that the picture names no place of this machine."""
    steps = sys.argv[1] if len(sys.argv) > 1 else "400000"
    config = resolve(settings=[f"run.total_steps={steps}", "run.evaluate_every=25000", "run.checkpoint_every=50000", "run.track=[]"])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        a2po.train(config, view=PictureView())
    print(PICTURE)


if __name__ == "__main__":
    main()
