"""Routers on loopback that map ports: PCP, NAT-PMP, UPnP, each as its RFC or standard has it."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any
from xml.etree import ElementTree

from aiohttp import web

LOOPBACK = "127.0.0.1"
PUBLIC = "192.0.2.7"


@dataclass
class Router:
    """What a router does and has done. Mappings: (protocol, inside) to (outside, lifetime)."""

    pcp: bool = False
    nat_pmp: bool = False
    silent: bool = False
    refuse: int = 0
    lifetime: int = 0
    public: str = PUBLIC
    taken: set[int] = field(default_factory=set)
    mappings: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    port: int = 0

    def answer(self, request: bytes) -> list[bytes]:
        """Datagrams in answer to one."""
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        if self.silent or not request:
            return []
        if request[0] == 2:
            if self.pcp:
                return self._pcp(request)
            return [struct.pack(">BBHI", 0, 128 + request[1], 1, 0)] if self.nat_pmp else []
        if not self.nat_pmp:
            return [b"\x02\x81\0\x01" + bytes(20)] if self.pcp else []
        if request[1] == 0:
            return [struct.pack(">BBHI", 0, 128, self.refuse, 7) + IPv4Address(self.public).packed]
        _, opcode, _, inside, wanted, seconds = struct.unpack(">BBHHHI", request)
        protocol = {1: "udp", 2: "tcp"}[opcode]
        outside, seconds = self._map(protocol, inside, wanted, seconds)
        return [struct.pack(">BBHIHHI", 0, 128 + opcode, self.refuse, 7, inside, outside, seconds)]

    def _pcp(self, request: bytes) -> list[bytes]:
        seconds = int.from_bytes(request[4:8], "big")
        number, inside, wanted = struct.unpack_from(">B3xHH", request, 36)
        protocol = {6: "tcp", 17: "udp"}[number]
        outside, seconds = self._map(protocol, inside, wanted, seconds)
        header = struct.pack(">BBBBII12x", 2, 0x81, 0, self.refuse, seconds, 7)
        body = request[24:36] + struct.pack(">B3xHH", number, inside, outside)
        return [header + body + b"\0" * 10 + b"\xff\xff" + IPv4Address(self.public).packed]

    def _map(self, protocol: str, inside: int, wanted: int, seconds: int) -> tuple[int, int]:
        if seconds == 0:
            self.mappings.pop((protocol, inside), None)
            return 0, 0
        while wanted in self.taken:
            wanted += 1
        seconds = self.lifetime or seconds
        if not self.refuse:
            self.mappings[protocol, inside] = wanted, seconds
        return wanted, seconds

    @asynccontextmanager
    async def serving(self, host: str = LOOPBACK) -> AsyncIterator["Router"]:
        """Listen at a free port, or at `port`."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answering(self.answer), local_addr=(host, self.port)
        )
        self.port = transport.get_extra_info("sockname")[1]
        try:
            yield self
        finally:
            transport.close()


class _Answering(asyncio.DatagramProtocol):
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for datagram in self._answer(data):
            self._transport.sendto(datagram, addr)


SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_ACTIONS = {
    "AddPortMapping": (
        [
            "NewRemoteHost", "NewExternalPort", "NewProtocol", "NewInternalPort",
            "NewInternalClient", "NewEnabled", "NewPortMappingDescription", "NewLeaseDuration",
        ],
        [],
    ),
    "DeletePortMapping": (["NewRemoteHost", "NewExternalPort", "NewProtocol"], []),
    "GetExternalIPAddress": ([], ["NewExternalIPAddress"]),
}  # fmt: skip
_TYPES = {
    "NewExternalPort": "ui2", "NewInternalPort": "ui2", "NewEnabled": "boolean",
    "NewLeaseDuration": "ui4",
}  # fmt: skip


@dataclass
class Igd:
    """A router that speaks UPnP. Mappings: (protocol, outside) to what was asked."""

    location: str = ""
    description: str = ""
    control: str = "/control"
    permanent_only: bool = False
    tells_address: bool = True
    moved: str = ""
    garbled: bool = False
    public: str = PUBLIC
    taken: set[int] = field(default_factory=set)
    mappings: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    searches: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: list[bytes] | None = None
    search_port: int = 0
    port: int = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Igd"]:
        """Listen for searches and for pages, at free ports."""
        loop = asyncio.get_running_loop()
        runner = web.ServerRunner(web.Server(self._page))
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self.location = self.location or f"http://{LOOPBACK}:{self.port}/root.xml"
        self.description = self.description or self._describe()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answering(self._search), local_addr=(LOOPBACK, 0)
        )
        self.search_port = transport.get_extra_info("sockname")[1]
        try:
            yield self
        finally:
            transport.close()
            await runner.cleanup()

    def _search(self, question: bytes) -> list[bytes]:
        self.searches.append(question)
        if self.answers is not None:
            return self.answers
        return [
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: urn:x\r\n"
            f"USN: uuid:1\r\nEXT:\r\nLocation: {self.location}\r\n\r\n".encode()
        ]

    async def _page(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if self.moved:
            return web.Response(status=302, headers={"Location": self.moved})
        if self.garbled:
            return web.Response(text="no xml")
        if request.path == "/root.xml":
            return web.Response(text=self.description, content_type="text/xml")
        if request.path == "/service.xml":
            return web.Response(text=_service(), content_type="text/xml")
        action = request.headers["SOAPAction"].strip('"').partition("#")[2]
        tree = ElementTree.fromstring(await request.text())
        called = next(element for element in tree.iter() if element.tag.endswith(action))
        return self._act(action, {argument.tag: argument.text or "" for argument in called})

    def _act(self, action: str, given: dict[str, str]) -> web.Response:
        if action == "GetExternalIPAddress" and not self.tells_address:
            return _fault(501)
        results = {"GetExternalIPAddress": {"NewExternalIPAddress": self.public}}.get(action, {})
        if action != "GetExternalIPAddress":
            outside = int(given["NewExternalPort"])
            place = given["NewProtocol"].lower(), outside
            if action == "DeletePortMapping":
                if self.mappings.pop(place, None) is None:
                    return _fault(714)
            elif outside in self.taken:
                return _fault(718)
            elif self.permanent_only and given["NewLeaseDuration"] != "0":
                return _fault(725)
            else:
                self.mappings[place] = given
        body = "".join(f"<{name}>{value}</{name}>" for name, value in results.items())
        return _envelope(f'<u:{action}Response xmlns:u="{SERVICE}">{body}</u:{action}Response>')

    def _describe(self) -> str:
        def device(kind: str, inner: str) -> str:
            return (
                f"<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>"
                f"<friendlyName>R</friendlyName><UDN>uuid:{kind}</UDN>{inner}</device>"
            )

        service = (
            f"<serviceList><service><serviceType>{SERVICE}</serviceType><serviceId>urn:1"
            f"</serviceId><SCPDURL>/service.xml</SCPDURL><controlURL>{self.control}</controlURL>"
            "<eventSubURL>/events</eventSubURL></service></serviceList>"
        )
        inner = device("WANConnectionDevice", service)
        inner = device("WANDevice", f"<deviceList>{inner}</deviceList>")
        root = device("InternetGatewayDevice", f"<deviceList>{inner}</deviceList>")
        return (
            '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">'
            f"<specVersion><major>1</major><minor>0</minor></specVersion>{root}</root>"
        )


def _service() -> str:
    def argument(name: str, direction: str) -> str:
        return (
            f"<argument><name>{name}</name><direction>{direction}</direction>"
            f"<relatedStateVariable>{name[3:]}</relatedStateVariable></argument>"
        )

    actions, variables = "", dict[str, str]()
    for action, (given, results) in _ACTIONS.items():
        arguments = "".join(argument(name, "in") for name in given)
        arguments += "".join(argument(name, "out") for name in results)
        actions += f"<action><name>{action}</name><argumentList>{arguments}</argumentList></action>"
        variables |= {name: _TYPES.get(name, "string") for name in (*given, *results)}
    table = "".join(
        f'<stateVariable sendEvents="no"><name>{name[3:]}</name><dataType>{kind}</dataType>'
        "</stateVariable>"
        for name, kind in variables.items()
    )
    return (
        '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0">'
        f"<actionList>{actions}</actionList>"
        f"<serviceStateTable>{table}</serviceStateTable></scpd>"
    )


def _envelope(body: str, status: int = 200) -> web.Response:
    text = (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )
    return web.Response(text=text, status=status, content_type="text/xml")


def _fault(code: int) -> web.Response:
    return _envelope(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode>'
        "<errorDescription>no</errorDescription></UPnPError></detail></s:Fault>",
        500,
    )
