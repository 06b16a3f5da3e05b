"""The `toolace` command: a thin command for each stage and tool. Heavy imports happen inside the commands."""

from __future__ import annotations

import errno
import os
import sys

import typer

from toolace import __version__
from toolace.cli import compare, data, doctor, evaluate, keys, refine, run, serve, stages, submit
from toolace.errors import ToolaceError
from toolace.stack import broken
from toolace.threads import share_cores

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    name="toolace",
    help="Train tool-calling models by rounds of model-aware selection or by evolution on their own data, and refine "
    "their calls adaptively.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(keys.app, name="keys")
app.command("run")(run.run)
app.command("evolve")(run.evolve)
app.command("submit")(submit.submit)
app.command("compare")(compare.compare)
app.command("report")(run.report)
app.command("config")(run.config)
app.command("probe")(stages.probe)
app.command("select")(stages.select)
app.command("train")(stages.train)
app.command("evaluate")(evaluate.evaluate)
app.command("refine")(refine.refine)
app.command("serve")(serve.serve)
app.command("promote")(serve.promote)
app.command("rollback")(serve.rollback)
app.command("doctor")(doctor.doctor)


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point: errors raised on purpose end as one message on stderr and exit code 1."""
    share_cores()
    try:
        app()
    except ToolaceError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except ImportError as error:
        if (error.name or "").startswith("toolace"):
            raise
        typer.echo(f"error: {broken(error)}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        typer.echo(f"error: cannot write the output: {error}. Free some space, or send it elsewhere", err=True)
        # What is still in the buffer would fail again, and with a traceback, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
