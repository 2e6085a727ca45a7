"""One archive's page of the catalogue: when what is known of it goes on record."""

from datd.catalogue import Catalogue
from datd.errors import StorageError
from datd.hosting.changes import Changes
from datd.records import Record


class Bookkeeping:
    """Keeps a record and the catalogue alike."""

    def __init__(self, record: Record, catalogue: Catalogue) -> None:
        self._record = record
        self._catalogue = catalogue

    async def save(self) -> None:
        """Write the record down as it is now.

        Raises:
            StorageError: The catalogue cannot be written.
        """
        await self._catalogue.save([self._record])

    async def change(self, changes: Changes) -> None:
        """Write other settings down.

        Raises:
            StorageError: They cannot be written down; nothing changed.
        """
        before = changes.exchange(self._record)
        try:
            await self.save()
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
            await self._catalogue.set_dirty(self._record.key, False)
            self._record.dirty = False
