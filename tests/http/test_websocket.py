import asyncio

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from tests.helpers.api import TOKEN

from datd.http.problems import Problem
from datd.http.websocket import refuse_other_sites
from datd.wire.session import Session


async def test_the_wire_protocol_is_spoken_over_a_websocket(api):
    hosted = await api.host("archival-nested")
    url = f"{api.url}{hosted.path}/replicate"
    key = hosted.key
    session = Session(nonce=b"n" * 24, peer_id=b"p" * 32, now=0.0)
    session.open(key)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(url, headers=headers, compress=15) as socket,
    ):
        assert not socket.compress
        await socket.send_bytes(bytes(session.data_to_send()))
        async with asyncio.timeout(60):
            while not session.handshaken:
                session.receive_data(await socket.receive_bytes(), 0.0)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_pages_of_others_cannot_open_it(api, headers):
    hosted = await api.host("archival-nested")
    url = f"{api.url}{hosted.path}/replicate"
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(url, headers={"Origin": "https://evil.example", **headers})
    assert refused.value.status in (401, 403)


async def test_who_does_not_ask_for_an_upgrade_is_told(api):
    hosted = await api.host("archival-nested")
    answer = await api.ask(f"{hosted.path}/replicate")
    assert (answer.status, answer.kind) == (400, "bad_request")
    assert "WebSocket" in answer.json["detail"]


@pytest.mark.parametrize(
    ("host", "origin", "refused"),
    [
        ("localhost:3473", None, False),
        ("localhost:3473", "http://localhost:3473", False),
        ("abc.localhost:3473", "http://abc.localhost:3473", False),
        ("abc.localhost:3473", "http://other.localhost:3473", True),
        ("localhost:3473", "https://localhost:3473", True),
        ("localhost:3473", "https://evil.example", True),
        ("127.0.0.1:3473", "null", True),
        ("[::1]:3473", "https://evil.example", True),
        ("gateway.example", "https://app.example", False),
    ],
)
def test_T_41_pages_of_other_sites_do_not_reach_a_gateway_on_their_visitors_host(
    host, origin, refused
):
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    request = make_mocked_request("GET", "/", headers=headers)
    if refused:
        with pytest.raises(Problem):
            refuse_other_sites(request)
    else:
        refuse_other_sites(request)
