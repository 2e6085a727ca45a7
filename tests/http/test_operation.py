import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from datd.http.operation import OPERATIONS, Operation, add_operations, operation_of


async def answer(request):
    asked = operation_of(request)
    assert asked is not None
    return web.Response(text=asked.name + request.match_info.get("path", ""))


def operation(name, path, method="GET", **rest):
    return Operation(method, path, answer, name=name, summary="", scope="read", tag="", **rest)


@pytest.fixture
async def ask():
    app = web.Application()
    add_operations(
        app,
        [
            operation("one", "/a/{key}"),
            operation("write", "/a/{key}", "PUT"),
            operation("deep", "/a/{key}/files/{path}", slashes=True),
        ],
    )
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_a_route_knows_what_it_is_of(ask):
    assert await (await ask.get("/a/x")).text() == "one"
    assert await (await ask.put("/a/x")).text() == "write"


async def test_head_is_answered_where_get_is(ask):
    answered = await ask.head("/a/x")
    assert (answered.status, answered.headers["Content-Length"]) == (200, "3")
    assert (await ask.put("/a/x/files/y")).status == 405


async def test_names_take_no_slash_but_the_last_one_where_it_is_said(ask):
    assert (await ask.get("/a/x/y")).status == 404
    for path in ("", "y", "y/z/", "%0a/y"):
        assert (await ask.get(f"/a/x/files/{path}")).status == 200
    assert await (await ask.get("/a/x/files/y/z/")).text() == "deepy/z/"


async def test_braces_in_an_address_are_text(ask):
    assert await (await ask.get("/a/%7Bkey%7D")).text() == "one"


def test_two_operations_of_one_name_are_a_mistake():
    with pytest.raises(ValueError, match="one"):
        add_operations(web.Application(), [operation("one", "/a"), operation("one", "/b")])


def test_get_and_head_are_one_operation():
    app = web.Application()
    add_operations(app, [operation("one", "/a")])
    assert [(route.method, one.name) for route, one in app[OPERATIONS].items()] == [
        ("GET", "one"),
        ("HEAD", "one"),
    ]
