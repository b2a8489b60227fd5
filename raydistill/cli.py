"""A job's command line: settings from YAML with `--section.field value` overrides, and errors without stack traces.

Flags, help texts and types are those of the settings tree (`raydistill.config`); there is no second list.
"""

from __future__ import annotations

import argparse
import datetime
import difflib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from raydistill.config import Settings
from raydistill.runtime.errors import SettingsError, UserError

CONFIGS = Path(__file__).resolve().parent / "configs"
DEFAULT_CONFIG = CONFIGS / "quickstart.yaml"
SHORTHANDS = {"teacher": "teacher.kind", "budget_usd": "teacher.budget_usd", "budget_tokens": "teacher.budget_tokens"}


def parse(argv: list[str], description: str, switches: dict[str, str] | None = None) -> tuple[Settings, set[str]]:
    """Settings and the given switches of a command line.

    Args:
        argv: arguments without the program's name.
        description: first paragraph of `--help`.
        switches: further flags without a value (name to help text), such as `estimate`.

    Raises:
        SettingsError: unknown flag or key, wrong type or value; the text names the setting and what is allowed.
    """
    parser = _parser(description, switches or {})
    try:
        given, unknown = parser.parse_known_args(_normalised(argv, parser))
    except argparse.ArgumentError as error:
        raise SettingsError(f"{error}.", "`--help` lists every setting with what it takes.") from None
    if unknown:
        _refuse_flag(unknown[0], parser)
    values = vars(given)
    path = values.pop("config_flag") or values.pop("config", None) or DEFAULT_CONFIG
    values.pop("config", None)
    on = {name for name in switches or {} if values.pop(name)}
    tree = _read_yaml(Path(path))
    for name, text in values.items():
        if text is not None:
            _set(tree, SHORTHANDS.get(name, name), _value(name, text))
    return settings_from(tree, str(path)), on


def settings_from(tree: dict[str, Any], source: str) -> Settings:
    """Validate a settings tree that came from `source`; SettingsError names each bad setting and what is allowed."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(
            f"The settings ({source}) are not right:\n" + "\n".join(f"  {_problem(e)}" for e in error.errors()),
            "`--help` lists every setting with its meaning.",
        ) from None


def run(main: Callable[[list[str]], None]) -> NoReturn:
    """Run a job's `main(argv)`; say what a user can mend in plain words, and exit with the error's code."""
    command = shlex.join([Path(sys.executable).name, *sys.argv])
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        _say(f"\nStopped. Every answer paid for is kept. To go on, run the same command again:\n  {command}")
        sys.exit(130)
    except Exception as error:
        mendable = _user_error(error)
        if mendable is None:
            raise
        _say(f"\n{type(mendable).__name__}: {mendable}")
        if mendable.exit_code > 2:
            _say(f"To go on, run the same command again:\n  {command}")
        sys.exit(mendable.exit_code)
    sys.exit(0)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _user_error(error: BaseException | None) -> UserError | None:
    """The UserError that `error` is or was caused by (Ray wraps what its tasks raise)."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, UserError):
            return error
        error, seen = getattr(error, "cause", None) or error.__cause__ or error.__context__, seen + 1
    return None


def _parser(description: str, switches: dict[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description,
        usage="%(prog)s [CONFIG.yaml] [--section.field VALUE ...]",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=110),
        epilog="Shorthands: --teacher KIND for --teacher.kind; --budget-usd and --budget-tokens for the teacher's. "
        "Values are YAML: --students.models '[t5-small, gpt2]'. Names may be written with - or _.",
    )
    parser.exit_on_error = False
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG.yaml", help=f"settings file (default: {DEFAULT_CONFIG.name})"
    )
    parser.add_argument("--config", dest="config_flag", metavar="FILE", help="the same as a flag")
    for name, text in switches.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    for name in SHORTHANDS:
        parser.add_argument(f"--{name}", dest=name, help=argparse.SUPPRESS)
    _add_fields(parser, parser.add_argument_group("run"), Settings, "")
    return parser


def _add_fields(parser: argparse.ArgumentParser, group: Any, section: type[BaseModel], prefix: str) -> None:
    for name, info in section.model_fields.items():
        inner = _section_of(info)
        if inner:
            text = info.description or (inner.__doc__ or "").split("\n")[0]
            title = f"{prefix}{name}"
            _add_fields(parser, parser.add_argument_group(title, text or None), inner, f"{title}.")
            continue
        default = info.get_default(call_default_factory=True)
        text = " ".join((info.description or "").split()).replace("%", "%%")
        if not info.is_required():
            text += (
                f" [{'none' if default is None else yaml.safe_dump(default, default_flow_style=True).splitlines()[0]}]"
            )
        options: dict[str, Any] = {"nargs": "?", "const": "true"} if info.annotation is bool else {}
        group.add_argument(
            f"--{prefix}{name}", dest=f"{prefix}{name}", metavar=_type_name(info.annotation), help=text, **options
        )


def _section_of(info: FieldInfo) -> type[BaseModel] | None:
    for kind in (info.annotation, *get_args(info.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _type_name(kind: Any) -> str:
    options = [k for k in get_args(kind) if k is not type(None)]
    if get_origin(kind) is list:
        return f"[{_type_name(options[0])}, …]"
    if options and all(isinstance(o, str) for o in options):
        return "{" + "|".join(options) + "}" if len(options) <= 4 else "NAME"
    if len(options) == 1:
        return _type_name(options[0])
    return {int: "INT", float: "NUMBER", bool: "BOOL", str: "TEXT"}.get(kind, "VALUE")


def _normalised(argv: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """Flags with underscores; a boolean flag gets its value, so that it cannot swallow the argument behind it."""
    booleans = {o for action in parser._actions if action.const == "true" for o in action.option_strings}
    out: list[str] = []
    for i, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        flag = name.replace("-", "_").replace("__", "--", 1) if name.startswith("--") else name
        if flag in booleans and not equals and (argv[i + 1 : i + 2] or [""])[0].lower() not in ("true", "false"):
            equals, value = "=", "true"
        out.append(flag + equals + value)
    return out


def _refuse_flag(flag: str, parser: argparse.ArgumentParser) -> NoReturn:
    name = flag.split("=")[0]
    known = [o for action in parser._actions for o in action.option_strings]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    raise SettingsError(
        f"Unknown argument {name}.", f"Did you mean {' or '.join(close)}?" if close else "`--help` lists every setting."
    )


def _value(name: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if (isinstance(value, bool) and text.lower() not in ("true", "false")) or isinstance(value, datetime.date):
        return text  # YAML 1.1 reads yes/no/on/off as booleans, and runs/… may be named by a date
    return value


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, last = dotted.split(".")
    for section in sections:
        inner = tree.get(section)
        tree[section] = tree = dict(inner) if isinstance(inner, dict) else {}
    tree[last] = value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = CONFIGS / path.name
        if not near.suffix:
            near = near.with_suffix(".yaml")
        if near.is_file() and near != path:
            return _read_yaml(near)
        names = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise SettingsError(f"There is no settings file {path}.", f"Give a path, or one of: {names}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"The settings file {path} is not YAML: {error}") from None
    if not isinstance(tree or {}, dict):
        raise SettingsError(f"The settings file {path} holds no mapping of settings.", "See configs/quickstart.yaml.")
    return tree or {}


def _problem(error: Any) -> str:
    """One pydantic error as a sentence: the setting, what is wrong, what is allowed."""
    path = [str(p) for p in error["loc"]]
    name = ".".join(path)
    section, info = _look_up(path)
    if error["type"] == "extra_forbidden":
        allowed = list(section.model_fields) if section else []
        close = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {close[0]}?" if close else "allowed here: " + ", ".join(allowed)
        return f"{name}: there is no such setting; {hint}"
    if not path:
        return str(error["msg"]).removeprefix("Value error, ")
    meaning = f" ({' '.join(info.description.split())})" if info and info.description else ""
    # an address may hold a key, and a key is sometimes given where its variable's name belongs
    private = name in ("run_dir", "teacher.base_url", "teacher.journal", "teacher.api_key_env")
    got = "" if private else f"; got {error['input']!r}"
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}{got}{meaning}"


def _look_up(path: list[str]) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    section: type[BaseModel] | None = Settings
    info: FieldInfo | None = None
    for i, part in enumerate(path):
        info = section.model_fields.get(part) if section else None
        inner = _section_of(info) if info else None
        if inner is None or i == len(path) - 1:
            break
        section = inner
    return section, info
