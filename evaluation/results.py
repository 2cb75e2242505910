"""Result files, and the summary that a bundle carries of its own evaluation."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from a2po.errors import BundleError, UserError
from a2po.evaluation.locate import named
from a2po.files import complete_file, sync, to_json, write_json
from a2po.runtime.archive import pack
from a2po.runtime.bundle import CARD, MANIFEST, Bundle, read_bundle
from a2po.runtime.card import with_card

SHORT = (
    "task", "policy", "actions", "episodes", "invalid_episodes", "copies", "seed",
    "mean", "std", "interval", "confidence", "method", "median",
)  # fmt: skip


@dataclass(frozen=True)
class Home:
    """Where the results of a bundle go: its run folder, or beside the bundle where there is no run."""

    run: Path | None
    bundle: Path

    @property
    def results(self) -> Path:
        """The folder of the result files."""
        return self.run / "results" if self.run else self._beside("results")

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.run / "report.html" if self.run else self._beside("report.html")

    def _beside(self, name: str) -> Path:
        bundle = named(self.bundle)
        return bundle.with_name(f"{bundle.stem}-{name}")

    def check_writable(self) -> None:
        """Raise a UserError where a result could not be written after all the playing. Nothing is made yet."""
        folder = self.results
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(f"the result cannot be written to '{self.results}': '{folder}' is no folder that can be written")


def write_result(home: Home, result: dict[str, Any], what: str | None = None) -> Path:
    """Write one result under the time and ``what`` it is, by default the policy's kind. With microseconds, names sort as they came."""
    home.results.mkdir(parents=True, exist_ok=True)
    path = home.results / f"{datetime.now():%Y%m%d-%H%M%S-%f}-{what or result['policy']}.json"
    write_json(path, result)
    return path


def written(write: Callable[[], Path], what: str, say: Callable[[str], None]) -> str | None:
    """The path of what was written. What was played is worth more than its file: a full disk is only said."""
    try:
        return str(write())
    except (OSError, BundleError) as error:
        say(f"{what} could not be written: {error}")
        return None


def read_results(home: Home) -> list[dict[str, Any]]:
    """All results, newest first. Files that are not results are left out."""
    found = []
    for path in sorted(home.results.glob("*.json"), reverse=True):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if _is_result(result):
            found.append(result)
    return found


def _is_result(value: Any) -> bool:
    """It has what the report shows."""
    if not isinstance(value, dict) or value.get("kind") != "evaluation":
        return False
    tables = [value.get(key) for key in ("provenance", "length", "metrics")]
    if not all(isinstance(table, dict) for table in tables) or not all(isinstance(metric, dict) for metric in value["metrics"].values()):
        return False
    summaries = [value, *value["metrics"].values()]
    return (
        "created" in value["provenance"]
        and "mean" in value["length"]
        and all(key in value for key in (*SHORT, "step", "algorithm"))
        and isinstance(value.get("options_given", {}), dict)
        and _are_teammates(value.get("teammates", {}))
        and all(key in summary for summary in summaries for key in ("mean", "interval", "std", "min", "max"))
        and (value["step"] is None or isinstance(value["step"], int))
        and all(_is_interval(summary["interval"]) for summary in summaries)
    )


def _are_teammates(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(who, dict) and isinstance(who.get("bundle") or {}, dict) for who in value.values())


def _is_interval(bounds: Any) -> bool:
    return bounds is None or (isinstance(bounds, list) and len(bounds) == 2)


def short(result: dict[str, Any]) -> dict[str, Any]:
    """What the manifest keeps of a result."""
    metrics = {name: {key: value[key] for key in ("mean", "interval", "method")} for name, value in result["metrics"].items()}
    kept = {key: result[key] for key in SHORT}
    return {**kept, "length_mean": result["length"]["mean"], "metrics": metrics, "created": result["provenance"]["created"]}


def note_in_manifest(bundle: Bundle, evaluation: dict[str, Any], say: Callable[[str], None]) -> None:
    """Put the summary into the bundle's manifest and its card, whose hash changes with it. All other files stay as they are."""
    try:
        current = read_bundle(bundle.path)
        if current.fingerprint != bundle.fingerprint:
            say(f"'{bundle.path}' was exported again meanwhile; its manifest does not get this evaluation")
            return
        manifest, card = with_card({**current.manifest, "evaluation": evaluation})
        manifest["files"][CARD]["replaced_sha256"] = hashlib.sha256(current.files.get(CARD, b"")).hexdigest()
        text = to_json(manifest).encode()
        if bundle.path.is_dir():
            _replace_both(bundle.path, text, card)
        else:
            with complete_file(bundle.path) as temporary:
                temporary.write_bytes(pack({**current.files, CARD: card, MANIFEST: text}))
    except (OSError, BundleError) as error:
        say(f"the evaluation could not be noted in '{bundle.path}': {error}")


def _replace_both(folder: Path, text: bytes, card: bytes) -> None:
    """Both are on the disk before either takes its place: what fails, fails before.

    The manifest goes first. It names the card of before, too, so that the bundle is whole for whoever reads it in between.
    """
    with complete_file(folder / CARD) as new_card, complete_file(folder / MANIFEST) as new_manifest:
        for path, content in ((new_manifest, text), (new_card, card)):
            path.write_bytes(content)
            sync(path)
