"""A command line with settings: a YAML file, and `--section.field VALUE` overrides.

Flags, types and help texts are those of the settings tree (`raydistill.config`), read by pydantic-settings; there is no
second list. What is added here: shorthands, dashes for underscores, switches without a value, and errors that name the
setting which was meant.
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import yaml
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as FlagError

from raydistill.cli import config_file, validation
from raydistill.config import Settings
from raydistill.config.base import is_list, leaves
from raydistill.config.renamed import new_name
from raydistill.runtime.errors import SettingsError

HELP_HINT = "`--help` lists every setting with its meaning."
EPILOG = (
    "Shorthands: --teacher KIND for --teacher.kind; --budget-usd and --budget-tokens for the teacher's. "
    "Lists: --students.models '[t5-small, gpt2]'. No value: null. Names may be written with - or _."
)
BOOLEAN_FLAGS = {f"--{name}" for name, info in leaves(Settings) if info.annotation is bool}
LIST_FLAGS = {f"--{name}" for name, info in leaves(Settings) if is_list(info)}
SECTION_FLAGS = {f"--{name.rpartition('.')[0]}" for name, _ in leaves(Settings) if "." in name} - {"--teacher"}
"""Sections are no settings; `--teacher KIND` is short for `--teacher.kind`."""


class _Flags(Settings, BaseSettings):
    """The settings as pydantic-settings turns them into flags; never instantiated."""

    model_config = SettingsConfigDict(
        cli_avoid_json=True,
        cli_implicit_flags=False,
        cli_parse_none_str="null",
        cli_shortcuts={"teacher.budget_usd": "budget_usd", "teacher.budget_tokens": "budget_tokens"},
    )


class SettingsParser:
    """Parser of a command that takes settings; the command adds its own options with `add_option`."""

    def __init__(self, program: str, description: str) -> None:
        self._parser = argparse.ArgumentParser(
            prog=program,
            usage="%(prog)s [CONFIG] [--section.field VALUE ...]",
            description=description,
            epilog=EPILOG,
            allow_abbrev=False,
            exit_on_error=False,
            formatter_class=_HelpFormatter,
        )
        names = ", ".join(config_file.bundled())
        self._parser.add_argument(
            "config",
            nargs="?",
            metavar="CONFIG",
            help=f"YAML file, or one of: {names} (default: {config_file.DEFAULT})",
        )
        self._parser.add_argument("--config", dest="config_flag", metavar="CONFIG", help="the same as a flag")
        self._flags: CliSettingsSource[Any] = CliSettingsSource(_Flags, root_parser=self._parser)

    def add_option(self, flag: str, **options: Any) -> None:
        """Add an option of the command itself; the arguments are those of `ArgumentParser.add_argument`."""
        self._parser.add_argument(flag, **options)

    def parse(self, argv: Sequence[str]) -> tuple[Settings, argparse.Namespace]:
        """Return the settings, and the namespace with the command's own options.

        Its attribute `has_settings` is True if the command line names a configuration or a setting.

        Raises:
            SettingsError: unknown flag or key, wrong type or value; the text names the setting and what is allowed.
        """
        options, overrides = self._parse_flags(_normalise(argv))
        path = options.config_flag or options.config
        options.has_settings = bool(path or overrides)
        source = path or config_file.DEFAULT
        tree = config_file.merge(config_file.read(source), overrides)
        return validation.validate(tree, source), options

    def _parse_flags(self, argv: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
        for argument in argv:
            if argument.split("=")[0] in SECTION_FLAGS:  # pydantic-settings would take JSON here
                raise self._unknown_flag(argument)
        try:
            options, unknown = self._parser.parse_known_args(argv)
            if unknown:
                raise self._unknown_flag(unknown[0])
            return options, self._flags(parsed_args=options)()
        except argparse.ArgumentError as error:
            raise SettingsError(f"{error}.", HELP_HINT) from None
        except FlagError as error:
            raise SettingsError(f"A value on the command line cannot be read: {error}.", HELP_HINT) from None

    def _unknown_flag(self, argument: str) -> SettingsError:
        """Name the setting that replaced an old one, else the flags that are spelled alike."""
        flag = argument.split("=")[0]
        replaced = new_name(flag.removeprefix("--"))
        if replaced:
            return SettingsError(replaced)
        flags = list(self._parser._option_string_actions)
        matches = difflib.get_close_matches(flag, flags, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(matches)}?" if matches else HELP_HINT
        return SettingsError(f"Unknown argument {flag}.", hint)


class _HelpFormatter(argparse.HelpFormatter):
    """Wide enough for names such as --students.per_device_train_batch_size."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)


def parse_settings(argv: Sequence[str]) -> Settings:
    """Return the settings of a command line that has no further options."""
    return SettingsParser("raydistill", "").parse(argv)[0]


def _normalise(argv: Sequence[str]) -> list[str]:
    """Write flags with underscores, expand `--teacher KIND`, and give every boolean flag its value.

    Without its value a boolean flag would take the argument behind it: `--local my.yaml`.
    """
    normalised: list[str] = []
    previous = ""
    for argument, following in zip_longest(argv, argv[1:], fillvalue=""):
        if argument.startswith("--"):
            previous, equals, value = _normalise_flag(argument)
            if previous in BOOLEAN_FLAGS and not equals and following.lower() not in ("true", "false"):
                equals = "="
                value = "true"
            normalised.append(f"{previous}{equals}{value}")
        elif previous in LIST_FLAGS:
            normalised.append(_json_list(argument))
        else:
            normalised.append("null" if argument == "~" else argument)  # YAML's two names for nothing
    return normalised


def _normalise_flag(argument: str) -> tuple[str, str, str]:
    """Split `--flag=value` into the flag under its full name, "=" or "", and the value."""
    name, equals, value = argument.partition("=")
    flag = "--" + name.removeprefix("--").replace("-", "_")
    if flag == "--teacher":
        flag = "--teacher.kind"
    if flag in LIST_FLAGS:
        value = _json_list(value)
    return flag, equals, value


def _json_list(text: str) -> str:
    """Turn a YAML list into the JSON that pydantic-settings reads: `['a', b]` into `["a", "b"]`."""
    if not text.startswith("["):
        return text
    try:
        return json.dumps(yaml.safe_load(text), default=str)
    except yaml.YAMLError:
        return text  # pydantic-settings says what is wrong with it
