"""The reader of QR codes reads what others have written, and nothing else."""

from __future__ import annotations

import io
from typing import Any

import pytest
import segno
from PIL import Image

from sandbox.codes import NoCode, read


def picture(text: str, *, scale: int = 4, kind: str = "png", **options: Any) -> bytes:
    out = io.BytesIO()
    segno.make(text, micro=False, boost_error=False, **options).save(out, kind="png", scale=scale)
    if kind != "png":
        image = Image.open(out).convert("RGB")
        out = io.BytesIO()
        image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("level", "lmqh")
@pytest.mark.parametrize("length", [1, 16, 40, 60])
def test_what_was_written_is_read_at_every_level_and_size(level: str, length: int) -> None:
    text = ("http://weixin.qq.com/q/" + "aZ09_-知" * 12)[:length]
    assert read(picture(text, error=level, encoding="utf-8")) == text


@pytest.mark.parametrize("mask", range(8))
def test_every_mask_is_taken_off(mask: int) -> None:
    text = "http://weixin.qq.com/q/0123456789abcdef"
    assert read(picture(text, mask=mask)) == text


def test_a_code_on_a_poster_is_found_whatever_the_format() -> None:
    code = Image.open(io.BytesIO(picture("https://x.example/r/abc", scale=5)))
    poster = Image.new("RGB", (600, 800), "#2b6cb0")
    poster.paste("#101010", (40, 40, 300, 120))
    poster.paste(code.convert("RGB"), (371, 553))
    for kind in ("png", "jpeg"):
        out = io.BytesIO()
        poster.save(out, kind)
        assert read(out.getvalue()) == "https://x.example/r/abc"


def test_no_code_is_said_so() -> None:
    blank = io.BytesIO()
    Image.new("RGB", (90, 90), "black").save(blank, "png")
    for bad in (b"", b"GIF89a", blank.getvalue(), picture("https://x.example/")[:60]):
        with pytest.raises(NoCode):
            read(bad)
    digits = picture("0123456789")
    with pytest.raises(NoCode, match="plain bytes"):
        read(digits)
