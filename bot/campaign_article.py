"""An article of a campaign: Markdown to the HTML that WeChat keeps. Pure.

WeChat takes scripts, foreign pictures and links to other sites out of an article without a word;
here they are refused while somebody can still do something about it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bot.campaign_template import ContentError
from store.assets import valid_name

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_MARKDOWN = 20_000
AUTHOR_CHARS = 16
DIGEST_CHARS = 120
MAX_HTML = 1024 * 1024
_KEPT_LINKS = ("https://mp.weixin.qq.com/", "http://mp.weixin.qq.com/")


def _parser() -> MarkdownIt:
    # Imported here: most campaigns have no article, and it costs some hundredths of a second.
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _read(markdown: str) -> list[Token]:
    """Errors: ContentError for a text that is too long."""
    if len(markdown) > MAX_MARKDOWN:
        raise ContentError("too-long", f"at most {MAX_MARKDOWN} characters")
    return _parser().parse(markdown)


def _walk(tokens: list[Token]) -> Iterator[tuple[Token, int]]:
    """(token, line from 1) of all, those inside a line included."""
    for token in tokens:
        line = (token.map[0] if token.map else 0) + 1
        yield token, line
        for child in token.children or ():
            yield child, line


@functools.lru_cache(maxsize=32)
def _targets(markdown: str) -> tuple[tuple[str, str, int], ...]:
    """("image" or "link_open", target, line) of all that leads out of an article.

    Kept: a look at a campaign asks five times, and a long article takes a tenth of a second.
    Errors: ContentError.
    """
    places = {"image": "src", "link_open": "href"}
    return tuple(
        (token.type, str(token.attrs.get(places[token.type], "")), line)
        for token, line in _walk(_read(markdown))
        if token.type in places
    )


def check(markdown: str) -> None:
    """Errors: ContentError, with the line of a picture that is none of ours, or of a link that
    WeChat would take out."""
    for kind, target, line in _targets(markdown):
        if kind == "image" and not valid_name(target):
            raise ContentError(
                "article-image", "the name of a picture: ![](name)", line=line, column=1
            )
        if kind == "link_open" and not target.startswith(_KEPT_LINKS):
            raise ContentError(
                "article-link",
                "a link to mp.weixin.qq.com; WeChat removes others, source_url takes one",
                line=line,
                column=1,
            )


def pictures(markdown: str) -> list[str]:
    """Names of the pictures in it, in their order, each once. Errors: ContentError."""
    return list(dict.fromkeys(to for kind, to, _ in _targets(markdown) if kind == "image"))


def html(markdown: str, addresses: Mapping[str, str]) -> str:
    """The article as WeChat takes it. addresses: by picture where WeChat has it.

    Errors: ContentError for a picture without address, or more than a megabyte.
    """
    parser = _parser()
    tokens = _read(markdown)
    for token, line in _walk(tokens):
        if token.type == "image":
            name = str(token.attrs.get("src", ""))
            if name not in addresses:
                raise ContentError("article-image", f"an upload of {name}", line=line, column=1)
            token.attrs["src"] = addresses[name]
    text = str(parser.renderer.render(tokens, parser.options, {}))
    if len(text.encode()) > MAX_HTML:
        raise ContentError("too-long", f"at most {MAX_HTML} bytes")
    return text


def payload(content: Mapping[str, Any], text: str, thumb_media_id: str) -> dict[str, Any]:
    """The body of draft/add. text: from `html`; thumb_media_id: of the cover, permanent."""
    one: dict[str, Any] = {
        "title": content["title"],
        "author": content.get("author") or "",
        "digest": content.get("digest") or "",
        "content": text,
        "content_source_url": content.get("source_url") or "",
        "thumb_media_id": thumb_media_id,
        "need_open_comment": 0,
        "only_fans_can_comment": 0,
    }
    return {"articles": [one]}
