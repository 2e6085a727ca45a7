"""Pages of other sites that may use the API: named one by one, and answered as browsers ask (CORS).

Nothing is ever allowed to all, and never with cookies: a page needs a token of its own.
"""

from collections.abc import Sequence

from aiohttp import web

# How long a browser may keep the answer to its question; a setting that is taken back counts soon.
_MAX_AGE = 600
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_TAKEN = (
    "Authorization, Content-Type, If-Match, If-None-Match, If-Modified-Since, If-Range, "
    "If-Unmodified-Since, Last-Event-ID, Range"
)
_SHOWN = (
    "Accept-Ranges, Content-Disposition, Content-Range, ETag, Last-Modified, Location, "
    "Retry-After, WWW-Authenticate"
)


class Origins:
    """The origins of the setting `api.cors_origins`."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    def allowed(self, request: web.Request) -> str | None:
        """The origin of the page that asks, if it is one of those."""
        given = request.headers.getall("Origin", [])
        return given[0] if len(given) == 1 and given[0] in self._origins else None

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks before it sends; None if this is no such question."""
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asks or self.allowed(request) is None:
            return None
        headers = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _TAKEN,
            "Access-Control-Max-Age": str(_MAX_AGE),
        }
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            # A page of the web that was named may ask a daemon on a host at home.
            headers["Access-Control-Allow-Private-Network"] = "true"
        return web.Response(status=204, headers=headers)

    async def mark(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Say in an answer that its page may read it: the same for errors and streams."""
        if not self._origins or not isinstance(request, web.Request):
            return
        # A cache must not give one page what was answered to another.
        known = response.headers.get("Vary")
        response.headers["Vary"] = f"{known}, Origin" if known else "Origin"
        origin = self.allowed(request)
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _SHOWN
