"""The gaps in a campaign's text: {{ level }}, {% if points > 100 %}…{% endif %}. Pure.

Jinja2's grammar, of which only what fills gaps is allowed: no loops, no assignments, nothing that
reaches into Python. So a text is never longer or slower than its own length lets it be, and what
cannot be written needs no catching later. Jinja's sandbox stands behind that all the same, and
so do limits of size and time. A refusal says where, to the character.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import TemplateError
from jinja2.lexer import TokenStream
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SOURCE = 4000
"""Characters of a text before its gaps are filled."""
MAX_OUTPUT = 16_384
"""Bytes of a text with its gaps filled; each kind of content has its own, smaller limit."""
MAX_S = 0.1
"""Seconds that filling the gaps of one text may take; it takes some hundred thousandths."""

MEMBER = ("tier", "level", "points", "days", "invited")
"""Names of what only one member has."""
SHARED = ("topic", "business")
OBJECTS: Mapping[str, tuple[str, ...]] = {
    "coupon": ("code", "title", "ends"),
    "item": ("title", "url", "price"),
}
"""Names with parts: coupon.code. A kind of content says which of them it has."""
LINK = "link"

_MOST_TOKENS = 60
_MOST_DEPTH = 8
_MOST_DIGITS = 12
_STATEMENTS = ("if", "elif", "else", "endif")
_WORDS = frozenset(
    {"and", "or", "not", "in", "is", "if", "elif", "else", "true", "false", "none"}
    | {"True", "False", "None"}
)
_BLANK = frozenset({"whitespace", "comment", "comment_begin", "comment_end"})
_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Concat,
    nodes.Const,
    nodes.Name,
    nodes.Getattr,
    nodes.Call,
    nodes.Filter,
)


class ContentError(ValueError):
    """A content that cannot be sent as it is.

    where: the field ("text", "data.thing1"), "" before that is known. line, column: from 1, 0
    when it is the whole field. expected: what would be right, English. code: a short key for
    other languages, see docs/campaigns.md.
    """

    def __init__(
        self, code: str, expected: str, *, where: str = "", line: int = 0, column: int = 0
    ) -> None:
        place = f"{where}: " if where else ""
        place += f"line {line}, column {column}: " if line else ""
        super().__init__(f"{place}expected {expected}")
        self.code = code
        self.expected = expected
        self.where = where
        self.line = line
        self.column = column

    def within(self, where: str) -> ContentError:
        """The same, in this field."""
        return ContentError(
            self.code, self.expected, where=where, line=self.line, column=self.column
        )


class _At(Exception):
    """Something is wrong at this character, from 0."""

    def __init__(self, offset: int, code: str, expected: str) -> None:
        super().__init__(expected)
        self.offset = offset
        self.code = code
        self.expected = expected


# Filters: what they give is never much longer than what they get.


def _default(value: object, other: object = "") -> object:
    return other if isinstance(value, Undefined) or value in ("", None) else value


def _truncate(value: object, length: object = 20) -> str:
    text = str(value)
    if not isinstance(length, int) or len(text) <= length:
        return text
    return text[: max(length - 1, 0)] + "…"


def _round(value: float, digits: object = 0) -> object:
    places = min(max(digits, 0), 6) if isinstance(digits, int) else 0
    return round(value, places) if places else round(value)


_FILTERS: Mapping[str, Callable[..., object]] = {
    "default": _default,
    "truncate": _truncate,
    "round": _round,
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
    "trim": lambda value: str(value).strip(),
    "length": lambda value: len(str(value)),
}


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 with our few filters, whose nodes know their character instead of their line."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
        self.globals.clear()
        self.tests.clear()
        self.filters.clear()
        self.filters.update(_FILTERS)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic is for numbers: "a" * 10 ** 9 would be a gigabyte."""
        for value in (left, right):
            if isinstance(value, str):
                raise TypeError("numbers around +, -, *, / and %; ~ joins texts")
        return super().call_binop(context, operator, left, right)

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        placed = _judged(self._placed(source))
        return TokenStream(self.lexer.wrap(placed), name, filename)

    def _placed(self, source: str) -> Iterator[tuple[int, str, str]]:
        """The tokens, each with its character, from 0, where Jinja has the line."""
        at = 0
        try:
            for _, kind, value in self.lexer.tokeniter(source, None):
                # What a "-" strips is in no token.
                at = max(source.find(value, at), at)
                yield at, kind, value
                at += len(value)
        except TemplateSyntaxError as error:
            wrong = error.message or ""
            raise _At(at, "syntax", f"no such sign here ({wrong})") from error


def _judged(tokens: Iterator[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    """The same tokens; whatever could make the parser deep, or is no part of the language, is
    refused before the parser sees it."""
    depth = count = 0
    before = ""
    for at, kind, value in tokens:
        if kind in ("block_begin", "variable_begin"):
            count = 0
        elif kind in ("raw_begin", "linestatement_begin"):
            raise _At(at, "statement", "if, elif, else or endif")
        elif kind not in _BLANK and kind != "data":
            count += 1
            if count > _MOST_TOKENS:
                raise _At(at, "too-deep", f"at most {_MOST_TOKENS} words and signs in one gap")
            _judge(at, kind, value, before)
            if before == "block_begin":
                depth += {"if": 1, "endif": -1}.get(value, 0)
                if depth > _MOST_DEPTH:
                    raise _At(at, "too-deep", f"at most {_MOST_DEPTH} ifs inside each other")
        if kind not in _BLANK:
            before = kind
        yield at, kind, value


def _judge(at: int, kind: str, value: str, before: str) -> None:
    if before == "block_begin" and (kind != "name" or value not in _STATEMENTS):
        raise _At(at, "statement", "if, elif, else or endif")
    if kind in ("integer", "float") and len(value) > _MOST_DIGITS:
        raise _At(at, "number", f"a number of at most {_MOST_DIGITS} signs")
    if kind == "string" and "\\" in value:
        raise _At(at, "syntax", "a text without a backslash")
    if kind == "operator" and value in ("**", "[", "]", "{", "}"):
        raise _At(at, "operator", f"something else: {value} is not allowed")


_ENVIRONMENT = _Environment()


def _check(tree: nodes.Template, names: frozenset[str]) -> None:
    """Whatever is in a tree that may not be there is refused; Jinja's sandbox comes after."""
    todo: list[nodes.Node] = [tree]
    while todo:
        node = todo.pop()
        if not isinstance(node, _NODES):
            raise _At(node.lineno, "operator", "a name, a number, a text or a comparison")
        if isinstance(node, nodes.Name):
            if node.name in OBJECTS and node.name in names:
                parts = ", ".join(f"{node.name}.{part}" for part in OBJECTS[node.name])
                raise _At(node.lineno, "attribute", f"one of {parts}")
            if node.name == LINK:
                raise _At(node.lineno, "call", 'link("…")')
            if node.name in OBJECTS and node.name not in names:
                raise _elsewhere(node)
            if node.name not in names:
                known = ", ".join((*sorted(names), 'link("…")'))
                raise _At(node.lineno, "variable", f"one of {known}")
        elif isinstance(node, nodes.Getattr):
            _check_part(node, names)
            continue
        elif isinstance(node, nodes.Call):
            _check_call(node)
            continue
        elif isinstance(node, nodes.Filter):
            if node.name not in _FILTERS:
                raise _At(node.lineno, "filter", f"one of {', '.join(sorted(_FILTERS))}")
            if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) > 1:
                raise _At(node.lineno, "filter", f"{node.name} with at most one plain value")
            if node.node is None:
                raise _At(node.lineno, "filter", "a value before it")
        elif isinstance(node, nodes.CondExpr) and node.expr2 is None:
            raise _At(node.lineno, "else", '… if … else "…"')
        todo += node.iter_child_nodes()


def _elsewhere(node: nodes.Name) -> _At:
    kind = f"a content of kind {node.name}"
    return _At(node.lineno, f"{node.name}-elsewhere", f"{kind} around {node.name}")


def _check_part(node: nodes.Getattr, names: frozenset[str]) -> None:
    whole = node.node
    if not isinstance(whole, nodes.Name):
        raise _At(node.lineno, "attribute", "one dot at most")
    if whole.name in OBJECTS and whole.name not in names:
        raise _elsewhere(whole)
    if whole.name not in OBJECTS:
        known = sorted(names & set(OBJECTS)) or ["no dot"]
        raise _At(whole.lineno, "attribute", f"one of {', '.join(known)} before a dot")
    if node.attr not in OBJECTS[whole.name]:
        parts = ", ".join(f"{whole.name}.{part}" for part in OBJECTS[whole.name])
        raise _At(whole.lineno, "attribute", f"one of {parts}")


def _check_call(node: nodes.Call) -> None:
    """Only link("…"): what it leads to is known before anybody gets it."""
    plain = len(node.args) == 1 and not (node.kwargs or node.dyn_args or node.dyn_kwargs)
    called = node.node
    if not isinstance(called, nodes.Name) or called.name != LINK:
        raise _At(called.lineno, "call", 'no call but link("…")')
    if not plain or not isinstance(node.args[0], nodes.Const):
        raise _At(node.lineno, "call", 'link("…") with an item\'s id or an address')
    if not isinstance(node.args[0].value, str) or not node.args[0].value.strip():
        raise _At(node.args[0].lineno, "call", "an item's id or an address")


class Gaps:
    """A text that was read. names: what it needs, "coupon.code" as "coupon"; links: targets of
    its link("…"), in their order."""

    __slots__ = ("_template", "links", "names", "source")

    def __init__(
        self,
        source: str,
        template: Template | None,
        names: frozenset[str] = frozenset(),
        links: tuple[str, ...] = (),
    ) -> None:
        self.source = source
        self.names = names
        self.links = links
        self._template = template

    @property
    def personal(self) -> bool:
        """Whether two members could read different texts."""
        return not self.names.isdisjoint((*MEMBER, *OBJECTS))

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text with its gaps filled; about 20 µs, and may run in any thread.

        values: of all names it needs, and "link" when it has any. Errors: ContentError.
        """
        template = self._template
        if template is None:
            return self.source
        until = time.perf_counter() + MAX_S
        pieces: list[str] = []
        size = 0
        try:
            for piece in template.root_render_func(template.new_context(dict(values))):
                size += len(piece)
                # Counted in characters here and in bytes below: a byte is no more than one.
                if size > MAX_OUTPUT:
                    raise ContentError("too-long", f"at most {MAX_OUTPUT} bytes")
                if time.perf_counter() > until:
                    raise ContentError("too-slow", f"a text that is ready within {MAX_S} s")
                pieces.append(piece)
        except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            if isinstance(error, ContentError):
                raise
            line, column = _place(self.source, _offset(self.source, template, error))
            raise ContentError("values", _why(error), line=line, column=column) from error
        text = "".join(pieces)
        if len(text) * 4 > MAX_OUTPUT and len(text.encode(errors="replace")) > MAX_OUTPUT:
            raise ContentError("too-long", f"at most {MAX_OUTPUT} bytes")
        return text


def _why(error: Exception) -> str:
    return f"values that go together ({error})"


def _offset(source: str, template: Template, error: BaseException) -> int:
    """The beginning of the gap that could not be filled; a comparison only knows its end."""
    offset, step = 0, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == template.filename:
            offset = template.get_corresponding_lineno(step.tb_lineno)
        step = step.tb_next
    begins = max(source.rfind("{{", 0, offset), source.rfind("{%", 0, offset))
    return begins + len(source[begins:]) - len(source[begins:].lstrip("{%-+ \n\t"))


def _place(source: str, offset: int) -> tuple[int, int]:
    """(line, column) of a character, both from 1."""
    before = source[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


@functools.lru_cache(maxsize=1024)
def read(source: str, objects: tuple[str, ...] = ()) -> Gaps:
    """Read a text once; the same text again costs nothing.

    objects: which of OBJECTS it may name. Errors: ContentError with line and column.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    if len(source) > MAX_SOURCE:
        line, column = _place(source, MAX_SOURCE)
        raise ContentError("too-long", f"at most {MAX_SOURCE} characters", line=line, column=column)
    if not any(sign in source for sign in ("{{", "{%", "{#")):
        return Gaps(source, None)
    names = frozenset((*MEMBER, *SHARED, *objects))
    try:
        tree = Parser(_ENVIRONMENT, source).parse()
        _check(tree, names)
    except _At as wrong:
        line, column = _place(source, wrong.offset)
        raise ContentError(wrong.code, wrong.expected, line=line, column=column) from None
    except TemplateSyntaxError as wrong:
        line, column = _place(source, wrong.lineno)
        why = (wrong.message or "").rstrip(".")
        raise ContentError(
            "syntax", f"another end of this gap ({why})", line=line, column=column
        ) from None
    found = {node.name for node in tree.find_all(nodes.Name)}
    calls = [node.args[0] for node in tree.find_all(nodes.Call)]
    links = tuple(one.value for one in calls if isinstance(one, nodes.Const))
    code = _ENVIRONMENT.compile(tree)
    template = Template.from_code(_ENVIRONMENT, code, {})
    return Gaps(source, template, frozenset(found), links)
