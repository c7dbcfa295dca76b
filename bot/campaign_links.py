"""Where the words of a campaign could lead a member. Pure.

WeChat makes links of more than what begins with http: of www., of a bare name with a known
ending, of what an <a href> says. And a gap can finish an address that its text only begins, so
the filled text is looked at as well: when it is written with made-up values, and when it is sent
with the member's own, which is the last word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from bot import targets
from bot.campaign_content import LONGEST, SHORTEST, ContentError, gaps

_OURS = "https://ours.invalid"
"""Stands for every address that a gap puts in: the shortest that such a one can be."""
_GAP = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_MARK = "\x00"
"""Where a gap was; no content may hold it itself."""

_REST = r"[!#-;=?-_a-z~%]*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ALWAYS = "com|cn|net|org|top|xyz|vip|shop|club|site|online|link|cc|tv|edu|gov|info|biz|mobi"
# These end words, too: "Node.so", "Call me.In". With a path they are addresses.
_WITH_PATH = (
    "io|co|ren|wang|me|ly|gl|la|im|ai|am|to|so|us|uk|in|is|it|hk|tw|jp|kr|ru|de|fr|eu|ws|sh|be|at|my|no|"
    "store|live|fun|pro|ltd|group|asia|ink|tech|space|website|art|love|app|dev|page"
)
_SCHEME = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]{{0,30}}://{_REST}")
_WEB = re.compile(r"https?://", re.IGNORECASE)
_BARE = re.compile(
    rf"(?<![A-Za-z0-9@._-])(?!(?:asp|ado|vb|ml)\.net(?![A-Za-z0-9.-]))"
    rf"(?:www\.{_LABEL}(?:\.{_LABEL})*"
    rf"|(?:{_LABEL}\.)+(?:(?:{_ALWAYS})(?![A-Za-z0-9-]|\.[A-Za-z0-9])"
    rf"|(?:{_WITH_PATH})(?=/[A-Za-z0-9])))"
    rf"(?::[0-9]+)?(?:[/?#]{_REST})?",
    re.IGNORECASE,
)
_HREF = re.compile(r"href\s*=\s*[\"'“”‘’]?\s*([^\s\"'“”‘’<>\x00]+)", re.IGNORECASE)


def addresses(text: str) -> tuple[str, ...]:
    """Every address that a reader of this text could follow, each once, as it stands there.

    "" has none. Ends as in `bot.targets.in_text`.
    """
    return tuple(dict.fromkeys(address for _, _, address in _found(text)))


def allowed(address: str, hosts: Sequence[str]) -> bool:
    """Whether one of `addresses` may be sent: a web page on a host of the list."""
    if address.startswith("//"):
        address = f"https:{address}"
    elif "://" not in address:
        address = f"https://{address}"
    return targets.on_list(address, hosts)


def strays(text: str, hosts: Sequence[str], ours: Collection[str] = ()) -> list[str]:
    """The addresses of a filled text that may not be sent; [] for none.

    ours: what our own gaps have put in, as `addresses` finds it.
    """
    return [one for one in addresses(text) if one not in ours and not allowed(one, hosts)]


def beside_gaps(source: str) -> list[str]:
    """The addresses of a text that touch a gap: nobody knows where those will lead."""
    marked = _GAP.sub(_MARK, source)
    return [
        address
        for begins, ends, address in _found(marked)
        if _MARK in (marked[begins - 1 : begins], marked[ends : ends + 1])
    ]


def wrong(content: Mapping[str, Any], hosts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(rule of the lint, address) of each that a content without faults may not have."""
    for text in gaps(content).values():
        for address in beside_gaps(text.source):
            yield "link-beside-gap", address
        plain = [_GAP.sub(_MARK, text.source), _GAP.sub("", text.source)]
        for address in _each(plain, hosts, ()):
            yield "link-off-list", address
        filled = []
        for values in (LONGEST, SHORTEST):
            item = {**values["item"], "url": _OURS}
            filled.append(text.fill({**values, "item": item, "link": lambda target: _OURS}))
        for address in _each(filled, hosts, (_OURS,)):
            if address.startswith(_OURS):
                yield "link-beside-gap", address.replace(_OURS, "link(…)", 1)
            else:
                yield "link-off-list", address
    for address in _each(list(_plain_texts(content)), hosts, ()):
        yield "link-off-list", address


def check(values: Mapping[str, Any], hosts: Sequence[str], ours: Collection[str]) -> None:
    """The last word on a filled content. Errors: ContentError for an address that is neither
    on the list nor one that we have put in."""
    texts = [(name, values[name]) for name in ("text", "question") if name in values]
    texts += [("data", text) for text in dict(values.get("data") or {}).values()]
    texts += [("", text) for text in _plain_texts(values)]
    texts += [(name, values[name]) for name in ("url", "source_url") if values.get(name)]
    for name, text in texts:
        for address in strays(str(text), hosts, ours):
            raise ContentError("link", f"an address on the list, not {address}", where=name)


def _each(texts: Sequence[str], hosts: Sequence[str], ours: Collection[str]) -> list[str]:
    return list(dict.fromkeys(one for text in texts for one in strays(text, hosts, ours)))


def _plain_texts(content: Mapping[str, Any]) -> Iterator[str]:
    """What a reader sees of a content that never has gaps. An article's own text is no chat:
    nothing becomes a link there but what Markdown makes one, and that is checked with it."""
    for name in ("title", "digest"):
        if isinstance(content.get(name), str):
            yield content[name]
    if isinstance(content.get("options"), list):
        yield from map(str, content["options"])


def _found(text: str) -> Iterator[tuple[int, int, str]]:
    """(begin, end, address): the end is before what belongs to the sentence was taken off."""
    if "." not in text and "://" not in text and "=" not in text:
        return
    taken: list[tuple[int, int]] = []
    for match in _SCHEME.finditer(text):
        begins, ends = match.span()
        # What stands before a web address without a blank is no part of it.
        if web := _WEB.search(text, begins, ends):
            begins = web.start()
        taken.append((begins, ends))
        yield begins, ends, _trimmed(text[begins:ends])
    for match in _HREF.finditer(text):
        if "://" not in match[1]:
            yield *match.span(1), match[1]
    rest = text
    for begins, ends in taken:
        rest = rest[:begins] + " " * (ends - begins) + rest[ends:]
    for match in _BARE.finditer(rest):
        yield *match.span(), _trimmed(match[0])


def _trimmed(address: str) -> str:
    """Without the marks at its end that belong to the sentence."""
    address = address.rstrip(".,;:!?'")
    while address.endswith(")") and address.count(")") > address.count("("):
        address = address[:-1].rstrip(".,;:!?'")
    return address
