"""What the update rounds of one run did, as one picture: ``a2po plot RUN --diagnostics``.

Numbers per round are thinned to at most ``MAX_POINTS`` points, each the mean of its neighbours. Where a picture goes by position,
it shows the median and the quartiles over the rounds, apart for the first and the second half of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a2po.errors import RunError, require
from a2po.evaluation.outputs import check_output
from a2po.evaluation.plots import COLOURS, FIXED, FORMATS, plain, save, short, svg, thinned
from a2po.evaluation.rounds import Rounds
from a2po.training.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 100
NUMBERS_IN_CELLS = 8
"""Up to this many agents the heat map's shares stand in it as numbers, and agents have names in the legends."""
BY_POSITION = {"kl": "KL divergence (nats)", "clip_fraction": "share of clipped ratios", "entropy": "entropy (nats)"}
BOUNDS = {"mappo": ("MAPPO", COLOURS[0]), "coppo": ("CoPPO and HAPPO", COLOURS[4]), "a2po": ("A2PO without ξ", COLOURS[1])}


def plot_diagnostics(run: Path, output: Path | str) -> Path:
    """Draw what the update rounds of a run did into a file, which is replaced if it is there.

    Args:
        run: a run folder.
        output: a .png, .svg or .pdf file.

    Returns: the file.

    Raises:
        RunError: the run has no such numbers.
        UserError: the file cannot be written there, or matplotlib is missing.
        OSError: the file cannot be written.
    """
    path = Path(output)
    check_output(path, FORMATS, replace=True)
    require("the plot", matplotlib="report")
    rounds = Rounds.of(read_metrics(run / "metrics.jsonl"))
    if rounds is None:
        raise RunError(
            f"'{run}' has no diagnostics of update rounds in its metrics.jsonl: no round is over yet, its algorithm has no rounds "
            "(qmix, vdn), or it was trained with an older a2po. 'a2po plot' without --diagnostics draws its learning curve"
        )
    from matplotlib import rc_context

    with rc_context(FIXED):
        save(draw_rounds(rounds, run.resolve().name), path)
    return path


def diagnostics_picture(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The same as an ``<svg>`` element as wide as the report, or None where no row has such numbers."""
    rounds = Rounds.of(rows)
    if rounds is None:
        return None
    from matplotlib import rc_context

    with rc_context(FIXED):
        return svg(draw_rounds(rounds, columns=2))


def draw_rounds(rounds: Rounds, title: str | None = None, columns: int = 3) -> Figure:
    """All panels that the run has numbers for."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels: list[Callable[[Axes], None]] = []
    if rounds.ordered:
        panels.append(partial(_order, rounds))
    if rounds.ordered and rounds.scores is not None:
        panels.append(partial(_scores, rounds))
    panels += [partial(_agent_lines, rounds, name="explained_variance", title="Variance of the returns that the critics explain")]
    panels += [partial(_by_position, rounds, name=name, label=label) for name, label in BY_POSITION.items()]
    panels += [partial(_agent_lines, rounds, name="total_variation", title="How far the policies moved per round (estimate)")]
    if rounds.bounds:
        panels.append(partial(_bounds, rounds, relative=False))
    if rounds.bounds and rounds.ordered:
        panels.append(partial(_bounds, rounds, relative=True))
    high = -(-len(panels) // columns)
    figure = Figure(figsize=(4.9 * columns, 3.7 * high), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.08))
    for number, draw in enumerate(panels, start=1):
        draw(figure.add_subplot(high, columns, number))
    if title:
        figure.suptitle(f"Update rounds of {title}", fontsize=13, fontweight="bold")
    return figure


def _order(rounds: Rounds, axes: Axes) -> None:
    """Agent x position: the share of the rounds."""
    count = int(rounds.positions.max())
    shares = np.stack([(rounds.positions == position).mean(axis=0) for position in range(1, count + 1)], axis=1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(float(shares.max()), 1e-9), aspect="auto")
    if len(rounds.agents) <= NUMBERS_IN_CELLS:
        for (agent, place), share in np.ndenumerate(shares):
            dark = share > 0.6 * shares.max()
            axes.text(place, agent, f"{share:.0%}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    else:
        colours = axes.figure.colorbar(image, ax=axes)
        colours.ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_yticks(range(len(rounds.agents)), rounds.agents, fontsize=8)
    axes.set_xticks(range(count), [str(place + 1) for place in range(count)], fontsize=8)
    axes.set(title="Who came when (share of the rounds)", xlabel="position in the order")


def _scores(rounds: Rounds, axes: Axes) -> None:
    """Relative to their mean in the round: what decides the order is often a small difference."""
    assert rounds.scores is not None
    _lines(axes, rounds, 100 * (rounds.scores / np.maximum(rounds.scores.mean(axis=1, keepdims=True), 1e-30) - 1))
    axes.set(title="Score before the round, against the mean of all", ylabel="difference (%)")


def _agent_lines(rounds: Rounds, axes: Axes, *, name: str, title: str) -> None:
    _lines(axes, rounds, rounds.figures[name])
    axes.set(title=title, ylabel=name.replace("_", " "))
    if name == "explained_variance":  # one wild round must not flatten the others
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_ylim(max(axes.get_ylim()[0], -1.0), 1.02)
    else:
        _from_zero(axes)


def _lines(axes: Axes, rounds: Rounds, values: np.ndarray) -> None:
    """A line per agent: values [U, N] over steps."""
    count = len(rounds.agents)
    few = count <= NUMBERS_IN_CELLS
    for agent, name in enumerate(rounds.agents):
        known = np.isfinite(values[:, agent])
        if not known.any():
            continue
        label = name if few or agent in (0, count - 1) else None
        steps, points = thinned(rounds.steps[known], values[known, agent], MAX_POINTS)
        axes.plot(steps, points, _style(steps), color=_colour(agent, count), linewidth=1.2, label=label)
    _over_steps(axes)
    axes.legend(fontsize=7, frameon=False, ncols=2 if few else 1, title=None if few else "agents, first to last")


def _style(steps: np.ndarray) -> str:
    """A single point makes no line."""
    return "o" if len(steps) == 1 else "-"


def _from_zero(axes: Axes) -> None:
    """Room above the highest point, which may be the only one."""
    highest = float(axes.dataLim.y1)
    axes.set_ylim(0, 1.08 * highest if highest > 0 else 1)


def _colour(agent: int, count: int) -> Any:
    from matplotlib import colormaps

    return COLOURS[agent] if count <= len(COLOURS) else colormaps["viridis"](agent / max(count - 1, 1))


def _by_position(rounds: Rounds, axes: Axes, *, name: str, label: str) -> None:
    """Median and quartiles over the rounds, by position; by agent where all are updated at once."""
    values = rounds.figures[name]
    groups = rounds.positions if rounds.ordered else np.broadcast_to(np.arange(1, values.shape[1] + 1), values.shape)
    half = len(values) // 2
    parts = [("first half of the run", slice(0, half), COLOURS[5], -0.1), ("second half", slice(half, None), COLOURS[1], 0.1)]
    for part, rows, colour, shift in parts if half else [("median and quartiles", slice(None), COLOURS[1], 0.0)]:
        own = [values[rows][(groups[rows] == place) & np.isfinite(values[rows])] for place in range(1, int(groups.max()) + 1)]
        x = np.array([place for place, chosen in enumerate(own, start=1) if chosen.size])
        if not x.size:
            continue
        low, middle, high = np.array([np.percentile(chosen, (25, 50, 75)) for chosen in own if chosen.size]).T
        errors = np.stack([middle - low, high - middle])
        axes.errorbar(
            x + shift,
            middle,
            yerr=errors,
            fmt="o-" if rounds.ordered else "o",
            color=colour,
            markersize=4,
            linewidth=1.2,
            capsize=2,
            label=part,
        )
    ticks = np.arange(1, int(groups.max()) + 1)
    names = [str(place) for place in ticks] if rounds.ordered else list(rounds.agents)
    crowded = not rounds.ordered and len(names) > 4
    axes.set_xticks(ticks, names, fontsize=8, rotation=90 if crowded else 0)
    where = "position in the order" if rounds.ordered else "agent"
    axes.set(title=f"{label[0].upper()}{label[1:]} by {where.split()[0]}", xlabel=where if rounds.ordered else "")
    if name == "entropy":
        axes.ticklabel_format(axis="y", useOffset=False)
    else:
        _from_zero(axes)
    axes.legend(fontsize=7, frameon=False)
    plain(axes)


def _bounds(rounds: Rounds, axes: Axes, *, relative: bool) -> None:
    """The four bounds over steps, or their share of MAPPO's."""
    from matplotlib.ticker import LogFormatter

    for name, (label, colour) in BOUNDS.items():
        values = rounds.bounds[name] / np.maximum(rounds.bounds["mappo"], 1e-30) if relative else rounds.bounds[name]
        steps, points = thinned(rounds.steps, values, MAX_POINTS)
        axes.plot(steps, points, _style(steps), color=colour, linewidth=1.6, label=label)
    if relative:
        axes.set(title="The same, as a share of MAPPO's", ylabel="share")
        axes.set_ylim(0, 1.05)
    else:
        axes.set(title="Bounds on a round's shortfall (estimates)", ylabel="return (smaller is tighter)", yscale="log")
        for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            ticks(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))
    _over_steps(axes)
    axes.legend(fontsize=7, frameon=False)


def _over_steps(axes: Axes) -> None:
    axes.set_xlabel("environment steps")
    axes.xaxis.set_major_formatter(lambda step, _: short(step))
    plain(axes)
