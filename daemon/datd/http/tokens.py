"""Routes of the tokens: made, listed, revoked; and what the one who asks may do."""

from typing import Any, cast

from aiohttp import web

from datctl import models_auth as models
from datd.books.tokens import MAX_TOKENS, Token
from datd.errors import UnknownArchive
from datd.hosting.library import Library
from datd.http import shapes
from datd.http.access import Access, access_of
from datd.http.desk import Desk
from datd.http.inputs import read_body, read_query
from datd.http.operation import PREFIX, Operation
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.stats import NoQuery
from datd.keys import Key


class TokenRoutes:
    """Handlers of `/tokens` and `/whoami`."""

    def __init__(self, library: Library, desk: Desk) -> None:
        self._library = library
        self._tokens = desk.tokens
        self._now = desk.wall_clock

    def operations(self) -> list[Operation]:
        """What can be asked of tokens."""
        return [
            Operation(
                "GET",
                f"{PREFIX}/whoami",
                self.whoami,
                name="whoami",
                summary="What the one who asks may do",
                scope="read",
                tag="Access",
                answers={200: models.WhoAmI},
                selective=True,
            ),
            Operation(
                "GET",
                f"{PREFIX}/tokens",
                self.list,
                name="list_tokens",
                summary="All tokens but the one in api.token, without their secrets",
                scope="admin",
                tag="Access",
                answers={200: models.TokenList},
            ),
            Operation(
                "POST",
                f"{PREFIX}/tokens",
                self.make,
                name="create_token",
                summary="Make a token; its secret is told this once",
                scope="admin",
                tag="Access",
                bodies=(models.NewToken,),
                examples={
                    "For a dashboard": {"name": "dashboard", "scope": "read"},
                    "For a month": {"name": "ci", "scope": "control", "expires_in": 2_592_000},
                },
                answers={201: models.MadeToken},
                sends={"Location": "The token."},
                errors=("bad_link", "limit", "damaged", "disk_full", "read_only"),
            ),
            Operation(
                "DELETE",
                f"{PREFIX}/tokens/{{id}}",
                self.revoke,
                name="revoke_token",
                summary="Make a token worth nothing, at once",
                scope="admin",
                tag="Access",
                names={"id": "The id of a token."},
                answers={204: None},
                errors=("no_such_token", "damaged", "disk_full", "read_only"),
            ),
        ]

    async def whoami(self, request: web.Request) -> web.Response:
        """`GET /whoami`."""
        read_query(request, NoQuery)
        access = access_of(request)
        return shapes.json_response(
            models.WhoAmI(
                name=access.name,
                scope=cast(models.TokenScope, access.scope),
                archives=None if access.archives is None else sorted(access.archives),
                expires_at=shapes.moment(access.expires_at),
            )
        )

    async def list(self, request: web.Request) -> web.Response:
        """`GET /tokens`."""
        read_query(request, NoQuery)
        return shapes.json_response(
            models.TokenList(
                tokens=[models.Token(**_fields(token)) for token in self._tokens.all()]
            )
        )

    async def make(self, request: web.Request) -> web.Response:
        """`POST /tokens`."""
        read_query(request, NoQuery)
        asked = await read_body(request, models.NewToken)
        keys = None
        if asked.archives is not None:
            keys = sorted({self._key(reference).hex for reference in asked.archives})
        expires_at = self._end(asked.expires_in, access_of(request))
        if len(self._tokens.all()) >= MAX_TOKENS:
            raise Problem("limit", f"There are {MAX_TOKENS} tokens: revoke some that nobody uses.")
        token, secret = await self._tokens.make(
            asked.name, asked.scope, archives=keys, expires_at=expires_at
        )
        response = shapes.json_response(models.MadeToken(**_fields(token), token=secret), 201)
        response.headers["Location"] = f"{PREFIX}/tokens/{token.id}"
        return response

    async def revoke(self, request: web.Request) -> web.Response:
        """`DELETE /tokens/{id}`."""
        read_query(request, NoQuery)
        token = self._tokens.get(request.match_info["id"])
        if token is None:
            raise Problem(
                "no_such_token",
                "There is no token with this id. The one in api.token is replaced by removing that "
                "file and starting the daemon anew.",
            )
        await self._tokens.remove(token)
        return web.Response(status=204, headers=SAFE_HEADERS)

    def _key(self, reference: str) -> Key:
        try:
            return self._library.find(reference).key
        except UnknownArchive:
            return Key.parse(reference)  # it may be hosted later

    def _end(self, seconds: int | None, maker: Access) -> float | None:
        """When a token ends: never after the one that makes it, or that one would live on in it."""
        end = None if seconds is None else self._now() + seconds
        if maker.expires_at is not None and (end is None or end > maker.expires_at):
            raise Problem(
                "forbidden",
                "This token ends before that one would: give `expires_in`, not beyond its own end.",
                fields=[("/expires_in", "ends after the token that asks")],
            )
        return end


def _fields(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": shapes.encodable(token.name),
        "scope": token.scope,
        "archives": None if token.archives is None else list(token.archives),
        "made_at": shapes.moment(token.made_at),
        "expires_at": shapes.moment(token.expires_at),
        "last_used_at": shapes.moment(token.last_used_at),
    }
