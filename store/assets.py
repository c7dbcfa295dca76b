"""Pictures that campaigns use, and where WeChat keeps them.

The file is here, WeChat's name of it is a copy that may have ended or be of an older file: the
hash of the bytes says so. Nothing here uploads.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed

Purpose = Literal["temporary", "permanent", "article"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

MAX_BYTES = 2 * 1024 * 1024
_NAME = re.compile(r"[^\W_][\w.-]{0,63}")
_BEGINNINGS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
_SPARE_S = 3600.0
"""A copy that ends within this is made again: a send takes its time."""


class BadAsset(ValueError):
    """This picture cannot be kept. field: "name" or "data"."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class AssetInUse(ValueError):
    """Another picture cannot take this name. campaigns: number and title of those that were
    confirmed with the picture that has it."""

    def __init__(self, name: str, campaigns: tuple[str, ...]) -> None:
        named = ", ".join(campaigns)
        super().__init__(f"{name}: shown by confirmed campaigns ({named}); take another name")
        self.name = name
        self.campaigns = campaigns


@dataclass(frozen=True, slots=True)
class Asset:
    """A picture without its bytes. mime: "image/png" or "image/jpeg"."""

    id: int
    name: str
    mime: str
    digest: bytes
    size: int
    added_at: float
    added_by: str

    @property
    def filename(self) -> str:
        """A name that an upload may have: WeChat wants the ending."""
        return f"asset{self.id}.{'png' if self.mime == 'image/png' else 'jpg'}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A copy at WeChat. media_id: "" for "article"; url: "" for the others."""

    media_id: str
    url: str
    expires_at: float | None


def kind_of(data: bytes) -> str:
    """The type of a picture by its first bytes; "" for none that WeChat takes everywhere."""
    return next((mime for mime, start in _BEGINNINGS.items() if data.startswith(start)), "")


def valid_name(name: str) -> bool:
    """Whether a picture may be called so: 1 to 64 letters, digits, ".", "-" or "_"."""
    return _NAME.fullmatch(name) is not None


_COLUMNS = "id, name, mime, digest, length(data), added_at, added_by"


def _one(conn: Connection, name: str) -> Asset | None:
    row = conn.execute(f"select {_COLUMNS} from assets where name = ?", (name,)).fetchone()
    return None if row is None else _of_row(row)


def _of_row(row: tuple[int, str, str, bytes, int, float, str]) -> Asset:
    return Asset(row[0], row[1], row[2], bytes(row[3]), row[4], row[5], row[6])


_USED = (
    "select c.id, c.title, v.content from campaigns as c "
    "join variants as v on v.campaign_id = c.id "
    "where c.status in ('scheduled', 'freezing', 'running', 'paused', 'late') order by c.id"
)


def _users(conn: Connection, name: str) -> tuple[str, ...]:
    """Campaigns whose confirmed content shows the picture of this name."""
    found = [
        f"{campaign_id} {title}"
        for campaign_id, title, content in conn.execute(_USED)
        if _shows(json.loads(content), name)
    ]
    return tuple(dict.fromkeys(found))


def _shows(content: Mapping[str, Any], name: str) -> bool:
    if name in (content.get("asset"), content.get("cover"), content.get("thumb")):
        return True
    # Markdown has many ways to write a picture: any mention of its name counts.
    text = html.unescape(str(content.get("markdown") or "")).replace("\\", "")
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text) is not None


class Assets:
    """The tables `assets` and `uploads`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(
        self, name: str, data: bytes, now: float, by: str, deed: Deed | None = None
    ) -> Asset:
        """Keep a picture under a name; another one of that name is replaced.

        Errors: BadAsset for a name that is none, more than 2 MB, or neither PNG nor JPEG;
        AssetInUse when a confirmed campaign shows the picture that has the name: what somebody
        said yes to is what goes out.
        """
        if not valid_name(name):
            raise BadAsset("name", "1 to 64 letters, digits, '.', '-' or '_'")
        if len(data) > MAX_BYTES:
            raise BadAsset("data", f"at most {MAX_BYTES} bytes")
        mime = kind_of(data)
        if not mime:
            raise BadAsset("data", "neither PNG nor JPEG")
        digest = hashlib.sha256(data).digest()

        def run(conn: Connection) -> Asset:
            there = _one(conn, name)
            if there is not None and there.digest == digest:
                return there
            if there is not None and (users := _users(conn, name)):
                raise AssetInUse(name, users)
            conn.execute(
                "insert into assets (name, mime, digest, data, added_at, added_by) "
                "values (?, ?, ?, ?, ?, ?) on conflict (name) do update set "
                "mime = excluded.mime, digest = excluded.digest, data = excluded.data, "
                "added_at = excluded.added_at, added_by = excluded.added_by",
                (name, mime, digest, data, now, by),
            )
            made = _one(conn, name)
            assert made is not None
            if deed is not None:
                deed.write(conn, f"asset:{name}", f"{len(data)} bytes")
            return made

        return await self._db.write(run)

    async def get(self, name: str) -> Asset | None:
        """One by its name; None for none."""
        return await self._db.read(lambda conn: _one(conn, name))

    async def data(self, asset_id: int) -> bytes:
        """The bytes of one; b"" for none."""

        def run(conn: Connection) -> bytes:
            row = conn.execute("select data from assets where id = ?", (asset_id,)).fetchone()
            return b"" if row is None else bytes(row[0])

        return await self._db.read(run)

    async def all(self) -> list[Asset]:
        """Every picture, by name; [] for none."""

        def run(conn: Connection) -> list[Asset]:
            rows = conn.execute(f"select {_COLUMNS} from assets order by name")
            return [_of_row(row) for row in rows]

        return await self._db.read(run)

    async def uploaded(
        self, asset: Asset, channel: str, purpose: Purpose, now: float
    ) -> Upload | None:
        """The copy of exactly these bytes; None when it must be made, or ends within the hour."""

        def run(conn: Connection) -> Upload | None:
            row = conn.execute(
                "select media_id, url, expires_at from uploads "
                "where asset_id = ? and channel = ? and purpose = ? and digest = ? "
                "and (expires_at is null or expires_at > ?)",
                (asset.id, channel, purpose, asset.digest, now + _SPARE_S),
            ).fetchone()
            return None if row is None else Upload(*row)

        return await self._db.read(run)

    async def keep(self, asset: Asset, channel: str, purpose: Purpose, upload: Upload) -> None:
        """Note where WeChat has it now; an older copy is forgotten."""

        def run(conn: Connection) -> None:
            conn.execute(
                "insert into uploads "
                "(asset_id, channel, purpose, digest, media_id, url, expires_at) "
                "values (?, ?, ?, ?, ?, ?, ?) "
                "on conflict (asset_id, channel, purpose) do update set "
                "digest = excluded.digest, media_id = excluded.media_id, url = excluded.url, "
                "expires_at = excluded.expires_at",
                (
                    asset.id,
                    channel,
                    purpose,
                    asset.digest,
                    upload.media_id,
                    upload.url,
                    upload.expires_at,
                ),
            )

        await self._db.write(run)

    async def lost(self, asset: Asset, channel: str, purpose: Purpose, media_id: str) -> None:
        """WeChat does not know this copy any more (40007): the next use makes another one."""

        def run(conn: Connection) -> None:
            conn.execute(
                "delete from uploads where asset_id = ? and channel = ? and purpose = ? "
                "and media_id = ?",
                (asset.id, channel, purpose, media_id),
            )

        await self._db.write(run)
