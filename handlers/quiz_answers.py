"""What a text is while a quiz asks for words: an answer, or surely something else.

The only attempt must not be lost to a question about refunds. What another rule takes, what
asks, what the FAQ is sure of and what holds no letter is no answer; unless an accepted answer
has the same form: then all texts of that form are answers, so that the form tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Literal

from handlers import content, faq, followups, recommend, support, topics
from handlers.choices import number_in
from handlers.context import Context
from handlers.message import Message
from handlers.router import Rule, Rules, asking, folded
from knowledge import Band
from store.quiz_rules import Question, plain

LONGEST = 200
"""Characters of an answer: what is longer is a message."""

OTHERS = (
    recommend.router,
    followups.router,
    topics.router,
    content.router,
    support.human,
    faq.feedback,
)
"""The routers asked after the quiz, but for the FAQ, which takes every text."""

_RULES = Rules(OTHERS)
_EMOTICON = re.compile(r"\[[^\[\]]{1,6}\]|/:[!-Z^-~]{1,12}")
_QUESTION = re.compile(
    "怎么|怎样|如何|为什么|为啥|干嘛|什么|多少|哪[里儿些个]|能不能|可不可以|有没有|是不是|[吗嘛呢]$"
)
_ORDER = re.compile("(?:领券|兑换|搜索|查找|订阅|退订|转人工).+|确认(?:忘记)?")
_YES_NO = frozenset(
    ("对", "错", "是", "否", "是的", "不是", "对的", "不对", "正确", "错误", "有", "没有")
)
_NEAR = 0.6
"""How alike a slip of the pen is: 吉 and 吉多, not 南京 and 北京."""

Kind = Literal["answer", "asked", "other"]


def kind_of(message: Message, ctx: Context, question: Question) -> Kind:
    """What this text is to a question for words.

    asked: an answer with a question mark. It is judged without one only, whether it is right
    or not: else a mark would make guessing free.
    """
    text, answers = folded(message.text), question.answers
    if len(message.text) > LONGEST:
        return "other"
    given: Kind = "answer"
    if asking(message.text) and not any(map(asking, answers)):
        given = "asked"
    if number_in(text) is not None:
        return given
    if plain(text) in _YES_NO and any(plain(answer) in _YES_NO for answer in answers):
        return given
    usual = {form for answer in answers for form in _forms(folded(answer))}
    if _forms(text) - usual:
        return "other"
    ours = [rule for answer in answers for rule in _taking(replace(message, text=answer), ctx)]
    if any(rule not in ours for rule in _taking(message, ctx)):
        return "other"
    known = ctx.knowledge.ask(message.text, ctx.demoted).band is Band.SURE
    return "other" if known and not is_near(text, answers) else given


def is_near(text: str, answers: Iterable[str]) -> bool:
    """Whether it holds one of the answers, or nearly is one."""
    given = plain(text)
    return any(
        answer in given
        or (len(given) <= 2 * len(answer) and SequenceMatcher(None, given, answer).ratio() >= _NEAR)
        for answer in map(plain, answers)
    )


def _forms(text: str) -> set[str]:
    """What the text looks like besides an answer. text: folded."""
    forms = set()
    if not any(char.isalnum() for char in _EMOTICON.sub("", text)):
        forms.add("signs")
    if _QUESTION.search(text):
        forms.add("question")
    if _ORDER.fullmatch(text):
        forms.add("order")
    return forms


def _taking(message: Message, ctx: Context) -> list[Rule]:
    return [
        rule
        for rule in _RULES.of(message, folded(message.text))
        if rule.guard is None or rule.guard(message, ctx)
    ]
