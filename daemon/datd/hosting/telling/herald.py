"""Who is told what happens: readers of the event stream, and webhooks."""

from collections.abc import Callable, Sequence
from secrets import token_bytes

from datd.books.events import Event
from datd.hosting.archive import HostedArchive
from datd.hosting.services import Services
from datd.hosting.telling.event_kinds import Interest, Position
from datd.hosting.telling.file_events import FileEvents
from datd.hosting.telling.following import Following
from datd.hosting.telling.webhooks import Webhooks
from datd.hosting.versions import Versions
from datd.keys import Key


class Herald:
    """Passes events on.

    Attributes:
        webhooks: Receivers elsewhere.
    """

    def __init__(
        self,
        services: Services,
        versions: Versions,
        of_key: Callable[[Key], HostedArchive | None],
    ) -> None:
        """Nobody listens yet.

        Args:
            services: What archives share.
            versions: Know the history of archives.
            of_key: The archive with a key, if it is hosted.
        """
        self._services = services
        self._of_key = of_key
        self._files = FileEvents(versions, of_key, services.spawn)
        self.webhooks = Webhooks(services, self._files, self._tags_of, random_bytes=token_bytes)

    async def start(self) -> None:
        """Go on with what was under way when the daemon ended.

        Raises:
            StorageError: The catalogue cannot be read.
        """
        await self.webhooks.start()

    async def close(self) -> None:
        """End."""
        await self.webhooks.close()
        await self._files.close()

    def follow(
        self,
        interest: Interest,
        since: Position | None,
        *,
        may_see: Callable[[Event], bool],
        on_cut: Callable[[], None] = lambda: None,
    ) -> Following:
        """A reader of events; see `Following`."""
        return Following(
            self._services.events,
            self._files,
            interest,
            since,
            tags_of=self._tags_of,
            may_see=may_see,
            on_cut=on_cut,
        )

    def _tags_of(self, key: str) -> Sequence[str]:
        archive = self._of_key(Key(bytes.fromhex(key)))
        return () if archive is None else archive.tags
