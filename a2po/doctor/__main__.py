"""``python -m a2po.doctor``: the same as ``a2po doctor``, where not even its command line starts."""

from __future__ import annotations

import json
import sys

from a2po.doctor.examine import examine
from a2po.doctor.report import report
from a2po.errors import EXIT_FAILED


def main(as_json: bool) -> int:
    """Print the findings; gives the exit code."""
    result = examine()
    print(json.dumps(result) if as_json else report(result))
    return 0 if result["passed"] else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main("--json" in sys.argv[1:]))
