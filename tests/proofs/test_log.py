"""What the exported log says of a message, after the whole way through the wire."""

from __future__ import annotations

from pathlib import Path

from tests.proofs.world import OPERATOR, opened

CODE = "7KQM2X9DAB"


async def test_the_exported_log_keeps_neither_a_claim_code_nor_an_openid(tmp_path: Path) -> None:
    async with opened(tmp_path) as w:
        await w.fake.send_text("o_lin", "怎么退款")
        for openid in (OPERATOR, "o_lin"):
            for text in (f"/claim {CODE}", f"/cliam {CODE}", "/who o_lin", "/stats"):
                await w.fake.send_text(openid, text)
        log = await w.app.store.interactions.page(0)
    asked = ["/claim", "/cliam", "/who", "/stats"]
    assert [row["text"] for row in log] == ["怎么退款", *asked, *asked]
    assert CODE not in repr(log)
    assert "o_lin" not in repr(log)
