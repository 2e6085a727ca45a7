"""Versions of archives, asked over the API: what changed, and what differs between two."""

from collections.abc import AsyncIterator

from datctl.connection import Connection
from datctl.models_versions import Change, Difference, DifferencePage, History
from datctl.routes import DEFAULT_WAIT, PAGE, Version, archive_path, patience, version_text


class Versions:
    """The methods of `Client` that ask about versions.

        async for change in dat.changes("recipes", "/soups"):
            print(change.version, change.type, change.path)
        async for difference in dat.differences("recipes", "first"):
            print(difference.type, difference.path)

    A version is its number, a name that it was given, or a time.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def history(
        self,
        archive: str,
        path: str = "/",
        *,
        since: Version | None = None,
        until: Version | None = None,
        limit: int = PAGE,
        wait: float = DEFAULT_WAIT,
    ) -> History:
        """One page of the changes of an archive, or of what lies at a path, oldest first.

        Args:
            archive: Which one.
            path: Of a file or folder; by default of everything.
            since: Only changes after this version.
            until: Only changes up to this version.
            limit: At most so many.
            wait: Seconds for what has to come from peers first.

        Raises:
            NotFound: No such archive or version.
            NoPeers: Nobody gave the entries in time.
        """
        query = {
            "path": path, "since": version_text(since), "until": version_text(until),
            "limit": limit, "wait": wait,
        }  # fmt: skip
        return await self._connection.get(
            f"{archive_path(archive)}/history", History, query, silence=patience(wait)
        )

    async def changes(
        self,
        archive: str,
        path: str = "/",
        *,
        since: Version | None = None,
        until: Version | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> AsyncIterator[Change]:
        """Changes of all pages."""
        following = since
        while True:
            page = await self.history(archive, path, since=following, until=until, wait=wait)
            for change in page.changes:
                yield change
            following = page.next_since
            if following is None:
                return

    async def diff(
        self,
        archive: str,
        old: Version,
        new: Version | None = None,
        *,
        path: str = "/",
        limit: int = PAGE,
        cursor: str | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> DifferencePage:
        """One page of what differs between two versions; `new` is the newest one if None.

        Raises:
            NotFound: No such archive or version.
            NoPeers: Nobody gave the entries in time.
        """
        query = {
            "from": version_text(old), "to": version_text(new), "path": path, "limit": limit,
            "cursor": cursor, "wait": wait,
        }  # fmt: skip
        return await self._connection.get(
            f"{archive_path(archive)}/diff", DifferencePage, query, silence=patience(wait)
        )

    async def differences(
        self,
        archive: str,
        old: Version,
        new: Version | None = None,
        *,
        path: str = "/",
        wait: float = DEFAULT_WAIT,
    ) -> AsyncIterator[Difference]:
        """What differs, of all pages."""
        cursor = None
        while True:
            page = await self.diff(archive, old, new, path=path, cursor=cursor, wait=wait)
            for difference in page.changes:
                yield difference
            cursor = page.next_cursor
            if cursor is None:
                return
            # The pages that follow are of the same versions, whatever a name means by then.
            old, new = page.old_version, page.new_version
