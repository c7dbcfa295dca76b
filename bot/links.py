"""Tracked links: made for items and addresses, put into answers, read back from tokens.

A link is a row; who got it stands in the token, signed, so that a million members cost no
row. Rows that answers need are made when the content is loaded, not when somebody asks: an
answer waits for no disk. Where a link may lead is judged here when it is made, and again by
`bot/redirect.py` at each click, since catalogue and configuration change in between.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import structlog

from bot import targets
from store import Store, StoreError
from store.catalogue import Item
from store.events import SOURCES
from store.links import Link, Made, NewLink, Target

log = structlog.get_logger()

K = TypeVar("K")
V = TypeVar("V")

BOT = "bot"
"""Who made the links that nobody asked for by hand."""

_MAC_BYTES = 10
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,38}", re.ASCII)
_CACHE = 10_000
_STEP = 500


class BadLink(Exception):
    """This link cannot be made. field: what is wrong, by its name in the API."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} {why}")
        self.field = field
        self.why = why


class Signer:
    """Writes and reads tokens. secret: 32 random bytes; another one ends all links."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, link_id: int, member_id: int = 0) -> str:
        """The token of a link, for a member or (0) for everybody; 16 to 38 letters."""
        payload = _varint(link_id) + _varint(member_id)
        return _text(payload + self._mac(payload))

    def read(self, token: str) -> tuple[int, int] | None:
        """(link, member) of a token of ours, in exactly our spelling; None for all else."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            return None
        # Base64 has several spellings of the same bytes: the last letter's spare bits.
        if not hmac.compare_digest(_text(raw), token):
            return None
        return _numbers(payload)

    def derive(self, name: str) -> bytes:
        """A key of its own for another kind of signature, so that none passes for another."""
        return hmac.digest(self._secret, b"\0" + name.encode(), hashlib.sha256)

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, hashlib.sha256)[:_MAC_BYTES]


def _varint(number: int) -> bytes:
    if not 0 <= number < 1 << 63:
        raise ValueError(f"{number} is no row's number")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _numbers(payload: bytes) -> tuple[int, int] | None:
    """The two numbers; None when there are not two, or one is written longer than need be."""
    found, number, shift = [], 0, 0
    for byte in payload:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(number)
            number = shift = 0
    if len(found) != 2 or found[0] >= 1 << 63 or found[1] >= 1 << 63:
        return None
    return (found[0], found[1]) if b"".join(map(_varint, found)) == payload else None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Linker:
    """Makes and finds links. `await open()` before use, once the store is open.

    public_url: where the internet reaches us; "" makes no links, and every address stays as
    it is. allowed_hosts: where links may lead beside the catalogue; in lower case,
    ".example.com" with all hosts below. now: Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        *,
        public_url: str,
        allowed_hosts: Sequence[str] = (),
        now: Callable[[], float],
    ) -> None:
        self.signer = Signer(b"")
        self.public_url = public_url.rstrip("/")
        self._store = store
        self.hosts = tuple(allowed_hosts)
        self._now = now
        self._ids: OrderedDict[NewLink, int] = OrderedDict()
        self._made: dict[NewLink, int] = {}
        self._answers: dict[tuple[str, str], int] = {}
        self._items: dict[str, str] = {}
        self._targets: OrderedDict[int, Target] = OrderedDict()
        self._loads: dict[int, asyncio.Task[Target | None]] = {}
        self._generation = 0

    async def open(self) -> None:
        """Fetch the key that signs tokens, or make it. Errors: StoreError."""
        self.signer = Signer(await self._store.links.secret(secrets.token_bytes(32)))

    # Making

    def url_for(self, link: Link | int, member_id: int = 0) -> str:
        """The short address of a link, for one member or (0) for everybody.

        Without public_url a link's own plain address, "" for a link that follows an item.
        """
        if not self.public_url:
            return "" if isinstance(link, int) else link.url
        number = link if isinstance(link, int) else link.id
        return f"{self.public_url}/r/{self.signer.token(number, member_id)}"

    async def create(
        self,
        *,
        item_id: str = "",
        url: str = "",
        campaign: str = "",
        variant: str = "",
        source: str = "",
        ref: str = "",
        expires_at: float | None = None,
        by: str,
    ) -> Made:
        """The link that says this; made when there is none yet.

        Either item_id or url. A url that is a live item's becomes a link to the item, which
        follows it when it moves. by: "key:ID", "member:3" or "cli". Errors: BadLink,
        StoreError.
        """
        if bool(item_id) == bool(url):
            raise BadLink("item", "or url: give exactly one of them")
        if source not in SOURCES:
            raise BadLink("source", f"must be one of {', '.join(filter(None, SOURCES))}")
        if expires_at is not None and expires_at <= self._now():
            raise BadLink("expires_at", "is over already")
        if item_id:
            item = await self._store.catalogue.item(item_id)
            if item is None:
                raise BadLink("item", "is not in the catalogue")
            if why := targets.problem(item.url) if item.url else "has no url":
                raise BadLink("item", f"cannot be linked: its url {why}")
        elif why := targets.problem(url):
            raise BadLink("url", why)
        elif (found := await self._store.links.item_with(url)) is not None:
            item_id, url = found, ""
        elif not targets.on_list(url, self.hosts):
            raise BadLink("url", "is neither an item's nor on a host of links.allowed_hosts")
        new = NewLink(item_id, url, campaign, variant, source, ref, expires_at)
        (made,) = await self._store.links.create([new], self._now(), by)
        return made

    async def make_link(
        self, what: str, *, campaign: str = "", variant: str = "", by: str
    ) -> tuple[str, str]:
        """For an operator in the chat: (short address, ""), or ("", what is wrong).

        what: an item's id or an address. What is wrong is "no_public_url", "unknown_item" or
        "bad_url". Errors: StoreError.
        """
        if not self.public_url:
            return "", "no_public_url"
        is_url = "://" in what
        try:
            made = await self.create(
                item_id="" if is_url else what,
                url=what if is_url else "",
                campaign=campaign,
                variant=variant,
                source="campaign",
                by=by,
            )
        except BadLink:
            return "", "bad_url" if is_url else "unknown_item"
        return self.url_for(made.link), ""

    async def to_item(self, item: Item, member_id: int, source: str, ref: str = "") -> str:
        """The tracked address of an item for a member; its plain one when it can't be tracked.

        That is without public_url, for an item whose url no link may lead to ("" included),
        and when the store fails: an answer does not fail for its statistics.
        """
        if not self.public_url or not item.url or targets.problem(item.url):
            return item.url
        new = NewLink(item_id=item.id, source=source, ref=ref)
        try:
            ids = await self._ensure([new])
        except StoreError as error:
            log.warning("links_not_made", error=str(error))
            return item.url
        return self.url_for(ids[new], member_id)

    async def prepare(self, answers: Mapping[str, str], items: Iterable[Item]) -> None:
        """Make the links that answers need, before anybody asks; call it at each reload.

        answers: "faq:12" -> its text. items: all live ones. Only what is new is written; when
        the store fails, new addresses stay plain. Cached targets go, since items may move.
        """
        self._forget_targets()
        found = await asyncio.to_thread(self._read_content, dict(answers), list(items))
        self._items, wanted = found
        if (ids := await self._ids_of(list(wanted.values()))) is not None:
            self._answers = {place: ids[new] for place, new in wanted.items()}
            self._made = ids

    async def renew(self, answers: Mapping[str, str]) -> None:
        """As `prepare`, when nothing but these answers changed; "" is one that is gone."""
        wanted = await asyncio.to_thread(self._wanted, dict(answers), self._items)
        if (ids := await self._ids_of(list(wanted.values()))) is None:
            return
        kept = {place: number for place, number in self._answers.items() if place[0] not in answers}
        self._answers = kept | {place: ids[new] for place, new in wanted.items()}
        self._made |= ids

    async def _ids_of(self, wanted: Sequence[NewLink]) -> dict[NewLink, int] | None:
        """The ids of links that answers need; None when the store fails."""
        ids = {new: self._made[new] for new in wanted if new in self._made}
        missing = [new for new in dict.fromkeys(wanted) if new not in ids]
        try:
            # In steps: no chat message waits for ten thousand rows.
            for start in range(0, len(missing), _STEP):
                ids |= await self._ensure(missing[start : start + _STEP])
        except StoreError as error:
            log.warning("links_not_made", error=str(error))
            return None
        return ids

    def _read_content(
        self, answers: Mapping[str, str], items: Sequence[Item]
    ) -> tuple[dict[str, str], dict[tuple[str, str], NewLink]]:
        """url -> item, and (answer, url) -> the link it needs. On a thread: it may be long."""
        # Of two items with one url, the one that `item_with` would find.
        by_url = {
            item.url: item.id
            for item in sorted(items, key=lambda item: item.id, reverse=True)
            if item.url and not targets.problem(item.url)
        }
        return by_url, self._wanted(answers, by_url)

    def _wanted(
        self, answers: Mapping[str, str], by_url: Mapping[str, str]
    ) -> dict[tuple[str, str], NewLink]:
        """(answer, url) -> the link it needs."""
        wanted: dict[tuple[str, str], NewLink] = {}
        for ref, text in answers.items() if self.public_url else ():
            for start, end in targets.in_text(text) if "://" in text else ():
                url = text[start:end]
                if url in by_url:
                    wanted[ref, url] = NewLink(item_id=by_url[url], source="answer", ref=ref)
                elif targets.on_list(url, self.hosts):
                    wanted[ref, url] = NewLink(url=url, source="answer", ref=ref)
        return wanted

    def in_text(self, text: str, ref: str, member_id: int) -> str:
        """The text with the addresses that are known for `ref` as tracked ones.

        No database: what `prepare` has not seen stays as it is.
        """
        out: list[str] = []
        done = 0
        for start, end in targets.in_text(text):
            link_id = self._answers.get((ref, text[start:end]))
            if link_id is not None:
                out += (text[done:start], self.url_for(link_id, member_id))
                done = end
        return "".join((*out, text[done:])) if out else text

    async def _ensure(self, wanted: Sequence[NewLink]) -> dict[NewLink, int]:
        """The ids of all wanted links; what is known already costs nothing."""
        generation = self._generation
        ids = {new: self._ids[new] for new in wanted if new in self._ids}
        missing = [new for new in dict.fromkeys(wanted) if new not in ids]
        if missing:
            # Looked up first: after a start nearly all are there, and a read waits for no disk.
            there = await self._store.links.find(missing)
            absent = [new for new in missing if new not in there]
            made = await self._store.links.create(absent, self._now(), BOT)
            ids |= {new: link.id for new, link in there.items()}
            ids |= {new: one.link.id for new, one in zip(absent, made, strict=True)}
        if generation == self._generation:
            for new, link_id in ids.items():
                _keep(self._ids, new, link_id)
        return ids

    # Finding

    def cached(self, link_id: int) -> Target | None:
        """A link that was found lately; no database. None: ask `find`."""
        return self._targets.get(link_id)

    async def find(self, link_id: int) -> Target | None:
        """A link and where it leads; None when there is none. Errors: StoreError."""
        if (target := self._targets.get(link_id)) is not None:
            return target
        task = self._loads.get(link_id)
        if task is None:
            task = asyncio.create_task(self._load(link_id, self._generation))
            self._loads[link_id] = task
        # Shielded: who hangs up must not take the answer from the others.
        return await asyncio.shield(task)

    async def _load(self, link_id: int, generation: int) -> Target | None:
        try:
            target = await self._store.links.target(link_id)
        finally:
            # After a change another one may be reading by now.
            if generation == self._generation:
                self._loads.pop(link_id, None)
        if target is not None and generation == self._generation:
            _keep(self._targets, link_id, target)
        return target

    def follows(self, target: Target, now: float) -> str:
        """Where a link leads now; "" when it is over or may not lead there any more."""
        link = target.link
        if link.revoked_at is not None or target.gone:
            return ""
        if link.expires_at is not None and link.expires_at <= now:
            return ""
        if link.item_id:
            return "" if targets.problem(target.url) else target.url
        # The catalogue may hold what the list does not.
        known = target.url in self._items and not targets.problem(target.url)
        return target.url if known or targets.on_list(target.url, self.hosts) else ""

    async def revoke(self, link_id: int, by: str) -> bool:
        """End a link for all who have it; False when there was none to end."""
        done = await self._store.links.revoke(link_id, self._now(), by)
        self.forget_cache()
        self._answers = {place: n for place, n in self._answers.items() if n != link_id}
        return done

    def forget_cache(self) -> None:
        """Another process wrote, or a link was revoked: read links from the file again."""
        self._forget_targets()
        self._ids.clear()
        self._made = {}

    def _forget_targets(self) -> None:
        # What is being read right now may be older than the change: it is not kept.
        self._generation += 1
        self._targets.clear()
        self._loads.clear()


def _keep(store: OrderedDict[K, V], key: K, value: V) -> None:
    store[key] = value
    store.move_to_end(key)
    if len(store) > _CACHE:
        store.popitem(last=False)
