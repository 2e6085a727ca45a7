"""Names, from the command line to the server that knows them, with an operator's own authority."""

import asyncio
import json
from pathlib import Path

from tests.helpers.daemon import running_daemon
from tests.helpers.small_web import Reply, SmallWeb

KEY = "0123456789abcdef" * 4


async def test_an_archive_is_added_by_the_name_that_the_operators_resolver_knows(tmp_path: Path):
    async def resolve(request) -> Reply:
        known = request.query["name"] == "maps.names.example."
        answers = [{"type": 16, "TTL": 60, "data": f'"datkey={KEY}"'}] if known else []
        return Reply(json.dumps({"Status": 0, "Answer": answers}))

    async with SmallWeb().serving() as small_web:
        small_web.put("127.0.0.1", resolve, "/dns-query")
        authority = small_web.write_authority(tmp_path / "authority.pem")
        settings = {
            "DATD_NAMING__RESOLVERS": f"https://127.0.0.1:{small_web.port}/dns-query",
            "SSL_CERT_FILE": str(authority),
        }
        with running_daemon(tmp_path / "data", environment=settings) as daemon:
            run = asyncio.to_thread
            added = await run(daemon.datctl, "add", "dat://Maps.names.example/", "--paused")
            assert added.stdout == f"added dat://{KEY}\n"
            shown = await run(daemon.ask, "show", "maps.names.example")
            assert (shown["key"], shown["shortname"]) == (KEY, "maps.names.example")
            assert not any(KEY in line for line in daemon.log)
        assert len(small_web.requests) == 1
        # After a restart it is remembered: nobody is asked, and nobody could be.
        del settings["SSL_CERT_FILE"]
        with running_daemon(tmp_path / "data", environment=settings) as daemon:
            again = await run(daemon.datctl, "add", "maps.names.example")
            assert again.stdout == f"hosted already: dat://{KEY}\n"
        assert len(small_web.requests) == 1
