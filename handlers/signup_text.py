"""How sign-up chains (接龙) are written: the line that opens one, and the text that people paste.

Pure. A pasted chain names many people; only the line of whoever pasted it is read as a wish.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from handlers.campaign_when import BadTime, read_when

MOST_PLACES = 1000
LONGEST_TITLE = 60
LONGEST_NAME = 30
LONGEST_NOTE = 60
_LINES = 300

_UNTIL = re.compile(
    r"(?P<rest>.*?)[\s,，;；(（]*(?:报名)?(?:到|截止到?|截至|截止时间)[\s:：]*(?P<when>\S.*?)[)）]?\s*",
    re.DOTALL,
)
_APART = re.compile(r"\s(?:到|截止到?|截至|截止时间)[\s:：]+\S")
"""到 between blanks: a time is meant, and not 从北京到上海."""
_BEHIND = re.compile(r"(?P<when>.*\S)\s*(?:截止|止|为止|之?前)")
_ENDS = re.compile(r"\s*(?:报名)?(?:截止|截至|为止|之前|止|前)[)）]?\s*$")
_HAN = "一二三四五六七八九"
_PLACES = re.compile(
    r"(?P<rest>.*?)(?:[\s,，;；(（]*(?:限|共|满)?\s*(?P<count>\d{1,5})"
    r"|(?:[\s,，;；(（]+(?:限|共|满)?|限|共|满)\s*(?P<han>[一二两三四五六七八九]?十?[一二三四五六七八九]?))"
    r"\s*(?:个?人|位|名额?|个名额)(?:限额|封顶|为限)?[)）]?\s*",
    re.DOTALL,
)
_HEAD = re.compile(r"\s*[#＃]?\s*接龙[\s:：]*", re.DOTALL)
_LINE = re.compile(r"\s*(?P<number>\d{1,3})\s*(?:[.．、:：)）]|\s)\s*(?P<words>\S.*)")
_EXAMPLE = re.compile(r"\s*例(?:如|子)?[\s:：.]")
_NAME = re.compile(r"[^\s,，:：()（）+＋/、]{1,30}")


_SPEAKS = re.compile(
    r"[#＃]\s*接龙.*\n.*|接龙(?:\s*[:：+＋\-－]|\s+\S).*"
    r"|(?:接龙(?:结束|关闭|退出)|(?:退出|结束|关闭|停止)接龙)\s*$",
    re.DOTALL,
)
_NOTED = re.compile(r"\+\s*1[\s,，:：]+(?P<note>[^\n]{1,30})")
_AGREES = re.compile(
    "^(?:说|讲|这|那|的|是|对|都|真|太|很|也|我(?:也|觉得|同意|支持|们)|你|他|她|楼|一样|同(?:意|感|上|求|问)|确实|支持|赞|有道|没错|顶|哈"
    "|好|不(?:错|懂|明白|敢)|觉得)"
    r"|[吗呢吧么了啊呀啦！!?？]$"
)
"""+1 说得对 is no wish to sign up."""


def plus_with_note(text: str) -> bool:
    """Whether it is +1 with a note, +1 带电脑, and no word of agreement."""
    found = _NOTED.fullmatch(unicodedata.normalize("NFKC", text).strip())
    return found is not None and _AGREES.search(found["note"]) is None


def names_list(text: str) -> bool:
    """Whether a text begins as one that opens a list, signs up on it or was pasted from one."""
    return _SPEAKS.match(text.strip()) is not None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a list is for. places: None for any number. closes_at: Unix seconds, None for never."""

    title: str
    places: int | None = None
    closes_at: float | None = None


def read_opening(text: str, now: datetime) -> Opened | None:
    """周六读书会 20人 到 周五 18:00. None without a title. Errors: BadTime for a time that is past
    or there is not; words behind 到 that say no time belong to the title."""
    words, closes_at = _split_time(text.strip(), now)
    places = None
    found = _PLACES.fullmatch(words)
    count = _count(found) if found is not None else 0
    if found is not None and 1 <= count <= MOST_PLACES and found["rest"].strip():
        words, places = found["rest"], count
        if closes_at is None:
            words, closes_at = _split_time(words, now)
    title = " ".join(words.split()).strip(" ,，;；。")[:LONGEST_TITLE]
    return Opened(title, places, closes_at) if any(map(str.isalnum, title)) else None


def _count(found: re.Match[str]) -> int:
    """How many places: 20人, 三人, 十二人; 0 for none."""
    if found["count"]:
        return int(found["count"])
    tens, ten, ones = found["han"].replace("两", "二").rpartition("十")
    if not ten:
        return _HAN.find(ones) + 1 if len(ones) == 1 else 0
    return 10 * (_HAN.index(tens) + 1 if tens else 1) + (_HAN.index(ones) + 1 if ones else 0)


def _split_end(text: str, now: datetime) -> tuple[str, float | None]:
    """明晚8点截止 at the end, as most people write it. Errors: BadTime."""
    ends = _ENDS.search(text)
    if ends is None:
        return text, None
    words = text[: ends.start()]
    for blank in re.finditer(r"[\s,，;；(（]+", words):
        rest, said = words[: blank.start()], words[blank.end() :]
        if not rest.strip():
            continue
        try:
            return rest, _moment(said, now)
        except BadTime as bad:
            if bad.why != "unknown":
                raise
    return text, None


def _split_time(text: str, now: datetime) -> tuple[str, float | None]:
    found = _UNTIL.fullmatch(text)
    if found is None or not found["rest"].strip():
        return _split_end(text, now)
    behind = _BEHIND.fullmatch(found["when"])
    said = behind["when"] if behind is not None else found["when"]
    more = ""
    places = _PLACES.fullmatch(said)
    if places is not None:
        # 到 周五 18:00 20人: the number of people may stand last.
        said, more = places["rest"], " " + said[len(places["rest"]) :].strip()
    try:
        closes_at = _moment(said, now)
    except BadTime as bad:
        if bad.why == "unknown" and not _APART.search(text):
            return text, None
        raise
    return found["rest"] + more, closes_at


def _moment(said: str, now: datetime) -> float:
    """The moment that was said; a day alone means its end."""
    try:
        when = read_when(said, now)
    except BadTime as bad:
        if bad.why != "clock":
            raise
        when = read_when(f"{said} 23:59", now)
    if when.starts_at is None or when.cron or when.best:
        raise BadTime("unknown")
    return when.starts_at


@dataclass(frozen=True, slots=True)
class Pasted:
    """A chain as people paste it. lines: (name and note) in order."""

    title: str
    lines: tuple[str, ...]


def read_chain(text: str) -> Pasted | None:
    """ "#接龙\\n周六读书会\\n1. 小林\\n2. 阿木 带娃"; None for a text that is none.

    At least one numbered line, numbered from 1 without gaps. The title is what stands before
    them, without an example line.
    """
    head = _HEAD.match(text)
    if head is None:
        return None
    titles: list[str] = []
    lines: list[str] = []
    for line in unicodedata.normalize("NFKC", text[head.end() :]).splitlines()[:_LINES]:
        if not line.strip() or (not lines and _EXAMPLE.match(line)):
            continue
        found = _LINE.fullmatch(line)
        if found is not None and int(found["number"]) == len(lines) + 1:
            lines.append(" ".join(found["words"].split()))
        elif not lines:
            titles.append(" ".join(line.split()))
        elif found is None:
            lines[-1] = f"{lines[-1]} {' '.join(line.split())}"
        else:
            return None
    title = titles[0][:LONGEST_TITLE] if titles else ""
    return Pasted(title, tuple(lines)) if lines and title else None


def own_line(pasted: Pasted, name: str, others: Collection[str]) -> tuple[str, str] | None:
    """The name and note of the line that is the poster's own; None when none surely is.

    name: what the group calls the poster, "" when not known. others: what it calls the other
    members, and who is on the list already. WeChat puts the new line last, and people change the
    name on it: the last line counts when it is nobody else's.
    """
    taken = {_bare(one) for one in others} - {""}
    mine = _bare(name)
    for line in reversed(pasted.lines):
        if mine and _is(line, mine):
            return _parts(line, name)
    last = pasted.lines[-1]
    if any(_is(last, one) for one in taken):
        return None
    return _parts(last, "")


def _bare(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split()).lower()


def _is(line: str, name: str) -> bool:
    """Whether a line is of this name: the name alone, or with something behind it. name: bare."""
    words = _bare(line)
    if not words.startswith(name):
        return False
    rest = words[len(name) :]
    first = _NAME.match(line)
    return not rest or not rest[0].isalnum() or (first is not None and _bare(first[0]) == name)


def _parts(line: str, name: str) -> tuple[str, str]:
    """(name, note) of a line."""
    found = _NAME.match(line)
    called = found[0] if found is not None else line[:LONGEST_NAME]
    if name and _bare(line).startswith(_bare(name)) and line.startswith(name):
        called = name
    note = line[len(called) :].strip(" ,，:：-—")
    return called[:LONGEST_NAME], note[:LONGEST_NOTE]
