"""The gateway's server, on an address of its own: no page of an archive is of the API's origin."""

from datd.hosting.library import Library
from datd.http.gateway.app import make_app
from datd.http.gateway.reload import News
from datd.http.listener import Listener
from datd.settings import GatewaySettings
from datd.shortage import Shortage


class GatewayServer:
    """Serves archives as web sites."""

    def __init__(
        self,
        library: Library,
        settings: GatewaySettings,
        news: News,
        shortage: Shortage | None = None,
    ) -> None:
        """Not started yet; for the arguments see `make_app` and `Listener`."""
        self._settings = settings
        app = make_app(library, settings, news)
        self._listener = Listener(app, "the gateway", "gateway", shortage)

    async def start(self) -> int:
        """Listen where the settings say.

        Returns:
            The port.

        Raises:
            ConfigError: Other hosts could reach the address, and nobody said that they may.
            OSError: The address cannot be used; the text says why, and what to do.
        """
        settings = self._settings
        return await self._listener.open(
            settings.host, settings.port, allow_public=settings.allow_public
        )

    async def close(self) -> None:
        """Stop listening; listeners of new versions are sent away."""
        await self._listener.close()
