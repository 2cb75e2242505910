"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from a2po.errors import BundleError, require
from a2po.evaluation.diagnostics_plot import diagnostics_picture
from a2po.evaluation.figures import interval_of, number, options_text, teammates_text
from a2po.evaluation.football_rows import PUBLISHED, figure_rows, passes_text, published_rows, source_text
from a2po.evaluation.plots import learning_curve
from a2po.evaluation.results import Home, read_results
from a2po.files import replace_text
from a2po.runtime.bundle import MANIFEST, read_bundle
from a2po.training.metrics import read_metrics


def write_report(home: Home) -> Path:
    """Write ``report.html``: learning curve, evaluations, agents, configuration and provenance, as far as they exist.

    Raises:
        DependencyError: matplotlib or jinja2 is not installed.
        BundleError: the manifest or the metrics lack what the report shows.
        OSError: it cannot be written.
    """
    require("the report", matplotlib="report", jinja2="report")
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(number=number, interval=interval_of, options=options_text, teammates=teammates_text)
    template = environment.from_string(resources.files("a2po.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8"))
    try:
        facts = _facts(home)
        rows = facts.pop("rows")
        page = template.render(curve=learning_curve(rows), diagnostics=diagnostics_picture(rows), **facts)
    except (jinja2.TemplateError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BundleError(f"no report: '{home.bundle}' or its run says what no report can show ({error})") from None
    replace_text(home.report, page)
    return home.report


def _facts(home: Home) -> dict[str, Any]:
    manifest = _manifest(home.bundle)
    results = read_results(home)
    rows = read_metrics(home.run / "metrics.jsonl") if home.run else []
    updates = [row for row in rows if row.get("kind") == "update"]
    training = manifest.get("training") or {}
    provenance = {"training": training.get("provenance"), "export": manifest.get("export")}
    if results:
        provenance["evaluation"] = results[0]["provenance"]
    return {
        "name": home.run.resolve().name if home.run else home.bundle.name,
        "task": manifest["task"]["name"] if manifest else (results[0]["task"] if results else "unknown task"),
        "algorithm": str(training.get("algorithm") or (results[0]["algorithm"] if results else "")).upper(),
        "results": results,
        "football": _football(results[0]["football"]) if results and "football" in results[0] else None,
        "agents": manifest.get("agents", {}),
        "parity": manifest.get("parity"),
        "training": training,
        "last": updates[-1] if updates else None,
        "config": _config(home, training),
        "provenance": json.dumps(provenance, indent=2),
        "rows": rows,
    }


def _football(football: dict[str, Any]) -> dict[str, Any]:
    reference = football["reference"]
    return {
        "rows": figure_rows(football),
        "passes": passes_text(football),
        "published": published_rows(reference),
        "headings": list(PUBLISHED.values()),
        "task": reference["task"],
        "source": source_text(reference),
    }


def _manifest(bundle: Path) -> dict[str, Any]:
    """The bundle's manifest, or an empty one where there is no whole bundle."""
    if not bundle.is_file() and not (bundle / MANIFEST).is_file():
        return {}
    try:
        return read_bundle(bundle).manifest
    except BundleError:
        return {}


def _config(home: Home, training: dict[str, Any]) -> str:
    if home.run and (home.run / "config.toml").is_file():
        return (home.run / "config.toml").read_text(encoding="utf-8")
    return json.dumps(training.get("config"), indent=2) if training.get("config") else ""
