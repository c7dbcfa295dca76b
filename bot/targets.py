"""Where a tracked link may lead. Pure: no network, no store.

An open redirect lends our name to somebody else's page, and it is born where two programs
read one address differently: ours, and the visitor's browser. So nothing is repaired here.
An address is either written in the one plain way that all programs read alike, or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote_plus

MAX_URL = 2048

# Scheme, host, port, and the rest, which begins with "/", "?" or "#" or is empty. No place
# for user@, for [::1], for a dot at the end, for letters beyond ASCII in the host.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_URL = re.compile(
    rf"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<host>{_LABEL}(?:\.{_LABEL})*)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>[/?#].*)?"
)
# Blanks, control characters, and the backslash, which browsers read as a slash.
_NEVER = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff\ud800-\udfff]")
_PLAIN = "".join(map(chr, range(0x21, 0x7F)))
_IN_TEXT = re.compile(r"(?i:https?)://[!#-;=?-_a-z~%]+")
_OWN_PORT = {"http": 80, "https": 443}


def problem(url: str) -> str:
    """Why this is no address for a link, in words for whoever gave it; "" when it is one."""
    if len(url) > MAX_URL:
        return f"is longer than {MAX_URL} characters"
    if _NEVER.search(url):
        return "holds a blank, a control character or a backslash"
    if not url[:8].lower().startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    found = _URL.fullmatch(url)
    if found is None:
        return (
            "has a host that browsers could read differently: no user@, no [IPv6], no dot at"
            " the end, and names beyond ASCII in their xn-- form"
        )
    if int(found["port"] or 1) > 65535 or len(found["host"]) > 253:
        return "has a host or a port that does not exist"
    return ""


def on_list(url: str, hosts: Sequence[str]) -> bool:
    """Whether the address is sound and its host is one of `hosts`, on the scheme's own port.

    hosts: in lower case; ".example.com" is example.com and every host below it.
    """
    if problem(url):
        return False
    found = _URL.fullmatch(url)
    assert found is not None
    if found["port"] and int(found["port"]) != _OWN_PORT[found["scheme"].lower()]:
        return False  # another port may be another party's
    host = found["host"].lower()
    return any(
        host == entry[1:] or host.endswith(entry) if entry.startswith(".") else host == entry
        for entry in hosts
    )


def location(url: str, name: str = "", value: str = "") -> str:
    """The address as a Location header takes it, with name=value in its query.

    url: a sound one. What it holds beyond ASCII is escaped; the rest stays to the byte, but
    for an older value of `name`. name: "" adds nothing.
    """
    if name:
        url, mark, fragment = url.partition("#")
        path, _, query = url.partition("?")
        pairs = query.split("&") if query else []
        kept = [pair for pair in pairs if unquote_plus(pair.partition("=")[0]) != name]
        url = f"{path}?{'&'.join([*kept, f'{name}={value}'])}{mark}{fragment}"
    return quote(url, safe=_PLAIN)


def in_text(text: str) -> Iterator[tuple[int, int]]:
    """Where addresses stand in a text: (start, end) of each, as a chat shows them.

    They end at the first blank, quote, bracket or letter beyond ASCII; punctuation at their
    end belongs to the sentence.
    """
    for match in _IN_TEXT.finditer(text):
        url = match.group().rstrip(".,;:!?'")
        while url.endswith(")") and url.count(")") > url.count("("):
            url = url[:-1].rstrip(".,;:!?'")
        yield match.start(), match.start() + len(url)
