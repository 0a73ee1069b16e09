"""Deliberate errors: every place of a Python or YAML file where one can be put, and the text with that error in it.

Operators on Python's syntax tree replace a stretch of the source and leave all else, comments and layout too, as it is.
Annotations, docstrings and error texts are left alone: nothing that is computed or drawn depends on them.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
CALCULATED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
}
SWAPPED = {"low": "high", "high": "low", "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}
LABELS = {"set_xlabel", "set_ylabel", "set_title", "suptitle", "set_label", "text", "annotate", "print_table", "echo"}
TEXT_KEYWORDS = {"label", "title"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """Replace `source[start:stop]` by `new`. `operator`: what kind of error this is."""

    operator: str
    line: int
    start: int
    stop: int
    new: str

    def apply(self, source: str) -> str:
        """The source with the error."""
        return source[: self.start] + self.new + source[self.stop :]

    def text(self, source: str) -> str:
        """What was replaced by what, in one line."""
        return f"{' '.join(source[self.start : self.stop].split()) or 'nothing'} -> {' '.join(self.new.split())}"


def mutations_of(name: str, source: str) -> list[Mutation]:
    """All errors that can be put into the file `name`, in the order of their place; none twice."""
    found = yaml_mutations(source) if name.endswith((".yaml", ".yml")) else python_mutations(source)
    different = {(m.start, m.stop, m.new): m for m in found if source[m.start : m.stop] != m.new}
    return sorted(different.values(), key=lambda m: (m.start, m.stop, m.new))


def yaml_mutations(source: str) -> Iterator[Mutation]:
    """Every number of a YAML file a tenth larger: 71.4 -> 78.54."""
    for node in _scalars(yaml.compose(source, Loader=yaml.SafeLoader)):
        if node.tag in ("tag:yaml.org,2002:float", "tag:yaml.org,2002:int"):
            line, start, stop = node.start_mark.line + 1, node.start_mark.index, node.end_mark.index
            yield Mutation(operator="published value", line=line, start=start, stop=stop, new=_larger(node.value))


def _scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item)
    elif isinstance(node, yaml.MappingNode):
        for _, item in node.value:
            yield from _scalars(item)


def _larger(text: str) -> str:
    value = float(text)
    if re.fullmatch(r"[-+]?\d+", text):
        return str(int(text) + max(1, abs(int(text)) // 10))
    return repr(round(1.1 * value, 12) or 0.1)


def python_mutations(source: str) -> Iterator[Mutation]:
    """Errors of every operator in Python source."""
    tree = ast.parse(source)
    place = _Places(source)
    left_alone = _left_alone(tree)
    for node in ast.walk(tree):
        if node in left_alone:
            continue
        yield from _of_expression(node, place)
        yield from _of_statement(node, place)


class _Places:
    """Offsets in the source: the syntax tree counts columns in bytes of UTF-8."""

    def __init__(self, source: str) -> None:
        self.source = source
        lines = source.splitlines(keepends=True)
        self._lines = lines
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def of(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        start, stop = self.of(node)
        return self.source[start:stop]

    def replaced(self, operator: str, node: ast.expr | ast.stmt, new: str) -> Mutation:
        start, stop = self.of(node)
        return Mutation(operator=operator, line=node.lineno, start=start, stop=stop, new=new)

    def between(self, operator: str, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Mutation]:
        """The sign `old` that stands between two operands, but for one in a comment."""
        start, stop = self.of(left)[1], self.of(right)[0]
        gap = re.sub(r"#[^\n]*", lambda match: " " * len(match[0]), self.source[start:stop])
        pattern = r"\s+".join(map(re.escape, old.split()))
        if match := re.search(rf"\b{pattern}\b" if old[0].isalpha() else pattern, gap):
            at = start + match.start()
            yield Mutation(operator=operator, line=left.lineno, start=at, stop=start + match.end(), new=new)


def _left_alone(tree: ast.AST) -> set[ast.AST]:
    """Annotations, docstrings, what is raised, decorators, and imports."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            parts.append(node.annotation)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts += [node.returns, *node.decorator_list]
        if isinstance(node, ast.ClassDef):
            parts += [*node.decorator_list, *node.bases]
        if isinstance(node, ast.Raise):
            parts.append(node.exc)
        if isinstance(node, ast.Import | ast.ImportFrom):
            parts.append(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts.append(node)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            made_of = node.value.value
            parts += [node] * (isinstance(made_of, ast.Name) and made_of.id in ("Literal", "Callable"))
        if isinstance(node, ast.JoinedStr) and sys.version_info < (3, 12):  # which tells no places in them
            parts += node.values
        for part in parts:
            if part is not None:
                found.update(ast.walk(part))
    return found


def _of_expression(node: ast.AST, place: _Places) -> Iterator[Mutation]:
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            yield from place.between("comparison", left, right, *COMPARED[type(op)])
    elif isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from place.between("and, or", left, right, old, new)
    elif isinstance(node, ast.BinOp) and type(node.op) in CALCULATED:
        yield from place.between("arithmetic", node.left, node.right, *CALCULATED[type(node.op)])
        if isinstance(node.op, ast.Add):
            yield place.replaced("term dropped", node, f"({place.text(node.left)})")
            yield place.replaced("term dropped", node, f"({place.text(node.right)})")
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        new = str(node.value + 1) if isinstance(node.value, int) else repr(1.1 * node.value or 0.1)
        yield place.replaced("constant", node, f"({new})")
        if isinstance(node.value, int):
            yield place.replaced("constant", node, f"({node.value - 1})")
    elif isinstance(node, ast.Attribute) and node.attr in SWAPPED:
        stop = place.of(node)[1]
        at = stop - len(node.attr)
        yield Mutation(operator="swap", line=node.lineno, start=at, stop=stop, new=SWAPPED[node.attr])
    elif isinstance(node, ast.Name) and node.id in ("min", "max"):
        yield place.replaced("swap", node, SWAPPED[node.id])
    elif isinstance(node, ast.IfExp):
        yield place.replaced("condition", node.test, f"(not ({place.text(node.test)}))")
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield place.replaced("condition", test, f"(not ({place.text(test)}))")
    elif isinstance(node, ast.Call):
        yield from _of_call(node, place)


def _of_call(node: ast.Call, place: _Places) -> Iterator[Mutation]:
    """Low for high, and another word in what is drawn or printed."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    ends = {word.arg: word.value for word in node.keywords if word.arg in ("low", "high")}
    if len(ends) == 2:
        yield place.replaced("swap", ends["low"], place.text(ends["high"]))
        yield place.replaced("swap", ends["high"], place.text(ends["low"]))
    shown = [word.value for word in node.keywords if word.arg in TEXT_KEYWORDS]
    for text in [*shown, *(node.args if name in LABELS else [])]:
        if isinstance(text, ast.JoinedStr):
            written = place.text(text)
            yield place.replaced("label", text, f"{written[:-1]}?{written[-1]}")
        elif isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value.strip():
            yield place.replaced("label", text, repr(f"{text.value}?"))


def _of_statement(node: ast.AST, place: _Places) -> Iterator[Mutation]:
    if isinstance(node, ast.If | ast.While):
        yield place.replaced("condition", node.test, f"not ({place.text(node.test)})")
    elif isinstance(node, ast.Raise):
        yield place.replaced("raise removed", node, "pass")
    elif isinstance(node, ast.AugAssign) and type(node.op) in CALCULATED:
        old, new = CALCULATED[type(node.op)]
        yield from place.between("arithmetic", node.target, node.value, f"{old}=", f"{new}=")
