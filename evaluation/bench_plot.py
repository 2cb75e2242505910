"""A bench of a policy as a picture: a row per change, a point with its interval, the worst on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from a2po.evaluation.bench_verdict import level
from a2po.evaluation.plots import COLOURS, FIXED, plain, save

WORSE, BETTER, NEITHER = COLOURS[1], COLOURS[2], "#888888"


def draw_bench(path: Path, result: dict[str, Any]) -> None:
    """Draw the differences to the trained rules into a file; see ``a2po.evaluation.plots.save``.

    Args:
        path: the file.
        result: of ``a2po.bench_policy``.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows, scale = result["rows"], 100 if result["rate"] else 1
    with rc_context(FIXED):
        figure = Figure(figsize=(8, 1.8 + 0.26 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            difference = row["difference"]
            colour = WORSE if difference["worse"] else BETTER if difference["better"] else NEITHER
            if difference["interval"]:
                axes.plot([scale * end for end in difference["interval"]], [place] * 2, color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(scale * difference["mean"], place, "o", color=colour, markersize=5)
            axes.annotate(
                level(row["mean"], result), (1, place), xycoords=("axes fraction", "data"), xytext=(8, 0),
                textcoords="offset points", va="center", fontsize=8, color=colour if colour != NEITHER else "black",
            )  # fmt: skip
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(rows)), [f"{row['rule']}  {row['value']}" for row in rows], fontsize=8)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        what = "points of the win rate" if result["rate"] else "return"
        axes.set_xlabel(f"difference to the trained rules ({what}), {100 * result['confidence']:.0f} % intervals of paired episodes")
        axes.set_title(_title(result), fontsize=10, loc="left")
        _legend(axes, result)
        plain(axes)
        save(figure, path)


def _title(result: dict[str, Any]) -> str:
    trained = result["trained"]
    who = " ".join(str(result[key]) for key in ("algorithm", "run") if result[key])
    between = "" if trained["interval"] is None else " [{}, {}]".format(*(level(end, result) for end in trained["interval"]))
    what = "won" if result["rate"] else "return"
    return (
        f"{who} on {result['task']}\ntrained rules: {level(trained['mean'], result)} {what}{between}, {result['episodes']} episodes per row"
    )


def _legend(axes: Any, result: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D

    kinds = {"worse": WORSE, "better": BETTER}
    found = [kind for kind in kinds if any(row["difference"][kind] for row in result["rows"])]
    if found:
        lines = [Line2D([], [], color=kinds[kind], marker="o", label=f"{kind} beyond chance") for kind in found]
        axes.legend(handles=lines, fontsize=8, frameon=False, loc="upper left" if found == ["better"] else "lower left")
