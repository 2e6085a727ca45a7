import asyncio
import json

import pytest
from tests.helpers.daemon import eventually


async def settle(api, version=1):
    """Wait until a version is told of."""

    def told():
        recent = api.library.services.events.recent(0, 99)
        return any(event.fields.get("version") == version for event in recent)

    await eventually(told)


async def test_what_is_kept_line_by_line(api, dat, shell):
    made = await dat.create(title="t", name="n", tags=["x"])
    await dat.put("n", "/a \x1b[31m.txt", b"hello")
    await settle(api, 2)
    out = await shell.text("events", "--since", "0", "--no-follow")
    first = out.splitlines()[0].split()
    assert first[2:] == ["archive.added", made.key[:12], "name=n", 'tags=["x"]', "mode=archive",
                         "writable=true"]  # fmt: skip
    files = await shell.text("events", "n/", "--no-follow", "--kind", "file.*")
    # What names hold steers no terminal.
    assert 'path="/a \\u001b[31m.txt"' in files
    assert "\x1b" not in files
    assert "file.put" not in await shell.text("events", "n", "--no-follow")


async def test_one_document_a_line(api, dat, shell):
    await dat.create(title="t", name="n")
    await settle(api)
    lines = (await shell.text("events", "--no-follow", "--json", "--kind", "archive.added")).split(
        "\n"
    )
    assert [json.loads(line)["name"] for line in lines if line] == ["n"]


async def test_events_are_printed_as_they_happen(api, dat, started):
    process = await started("events", "--since", "0", "--json")
    for number in range(3):
        made = await dat.create(title="t", name=f"n{number}")
        async with asyncio.timeout(60):
            while True:
                found = json.loads(await process.stdout.readline())
                if (found["kind"], found["archive"]) == ("archive.added", made.key):
                    break
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 60) == 143


@pytest.mark.parametrize("line", [("n+3",), ("--kind", "nothing"), ("--since", "x")])
async def test_what_makes_no_sense(api, dat, shell, line):
    await dat.create(title="t", name="n")
    status = 1 if line[0].startswith("--") else 4
    if line == ("n+3",):
        await shell.text("events", "dat://" + "a" * 64 + "+3", "--no-follow", status=2)
        return
    await shell.text("events", *line, "--no-follow", status=status)
