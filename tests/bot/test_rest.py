"""The frame around every operation, over HTTP."""
from __future__ import annotations
from pathlib import Path
from tests.bot.api_world import api
from bot.rest import Answer, Call, Operation

async def test_x(tmp_path: Path) -> None:
    async def run(call: Call) -> Answer:
        return Answer(200, {"a": 1})
    op = Operation(method="GET", path="/x", name="x", summary="x", scope="items:read", run=run, answers={200: dict})
    async with api(tmp_path, [op]) as world:
        got = await world.get("/x")
        print(got)
        print(await world.get("/y"))
        print(await world.post("/x"))
        print(await world.get("/x", scopes=None))
        print(await world.get("/x?z=1"))
        print(await world.get("/x", scopes=["items:write"]))
        print(world.watch)
