"""What README and docs say, as data: code blocks, commands, links, names of files and settings."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from raydistill.config import Settings

ROOT = Path(__file__).resolve().parents[2]
JOBS = {
    "jobs/full_pipeline.py": "run",
    "jobs/questions.py": "questions",
    "jobs/tune_students.py": "tune",
    "jobs/cascade.py": "cascade",
}
SHORTHANDS = {"teacher", "budget_usd", "budget_tokens"}

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
_ROOT_FILES = r"Makefile|pyproject\.toml|cluster\.yaml|mkdocs\.yml|\.pre-commit-config\.yaml|[A-Z]+\.md"
_FILE = re.compile(r"(?:raydistill|jobs|docs|examples|benchmarks|tests)/[\w./-]*|" + _ROOT_FILES)
_DATA_FILE = re.compile(r".*\.(?:jsonl|csv|parquet)")


class Document(NamedTuple):
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The path from the root of the repository."""
        return str(self.path.relative_to(ROOT))

    def blocks(self, language: str) -> list[str]:
        """Return the code blocks of a language."""
        return [text for kind, text in _BLOCK.findall(self.text) if kind == language]

    def commands(self) -> list[list[str]]:
        """Return the words of each command in the bash blocks, without comments and variables set before it."""
        commands = []
        for block in self.blocks("bash"):
            for line in block.replace("\\\n", " ").splitlines():
                commands += split_commands(line)
        return commands

    def links(self) -> list[Path]:
        """Return the files that relative links lead to."""
        targets = [link.split("#")[0] for link in _LINK.findall(self.text)]
        return [(self.path.parent / target).resolve() for target in targets if target and "://" not in target]

    def inline_code(self) -> list[str]:
        """Return what stands between single backticks, outside of code blocks."""
        return _CODE.findall(_BLOCK.sub("", self.text))

    def files(self) -> Iterator[str]:
        """Yield the names of files of this repository in inline code, as `raydistill/tables.py`."""
        for code in self.inline_code():
            if _FILE.fullmatch(code):
                yield code

    def settings(self) -> Iterator[str]:
        """Yield the dotted names of settings in inline code, as `--students.seeds 3` or `students.seeds`."""
        sections = "|".join(name for name in Settings.model_fields if is_section(name))
        for code in self.inline_code():
            match = re.match(rf"(?:--)?((?:{sections})(?:\.[a-z_]+)+)\b(?!\.\w|/|\()", code)
            if match and not _DATA_FILE.fullmatch(match[1]):
                yield match[1]


def document(name: str) -> Document:
    """Read a Markdown file by its path from the root of the repository."""
    path = ROOT / name
    return Document(path, path.read_text(encoding="utf-8"))


def split_commands(line: str) -> list[list[str]]:
    """Return the commands of a shell line: parted at &&, without the comment and without `NAME=value` in front."""
    commands: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word == "&&":
            commands.append([])
        elif commands[-1] or not _ASSIGNMENT.fullmatch(word):
            commands[-1].append(word)
    return [command for command in commands if command]


def check_command(words: list[str]) -> None:
    """Parse a command of raydistill as raydistill does; other commands pass.

    Raises:
        SettingsError: a flag, a setting or a value is wrong.
        AssertionError: there is no such command or no such flag of it.
    """
    if words[:3] == ["ray", "job", "submit"]:
        words = words[words.index("--") + 1 :]
    if words[0] == "raydistill":
        command, arguments = words[1], words[2:]
        assert re.search(rf"\b{command}\b", help_text()), f"there is no command {command}"
    elif words[0] == "python" and words[1].startswith("jobs/"):
        command, arguments = JOBS[words[1]], words[2:]
    else:
        return
    arguments = without_own_options(command, arguments)
    if "--help" in arguments:
        return
    if command == "inspect":
        assert len(arguments) <= 1, arguments
        return
    from raydistill.cli.arguments import parse_settings

    parse_settings(arguments)


def without_own_options(command: str, arguments: list[str]) -> list[str]:
    """Return the arguments without the options of the command itself: in its help, and no settings."""
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        usage = re.search(rf"^\s+{re.escape(word)}( [A-Z]+)?\b", help_text(command), re.M)
        if not is_setting(word) and word.startswith("--") and usage:
            if usage[1]:
                next(words)
        else:
            rest.append(word)
    return rest


def is_setting(flag: str) -> bool:
    """Return whether a flag sets a setting."""
    name = flag.split("=")[0].removeprefix("--").replace("-", "_")
    return name in setting_names() | SHORTHANDS


@cache
def help_text(command: str = "") -> str:
    """Return what `raydistill COMMAND --help` prints."""
    argv = [sys.executable, "-m", "raydistill", *([command] if command else []), "--help"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_section(name: str) -> bool:
    """Return whether a field of the settings is a section."""
    kind = Settings.model_fields[name].annotation
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def setting_names(section: type[BaseModel] = Settings, prefix: str = "") -> set[str]:
    """Return the dotted names of all settings and sections."""
    names = set()
    for name, info in section.model_fields.items():
        names.add(f"{prefix}{name}")
        for kind in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names |= setting_names(kind, f"{prefix}{name}.")
    return names
