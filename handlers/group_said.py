"""How an answer is worded for a group: short, its lists whole lines, its advice what works there.

A bare 2 or 目录 says nothing in a group, so what an answer advises to reply is to be said to the
bot. Pure: what may be picked and what is private, others know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

NUMBERED = re.compile(r"^\d+\. ")
_SENTENCE = re.compile(r"[^。！？!?；;\n]*(?:[。！？!?；;\n]+|$)")
_URL = re.compile(r"https?://\S+")
_NUMBER_ADVICE = re.compile(
    r"[，,\s]*[(（]?(?:请)?回复(?:上面列表里的)?数字[^：:（）()\n]{0,8}[)）]?(?=[：:]|$)",
    re.MULTILINE,
)
_ADVICE = re.compile(r"(?:请|直接)?回复\s*((?:「[^」\n]{1,20}」[、或]?)+)")
_WORD = re.compile(r"「([^」\n]+)」")
_LEAST_LINES = 3


def split_list(text: str) -> tuple[str, list[str], str]:
    """(what stands above, the numbered lines, what stands below) of an answer with a list."""
    lines = text.split("\n")
    at = [n for n, line in enumerate(lines) if NUMBERED.match(line)]
    if not at:
        return text, [], ""
    numbered = [lines[n] for n in at]
    return "\n".join(lines[: at[0]]), numbered, "\n".join(lines[at[-1] + 1 :])


def without_number_advice(head: str) -> str:
    """ "这些内容可以学，回复数字看详情：" without what a number does in private."""
    return _NUMBER_ADVICE.sub("", head).replace("？：", "？").rstrip()


def fitting(head: str, lines: Sequence[str], limit: int) -> list[str]:
    """As many of the first lines as `limit` characters hold with the head; three at least."""
    size, kept = len(head), 0
    for line in lines:
        size += len(line) + 1
        if size > limit and kept >= _LEAST_LINES:
            break
        kept += 1
    return list(lines[:kept])


def with_links(text: str) -> str:
    """Of what stands below a list the lines that hold an address."""
    return "\n".join(line for line in text.split("\n") if _URL.search(line))


def for_all(text: str, is_private: Callable[[str], bool]) -> str:
    """回复「目录」 as 「@我 发「目录」」, or 私聊我 where what it brings is private.

    is_private: whether a word typed is answered in private.
    """

    def said(found: re.Match[str]) -> str:
        words = found[1]
        own = any(is_private(word) for word in _WORD.findall(words))
        return f"{'私聊我' if own else '@我 '}发{words}"

    return _ADVICE.sub(said, text)


def shortened(text: str, limit: int) -> str:
    """The first sentences, at most `limit` characters; a text that fits stays as it is.

    A first sentence that is longer is cut, but no address in the middle. Never empty for a text
    that is not.
    """
    if len(text) <= limit:
        return text
    end = 0
    for sentence in _SENTENCE.finditer(text):
        if len(text[: sentence.end()].rstrip()) > limit:
            break
        end = sentence.end()
    if text[:end].strip():
        return text[:end].rstrip()
    end = limit - 1
    for url in _URL.finditer(text):
        if url.start() < end < url.end():
            end = url.start() or end
    return f"{text[:end].rstrip()}…"
