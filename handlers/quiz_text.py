"""How a quiz is written down: a title, numbered questions, what can be won. Pure.

    Python 小测验
    奖品 1: 100积分 + 券 早鸟
    奖品 2-3: 50积分
    参与: 5积分

    1. 列表用哪种括号？（20分 30秒）
    A. ()
    *B. []
    2. 哪些是关键字？
    *A. if
    B. then
    *C. for
    3. Python 的作者是谁？
    答案：Guido / 吉多

A star is before each right choice: one makes a single choice, several a multiple one. The
same form stands in a chat message and in a file; what comes as JSON meets the same limits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from store.eligibility import BadRule, parse
from store.quiz_rules import LETTERS, Kind, Question, plain
from store.quizzes import NewQuiz, Prize

MAX_QUESTIONS = 50
MAX_TITLE = 40
MAX_BYTES = 1500
"""UTF-8 of a question with its options: with what stands around it, one message."""
MAX_OPTION = 200
MAX_ANSWER = 60
MAX_ANSWERS = 20
MAX_POINTS = 1000
MAX_PRIZE = 100_000
MAX_PLACE = 1000
MAX_PRIZES = 20
MIN_SECONDS, MAX_SECONDS = 5, 600
MAX_BONUS = 100
POINTS, SECONDS, BONUS = 10, 30, 50

WHY: Mapping[str, str] = MappingProxyType(
    {
        "title": f"the title must have 1 to {MAX_TITLE} characters",
        "questions": f"a quiz has 1 to {MAX_QUESTIONS} questions",
        "question": f"a question needs words, and at most {MAX_BYTES} bytes with its options",
        "number": "questions are numbered 1, 2, 3 … without gaps",
        "option": f"an option has 1 to {MAX_OPTION} characters, once in its question",
        "options": f"a choice has 2 to {len(LETTERS)} options, from A on without gaps",
        "star": "no right option: put * before each right one, as in *B. …",
        "answer": f"1 to {MAX_ANSWERS} accepted answers of 1 to {MAX_ANSWER} characters",
        "neither": "a question needs options or a line 答案：…",
        "both": "a question has options or accepted answers, not both",
        "points": f"a question scores 1 to {MAX_POINTS} points",
        "seconds": f"a question takes {MIN_SECONDS} to {MAX_SECONDS} seconds",
        "bonus": f"the speed bonus is 0 to {MAX_BONUS} percent",
        "prize": f"a prize is 1 to {MAX_PRIZE} points, the word of an offer, or both, as in "
        "奖品 1-3: 100积分 + 券 早鸟",
        "places": f"places go from 1 to {MAX_PLACE}, and each stands in one prize only",
        "prizes": f"at most {MAX_PRIZES} lines of prizes",
        "audience": "the rule for who may take part cannot be read, as in 对象：tag:VIP",
        "stray": "this line belongs to nothing: a question is 1. …, an option A. …",
    }
)
"""What can be wrong, by code, and what to write instead; the chat has the same in Chinese."""

Spot = tuple[str, int]
"""Where in a quiz: ("title", 0), ("questions", 2), ("prizes", 0), ("audience", 0) …"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong. line: from 1; code: of WHY."""

    line: int
    code: str

    def __str__(self) -> str:
        return f"line {self.line}: {WHY[self.code]}"


class BadQuiz(ValueError):
    """A written form that is no quiz; every fault names its line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


# What a quiz must keep, however it was written


def problems(new: NewQuiz) -> Iterator[tuple[Spot, str]]:
    """What is wrong with a quiz: where, and the code of WHY; nothing when it is right."""
    if not 0 < len(new.title.strip()) <= MAX_TITLE or not new.title.isprintable():
        yield ("title", 0), "title"
    if not 0 < len(new.questions) <= MAX_QUESTIONS:
        yield ("questions", len(new.questions) and MAX_QUESTIONS), "questions"
    if not 0 <= new.speed_bonus <= MAX_BONUS:
        yield ("speed_bonus", 0), "bonus"
    try:
        parse(new.audience)
    except BadRule:
        yield ("audience", 0), "audience"
    for place, question in enumerate(new.questions):
        for code in _question_problems(question):
            yield ("questions", place), code
    if len(new.prizes) > MAX_PRIZES:
        yield ("prizes", MAX_PRIZES), "prizes"
    taken: set[int] = set()
    for place, prize in enumerate(new.prizes[:MAX_PRIZES]):
        if not (0 <= prize.points <= MAX_PRIZE and (prize.points or prize.coupon)):
            yield ("prizes", place), "prize"
        if not (prize.first == prize.last == 0 or 1 <= prize.first <= prize.last <= MAX_PLACE):
            yield ("prizes", place), "places"
            continue
        places = set(range(prize.first, prize.last + 1))
        if places & taken:
            yield ("prizes", place), "places"
        taken |= places


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def _question_problems(question: Question) -> Iterator[str]:
    said = asked(question)
    if not question.text.strip() or len(said.encode()) > MAX_BYTES or _CONTROL.search(said):
        yield "question"
    if not 1 <= question.points <= MAX_POINTS:
        yield "points"
    if not MIN_SECONDS <= question.seconds <= MAX_SECONDS:
        yield "seconds"
    if question.kind == "short":
        if question.options:
            yield "both"
        fine = all(0 < len(one) <= MAX_ANSWER and plain(one) for one in question.answers)
        if not (fine and 0 < len(question.answers) <= MAX_ANSWERS):
            yield "answer"
        return
    if not 2 <= len(question.options) <= len(LETTERS):
        yield "options"
        return
    folded = {" ".join(option.split()) for option in question.options}
    longest = max(map(len, question.options))
    if "" in folded or len(folded) < len(question.options) or longest > MAX_OPTION:
        yield "option"
    letters = LETTERS[: len(question.options)]
    right = set(question.answers)
    if not right or not right <= set(letters) or (question.kind == "single") is (len(right) > 1):
        yield "star"


def asked(question: Question) -> str:
    """The question with its options, as a member reads them."""
    options = [f"{LETTERS[n]}. {one}" for n, one in enumerate(question.options)]
    return "\n".join((question.text, *options))


# What a member answers

_BETWEEN = re.compile(r"[\s,，、;；和+]+|选|我选|答案是|答")


def chosen(typed: str) -> str | None:
    """ "a,c", "ＡＣ", "1 3" or "选 C" as letters in order; None for what is no choice.

    Eight letters there are, whatever the question has.
    """
    text = unicodedata.normalize("NFKC", typed).strip().rstrip("。.!！~ ").upper()
    text = _BETWEEN.sub("", text)
    if not text or len(text) > 2 * len(LETTERS):
        return None
    letters = set()
    for char in text:
        if char in LETTERS:
            letters.add(char)
        elif char in "12345678":
            letters.add(LETTERS[int(char) - 1])
        else:
            return None
    return "".join(sorted(letters))


# The written form

_QUESTION = re.compile(r"\s*([0-9０-９]{1,3})\s*[.．、:：)）]\s*(\S.*)")
_OPTION = re.compile(r"\s*([*＊★✱]?)\s*([A-Ha-hＡ-Ｈａ-ｈ])\s*[.．、:：)）]\s*(.*)")
_ANSWER = re.compile(r"\s*(?:答案|答)\s*[:：]\s*(.*)")
_PRIZE = re.compile(
    r"\s*奖品\s*第?\s*([0-9０-９]{1,5})\s*(?:[-~～到至—–]+\s*([0-9０-９]{1,5}))?\s*名?\s*[:：]\s*(.*)"
)
_PART = re.compile(r"\s*参与奖?\s*[:：]\s*(.*)")
_BONUS = re.compile(r"\s*速度加分\s*[:：]?\s*([0-9０-９]{1,4})\s*[%％]?\s*")
_AUDIENCE = re.compile(r"\s*对象\s*[:：]\s*(.*)")
_EACH = re.compile(r"\s*每题\s*[:：]?\s*(.+)")
_TITLE = re.compile(r"\s*(?:标题\s*[:：])?\s*(.*?)\s*")
_LIMITS = re.compile(
    r"(?:([0-9０-９]{1,6})\s*分)?\s*[,，、]?\s*(?:([0-9０-９]{1,6})\s*(?:秒|s|S))?"
)
_LIMITS_END = re.compile(
    r"(.*?)\s*[（(]([^（）()]*[0-9０-９]\s*(?:分|秒|s|S)\s*)[)）]\s*", re.DOTALL
)
_SLASH = re.compile(r"\s+[/／|｜]\s+|\s*[|｜]\s*|(?<![0-9A-Za-z\s])[/／]|[/／](?![0-9A-Za-z\s])")
_WIN = re.compile(r"([0-9０-９]{1,9})\s*积分|券\s*[:：]?\s*(\S+)")


_NO_TITLE = (_QUESTION, _OPTION, _PRIZE, _PART)


@dataclass(slots=True)
class _Draft:
    """A question while its lines are read."""

    line: int
    text: str
    points: int
    seconds: int
    own: bool = False  # points and seconds are its own, not those of 每题
    options: list[str] = field(default_factory=list)
    right: list[str] = field(default_factory=list)
    answers: list[str] | None = None

    def made(self) -> Question:
        if self.answers is not None:
            answers = tuple(self.answers)
            return Question(
                "short", self.text, tuple(self.options), answers, self.points, self.seconds
            )
        kind: Kind = "multiple" if len(self.right) > 1 else "single"
        right = tuple(self.right)
        return Question(kind, self.text, tuple(self.options), right, self.points, self.seconds)


class _Reader:
    """Line after line into a quiz; what is wrong is gathered, not raised."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.title = ""
        self.questions: list[_Draft] = []
        self.prizes: list[Prize] = []
        self.lines: dict[Spot, int] = {}
        self.audience = ""
        self.bonus = BONUS
        self.points, self.seconds = POINTS, SECONDS

    def read(self, number: int, line: str) -> None:
        """Take one line that is not blank. number: from 1."""
        if not self.lines:
            self.lines["title", 0] = number
            found = _TITLE.fullmatch(line)
            if found is not None and not any(form.fullmatch(line) for form in _NO_TITLE):
                self.title = found[1]
                return
        if not (self._header(number, line) or self._part(number, line)):
            self._more(number, line)

    def _fault(self, number: int, code: str) -> None:
        self.faults.append(Fault(number, code))

    def _header(self, number: int, line: str) -> bool:
        """What may stand between title and questions, or behind them: prizes and rules."""
        if found := _PRIZE.fullmatch(line):
            # A place "0" is none: everybody has 参与.
            first = int(found[1]) or -1
            self._win(number, first, int(found[2] or first), found[3])
        elif found := _PART.fullmatch(line):
            self._win(number, 0, 0, found[1])
        elif found := _BONUS.fullmatch(line):
            self.lines["speed_bonus", 0] = number
            self.bonus = int(found[1])
        elif found := _AUDIENCE.fullmatch(line):
            self.lines["audience", 0] = number
            self.audience = found[1].strip()
        elif not self.questions and (found := _EACH.fullmatch(line)):
            self.lines["each", 0] = number
            self.points, self.seconds = self._limits(number, found[1])
        else:
            return False
        return True

    def _limits(self, number: int, text: str) -> tuple[int, int]:
        found = _LIMITS.fullmatch(text.strip())
        if found is None or not any(found.groups()):
            self._fault(number, "seconds")
            return self.points, self.seconds
        return int(found[1] or self.points), int(found[2] or self.seconds)

    def _win(self, number: int, first: int, last: int, text: str) -> None:
        self.lines["prizes", len(self.prizes)] = number
        points, coupon = 0, ""
        for part in re.split(r"\s*[+＋,，、]\s*", text.strip()):
            found = _WIN.fullmatch(part)
            if found is None:
                points = -1
                break
            points += int(found[1] or 0)
            coupon = found[2] or coupon
        self.prizes.append(Prize(first, last, points, coupon))

    def _part(self, number: int, line: str) -> bool:
        """A question, one of its options, its answers."""
        now = self.questions[-1] if self.questions else None
        if now is not None and (found := _ANSWER.fullmatch(line)):
            now.answers = (now.answers or []) + [
                one for part in _SLASH.split(found[1]) if (one := part.strip())
            ]
        elif now is not None and (found := _OPTION.fullmatch(line)):
            letter = unicodedata.normalize("NFKC", found[2]).upper()
            if len(now.options) < len(LETTERS) and letter != LETTERS[len(now.options)]:
                self._fault(number, "options")
            now.options.append(found[3].strip())
            if found[1]:
                now.right.append(letter)
        elif found := _QUESTION.fullmatch(line):
            expected = int(found[1]) == len(self.questions) + 1
            # 3.14 begins no third question, but 3.2024年… may be one.
            if not expected and found[2][0].isdigit():
                return False
            if not expected:
                self._fault(number, "number")
            self.lines["questions", len(self.questions)] = number
            text, limits = found[2].strip(), (self.points, self.seconds)
            if ends := _LIMITS_END.fullmatch(text):
                text, limits = ends[1], self._limits(number, ends[2])
            self.questions.append(_Draft(number, text, *limits, own=bool(ends)))
        else:
            return False
        return True

    def _more(self, number: int, line: str) -> None:
        """Another line of the question, if that has nothing after it yet."""
        now = self.questions[-1] if self.questions else None
        if now is None or now.options or now.answers is not None:
            self._fault(number, "stray")
            return
        now.text = f"{now.text}\n{line.rstrip()}"

    def made(self) -> NewQuiz:
        """The quiz. Errors: BadQuiz."""
        new = NewQuiz(
            title=self.title,
            questions=tuple(one.made() for one in self.questions),
            prizes=tuple(self.prizes),
            speed_bonus=self.bonus,
            audience=self.audience,
        )
        seen = {(fault.line, fault.code) for fault in self.faults}
        for spot, code in problems(new):
            number = self.lines.get(spot, 1)
            if spot[0] == "questions" and self.questions:
                draft = self.questions[min(spot[1], len(self.questions) - 1)]
                if code == "options" and not draft.options and draft.answers is None:
                    code = "neither"
                if code in ("points", "seconds") and not draft.own:
                    number = self.lines.get(("each", 0), number)
            if (number, code) not in seen:
                seen.add((number, code))
                self.faults.append(Fault(number, code))
        if self.faults:
            raise BadQuiz(sorted(self.faults, key=lambda fault: fault.line))
        return new


def read(text: str) -> NewQuiz:
    """The quiz that a text says. Errors: BadQuiz, with every fault and its line."""
    reader = _Reader()
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if line.strip():
            reader.read(number, line)
    return reader.made()


def letters_sorted(question: Question) -> Question:
    """The question with its right letters in order, each once; others as they are."""
    if question.kind == "short":
        return question
    return replace(question, answers=tuple(sorted(set(question.answers))))
