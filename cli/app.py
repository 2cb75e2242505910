"""The ``a2po`` command: its commands, and how errors become one clear message and an exit code."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import a2po
from a2po.cli import (
    bench_policy,
    check_env,
    doctor,
    evaluate,
    export,
    inspect,
    install,
    play,
    plot,
    presets,
    runs,
    sweep,
    sweep_run,
    tasks,
    train,
    verify,
)
from a2po.errors import EXIT_FAILED, EXIT_USER_ERROR, UserError, WorkFailed

EXIT_INTERRUPTED = 130


class Commands(TyperGroup):
    """The commands; typer would leave without a word when one is interrupted."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that ``ctx``, typer's own, names."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("a2po: interrupted", file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    name="a2po",
    cls=Commands,
    help="Train cooperative multi-agent policies, export every agent as an ONNX actor, and evaluate what was exported.",
    epilog="Every command works without arguments: train takes the default task, export the newest run, evaluate the newest bundle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("export")(export.export)
app.command("evaluate")(evaluate.evaluate)
app.command("bench-policy")(bench_policy.bench_policy)
app.command("play")(play.play)
app.command("plot")(plot.plot)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.command("runs")(runs.runs)
app.command("sweep")(sweep.sweep)
app.command("sweep-run", hidden=True)(sweep_run.sweep_run)
app.command("tasks")(tasks.tasks)
app.command("presets")(presets.presets)
app.command("check-env")(check_env.check_env)
app.command("install")(install.install)
app.command("doctor")(doctor.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"a2po {a2po.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Train cooperative multi-agent policies, export every agent as an ONNX actor, and evaluate what was exported."""


def main() -> None:
    """Run the command line. User errors exit with 2, failed work with 1; neither shows a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our dashes shows question marks
    try:
        app()
    except UserError as error:
        _fail(error, EXIT_USER_ERROR)
    except WorkFailed as error:
        _fail(error, EXIT_FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except OSError as error:
        where = "" if error.filename is None else f"'{error.filename}': "
        _fail(SystemError(f"{where}{error.strerror or error}"), EXIT_FAILED)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate" not in str(error):  # torch's allocators raise it too
            raise
        _fail(SystemError(f"not enough memory: fewer copies (env.num_envs) need less ({error})"), EXIT_FAILED)


def _fail(error: BaseException, code: int) -> None:
    print(f"a2po: {error}", file=sys.stderr)
    sys.exit(code)
