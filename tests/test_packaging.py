"""The package as it is installed: declared dependencies, data files, one version, the command."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import raydistill

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "raydistill"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OWN_FOLDERS = [ROOT / "tests", ROOT / "benchmarks"]
OWN_MODULES = {path.stem for folder in OWN_FOLDERS for path in folder.glob("*.py")} | {"raydistill", "support"}
COME_WITH = {"pydantic_core": "pydantic", "tensorboardX": "ray", "requests": "pooch", "urllib3": "pooch"}
"""Modules that a declared dependency promises to bring."""


def imported_modules(folder: Path) -> set[str]:
    """Top-level modules outside the standard library that the files below `folder` import."""
    modules = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    return modules - sys.stdlib_module_names - OWN_MODULES - {"_typeshed"}  # type checkers bring it


def declared(*extras: str) -> set[str]:
    """Normalised names of the dependencies, those of `extras` included."""
    optional = PROJECT["project"]["optional-dependencies"]
    requirements = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        requirements += optional[extra]
    return {normalised(re.split(r"[\[<>=~ ]", requirement)[0]) for requirement in requirements}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def undeclared(modules: set[str], dependencies: set[str]) -> set[str]:
    distributions = metadata.packages_distributions()
    missing = set()
    for module in modules:
        module = COME_WITH.get(module, module)
        names = {normalised(name) for name in distributions.get(module, [module])}
        if not names & dependencies:
            missing.add(module)
    return missing


def test_every_import_is_declared() -> None:
    assert undeclared(imported_modules(PACKAGE), declared("local", "hub", "lora", "search")) == set()
    assert undeclared(imported_modules(ROOT / "tests"), declared("local", "hub", "lora", "search", "test")) == set()


def test_every_data_file_is_in_the_wheel() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["raydistill"]
    packaged: set[Path] = set()
    for pattern in patterns:
        packaged.update(PACKAGE.glob(pattern))
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert path in packaged, f"{path} is missing in [tool.setuptools.package-data]"
    assert PACKAGE / "py.typed" in packaged
    assert PACKAGE / "configs" / "quickstart.yaml" in packaged


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "raydistill.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", raydistill.__version__)


def test_the_command_is_installed() -> None:
    assert PROJECT["project"]["scripts"] == {"raydistill": "raydistill.cli.main:main"}
