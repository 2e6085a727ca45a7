"""The API's server: one address on TCP, and a Unix socket."""

from collections.abc import Callable, Sequence
from pathlib import Path

from datd.hosting.library import Library
from datd.http.app import make_app
from datd.http.desk import Desk
from datd.http.listener import Listener
from datd.naming.resolver import Names
from datd.shortage import Shortage


class ApiServer:
    """Serves the API on 127.0.0.1 and on a Unix socket."""

    def __init__(
        self,
        library: Library,
        *,
        token: str,
        desk: Desk,
        hosts: Sequence[str] = (),
        is_ready: Callable[[], bool] = lambda: True,
        names: Names | None = None,
        metrics_archives: int = 0,
        shortage: Shortage | None = None,
    ) -> None:
        """A server that is not started yet; for the arguments see `make_app` and `Listener`."""
        app = make_app(
            library,
            token=token,
            desk=desk,
            hosts=hosts,
            is_ready=is_ready,
            names=names,
            metrics_archives=metrics_archives,
        )
        self._listener = Listener(app, "the API", "api", shortage)

    async def start(
        self,
        host: str = "127.0.0.1",
        port: int = 3472,
        socket_path: Path | None = None,
        *,
        allow_public: bool = False,
    ) -> int:
        """Listen.

        Args:
            host: Address to listen on; only loopback unless `allow_public`.
            port: 0 for any free one.
            socket_path: Where the Unix socket appears, mode 0660; None for none.
            allow_public: Whether other hosts may reach the API (setting `api.allow_public`).

        Returns:
            The TCP port.

        Raises:
            ConfigError: Other hosts could reach the address, and nobody said that they may.
            OSError: Address or path cannot be used; the text says which, why, and what to do.
        """
        return await self._listener.open(host, port, socket_path, allow_public=allow_public)

    async def close(self) -> None:
        """Stop listening, let requests under way end, remove the socket's file."""
        await self._listener.close()
