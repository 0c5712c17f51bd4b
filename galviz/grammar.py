"""The text of a selection, read with a whitelist of comparisons and shapes; never executed."""

from __future__ import annotations

import ast
import io
import keyword
import math
import tokenize

from galviz.clauses import Box, Clause, Cone, OneOf, Polygon, Range, Value, intersect
from galviz.errors import SelectionError

MAX_TEXT = 200_000
MAX_DEPTH = 12
MAX_CLAUSES = 100
RESERVED = frozenset({"and", "or", "not", "in", "is", "True", "False", "None"})
"""Words of the grammar itself, which cannot name a column."""


def parse_clauses(text: str) -> list[Clause]:
    """The conditions of an expression, unnamed and in order."""
    if len(text) > MAX_TEXT:
        raise SelectionError(f"The selection is too long: {len(text)} characters, at most {MAX_TEXT}.")
    if not text.strip():
        return []
    try:
        tree = ast.parse(_without_keywords(text.strip()), mode="eval").body
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        raise SelectionError(f"Cannot read the selection {text[:80]!r}; write it like 17 <= psf_r < 21.") from None
    if _depth(tree) > MAX_DEPTH:
        raise SelectionError(f"The selection is nested more than {MAX_DEPTH} deep.")
    nodes = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    if len(nodes) > MAX_CLAUSES:
        raise SelectionError(f"The selection has {len(nodes)} conditions, at most {MAX_CLAUSES}.")
    return [_clause(node) for node in nodes]


# Columns may bear a name that Python keeps for itself, such as `class`; a letter that no name of a column has
# marks it for the parser.
_KEYWORDS = frozenset(keyword.kwlist) - RESERVED
_MARK = "\u00df"


def _without_keywords(text: str) -> str:
    tokens = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        # The parser folds letters (\u00aa to a); a name must stand as the manifest writes it.
        if token.type == tokenize.NAME and not token.string.isascii():
            raise SelectionError(f"{token.string[:80]!r} is not the name of a column.")
        tokens.append((token.type, _MARK + token.string if token.string in _KEYWORDS else token.string))
    return tokenize.untokenize(tokens).strip()


def _text(node: ast.expr) -> str:
    return ast.unparse(node).replace(_MARK, "")[:80]


def _depth(tree: ast.AST) -> int:
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest


def _clause(node: ast.expr) -> Clause:
    if isinstance(node, ast.Compare):
        return _comparison(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _shape(node.func.id, node.args)
    raise SelectionError(
        f"Cannot use {_text(node)!r} in a selection; join comparisons, box, polygon and cone by 'and'."
    )


_MIRROR: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.Eq,
}


def _comparison(node: ast.Compare) -> Clause:
    terms = [node.left, *node.comparators]
    places = [i for i, term in enumerate(terms) if isinstance(term, ast.Name)]
    if len(places) != 1:
        raise SelectionError(f"{_text(node)!r} must compare one column with numbers or names.")
    place = places[0]
    column = _name(terms[place])
    if len(terms) == 2:
        operator, other = node.ops[0], terms[1 - place]
        if isinstance(operator, ast.In) and place == 0 and isinstance(other, ast.List | ast.Tuple | ast.Set):
            return OneOf(column, tuple(_constant(item) for item in other.elts))
        kind = type(operator) if place == 0 else _MIRROR.get(type(operator), ast.NotEq)
        return _one_sided(column, kind, other)
    if len(terms) == 3 and place == 1:
        low, high = _MIRROR.get(type(node.ops[0]), ast.NotEq), type(node.ops[1])
        first, second = _one_sided(column, low, terms[0]), _one_sided(column, high, terms[2])
        if isinstance(first, Range) and isinstance(second, Range) and (first.low is None) != (second.low is None):
            return intersect(first, second)
    raise SelectionError(f"Cannot read {_text(node)!r}; write it like 17 <= psf_r < 21.")


def _one_sided(column: str, kind: type[ast.cmpop], other: ast.expr) -> Clause:
    value = _constant(other)
    if kind is ast.Eq:
        return OneOf(column, (value,))
    if isinstance(value, str):
        raise SelectionError(f"{column} is compared with the name {value!r}; use == for names.")
    limit = value if abs(value) > 2**53 else float(value)  # object ids keep every digit
    if kind in (ast.Gt, ast.GtE):
        return Range(column, low=limit, include_low=kind is ast.GtE)
    if kind in (ast.Lt, ast.LtE):
        return Range(column, high=limit, include_high=kind is ast.LtE)
    raise SelectionError(f"A selection of {column} knows <, <=, >, >=, == and in, nothing else.")


def _shape(name: str, args: list[ast.expr]) -> Clause:
    if len(args) >= 2:
        x, y = _name(args[0]), _name(args[1])
        numbers = [_float(arg) for arg in args[2:]]
        if name == "box" and len(numbers) == 4:
            return Box(x, y, *numbers)
        if name == "cone" and len(numbers) == 3:
            return Cone(x, y, *numbers)
        if name == "polygon" and len(numbers) % 2 == 0:
            return Polygon(x, y, tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    raise SelectionError(
        f"Cannot use {name}(...) with {len(args)} arguments; a selection knows box(x, y, x_low, x_high, y_low, "
        "y_high), polygon(x, y, x1, y1, ...) and cone(ra, dec, centre_ra, centre_dec, radius)."
    )


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id.removeprefix(_MARK)
    raise SelectionError(f"{_text(node)!r} is not the name of a column.")


def _constant(node: ast.expr) -> Value:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign = -1 if isinstance(node.op, ast.USub) else 1
        node = node.operand
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | str):
            raise SelectionError(f"{_text(node)!r} cannot have a sign.")
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        value = node.value
        if isinstance(value, str | bool):
            return value
        if (isinstance(value, int) and value.bit_length() > 64) or not math.isfinite(value):
            raise SelectionError("A number of the selection is too large.")
        return sign * value
    raise SelectionError(f"{_text(node)!r} is neither a number nor a quoted name.")


def _float(node: ast.expr) -> float:
    value = _constant(node)
    if isinstance(value, str | bool):
        raise SelectionError(f"{value!r} stands where a number is needed.")
    return float(value)
