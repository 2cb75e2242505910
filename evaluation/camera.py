"""Filming one copy of a task while it is played."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from a2po.envs.play import Act
from a2po.envs.protocol import Observations, Step, VectorEnv
from a2po.errors import TaskError, UserError
from a2po.evaluation.encoders import Film, open_film
from a2po.evaluation.video import GIF_SHARE, VideoOptions, captioned, pictures_per_step, readable, tempo


@dataclass
class Tally:
    """The episodes of copy 0 that ended, and the running one so far."""

    env: VectorEnv
    episodes: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    length: int = 0
    total: float = 0.0

    def count(self, step: Step) -> None:
        """Take in one step."""
        self.steps, self.length = self.steps + 1, self.length + 1
        self.total += float(step.reward[0].mean())  # of agents with rewards of their own, the mean
        for record in self.env.drain_episodes():
            kept = {name: value for name, value in record.items() if name != "copy"}
            self.episodes.append({"episode": len(self.episodes) + 1, "complete": True, **kept})
            self.length, self.total = 0, 0.0

    def close(self) -> None:
        """Put down the running episode, which will not be played to its end."""
        if self.length:
            seed = int(self.env.episode_seeds[0])
            facts = {"seed": seed, "length": self.length, "return": self.total, "invalid": False}
            self.episodes.append({"episode": len(self.episodes) + 1, "complete": False, **facts})

    def caption(self) -> str:
        """What a picture says."""
        return f"episode {len(self.episodes) + 1}   step {self.length}   return {self.total:,.1f}"


class Camera:
    """An actor that takes a picture of copy 0 before every ``every``-th step of an episode, or ``count`` through every step."""

    def __init__(self, env: VectorEnv, act: Act, tally: Tally, film: Film, every: int, count: int, path: Path, caption: bool) -> None:
        self._env, self._act, self._tally, self._film = env, act, tally, film
        self._every, self._count, self._path, self._caption = every, count, path, caption
        self._shape: tuple[int, ...] | None = None
        self._frames = 0

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """The actor's actions."""
        actions = self._act(observations, begun)
        if self._tally.length % self._every == 0:
            for picture in self._pictures(actions):
                self._film.add(captioned(picture, self._tally.caption()) if self._caption else picture)
                self._frames += 1
        return actions

    def _pictures(self, actions: Tensor) -> list[np.ndarray]:
        """Those of the coming step, of one size."""
        task = self._env.spec.task
        try:
            taken = self._env.render_step(0, actions, self._count) if self._count > 1 else [self._env.render(0)]  # type: ignore[attr-defined]
        except NotImplementedError:
            raise TaskError(f"'{task}' has no pictures: its render() is not implemented; leave out the video") from None
        pictures = [checked(task, picture) for picture in taken]
        if not hasattr(self._env, "render_size"):
            pictures = [readable(picture) for picture in pictures]
        for picture in pictures:
            if self._shape not in (None, picture.shape):
                raise TaskError(f"'{task}': render() returned pictures of different sizes")
            self._shape = picture.shape
        return pictures

    def facts(self) -> dict[str, Any]:
        """What was filmed, once the file is complete."""
        width, height = self._film.size
        step_seconds = getattr(self._env, "step_seconds", None)
        return {
            "path": str(self._path),
            "frames": self._frames,
            "every": self._every,
            "per_step": self._count,
            "fps": round(self._film.fps, 3),
            "speed": round(self._film.fps * self._every / self._count * step_seconds, 3) if step_seconds else None,
            "width": width,
            "height": height,
            "bytes": self._path.stat().st_size,
        }


def checked(task: str, picture: Any) -> np.ndarray:
    """The picture that an environment gave.

    Raises:
        TaskError: it is none.
    """
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
        return picture
    got = f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise TaskError(f"'{task}': render() must return uint8 [H, W, 3], got {got}")


@contextmanager
def camera(env: VectorEnv, act: Act, tally: Tally, path: Path, options: VideoOptions) -> Iterator[Camera]:
    """Film to ``path`` while the block runs.

    Raises:
        UserError: the task's pictures have one size or one kind, and another was asked for.
        WorkFailed: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if options.render == "engine":
        if not hasattr(env, "draw_by_engine"):
            raise UserError(f"render engine: '{env.spec.task}' has one kind of pictures; leave it out")
        env.draw_by_engine()
    if hasattr(env, "render_size"):
        (width, height), share = env.render_size, GIF_SHARE if suffix == ".gif" else 1
        env.render_size = options.size or (width // share, height // share)
    elif options.size is not None:
        raise UserError(f"size: the pictures of '{env.spec.task}' have only one; leave it out")
    step_seconds = getattr(env, "step_seconds", None)
    every, fps = tempo(suffix, step_seconds, every=options.every, fps=options.fps)
    count = 1 if options.every else pictures_per_step(suffix, step_seconds, getattr(env, "pictures_per_step", 1))
    fps = options.fps or fps * count
    with open_film(path, fps) as film:
        yield Camera(env, act, tally, film, every, count, path, options.caption)
