"""schemathesis asks a running API all that its own document allows, and what it does not.

Operations of all rooms are found in the document. One that cannot be asked blindly is named in
`LEFT_OUT`, with the reason; whatever is left out is tested by hand.
"""

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.helpers.api import TOKEN, running_api

V1 = "/api/v1"
LEFT_OUT = {
    "get_file": "OpenAPI cannot express slashes in a path (decision 23): test_files_served",
    "put_file": "likewise: test_writing",
    "remove_file": "likewise: test_writing",
    "get_sleep_file": "likewise: test_sleep_files",
    "follow_events": "a stream without an end: test_events",
    "replicate_archive": "no HTTP after its first answer: test_websocket",
    "add_webhook": "its address would be called, in the open net: test_webhooks",
    "change_webhook": "likewise",
    "test_webhook": "likewise",
}
# What takes away what others are asked about is asked last.
LAST = ("remove_archive", "revoke_token", "remove_account")
# For each operation and phase: all of it takes half a minute. On the Unix socket nothing differs
# but who is asked for a token, so that less will do there.
EXAMPLES = 20
ON_SOCKET = 5
SECONDS = 1_200
# What ends any test that hangs would otherwise come before that.
pytestmark = pytest.mark.timeout(4 * SECONDS)

SETTINGS = """
continue-on-failure = true
request-timeout = 60

[dictionaries.archives]
values = [{archives}]

[dictionaries.waits]
values = [0, 0.1]

[parameters]
"path.key" = {{ dictionary = "archives", probability = 0.8 }}
"query.wait" = {{ dictionary = "waits", probability = 1.0 }}

[generation]
deterministic = true
database = "none"
max-examples = {examples}
no-shrink = true

[phases.examples.extra-data-sources]
responses = false

[phases.coverage.extra-data-sources]
responses = false

[phases.fuzzing.extra-data-sources]
responses = false

[phases.stateful]
max-steps = 4

[checks.positive_data_acceptance]
# What a schema allows may still be impossible: the archive is not there, or somebody else's; a
# name is given already; a text is no link, path or address; nobody has what has to come from peers.
expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 410, 412, 422]

[checks.negative_data_rejection]
# Some of what is wrong is too long to be read at all.
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 414, 415, 422, 429, 431]
"""


def hurrying():
    """Seconds of a clock that runs fast: what asks without a token all the time is let ask on."""
    return time.monotonic() * 10_000


@asynccontextmanager
async def hosting(folder):
    folder.mkdir()
    async with running_api(folder, settings={"clock": hurrying}) as api:
        await api.host("archival-nested", name="theirs", tags=["t"])
        await api.host("archival-history", name="paused", paused=True)
        made = await api.post(f"{V1}/archives", {"new": {"title": "Ours"}, "name": "ours"})
        assert made.status == 201
        for name in ("a.txt", "folder/b.txt"):
            put = await api.ask(f"{V1}/archives/ours/files/{name}", method="PUT", body=b"hello")
            assert put.status == 201
        yield api


@asynccontextmanager
async def without_door(api):
    """A TCP port that leads to the Unix socket: schemathesis cannot open that."""

    async def accept(near, near_out):
        far, far_out = await asyncio.open_unix_connection(str(api.socket_path))
        await asyncio.gather(pass_on(near, far_out), pass_on(far, near_out))

    async def pass_on(source, target):
        try:
            while data := await source.read(2**16):
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def schemathesis(api, folder, location, *arguments, examples=EXAMPLES):
    """Its verdict must be that there is nothing to say."""
    settings = folder / "schemathesis.toml"
    # By key: names are changed by what is asked.
    keys = ", ".join(f'"{archive.key.hex}"' for archive in api.library.archives())
    settings.write_text(SETTINGS.format(archives=keys, examples=examples))
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"), "--config-file", str(settings),
        "run", location, "--checks=all", "--max-response-time=20", "--no-color", *arguments,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode(errors="replace")


def but(names):
    return [f"--exclude-operation-id={name}" for name in names]


def only(names):
    return [f"--include-operation-id={name}" for name in names]


def for_accounts(document):
    """Operations that ask for a login."""
    return [
        one["operationId"]
        for methods in document["paths"].values()
        for one in methods.values()
        if {"token": ["account"]} in one["security"]
    ]


async def test_whatever_the_document_allows_is_answered_as_it_says(tmp_path):
    async with hosting(tmp_path / "daemon") as api:
        location = f"{api.url}{V1}/openapi.json"
        document = (await api.ask(f"{V1}/openapi.json")).json
        pinning, bearer = for_accounts(document), f"Authorization: Bearer {TOKEN}"
        await schemathesis(
            api, tmp_path, location, "-H", bearer, *but([*LEFT_OUT, *LAST, *pinning])
        )
        await schemathesis(api, tmp_path, location, "-H", bearer, *only(LAST))
        await api.desk.accounts.add("someone", "a long password", max_bytes=10**9, max_pins=9)
        login = {"username": "someone", "password": "a long password"}
        session = (await api.post("/v1/accounts/login", login)).json["sessionToken"]
        # What ends the login is left to tests by hand, or nothing would be asked after it.
        asked = [name for name in pinning if name != "log_out"]
        bearer = f"Authorization: Bearer {session}"
        await schemathesis(api, tmp_path, location, "-H", bearer, *only(asked))
        assert (await api.ask("/healthz")).json == {"status": "alive"}


async def test_the_unix_socket_answers_as_the_document_says(tmp_path):
    async with hosting(tmp_path / "daemon") as api, without_door(api) as port:
        document = (await api.ask(f"{V1}/openapi.json")).json
        pinning = for_accounts(document)
        for methods in document["paths"].values():
            for one in methods.values():
                one["security"] = []  # nobody is asked for a token there
        told = tmp_path / "openapi.json"
        told.write_text(json.dumps(document))
        url = f"--url=http://127.0.0.1:{port}"
        asked = but([*LEFT_OUT, *LAST, *pinning])
        await schemathesis(api, tmp_path, str(told), url, *asked, examples=ON_SOCKET)
