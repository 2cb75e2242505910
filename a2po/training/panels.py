"""The parts of the dashboard: lines of text from a status."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.text import Text

from a2po.training.chart import draw_line, place_marks, value_range

if TYPE_CHECKING:
    from a2po.training.view import Status

LABEL = 10
"""Columns left of the chart."""
MIN_NAME = 14
# Heading, name in the row of metrics.jsonl, format, width. As many from the left as a terminal has room for.
COLUMNS = (
    ("score", "score", ".3g", 9),
    ("clip", "clip", ".3f", 7),
    ("clipped", "clip_fraction", ".1%", 9),
    ("KL", "kl", ".5f", 9),
    ("TV", "total_variation", ".3f", 7),
    ("entropy", "entropy", ".3f", 9),
    ("explained", "explained_variance", ".1%", 11),
    ("objective", "objective", "+.4f", 11),
    ("value loss", "value_loss", ".4f", 12),
    ("Q of what was played", "q", "+.4f", 22),
)
# Name in the row's figures of the team, in words, format.
TEAM_FIGURES = (("td_error", "TD error", ".3f"), ("epsilon", "epsilon", ".2f"), ("replay_episodes", "replay", ",.0f"))
Column = tuple[str, str, str, int]
TIME_USES = (("sampling", "cyan"), ("update", "magenta"), ("evaluation and saving", "yellow"))
Part = str | Text | tuple[str, str]


def line(width: int, *parts: Part) -> Text:
    """One line, cut at the width or filled up to it: so it covers whatever stood there."""
    text = Text.assemble(*parts, no_wrap=True, overflow="crop")
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def heading(width: int, name: str, *parts: Part) -> Text:
    """``── name ───────── parts ──``."""
    right = Text.assemble(*parts)
    right.truncate(max(width - len(name) - 10, 0), overflow="ellipsis")
    gap = width - len(name) - right.cell_len - (8 if right else 4)
    end: list[Part] = [" ", right, (" ──", "dim")] if right else []
    return line(width, ("── ", "dim"), (name, "bold"), (f" {'─' * gap}", "dim"), *end)


def head(status: Status, width: int, total: int, elapsed: float, remaining: float) -> Iterable[Text]:
    """What is trained, how far it is, when it will be done."""
    share = min(status.step / total, 1.0)
    count = f" {share:4.0%}  {status.step:,} / {total:,} steps"
    done, left = bar(share, width - len(count))
    invalid = status.update.get("invalid_episodes", 0)
    yield heading(width, status.title)
    yield line(width, (status.setting, "dim"))
    yield line(width, (done, "cyan"), (left, "dim"), count)
    yield line(
        width, f"elapsed {duration(elapsed)} · ETA {duration(remaining)} · {status.update.get('update', 0):,} updates",
        f" · {status.episodes:,} episodes, ", (f"{invalid:,} invalid", "bold red" if invalid else ""),
    )  # fmt: skip


def chart(status: Status, width: int, height: int) -> Iterable[Text]:
    """Return over steps: a line for training episodes, a mark for each greedy evaluation."""
    training: list[Part] = ["–" if status.return_mean is None else number(status.return_mean), (shares(status.rates), "green")]
    greedy: list[Part] = [] if status.evaluation is None else [("   ● greedy ", "yellow"), number(status.evaluation)]
    yield heading(width, "return", ("training ", "cyan"), *training, *greedy, (shares(status.evaluation_rates), "green"))
    returns, evaluations = status.returns.points, status.evaluations.points
    low, high = value_range((returns, evaluations)) or (0.0, 1.0)
    picture = draw_line(returns, status.step, low, high, width - LABEL, height)
    marks = place_marks(evaluations, status.step, low, high, width - LABEL, height)
    labels = {0: number(high), height - 1: number(low)} if returns or evaluations else {}
    for row, dots in enumerate(picture):
        parts: list[Part] = [(f"{labels.get(row, ''):>{LABEL - 2}} ", "dim"), ("│", "dim")]
        start = 0
        for column in sorted(column for own_row, column in marks if own_row == row):
            parts += [(dots[start:column], "cyan"), ("●", "yellow")]
            start = column + 1
        yield line(width, *parts, (dots[start:], "cyan"))
    yield line(width, (f"{'0':>{LABEL}}{f'step {status.step:,}':>{width - LABEL}}", "dim"))


def speed(status: Status, width: int, seconds: Sequence[float]) -> Iterable[Text]:
    """Steps per second, and what the time went into since the start."""
    yield heading(width, "speed", f"{status.steps_per_s:,.0f} steps/s")
    total = max(sum(seconds), 1e-9)
    texts = [f"{name} {share:3}%" for share, (name, _) in zip(percentages(seconds), TIME_USES, strict=True)]
    room = (width - sum(len(text) + 3 for text in texts)) * 9 // 10
    parts: list[Part] = []
    for own, text, (_, colour) in zip(seconds, texts, TIME_USES, strict=True):
        parts += [text, " ", ("█" * round(own / total * room), colour), "  "]
    yield line(width, *parts)


def agents(status: Status, width: int, height: int) -> Iterable[Text]:
    """The last update round: agents in its order, with what happened to each; the first few, and the mean of all."""
    row = status.update
    positions, names = row.get("positions", []), list(row.get("agents", {}))
    rows = [(positions[agent], names[agent], _of_agent(row, agent, names[agent])) for agent in row.get("order", [])]
    columns = _columns(width - 5 - MIN_NAME, {name for *_, own in rows for name in own})
    name_width = width - 5 - sum(own for *_, own in columns)
    team = row.get("team", {})
    figures = " · ".join(f"{words} {team[name]:{form}}" for name, words, form in TEAM_FIGURES if name in team)
    yield heading(width, "update order" if len(set(positions)) > 1 else "update, all agents at once", figures)
    yield line(width, (f"{'':4}{'agent':{name_width}}" + "".join(f"{title:>{own}}" for title, _, _, own in columns), "dim"))
    shown = rows if len(rows) <= height else rows[: height - 1]
    for position, name, own in shown:
        yield line(width, (f"{position:3} ", "dim"), f"{shorten(name, name_width)}{cells(own, columns)}")
    if len(shown) < len(rows):
        means = {key: sum(own[key] for *_, own in rows) / len(rows) for key in rows[0][2]}
        yield line(width, (f"    {shorten(f'… {len(rows) - len(shown)} more; mean', name_width)}{cells(means, columns)}", "dim"))


def _of_agent(row: Mapping[str, Any], agent: int, name: str) -> dict[str, float]:
    """Its numbers, with its clip range and the score that it was picked with."""
    position, clips, scores = row["positions"][agent], row["clips"], row.get("scores", [])
    score = {"score": scores[min(position, len(scores)) - 1][agent]} if scores else {}
    clip = {"clip": clips[min(position, len(clips)) - 1]} if clips else {}
    return {**row["agents"][name], **clip, **score}


def _columns(room: int, known: Set[str]) -> list[Column]:
    """Those that something is known for, as far as there is room."""
    columns = [column for column in COLUMNS if column[1] in known]
    return [column for count, column in enumerate(columns, start=1) if sum(own for *_, own in columns[:count]) <= room]


def state(status: Status, width: int, final: bool) -> Iterable[Text]:
    """Memory, and the last checkpoint while there may be another."""
    memory = " · ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in status.memory.items())
    saved = "none yet"
    if status.checkpoint:
        saved = f"step {status.checkpoint[0]:,}, {duration(time.time() - status.checkpoint[1])} ago"
    yield heading(width, "state")
    yield line(width, f"memory {memory or '–'}", "" if final else f" · last checkpoint {saved}")


def results(status: Status) -> str:
    """``return 1,234.5, won 45% · greedy 1,719.4, won 62%``."""
    mean = ("return –" if status.return_mean is None else f"return {status.return_mean:,.1f}") + shares(status.rates)
    return mean if status.evaluation is None else f"{mean} · greedy {status.evaluation:,.1f}{shares(status.evaluation_rates)}"


def shares(rates: Mapping[str, float]) -> str:
    """``, won 45%``, to be put after a number."""
    return "".join(f", {name} {rate:.0%}" for name, rate in rates.items())


def cells(values: Mapping[str, float], columns: Sequence[Column] = COLUMNS) -> str:
    """The numbers of one agent; a dash where there is none."""
    texts = []
    for _, name, form, width in columns:
        text = format(values[name], form) if name in values else "–"
        texts.append(f"{text if len(text) < width else format(values[name], '.0e'):>{width}}")
    return "".join(texts)


def percentages(parts: Sequence[float]) -> list[int]:
    """Whole ones that come to 100: each end of the running sum is rounded. All 0 where there is nothing."""
    total = sum(parts)
    ends = [round(100 * sum(parts[:count]) / total) if total else 0 for count in range(len(parts) + 1)]
    return [end - begin for begin, end in pairwise(ends)]


def shorten(name: str, width: int) -> str:
    """The name in exactly this width, with a space after it."""
    text = Text(name)
    text.truncate(width - 1, overflow="ellipsis", pad=True)
    return text.plain + " "


def number(value: float) -> str:
    """At most eight characters for what returns usually are."""
    if abs(value) >= 1e6:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3f}"


def bar(share: float, width: int) -> tuple[str, str]:
    """The done and the open part of a bar."""
    done = round(share * width)
    return "━" * done, "━" * (width - done)


def duration(seconds: float) -> str:
    """``1:02:03``, ``2:03``, ``3 d 4 h``."""
    whole = max(round(seconds), 0)
    if whole >= 86_400:
        return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
