"""Posters: a code that a phone reads, on a card or on what the operator chose."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import segno
from PIL import Image

from bot.poster import MAX_BYTES, MAX_SIDE, Poster, PosterError, modules
from sandbox.codes import NoCode, read

URL = "http://weixin.qq.com/q/02abcDEFghiJKLmnoPQR"


def picture(kind: str = "PNG", size: tuple[int, int] = (800, 1200), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "#2b6cb0").save(out, kind)
    return out.getvalue()


def test_the_plain_card_is_a_png_that_says_the_address() -> None:
    drawn = Poster().draw(URL)
    assert drawn.kind == "png"
    assert drawn.data.startswith(b"\x89PNG\r\n\x1a\n")
    assert read(drawn.data) == URL
    assert Poster().draw(URL) == drawn, "nothing in it is left to chance"


def test_the_cards_pixels_are_the_codes_modules() -> None:
    wanted = [list(map(bool, row)) for row in segno.make(URL, error="m", boost_error=False).matrix]
    rows = modules(URL)
    assert [row[4:-4] for row in rows[4:-4]] == wanted
    with Image.open(io.BytesIO(Poster().draw(URL).data)) as card:
        grey = card.convert("L")
        module = (card.width - 80) // len(rows)
        left = (card.width - module * len(rows)) // 2
        seen = [
            [
                grey.getpixel((left + module * x + module // 2, left + module * y + module // 2))
                for x in range(len(rows))
            ]
            for y in range(len(rows))
        ]
    assert seen == [[0 if dark else 255 for dark in row] for row in rows]


@pytest.mark.parametrize(("kind", "word"), [("PNG", "png"), ("JPEG", "jpeg")])
def test_the_operators_picture_keeps_its_kind_and_gets_the_code(kind: str, word: str) -> None:
    drawn = Poster(picture(kind)).draw(URL)
    assert drawn.kind == word
    assert read(drawn.data) == URL
    with Image.open(io.BytesIO(drawn.data)) as poster:
        assert poster.size == (800, 1200)
        assert poster.getpixel((5, 5)) != (255, 255, 255), "the picture is still there"


def test_large_and_transparent_pictures_come_out_small_and_white() -> None:
    large = Poster(picture(size=(1500, 2000))).draw(URL)
    with Image.open(io.BytesIO(large.data)) as poster:
        assert poster.size == (1080, 1440)
    out = io.BytesIO()
    Image.new("RGBA", (600, 600), (0, 0, 0, 0)).save(out, "PNG")
    clear = Poster(out.getvalue()).draw(URL)
    assert read(clear.data) == URL
    with Image.open(io.BytesIO(clear.data)) as poster:
        assert poster.getpixel((5, 5)) == (255, 255, 255)


def test_a_camera_s_place_and_turn_stay_out_of_the_poster() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = "taken at home"
    Image.new("RGB", (600, 900), "#2b6cb0").save(out, "JPEG", exif=exif)
    drawn = Poster(out.getvalue()).draw(URL)
    assert b"taken at home" not in drawn.data
    with Image.open(io.BytesIO(drawn.data)) as poster:
        assert poster.size == (900, 600)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no PNG or JPEG"),
        (b"<svg/>", "no PNG or JPEG"),
        (picture("GIF", mode="P"), "no PNG or JPEG"),
        (picture()[:200], "no PNG or JPEG"),
        (picture(size=(MAX_SIDE + 1, 500)), "4097x500 pixels"),
        (picture(size=(300, 600)), "at least"),
        (b"\x89PNG" + b"\0" * MAX_BYTES, "over 5 MB"),
    ],
)
def test_a_picture_that_cannot_be_used_says_why(data: bytes, why: str) -> None:
    with pytest.raises(PosterError, match=why):
        Poster(data)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(PosterError, match="No such file"):
        Poster.read(tmp_path / "none.png")
    path = tmp_path / "poster.jpg"
    path.write_bytes(picture("JPEG"))
    assert Poster.read(path).draw(URL).kind == "jpeg"
    assert Poster.read(None).draw(URL).kind == "png"


def test_an_address_too_long_for_a_code_says_so() -> None:
    with pytest.raises(PosterError, match="too long"):
        Poster().draw("https://x.example/" + "a" * 3000)
    with pytest.raises(PosterError, match="too small"):
        Poster(picture(size=(480, 480))).draw("https://x.example/" + "a" * 1500)
    with pytest.raises(NoCode):
        read(picture())
