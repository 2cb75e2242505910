"""``a2po inspect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def inspect(
    path: Annotated[
        Path | None, typer.Argument(help="A bundle, its .zip, or a run folder; by default the newest bundle in runs/.", show_default=False)
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(help="All features and actions of these: a name, several with commas, or patterns with *.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON on standard output.")] = False,
) -> None:
    """Show what a bundle holds: agents, observations and actions by name, proofs, latency, evaluation, origin. Every hash is checked."""
    from a2po.cli.show import show_run
    from a2po.cli.show_bundle import show_agents, show_bundle
    from a2po.evaluation.locate import RUNS, find_bundle, is_run
    from a2po.evaluation.run_facts import run_facts
    from a2po.evaluation.seats import agents_named
    from a2po.files import existing
    from a2po.runtime.bundle import read_bundle

    path = None if path is None else existing(path, RUNS)
    facts = run_facts(path) if path is not None and is_run(path) else None
    if agent is not None or path is None or facts is None or facts["bundle"]:
        bundle = read_bundle(find_bundle(path))
        if agent is not None:
            known = [spec.name for spec in bundle.agents]
            names = [name for text in agent.split(",") for name in agents_named(text.strip(), known, "--agent")]
            if as_json:
                print(json.dumps({"bundle": str(bundle.path), "agents": {name: bundle.manifest["agents"][name] for name in names}}))
            else:
                show_agents(bundle, [spec for spec in bundle.agents if spec.name in names])
            return
        if as_json:
            shown = {"bundle": str(bundle.path), "fingerprint": bundle.fingerprint, **bundle.manifest}
            print(json.dumps(shown if facts is None else {**shown, "run": facts}))
            return
        show_bundle(bundle)
    elif as_json:
        print(json.dumps({"run": facts}))
        return
    if facts is not None:
        show_run(facts)
