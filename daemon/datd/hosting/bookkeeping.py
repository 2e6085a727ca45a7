"""One archive's page of the catalogue: when what is known of it goes on record."""

from collections.abc import Callable

from datd.catalogue import Catalogue, Write
from datd.errors import StorageError
from datd.hosting.changes import Changes
from datd.records import Record


class Bookkeeping:
    """Keeps a record and the catalogue alike."""

    def __init__(
        self,
        record: Record,
        catalogue: Catalogue,
        told: Callable[[Changes], Write | None] = lambda before: None,
    ) -> None:
        """Keep a record.

        Args:
            record: The archive's.
            catalogue: The book.
            told: Is given what a change replaced, and gives what else to write with it.
        """
        self._record = record
        self._catalogue = catalogue
        self._told = told

    async def save(self, beside: Write | None = None) -> None:
        """Write the record down as it is now, and something in other books along with it.

        Raises:
            StorageError: The catalogue cannot be written.
        """
        await self._catalogue.save([self._record], beside)

    async def change(self, changes: Changes) -> None:
        """Write other settings down.

        Raises:
            StorageError: They cannot be written down; nothing changed.
        """
        before = changes.exchange(self._record)
        try:
            await self.save(self._told(before))
        except StorageError:
            before.exchange(self._record)
            raise

    async def soil(self) -> None:
        """Files are about to be written: after a crash they are to be looked over."""
        if not self._record.dirty:
            await self._catalogue.set_dirty(self._record.key, True)
            self._record.dirty = True

    async def clean(self) -> None:
        """All that was written is on the disk."""
        await self.save()
        if self._record.dirty:
            # First: cut off now, nobody knows what the catalogue says, and who writes has to ask.
            self._record.dirty = False
            try:
                await self._catalogue.set_dirty(self._record.key, False)
            except StorageError:
                self._record.dirty = True
                raise
