"""Files made to hurt: refused by what they claim, before anything is unpacked or expanded."""

from __future__ import annotations

import io
import time
import zipfile
import zlib

import pytest

from knowledge.documents import MAX_BYTES, BadDocument, read
from knowledge.packed import MAX_MEMBERS, MAX_PAGES, MAX_UNPACKED
from tests.knowledge.files import assemble, body, pdf, repacked, stream, word

SECRET = "MARKER-OF-ANOTHER-FILE"


def refused(name: str, data: bytes) -> str:
    assert len(data) <= MAX_BYTES, "or it is refused for its size alone"
    with pytest.raises(BadDocument) as caught:
        read(name, data)
    return str(caught.value)


# DOCX


def test_a_zip_bomb_is_refused_by_its_own_list() -> None:
    bomb = repacked(word(), [("word/media/image1.xml", b"\0" * (30 << 20))])
    assert len(bomb) < 1 << 20
    began = time.process_time()
    assert "as a zip bomb does" in refused("a.docx", bomb)
    assert time.process_time() - began < 0.5


def test_a_member_that_lies_about_its_size_is_refused() -> None:
    size = 8 << 20
    honest = repacked(word(), [("word/document.xml", b"<" + b" " * (size - 1))])
    lie = honest.replace(size.to_bytes(4, "little"), (900).to_bytes(4, "little"))
    assert lie != honest
    assert "is damaged" in refused("a.docx", lie)


def test_many_large_members_are_refused_by_their_sum() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("word/document.xml", b"x")
    data = bytearray(out.getvalue())
    claim = (MAX_UNPACKED + 1).to_bytes(4, "little")
    place = data.rindex(b"PK\x01\x02")
    # Stored, so that the packed size may claim as much and the ratio looks sound.
    data[place + 20 : place + 24] = claim
    data[place + 24 : place + 28] = claim
    assert "unpacks to more than 200 MB" in refused("a.docx", bytes(data))


def test_too_many_members_are_refused() -> None:
    extra = [(f"word/media/{at}.png", b"x") for at in range(MAX_MEMBERS)]
    assert "parts" in refused("a.docx", repacked(word(), extra, store=True))


@pytest.mark.parametrize("member", ["word/vbaProject.bin", "word/VBAPROJECT.BIN", "x/vbaData.xml"])
def test_macros_are_refused_whatever_the_file_is_called(member: str) -> None:
    assert "macros" in refused("a.docx", repacked(word(("", "好")), [(member, b"x")]))


def test_a_renamed_macro_document_is_refused() -> None:
    kinds = (
        b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
        b'content-types"><Default Extension="xml" ContentType="application/'
        b'vnd.ms-word.document.macroEnabled.main+xml"/></Types>'
    )
    assert "macros" in refused("a.docx", repacked(word(), [("[Content_Types].xml", kinds)]))


LAUGHS = "".join(
    f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' if at else '<!ENTITY l0 "哈">' for at in range(10)
)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_a_billion_laughs_are_refused(codec: str) -> None:
    data = body("<w:p><w:r><w:t>&l9;</w:t></w:r></w:p>", before=f"<!DOCTYPE x [{LAUGHS}]>")
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        xml = package.read("word/document.xml").decode().replace("UTF-8", codec)
    data = repacked(data, [("word/document.xml", xml.encode(codec))])
    assert "document type" in refused("a.docx", data)


def test_an_entity_cannot_fetch_another_file(tmp_path: object) -> None:
    aim = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
    assert SECRET not in refused("a.docx", body("<w:p><w:r><w:t>&e;</w:t></w:r></w:p>", before=aim))


def test_external_links_are_not_followed_and_odd_names_touch_nothing() -> None:
    rels = (
        b'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/'
        b'2006/relationships"><Relationship Id="rId9" TargetMode="External" Type="http://'
        b'schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate" '
        b'Target="http://127.0.0.1:1/evil.dotm"/></Relationships>'
    )
    data = repacked(
        body("<w:p><w:r><w:t>七天内可以退</w:t></w:r></w:p>"),
        [("word/_rels/settings.xml.rels", rels), ("../../x", b"x"), ("/etc/x", b"x")],
    )
    assert read("a.docx", data).passages[0].text == "七天内可以退"


def test_deleted_text_and_field_codes_are_not_read_and_inserted_text_is() -> None:
    data = body(
        "<w:p><w:del><w:r><w:delText>旧的</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>新的</w:t></w:r></w:ins><w:r><w:instrText>DDEAUTO x</w:instrText></w:r>"
        "</w:p><w:sdt><w:sdtContent><w:p><w:r><w:t>栏内</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )
    assert read("a.docx", data).passages[0].text == "新的\n栏内"


def test_word_says_how_many_pages_it_has() -> None:
    app = b"<Properties><Pages>2001</Pages></Properties>"
    assert "2001 pages" in refused(
        "a.docx", repacked(word(("", "好")), [("docProps/app.xml", app)])
    )


# HTML, Markdown


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 20_000 + "七天内可以退",
        "<b>" * 5_000 + "七天内可以退" + "</b>" * 5_000,
        "<table><tr><td>" * 3_000 + "七天内可以退",
        "<ul><li>" * 3_000 + "七天内可以退",
    ],
)
def test_tags_may_nest_deeper_than_calls_may(page: str) -> None:
    assert "七天内可以退" in read("a.html", page.encode()).passages[0].text


@pytest.mark.parametrize("text", [">" * 50_000 + "退", "- " * 5000 + "退", "[" * 5000, "*a" * 5000])
def test_markdown_may_nest_as_well(text: str) -> None:
    try:
        read("a.md", text.encode())
    except BadDocument as bad:
        assert len(str(bad)) < 300  # noqa: PT017 - both ends are allowed


# PDF


def test_too_many_pages_are_refused_before_one_is_read() -> None:
    kids = "4 0 R " * (MAX_PAGES + 1)
    for count in (MAX_PAGES + 1, 1):
        data = assemble(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                f"<< /Type /Pages /Count {count} /Kids [{kids}] >>".encode(),
                stream(b"this is no content ("),
                b"<< /Type /Page /Parent 2 0 R /Contents 3 0 R >>",
            ]
        )
        assert "2001 pages, at most 2000" in refused("a.pdf", data)


def test_scripts_and_attachments_of_a_pdf_are_not_looked_at() -> None:
    catalog = (
        "/OpenAction << /S /JavaScript /JS (app.alert(1)) >> "
        "/Names << /EmbeddedFiles << /Names [(x) << /EF << /F 99 0 R >> >>] >> >>"
    )
    document = read("a.pdf", pdf([["七天内可以退"]], catalog=catalog))
    assert document.passages[0].text == "七天内可以退"


def test_a_pdf_with_a_password_is_refused() -> None:
    from pypdf import PdfReader, PdfWriter

    def locked(user: str) -> bytes:
        writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf([["七天内可以退"]]))))
        writer.encrypt(user, "owner", algorithm="AES-256")
        out = io.BytesIO()
        writer.write(out)
        return out.getvalue()

    assert "password" in refused("a.pdf", locked("s3cret"))
    assert read("a.pdf", locked("")).passages[0].text == "七天内可以退"


def test_a_page_that_unpacks_without_end_is_refused_with_its_number() -> None:
    bomb = zlib.compress(b" " * (80 << 20))
    data = assemble(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
            stream(bomb, "/Filter /FlateDecode"),
            b"<< /Type /Page /Parent 2 0 R /Contents 3 0 R "
            b"/Resources << /Font << /F1 5 0 R >> >> >>",
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
    )
    assert refused("a.pdf", data).startswith("page 1: ")


def test_a_page_tree_in_a_circle_is_refused() -> None:
    data = assemble(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Pages /Count 1 /Kids [2 0 R] >>",
        ]
    )
    assert refused("a.pdf", data)


def test_a_reason_never_tells_what_the_file_says() -> None:
    for name, data in (
        ("a.txt", SECRET.encode() + b"\0"),
        ("a.pdf", b"%PDF-1.7\n" + SECRET.encode() * 99),
        ("a.docx", body(f"<{SECRET}")),
    ):
        assert SECRET not in refused(name, data)
