"""The dispatcher: which commands there are, and what a person sees if one fails.

Errors that the user can fix end a command with a sentence and an exit code, all others with their stack trace.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from raydistill import __version__
from raydistill.runtime import stopping
from raydistill.runtime.errors import UserError

COMMANDS = {
    "run": "questions → teacher → exemplars → teacher → curation → students → report",
    "estimate": "calls, tokens, dollars and minutes of a run's teacher stages, without a call",
    "questions": "show, check or export the questions of the benchmarks or of a run",
    "tune": "search hyper-parameters for the students of a finished run",
    "cascade": "let students pass uncertain questions on to the teacher",
    "inspect": "show what a run bought from its teacher, and what failed",
    "simulate": "serve the simulated teacher by hand",
}
"""Each command is the function `main(argv)` of the module of that name in raydistill.cli."""

EXCEPTIONS_DEEP = 10  # Ray wraps what its tasks raise, more than once


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `argv` names (default: this process's arguments) and exit with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    run_command(_dispatch, arguments)


def run_command(command: Callable[[list[str]], None], argv: list[str]) -> NoReturn:
    """Run `command(argv)` and exit; say in plain words what a user can fix, with the error's exit code."""
    again = f"To continue, run the same command again:\n  {_typed_command()}"
    try:
        with stopping.on_sigterm():
            command(argv)
    except KeyboardInterrupt as interrupt:
        _print(f"\n{stopping.sentence(interrupt)} {again}")
        sys.exit(stopping.exit_code(interrupt))
    except Exception as error:
        user_error = _find_user_error(error)
        if user_error is None:
            raise
        _print(f"\n{type(user_error).__name__}: {user_error}")
        if user_error.exit_code > UserError.exit_code:
            _print(again)
        sys.exit(user_error.exit_code)
    sys.exit(0)


def _dispatch(argv: list[str]) -> None:
    """Import the module of the command and call its `main`; so `--help` and a typo import no Ray."""
    parser = argparse.ArgumentParser(
        prog="raydistill",
        usage="%(prog)s COMMAND [CONFIG] [--section.field VALUE ...]",
        description="Distil the step-by-step reasoning of a large teacher model into small students, on Ray.",
        epilog="`raydistill COMMAND --help` lists what a command takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"raydistill {__version__}")
    commands = parser.add_argument_group("commands")
    for name, summary in COMMANDS.items():
        commands.add_argument(name, nargs="?", help=summary, metavar=name)
    name = argv[0] if argv else "--help"
    if name.startswith("-"):
        parser.parse_args([name])
    if name not in COMMANDS:
        matches = difflib.get_close_matches(name, COMMANDS, n=1)
        if matches:
            hint = f"Did you mean {matches[0]}?"
        else:
            hint = f"Commands: {', '.join(COMMANDS)}."
        raise UserError(f"There is no command {name}.", hint)
    importlib.import_module(f"raydistill.cli.{name}").main(argv[1:])


def _typed_command() -> str:
    """Return what the user typed, ready to paste into a shell."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        words = [Path(sys.executable).name, "-m", program.parent.name]
    elif program.suffix == ".py":
        words = [Path(sys.executable).name, sys.argv[0]]
    else:
        words = [program.name]
    return shlex.join([*words, *sys.argv[1:]])


def _find_user_error(error: BaseException | None) -> UserError | None:
    """Return the UserError that `error` is or was caused by, None if there is none."""
    for _ in range(EXCEPTIONS_DEEP):
        if error is None or isinstance(error, UserError):
            return error
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return None


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
