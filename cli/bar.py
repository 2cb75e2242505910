"""The bar that shows how many episodes have been played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Told(Protocol):
    """What is told the episodes played so far, how many there will be where that was not known, and what is played now."""

    def __call__(self, done: int, total: int | None = None, what: str = "episodes", /) -> None: ...  # noqa: D102


@contextmanager
def progress_bar(total: int | None = None) -> Iterator[tuple[Told, Callable[[str], None]]]:
    """Show a bar on a terminal while the block runs; gives what moves it, and what prints a line above it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("episodes", total=total)

        def told(done: int, most: int | None = None, what: str = "episodes", /) -> None:
            progress.update(bar, completed=done, total=most, description=what)

        yield told, lambda message: progress.console.print(message, markup=False, emoji=False, soft_wrap=True)
