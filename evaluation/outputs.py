"""Files that a user names for a picture or a video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from a2po.errors import UserError, did_you_mean


def check_output(path: Path, suffixes: Sequence[str], *, replace: bool) -> None:
    """A file can be written there, before any work is done for it.

    Args:
        path: the file.
        suffixes: the formats there are, in small letters.
        replace: an old file may be replaced.

    Raises:
        UserError: another format, no such folder, no right to write, or something in the way.
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise UserError(f"'{path}': no format '{suffix}'{did_you_mean(suffix, suffixes)} (there are: {', '.join(suffixes)})")
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: choose another name")
    if path.exists() and not replace:
        raise UserError(f"'{path}' exists already: replace it with --force, or choose another name")
    if not path.parent.is_dir():
        raise UserError(f"'{path}': there is no folder '{path.parent}'")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"'{path}': the folder '{path.parent}' cannot be written")
