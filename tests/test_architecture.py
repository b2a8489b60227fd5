"""The house rules that no single module's test sees: arrows between rooms, methods as records, files of one idea."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raydistill.method.methods import METHODS

PACKAGE = Path(__file__).resolve().parents[1] / "raydistill"
MODULES = sorted(PACKAGE.rglob("*.py"))
METHOD_FILE = PACKAGE / "method" / "methods.py"
LARGEST_FILE = 14_000
"""Bytes. A file that grows beyond it holds more than one idea."""


def test_imports_go_one_way() -> None:
    """Check the contracts of pyproject.toml ([tool.importlinter]); in a process of its own, as it sets up logging."""
    command = [sys.executable, "-c", "from importlinter import cli; cli.lint_imports_command()", "--no-cache"]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout, done.stdout


def test_the_method_imports_nothing_else_of_the_package() -> None:
    for path in sorted((PACKAGE / "method").rglob("*.py")):
        for module in imported_modules(path):
            assert not module.startswith("raydistill.") or module.startswith("raydistill.method"), f"{path}: {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_method_name_is_compared_outside_the_records(path: Path) -> None:
    """Ask the record (`METHODS[name].prompt == "few_shot"`): then a further method is one record in one file."""
    if path == METHOD_FILE:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = [f"{path.relative_to(PACKAGE.parent)}:{node.lineno}" for node in comparisons(tree) if names_method(node)]
    assert not lines, "a method's name is compared at " + ", ".join(lines)


def test_a_compared_method_name_would_be_seen() -> None:
    compared = [
        "method == 'vanilla'",
        "'fine_tune_cot' != name",
        "method in ('vanilla', other)",
        "x = 1 if not m in {'new_fine_tune_cot'} else 2",
    ]
    allowed = ["method == 'anything'", "METHODS['vanilla'].target == 'answer'", "methods = ['vanilla']"]
    for text in compared:
        assert any(names_method(node) for node in comparisons(ast.parse(text))), text
    for text in allowed:
        assert not any(names_method(node) for node in comparisons(ast.parse(text))), text
    match = "match method:\n    case 'vanilla':\n        pass"
    assert any(names_method(node) for node in comparisons(ast.parse(match)))


def test_no_file_is_large() -> None:
    large = [f"{path.relative_to(PACKAGE)}: {path.stat().st_size}" for path in MODULES if is_large(path)]
    assert not large, f"more than {LARGEST_FILE} bytes: " + ", ".join(large)


def is_large(path: Path) -> bool:
    return path.stat().st_size > LARGEST_FILE


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def comparisons(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield comparisons and membership tests, and the values that `case` compares with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield node
        elif isinstance(node, ast.MatchValue):
            yield node.value


def names_method(comparison: ast.expr) -> bool:
    """Return whether an operand, or an element of an operand written out as a collection, is a method's name."""
    operands = [comparison]
    if isinstance(comparison, ast.Compare):
        operands = [comparison.left, *comparison.comparators]
    for operand in operands:
        elements = operand.elts if isinstance(operand, ast.Tuple | ast.List | ast.Set) else [operand]
        for element in elements:
            if isinstance(element, ast.Constant) and element.value in METHODS:
                return True
    return False
