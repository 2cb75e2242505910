"""Weights & Biases: offline in the run's folder ``wandb`` unless the environment says otherwise (``WANDB_MODE=online``)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from a2po.config import TrainConfig, flat
from a2po.training.sinks.protocol import known_identifier, remember_identifier


class WandbSink:
    """A resumed run goes on under the same identifier. Steps that a crash made it play again have the same values, so nothing is lost."""

    def start(self, run: Path, config: TrainConfig, step: int) -> None:
        """See ``Sink.start``. Nothing is printed, nothing of the console or the source is recorded."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when the package is imported
        import wandb

        identifier = known_identifier(run, "wandb") or secrets.token_hex(4)
        self.session = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "a2po"),
            name=run.name,
            id=identifier,
            resume="allow",
            dir=str(run),
            mode=None if "WANDB_MODE" in os.environ else "offline",
            config=flat(config.model_dump(mode="json")),
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )
        remember_identifier(run, "wandb", identifier)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """See ``Sink.write``."""
        self.session.log(scalars, step=step)

    def close(self, done: bool) -> None:
        """See ``Sink.close``."""
        self.session.finish(exit_code=0 if done else 1)
