"""Rows of files and versions."""

from tests.helpers.api import Answer, RunningApi
from tests.helpers.daemon import eventually
from tests.helpers.operations.row import ARCHIVES, Row, damaged, filled, make, nowhere, put, send


async def _get(api: RunningApi, target: str, *headers: str) -> Answer:
    return await api.ask(await filled(api) + target, *headers)


async def _of_nobody(api: RunningApi, target: str) -> Answer:
    return await api.ask(await nowhere(api) + target)


async def _again(api: RunningApi, method: str, header: str, *, new: bool = False) -> Answer:
    """Asked for on condition of its ETag, which is another one by then, or not."""
    path = await filled(api)
    etag = (await api.ask(f"{path}/files/a.txt")).headers["etag"]
    if new:
        await put(api, path, "a.txt", b"other")
    body = b"x" if method == "PUT" else b""
    return await api.ask(f"{path}/files/a.txt", f"{header}: {etag}", method=method, body=body)


async def _dropped(api: RunningApi) -> Answer:
    path = await filled(api)
    await put(api, path, "a.txt", b"other")
    changed = await send(api, "PATCH", path, {"mode": "latest", "force": True})
    assert changed.status == 200, changed
    answer = changed

    async def gone() -> bool:
        nonlocal answer
        answer = await api.ask(f"{path}/files/a.txt?version=2&wait=0")
        return answer.status != 200

    await eventually(gone)
    return answer


async def _written(api: RunningApi, name: str, method: str = "PUT") -> Answer:
    path = await filled(api)
    return await api.ask(f"{path}/files/{name}", method=method, body=b"x" * (method == "PUT"))


async def _behind(api: RunningApi, method: str) -> Answer:
    path = await make(api)
    await put(api, path, "a.txt")
    secret = (await api.ask(f"{path}/secret_key")).json["secret_key"]
    await api.ask(f"{path}?force=true&delete_key=true", method="DELETE")
    await api.post(ARCHIVES, {"link": path.rpartition("/")[2], "networks": []})
    await send(api, "PUT", f"{path}/secret_key", {"secret_key": secret})
    return await api.ask(f"{path}/files/a.txt", method=method, body=b"x" * (method == "PUT"))


async def _folder_there(api: RunningApi) -> Answer:
    path = await filled(api)
    assert (await api.ask(f"{path}/files/new/", method="PUT")).status == 201
    return await api.ask(f"{path}/files/new/", method="PUT")


FILE_ROWS = [
    Row("list_root", 200, lambda api: _get(api, "/files")),
    Row("list_root", "no_such_version", lambda api: _get(api, "/files?version=unheard-of")),
    Row("list_root", "no_peers", lambda api: _of_nobody(api, "/files?wait=0")),
    Row("get_file", 200, lambda api: _get(api, "/files/a.txt?download=true")),
    Row("get_file", 206, lambda api: _get(api, "/files/a.txt", "Range: bytes=1-2")),
    Row("get_file", 304, lambda api: _again(api, "GET", "If-None-Match")),
    Row("get_file", "no_such_file", lambda api: _get(api, "/files/none")),
    Row("get_file", "no_such_version", lambda api: _get(api, "/files/a.txt?version=unheard-of")),
    Row("get_file", "gone", _dropped),
    Row("get_file", "precondition", lambda api: _again(api, "GET", "If-Match", new=True)),
    Row("get_file", "bad_range", lambda api: _get(api, "/files/a.txt", "Range: bytes=9-")),
    Row("get_file", "no_peers", lambda api: _of_nobody(api, "/files/a.txt?wait=0")),
    Row("put_file", 201, lambda api: _written(api, "new.txt")),
    Row("put_file", 200, lambda api: _written(api, "a.txt")),
    Row("put_file", "behind", lambda api: _behind(api, "PUT")),
    Row("put_file", "conflict", lambda api: _written(api, "folder")),
    Row("put_file", "exists", _folder_there),
    Row("put_file", "precondition", lambda api: _again(api, "PUT", "If-Match", new=True)),
    Row("remove_file", 204, lambda api: _written(api, "a.txt", "DELETE")),
    Row("remove_file", "no_such_file", lambda api: _written(api, "none", "DELETE")),
    Row("remove_file", "behind", lambda api: _behind(api, "DELETE")),
    Row("remove_file", "conflict", lambda api: _written(api, "folder", "DELETE")),
    Row("remove_file", "precondition", lambda api: _again(api, "DELETE", "If-Match", new=True)),
    Row("get_history", 200, lambda api: _get(api, "/history")),
    Row("get_history", "no_such_version", lambda api: _get(api, "/history?until=unheard-of")),
    Row("get_history", "no_peers", lambda api: _of_nobody(api, "/history?wait=0")),
    Row("get_difference", 200, lambda api: _get(api, "/diff?from=1")),
    Row("get_difference", "no_such_version", lambda api: _get(api, "/diff?from=unheard-of")),
    Row("get_difference", "no_peers", lambda api: _of_nobody(api, "/diff?from=0&wait=0")),
    Row("list_root", "damaged", lambda api: damaged(api, "/files")),
    Row("get_file", "damaged", lambda api: damaged(api, "/files/a.txt")),
    Row("get_history", "damaged", lambda api: damaged(api, "/history")),
    Row("get_difference", "damaged", lambda api: damaged(api, "/diff?from=1")),
]
