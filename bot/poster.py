"""The picture of an invitation: a QR code on a plain card, or on the operator's own picture.

Nobody's name, face or number is in it. Pure but for `Poster.read`; drawing takes some
hundredths of a second of CPU and belongs in a thread.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import segno
from PIL import Image, ImageDraw, ImageOps

MAX_BYTES = 5 * 1024 * 1024
"""The largest picture of an operator."""
MAX_SIDE = 4096
LEAST_SIDE = 480
_KEPT_SIDE = 1080
"""A shorter side beyond this is memory and upload time that no phone shows."""
UPLOAD_BYTES = 10 * 1024 * 1024
"""WeChat takes no larger picture."""

_CARD_SIDE = 720
_QUIET = 4
"""Light modules around a code, by its standard."""
_LEAST_MODULE = 4
"""Pixels of a module that a phone still reads off another phone's screen."""
_SHARE = 0.32
"""Of the shorter side of the operator's picture, so much is the code."""
_FRAME = "#07c160"
_FORMATS = ("PNG", "JPEG")


class PosterError(ValueError):
    """The operator's picture cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished file. kind: "png" or "jpeg"."""

    data: bytes
    kind: str


class Poster:
    """Draws codes. background: a PNG or JPEG as bytes, None for the plain card.

    Raises PosterError for a background that cannot be used.
    """

    def __init__(self, background: bytes | None = None) -> None:
        self._background: Image.Image | None = None
        self._kind = "png"
        if background is not None:
            self._background, self._kind = _opened(background)

    @classmethod
    def read(cls, path: Path | None) -> Poster:
        """With the picture at `path`; None: the plain card. Errors: PosterError."""
        if path is None:
            return cls()
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise PosterError(f"cannot be read ({error.strerror})") from error
        return cls(data)

    def draw(self, content: str) -> Picture:
        """A picture whose code says `content`. Errors: PosterError when it is too long for one."""
        try:
            rows = modules(content)
        except segno.DataOverflowError as error:
            raise PosterError("the address is too long for a code") from error
        if self._background is None:
            return Picture(_saved(_card(rows), "png"), "png")
        image = self._background.copy()
        module = max(_LEAST_MODULE, int(min(image.size) * _SHARE) // len(rows))
        code = _drawn(rows, module)
        if code.width > min(image.size):
            raise PosterError("is too small for the code")
        edge = max(8, min(image.size) // 32)
        edge = min(edge, min(image.size) - code.width)
        image.paste(code, (image.width - code.width - edge, image.height - code.height - edge))
        data = _saved(image, self._kind)
        if len(data) > UPLOAD_BYTES:
            return Picture(_saved(image, "jpeg"), "jpeg")
        return Picture(data, self._kind)


def modules(content: str) -> list[list[bool]]:
    """The code that says `content`, row by row with its light border; True is dark."""
    code = segno.make(content, micro=False, error="m", boost_error=False)
    return [[bool(cell) for cell in row] for row in code.matrix_iter(border=_QUIET)]


def _drawn(rows: list[list[bool]], module: int) -> Image.Image:
    side = len(rows)
    small = Image.frombytes("L", (side, side), bytes(0 if d else 255 for row in rows for d in row))
    return small.resize((side * module, side * module), Image.Resampling.NEAREST).convert("RGB")


def _card(rows: list[list[bool]]) -> Image.Image:
    module = max(_LEAST_MODULE, (_CARD_SIDE - 80) // len(rows))
    code = _drawn(rows, module)
    side = max(_CARD_SIDE, code.width + 80)
    card = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(card).rectangle((12, 12, side - 13, side - 13), outline=_FRAME, width=6)
    at = math.floor((side - code.width) / 2)
    card.paste(code, (at, at))
    return card


def _saved(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "png":
        image.save(out, "PNG", optimize=False)
    else:
        image.save(out, "JPEG", quality=90)
    return out.getvalue()


def _opened(data: bytes) -> tuple[Image.Image, str]:
    """The operator's picture, upright and without what a camera wrote into it."""
    if len(data) > MAX_BYTES:
        raise PosterError(f"is over {MAX_BYTES // 1024 // 1024} MB")
    try:
        # Its size is read before its pixels: a small file can hold a huge picture.
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if max(width, height) > MAX_SIDE:
                raise PosterError(f"has {width}x{height} pixels; at most {MAX_SIDE} a side")
            if min(width, height) < LEAST_SIDE:
                raise PosterError(f"has {width}x{height} pixels; at least {LEAST_SIDE} a side")
            kind = "jpeg" if image.format == "JPEG" else "png"
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except PosterError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # SyntaxError: Pillow's word for a broken PNG.
        raise PosterError("is no PNG or JPEG that can be read") from error
    flat = Image.new("RGB", upright.size, "white")
    flat.paste(upright, mask=upright.getchannel("A"))
    shrunk = min(1.0, _KEPT_SIDE / min(flat.size))
    if shrunk < 1.0:
        flat = flat.resize((round(flat.width * shrunk), round(flat.height * shrunk)))
    return flat, kind
