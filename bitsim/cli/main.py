"""The `bitsim` command: sub-commands are imported only when they are asked for, errors are one line."""

import importlib
import sys
from typing import Any

import click

from bitsim._version import __version__
from bitsim.cli.leaving import Left, leaving, streams
from bitsim.cli.terminal import cut, echo, printable, warnings_in_a_line
from bitsim.errors import BitsimError, ConfigError, UnknownNameError

# The commands by what they are for, in the order in which help shows them.
GROUPS = {
    "Execute": {
        "run": "Execute a model bit for bit on a chip and count everything.",
        "eval": "Bits per byte of a byte-level model on held-out text, executed on a chip.",
        "compare": "Run a prompt on several model@chip pairs, cycles and energy side by side.",
        "datapath": "The structures that compute matmuls: list and compare them, bound their accumulators.",
    },
    "Estimate": {
        "estimate": "Cycles and energy of a model's shapes on a chip, without weights.",
        "matmuls": "A list of matmuls (CSV, SCALE-Sim, JSON, ONNX) on a chip, one row for each.",
        "sensitivity": "Which constants decide the energy, power or time of a model on a chip, or of two chips' ratio.",
        "serve": "Serve a model on GPUs, a CPU or a chip: largest batch, tokens per second, latency, energy.",
        "parallel": "A model on 1 to many devices: links, all-reduces with and without group quantisation, pipelines.",
    },
    "Look": {
        "list": "List the chips, CPUs, links, technologies, models or numerics that come with bitsim.",
        "show": "Show a chip, a GPU or a technology with all constants and their sources.",
        "inspect": "What a checkpoint holds: shapes, packing, bits per weight, zeros, scales.",
    },
    "Convert and measure": {
        "convert": "Write a checkpoint in another format or packing, without loss.",
        "calibrate": "Fit a chip's DRAM efficiency and latency to measured times.",
        "machine": "Measure memory bandwidth and integer rate of this machine, and write them as a CPU.",
    },
    "Reports": {
        "reproduce": "Recompute a paper's published numbers: ours, theirs, residual.",
        "validate": "Predict published hardware and show the error of each prediction.",
    },
}
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}


class LazyGroup(click.Group):
    """Loads `bitsim.cli.<command>` on first use."""

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        with leaving():  # click ends the process by itself when a pipe is closed or Ctrl-C is pressed
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        with leaving(ctx):
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            raise UnknownNameError("command", name, COMMANDS)
        command: click.Command = importlib.import_module(f"bitsim.cli.{name}_command").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), text) for name, text in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bitsim")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Runs BitNet layers bit for bit on a modelled chip and says what that costs."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit code 0, or 2 with one line on stderr; `--debug` shows the traceback.

    130 if interrupted, with one line that says in what; 141 if nobody reads stdout any more.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) > 1 and given[-1] == "--debug":
        given = ["--debug", *given[:-1]]  # it may also stand at the end of the line
    debug = given[:1] == ["--debug"]
    with streams():
        _run(given if given else ["--help"], debug)


def _run(given: list[str], debug: bool) -> None:
    try:
        with leaving(), warnings_in_a_line():
            refuse_what_is_no_text(given)
            cli.main(args=given, prog_name="bitsim", standalone_mode=False)
            sys.stdout.flush()
    except Left as left:
        if left.says:
            echo(f"bitsim: {left.says}", err=True)
        sys.exit(left.code)
    except (OSError, MemoryError, click.ClickException, BitsimError) as error:
        if debug:
            raise
        fail(message_of(error))


def refuse_what_is_no_text(arguments: list[str]) -> None:
    """Raise for an argument that can't be printed, written to a file or passed on: bytes that are no UTF-8, or NUL."""
    for word in arguments:
        if "\0" in word or any("\ud800" <= character <= "\udfff" for character in word):
            raise click.UsageError(f"argument {word!a}: expected UTF-8 text")


def message_of(error: OSError | MemoryError | click.ClickException | BitsimError) -> str:
    """What an error says, in one line or one line per problem."""
    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    if isinstance(error, MemoryError):
        return f"out of memory{f': {error}' if str(error) else ''}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return str(error) if isinstance(error, ConfigError) else printable(str(error))  # a file may have several problems


def fail(message: str) -> None:
    """Print one line (or one line per problem) on stderr and leave with exit code 2."""
    echo(cut(f"bitsim: error: {message}"), err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
