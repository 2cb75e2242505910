"""MODEL_CARD.md: one page for people, with the head that Hugging Face reads."""

from __future__ import annotations

import json
from typing import Any

CARD = """---
library_name: a2po
pipeline_tag: reinforcement-learning
tags:
- multi-agent-reinforcement-learning
- onnx
- {algorithm_tag}
- {task_tag}
---

# {title}

A team of {count} agents for `{task}`, trained with {algorithm} for {step:,} environment steps (run `{run}`, seed {seed}).
One decentralised ONNX actor per agent: raw observations in, actions in the environment's units out.

```python
from a2po.runtime import Team  # pip install "a2po[cpu]"; no torch needed

team = Team.load(".")
actions = team.act(observations)  # [N, O], [B, N, O], or a dict by agent name
```

| agent | file | observation | action |
|---|---|---|---|
{rows}

Observation features and actions are named in `manifest.json`, which also holds the SHA-256 of every file, the whole training
configuration, and the evaluation once `a2po evaluate` has run.

Checked at export: {steps} steps of recorded observations in batches of {batches}; the largest difference between these files
and the trained policy was {error:.1e} (allowed: {tolerance:g}).
"""


def model_card(manifest: dict[str, Any]) -> str:
    """The card of a bundle."""
    task, training, parity = manifest["task"], manifest["training"], manifest["parity"]
    rows = []
    for name, entry in manifest["agents"].items():
        action = f"{entry['action']['size']} {'choices' if entry['action']['kind'] == 'discrete' else 'controls'}"
        rows.append(f"| `{name}` | `{entry['file']}` | {entry['observation']['size']} features | {action} |")
    return CARD.format(
        algorithm_tag=json.dumps(training["algorithm"]),
        task_tag=json.dumps(task["name"]),
        title=f"{training['algorithm'].upper()} on {task['name']}",
        count=len(manifest["agents"]),
        task=task["name"],
        algorithm=training["algorithm"].upper(),
        step=training["step"],
        run=training["run"],
        seed=training["seed"],
        rows="\n".join(rows),
        steps=parity["steps"],
        batches=", ".join(map(str, parity["batches"])),
        error=parity["max_error"],
        tolerance=parity["tolerance"],
    )
