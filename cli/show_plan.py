"""The plan of a run for people: 80 columns, one screen."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from a2po.training.plan import Plan


def show_plan(plan: Plan) -> None:
    """Counts, time, memory and disk of a run, and what a person should know."""
    console = Console(emoji=False)
    console.print(f"[bold]{escape(plan.run)}[/bold]: {escape(plan.algorithm)} on {escape(plan.task)}, {plan.device}")
    console.print("A plan: nothing is trained, nothing is written.")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in [*_counts(plan), *_time(plan), *_memory(plan), *_disk(plan)]:
        table.add_row(name, escape(value))
    console.print(table)
    for notice in plan.notices:
        console.print(f"[bold]note:[/bold] {escape(notice)}", soft_wrap=True)


def _counts(plan: Plan) -> list[tuple[str, str]]:
    counts = plan.counts
    begin = f"{counts.start:,} to " if counts.start else ""
    updates = f"{counts.updates:,} update{'s' * (counts.updates != 1)}"
    return [
        ("steps", f"{begin}{counts.end:,} in {updates} of {counts.samples_per_update:,} samples"),
        ("gradient steps", f"{counts.gradient_steps_per_agent:,} per agent"),
        ("evaluations", f"{counts.evaluations:,}, greedy"),
        ("checkpoints", f"{counts.checkpoints:,}, and one for every evaluation that is the best so far"),
        ("parameters", f"{_networks(plan, plan.num_actors, 'actor')}, {_networks(plan, plan.num_critics, 'critic')}"),
    ]


def _networks(plan: Plan, number: int, kind: str) -> str:
    """``2 actors of 1,234``, or ``1 critic of 1,234 for all 2 agents``."""
    parameters = plan.actor_parameters if kind == "actor" else plan.critic_parameters
    for_all = f" for all {plan.num_agents} agents" if number < plan.num_agents else ""
    return f"{number} {kind}{'s' * (number != 1)} of {parameters:,}{for_all}"


def _time(plan: Plan) -> list[tuple[str, str]]:
    time, counts = plan.time, plan.counts
    spread = "" if time.rounds == 1 else f", {duration(time.shortest_s)} to {duration(time.longest_s)}"
    parts = {"sampling": counts.updates * time.sampling_s, "update": counts.updates * time.update_s}
    parts["evaluation"] = counts.evaluations * (time.evaluation_s or 0.0)
    whole = sum(parts.values()) or 1.0
    split = ", ".join(f"{name} {round(100 * part / whole)}%" for name, part in parts.items())
    each = [f"a round {seconds(time.sampling_s + time.update_s)} (sampling {seconds(time.sampling_s)}, update {seconds(time.update_s)})"]
    each += [f"an evaluation {seconds(time.evaluation_s)}"] if time.evaluation_s is not None else []
    rounds = f"{time.rounds} round{'s' * (time.rounds > 1)} after one of {seconds(time.warm_up_s)} to warm up"
    return [
        ("time", f"{duration(time.expected_s)}{spread}; CPU time {duration(time.cpu_s)}"),
        ("", split),
        ("measured", f"{', '.join(each)}; {rounds}"),
    ]


def _memory(plan: Plan) -> list[tuple[str, str]]:
    memory = plan.memory
    parts = f"{size(memory.now)} now, buffer {size(memory.buffer)}, batch {size(memory.batch)}, networks and Adam {size(memory.networks)}"
    device = f"; on the GPU {size(memory.device_peak)} measured" if memory.device_peak else ""
    return [
        ("memory", f"{size(memory.peak)} measured{device}"),
        ("", f"estimate {size(memory.estimate)}: {parts}, a checkpoint on its way {size(memory.checkpoint)}"),
    ]


def _disk(plan: Plan) -> list[tuple[str, str]]:
    disk = plan.disk
    kept = f"up to {plan.counts.kept_checkpoints:,} checkpoints of {size(disk.checkpoint)}"
    return [("disk", f"{size(disk.total)}: {kept}, metrics {size(disk.metrics_per_update)} per update; {size(disk.free)} free")]


def size(amount: int) -> str:
    """``1.2 MB``: decimal units."""
    value, units = float(amount), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def seconds(amount: float) -> str:
    """``0.21 s``."""
    return f"{amount:.2g} s" if amount < 10 else f"{amount:.0f} s"


def duration(amount: float) -> str:
    """``0.37 s``, ``42 s``, ``3.5 min``, ``2.1 h`` or ``4.0 days``."""
    if amount < 120:
        return seconds(amount)
    for unit, length, limit in (("min", 60, 6000), ("h", 3600, 48 * 3600)):
        if amount < limit:
            return f"{amount / length:.1f} {unit}"
    return f"{amount / 86400:.1f} days"
