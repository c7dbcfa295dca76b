"""Files as operators and attackers send them, made by hand for the tests of the readers."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence

import docx

_CMAP = """/CIDInit /ProcSet findresource begin 12 dict begin begincmap
/CMapName /X def /CMapType 2 def 1 begincodespacerange <0000> <FFFF> endcodespacerange
{count} beginbfchar
{pairs}
endbfchar endcmap end end"""


def stream(data: bytes, extra: str = "") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), extra.encode(), data)


def assemble(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """A PDF from its objects, the first of which is the catalogue."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    xref = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for place in places:
        out.write(b"%010d 00000 n \n" % place)
    out.write(
        b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, trailer.encode(), xref)
    )
    return out.getvalue()


def pdf(
    pages: Sequence[Sequence[str]],
    *,
    bookmarks: Sequence[tuple[int, str]] = (),
    catalog: str = "",
) -> bytes:
    """A PDF with lines of any characters on each page, through one font with /ToUnicode.

    bookmarks: (page from 0, title). catalog: more entries of the catalogue, as PDF source.
    """
    known = sorted({one for lines in pages for line in lines for one in line})
    code = {one: place + 1 for place, one in enumerate(known)}
    pairs = "\n".join(
        f"<{code[one]:04X}> <{one.encode('utf-16-be').hex().upper()}>" for one in known
    )
    cmap = _CMAP.format(count=len(known), pairs=pairs).encode()
    first_page = 6
    kids = " ".join(f"{first_page + 2 * at} 0 R" for at in range(len(pages)))
    first_mark = first_page + 2 * len(pages)
    outline = f"/Outlines {first_mark} 0 R" if bookmarks else ""
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {outline} {catalog} >>".encode(),
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H "
        b"/DescendantFonts [4 0 R] /ToUnicode 5 0 R >>",
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /DW 1000 "
        b"/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        stream(zlib.compress(cmap), "/Filter /FlateDecode"),
    ]
    for at, lines in enumerate(pages):
        shown = "".join(
            f"<{''.join(f'{code[one]:04X}' for one in line)}> Tj 0 -16 Td\n" for line in lines
        )
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (first_page + 2 * at + 1)
        )
        objects.append(stream(f"BT /F1 12 Tf 50 790 Td\n{shown}ET".encode()))
    if bookmarks:
        count = len(bookmarks)
        objects.append(
            f"<< /First {first_mark + 1} 0 R /Last {first_mark + count} 0 R "
            f"/Count {count} >>".encode()
        )
        for at, (page, title) in enumerate(bookmarks):
            after = f"/Next {first_mark + 2 + at} 0 R" if at + 1 < count else ""
            words = ("\ufeff" + title).encode("utf-16-be").hex()
            objects.append(
                f"<< /Title <{words}> /Parent {first_mark} 0 R {after} "
                f"/Dest [{first_page + 2 * page} 0 R /Fit] >>".encode()
            )
    return assemble(objects)


def word(*parts: tuple[str, str] | Sequence[Sequence[str]]) -> bytes:
    """A Word document from ("Heading 1", text), ("", text) and tables (lists of rows)."""
    document = docx.Document()
    for part in parts:
        if isinstance(part, tuple):
            document.add_paragraph(part[1], style=part[0] or None)
            continue
        table = document.add_table(rows=0, cols=len(part[0]))
        for row in part:
            for cell, text in zip(table.add_row().cells, row, strict=True):
                cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def repacked(package: bytes, changes: Iterable[tuple[str, bytes]], *, store: bool = False) -> bytes:
    """An archive with members exchanged or added."""
    new = dict(changes)
    out = io.BytesIO()
    how = zipfile.ZIP_STORED if store else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(out, "w", how) as target:
        for name in old.namelist():
            target.writestr(name, new.pop(name) if name in new else old.read(name))
        for name, data in new.items():
            target.writestr(name, data)
    return out.getvalue()


def body(xml: str, *, before: str = "") -> bytes:
    """A Word document whose main part is this XML; before: what stands above its root."""
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    part = (
        f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>{before}'
        f'<w:document xmlns:w="{space}"><w:body>{xml}</w:body></w:document>'
    )
    return repacked(word(), [("word/document.xml", part.encode())])
