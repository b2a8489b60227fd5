"""Small faults that are put into a module's source, one at a time (`mutation.py`).

Not changed: docstrings, messages (strings with a space in them, f-strings), types, names for export, assertions.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
SIMPLE = (ast.Name, ast.Attribute, ast.Constant)


class Mutant(NamedTuple):
    """One fault in one module."""

    path: str
    """Of the module, from the repository's root."""
    line: int
    last_line: int
    is_in_function: bool
    before: str
    after: str
    start: int
    """Where the old text begins in the file (bytes)."""
    end: int

    def applied(self, source: bytes) -> bytes:
        """Return the module's source with the fault in it."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants(path: str, source: bytes) -> list[Mutant]:
    """Return all faults for the module at `path`, in the order of the text; each of them compiles."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    whole = []
    for mutant in finder.mutants:
        try:
            compile(mutant.applied(source), path, "exec")
        except SyntaxError:  # such as a string beside another
            continue
        whole.append(mutant)
    return whole


class _Finder(ast.NodeVisitor):
    """Walks a module and collects its faults."""

    def __init__(self, path: str, source: bytes) -> None:
        self.mutants: list[Mutant] = []
        self._path = path
        self._source = source
        self._line_starts = [0]
        for line in source.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))
        self._functions = 0  # that surround the node

    def visit(self, node: ast.AST) -> None:
        """Collect the faults of a node and of what is in it."""
        if isinstance(node, ast.expr):
            for expression in _expressions(node):
                self._add(node, node, _text(expression))
        if isinstance(node, ast.stmt):
            for after in _statements(node):
                self._add(node, node, after)
        if isinstance(node, (ast.If, ast.While)):
            self._add(node.test, node.test, f"(not ({ast.unparse(node.test)}))")
        if isinstance(node, ast.ExceptHandler) and not isinstance(node.body[0], ast.Raise):
            self._add(node.body[0], node.body[-1], "raise")
        for child in _children(node):
            is_of_body = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and isinstance(child, ast.stmt)
            self._functions += is_of_body
            self.visit(child)
            self._functions -= is_of_body

    def _add(self, first: ast.expr | ast.stmt, last: ast.expr | ast.stmt, after: str) -> None:
        assert last.end_lineno is not None
        assert last.end_col_offset is not None
        start = self._line_starts[first.lineno - 1] + first.col_offset
        end = self._line_starts[last.end_lineno - 1] + last.end_col_offset
        before = " ".join(self._source[start:end].decode().split())
        is_in_function = self._functions > 0
        mutant = Mutant(self._path, first.lineno, last.end_lineno, is_in_function, before, after, start, end)
        self.mutants.append(mutant)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Return the parts of a node in which faults are looked for."""
    if isinstance(node, (ast.JoinedStr, ast.Assert, ast.Import, ast.ImportFrom)):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
        return
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
        return
    for name, value in ast.iter_fields(node):
        is_of_class = isinstance(node, ast.ClassDef) and name == "keywords"
        if is_of_class or name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            is_docstring = isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
            if isinstance(part, ast.AST) and not is_docstring:
                yield part


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    """Return what an expression becomes."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[i] = COMPARISONS[type(operator)]()
            yield changed
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Call):
        yield from _calls(node)


def _constants(value: object) -> Iterator[ast.expr]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and " " not in value:
        yield ast.Constant(value + "XX")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"XX")


def _calls(node: ast.Call) -> Iterator[ast.expr]:
    if isinstance(node.func, ast.Name) and node.func.id == "TypeVar":
        return
    if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        yield ast.Call(ast.Name(FUNCTIONS[node.func.id], ast.Load()), node.args, node.keywords)
        return
    simple = [argument for argument in node.args[:2] if isinstance(argument, SIMPLE)]
    if len({ast.unparse(argument) for argument in simple}) == 2:
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)


def _statements(node: ast.stmt) -> Iterator[str]:
    """Return the text that a statement becomes."""
    is_call = isinstance(node, ast.Expr) and not isinstance(node.value, (ast.Constant, ast.Yield))
    is_kept = isinstance(node, ast.Assign) and not isinstance(node.targets[0], (ast.Name, ast.Tuple))
    if is_call or is_kept or isinstance(node, (ast.AugAssign, ast.Delete, ast.Raise)):
        yield "pass"
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield "return None"
    elif isinstance(node, ast.Break):
        yield "continue"
    elif isinstance(node, ast.Continue):
        yield "break"


def _text(expression: ast.expr) -> str:
    """Return an expression's text, which may stand anywhere."""
    text = ast.unparse(ast.fix_missing_locations(expression))
    is_whole = isinstance(expression, (ast.Constant, ast.Call, ast.Name, ast.Attribute))
    return text if is_whole else f"({text})"
