"""The findings as text for 80 columns or more, without any package."""

from __future__ import annotations

import shutil
import textwrap
from typing import Any

_MARKS = {"works": "ok     ", "missing": "-      ", "doubtful": "DOUBT  ", "broken": "BROKEN "}


def report(result: dict[str, Any]) -> str:
    """A line for each check, its mend below where there is one, and the verdict."""
    width = max(60, shutil.get_terminal_size().columns)
    lines = []
    for check in result["checks"]:
        first = f"{_MARKS[check['state']]}{check['name']:<12}"
        lines += textwrap.wrap(check["detail"], width, initial_indent=first, subsequent_indent=" " * len(first), break_long_words=False)
        if check["mend"]:
            lines.append(f"{'':{len(first)}}-> {check['mend']}")
    return "\n".join((*lines, "", verdict(result)))


def verdict(result: dict[str, Any]) -> str:
    """Where to begin."""
    broken = [check for check in result["checks"] if check["state"] == "broken"]
    if not broken:
        missing = [check["name"] for check in result["checks"] if check["state"] == "missing"]
        return "All that is installed works." + (f" Not installed: {', '.join(missing)}." if missing else "")
    others = f" ({len(broken) - 1} more may follow from it)" if len(broken) > 1 else ""
    return f"Begin with {broken[0]['name']}{others}: {broken[0]['mend']}"
