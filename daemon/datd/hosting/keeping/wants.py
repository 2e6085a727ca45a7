"""What an archive in use wants of its feeds, as its mode says.

`archive` wants every block there ever was. `latest` wants all of the metadata, and of content what
the files of the newest version are made of; the rest is dropped. `sparse` wants what its patterns
name, and without patterns only where the archive begins and ends: all else is fetched when somebody
reads it.

A pinned archive takes the pinned version for the newest one.

Source: archives.md section 8, decision 1.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from datd.archive.archive import HISTORY_LOOKED_AT, Archive
from datd.errors import ArchiveFormatError, BlockMissing, Gone
from datd.hosting.changes import Changes
from datd.hosting.folders.place import is_their_folder
from datd.hosting.keeping.claims import Claims, joined, without
from datd.hosting.keeping.patterns import Part, parse
from datd.hosting.keeping.replaced import Replaced
from datd.hosting.keeping.tally import CHOOSY_SLICE, Count, Extent, Tally
from datd.hosting.live_feed import LiveFeed
from datd.records import Record
from datd.replication.block_map import BlockMap

if TYPE_CHECKING:
    from datd.hosting.open_archive import OpenArchive

# Settings that decide what is wanted.
SETTINGS: Final = frozenset({"mode", "include", "pinned"})

GONE: Final = (
    "these bytes belong to an older version of the file, and this archive keeps the newest version "
    "only: read that one, or host the archive in mode `archive`"
)

CHANGED: Final = (
    "the folder that this archive is published from does not hold these bytes: its files were "
    "changed or removed since; import it again"
)

# In place of the version up to which old blocks were dropped: all that is not wanted is to go.
SWEEP: Final = -1


def with_sweep(changes: Changes, record: Record, *, prune: bool) -> Changes:
    """Add to changes of a record what follows for the blocks that are here.

    Becoming `latest` always drops what is old. Becoming `sparse`, or wanting other files of a
    sparse archive, keeps what is here unless `prune` asks for less.
    """
    if not SETTINGS & changes.fields.keys():
        return changes
    mode = changes.fields.get("mode", record.mode)
    sweeps = mode == "latest" or (mode == "sparse" and prune)
    return Changes({**changes.fields, "synced": SWEEP if sweeps else 0})


class Wants:
    """What one open archive wants.

    Belongs to the loop; counts are made in the lane.

    Attributes:
        published: Whether content are the files of a folder that it is published from: then that
            folder says what there is, and no content is fetched.
        tally: The last count of the files.
        claimed: Content blocks that a mode other than `archive` wants; None before the first count.
        older: Those of them that only older versions need: a peer may not have them any more. None
            where only the newest version is wanted.
        settled: Whether all that is wanted was here when the archive was opened, and is unless
            something newer comes: then nothing has to be counted.
    """

    def __init__(self, record: Record) -> None:
        """Want what a record says.

        Args:
            record: Its settings are read now. Once they change, make another `Wants`.
        """
        self.mode = record.mode
        self.pinned = record.pinned
        self.published = is_their_folder(record)
        self.tally: Tally | None = None
        self.claimed: BlockMap | None = None
        self.older: BlockMap | None = None
        self._unneeded: tuple[Tally, int, int, BlockMap] | None = None
        self._patterns = parse(record.include or () if self.mode == "sparse" else ())
        self._extent = Extent()
        self._spans = [_Span(part, *part.versions) for part in self._patterns.older]
        self._synced = record.synced
        up_to_date = record.synced == record.summary.version
        summary = record.summary
        self.settled = self.picks and summary.complete and up_to_date
        self._summary = summary
        self._at_rest: Count | None = None

    @property
    def picks(self) -> bool:
        """Whether files are chosen: not all of content is wanted, but some of it."""
        return self.mode == "latest" or not self._patterns.empty

    @property
    def on_demand(self) -> bool:
        """Whether nothing is fetched that nobody reads, metadata included."""
        return self.mode == "sparse" and self._patterns.empty

    @property
    def extent(self) -> Extent:
        """What the pinned version takes of content, as far as it is known."""
        return self._extent

    def newest(self, opened: "OpenArchive") -> int:
        """The version to mirror: the newest one known here, or the pinned one."""
        version = max(0, opened.metadata.feed.length - 1)
        return version if self.pinned is None else min(version, self.pinned)

    def apply(self, opened: "OpenArchive") -> None:
        """Tell the pickers what to fetch, as far as it is known; `look` finds out the rest."""
        if opened.no_room is not None:
            return
        for live in opened.live_feeds:
            picker = live.picker
            if live is opened.metadata:
                if self.on_demand:
                    picker.want(self._ends(opened))
                elif self.pinned is None:
                    picker.want_all()
                else:
                    picker.want([(0, self.pinned + 1)])
            elif self.published:
                picker.want(())
            elif self.picks:
                picker.want(self.claimed if self.claimed is not None else ())
            elif self.on_demand:
                picker.want(())
            elif self.pinned is None:
                picker.want_all()
            else:
                picker.want([(0, self._extent.blocks)])
            live.ask_all()

    def _ends(self, opened: "OpenArchive") -> list[tuple[int, int]]:
        """The header and the newest entry: with them every path can be looked up."""
        metadata = opened.metadata
        if not metadata.feed.length:
            return [(0, 1)]
        last = metadata.picker.known_length - 1
        if self.pinned is not None:
            last = min(last, self.pinned)
        return [(0, 1), (last, last + 1)]

    def refresh(self, opened: "OpenArchive") -> None:
        """Peers may have told of newer versions."""
        if self.on_demand and opened.metadata.feed.length:
            (_, (last, _)) = self._ends(opened)
            if not opened.metadata.feed.has(last):
                self.apply(opened)

    async def look(self, opened: "OpenArchive", *, whole: bool) -> None:
        """Find out what the newest version is made of, if that is not known.

        Args:
            opened: The archive.
            whole: Whether the archive was complete as it is, when it was last looked at.
        """
        version = self.newest(opened)
        if self.on_demand:
            self.apply(opened)
            return
        if not version or opened.content is None or opened.metadata.picker.missing_count:
            return
        if self.picks:
            changed = await self._choose(opened, version)
        else:
            changed = self.pinned is not None and await self._measure(opened, version)
            if not whole:
                await self._count(opened, version, None)
        if changed:
            self.apply(opened)

    async def _choose(self, opened: "OpenArchive", version: int) -> bool:
        """Learn which blocks the chosen files claim; whether that is news."""
        if self.tally is None and self.settled and self._synced == version:
            return False
        if self.tally is not None and self.tally.version == version and self.claimed is not None:
            return False
        await self._count(opened, version, self._chosen())
        try:
            for span in self._spans:
                await span.look(opened, version)
        except (BlockMissing, ArchiveFormatError):
            return False
        if self.tally is None:
            return False
        newest = self.tally.claims.wanted()
        self.claimed = joined(newest, *(span.claims.wanted() for span in self._spans))
        self.older = without(self.claimed, newest) if self._spans else None
        self.settled = False
        return True

    def _chosen(self) -> Callable[[str], bool] | None:
        if self.mode == "latest":
            return None
        newest = self._patterns.newest
        return newest.matches if newest is not None else lambda _: False

    async def _count(
        self, opened: "OpenArchive", version: int, chosen: Callable[[str], bool] | None
    ) -> None:
        tally = self.tally
        if tally is not None and tally.version == version and not tally.unsound:
            return
        archive = opened.archive
        self.tally = None  # a count cut short counts for nothing
        try:
            if tally is None:
                tally = self._resumed(opened, version, chosen)
            if tally is not None and tally.version < version and not tally.unsound:
                await opened.run(partial(tally.follow, archive, version))
            else:
                replaced = await self._since(opened, version)
                tally = Tally(archive, version, chosen, replaced)
            while await opened.run(tally.advance):
                pass
        except (BlockMissing, ArchiveFormatError):
            return
        if tally.unsound:
            await self._count(opened, version, chosen)
        else:
            self.tally = tally

    def note_rest(self, opened: "OpenArchive") -> None:
        """See what is here before anything comes, or is written.

        If all that was wanted is here and, in mode `latest`, nothing else, then what is here is
        what the files of that version claim, and a newer one can be counted by what changed. In
        mode `archive` more than that may be here, but nothing that would have to come.
        """
        summary, content = self._summary, opened.content
        if content is None or self._spans or not summary.disjoint:
            return
        whole = content.feed.present_blocks >= content.feed.length > 0
        if self.settled or (self.mode == "archive" and whole and summary.complete):
            have = joined(content.picker.have)
            counted = (summary.version, summary.files, summary.size)
            self._at_rest = Count(*counted, have, content.present_bytes)

    def _resumed(
        self, opened: "OpenArchive", version: int, chosen: Callable[[str], bool] | None
    ) -> Tally | None:
        """The count of the version that was complete when the archive was closed."""
        count, self._at_rest = self._at_rest, None
        if count is None or not 0 < count.version < version:
            return None
        return Tally.resume(opened.archive, count, chosen)

    async def _since(self, opened: "OpenArchive", version: int) -> Replaced | None:
        """What was replaced since old blocks were last dropped."""
        if self.mode != "latest":
            return None
        replaced = Replaced()
        if not 0 < self._synced < version:
            replaced.crowded = True
            return replaced
        changes = await opened.run(partial(opened.archive.succession, self._synced, version))
        while not changes.finished:
            for passage in await opened.run(partial(changes.page, CHOOSY_SLICE)):
                replaced.note(passage)
        return replaced

    def unneeded(self, length: int) -> BlockMap:
        """Blocks below a length that no file of the version counted needs."""
        tally, known = self.tally, self._unneeded
        if tally is None:
            return BlockMap()
        if known is None or known[:3] != (tally, tally.version, length):
            everything = BlockMap.of_ranges([(0, length)])
            known = (tally, tally.version, length, without(everything, tally.claims.wanted()))
            self._unneeded = known
        return known[3]

    async def _measure(self, opened: "OpenArchive", version: int) -> bool:
        """Find out what the versions up to one take of content; whether it is more than known."""
        before = self._extent.blocks
        try:
            while self._extent.version < version:
                since = self._extent.version
                page = await opened.run(partial(opened.archive.history, since, HISTORY_LOOKED_AT))
                if page.last == since:
                    break
                self._extent.add(page, version)
        except (BlockMissing, ArchiveFormatError):
            return False
        return self._extent.blocks > before

    # ---- what is not wanted

    def surplus(self, opened: "OpenArchive", *, complete: bool) -> list[BlockMap] | None:
        """What to keep when all other content blocks are dropped; None: drop nothing now."""
        content = opened.content
        if content is None:
            return None
        if self.on_demand:
            return [] if self._synced == SWEEP else None
        if self.tally is None or self.claimed is None or self.tally.version != self.newest(opened):
            return None
        if self.mode == "sparse":
            return [self.claimed] if self._synced == SWEEP else None
        if complete:
            return [self.claimed]
        replaced = self.tally.replaced
        if replaced is None:
            return None
        kept = replaced.kept(content.picker.have)
        return None if replaced.crowded else [self.claimed, kept]

    def swept(self, version: int, *, complete: bool) -> int:
        """All that is not wanted is gone; gives what to note as `synced`."""
        if self.mode == "sparse" and self._synced == SWEEP:
            self._synced = 0
        if complete and self.picks:
            self._synced = version
            if self.tally is not None and self.tally.replaced is not None:
                self.tally.replaced = Replaced()
        return self._synced

    def refuse_old(self, opened: "OpenArchive", live: LiveFeed, index: int) -> None:
        """Do not have a missing block of an old version fetched.

        Raises:
            Gone: It is such a one.
        """
        if self.mode != "latest" or live is not opened.content:
            return
        if self.published:
            raise Gone(CHANGED)
        newest = self.newest(opened)
        if self.tally is None or self.claimed is None:
            old = self.settled and self._synced == newest
        else:
            old = self.tally.version == newest and index not in self.claimed
        if old:
            raise Gone(GONE)

    def damaged(self) -> None:
        """Blocks were lost: what was complete has to be counted again."""
        self.settled = False
        self._at_rest = None
        if self.mode == "archive":
            self.tally = None  # it may have taken for wanted whatever was here


class _Span:
    """Files of several versions that patterns name.

    All versions of a range: what its first one holds, and every file put after that.
    """

    def __init__(self, part: Part, first: int, last: int | None) -> None:
        self.claims = Claims()
        self._part = part
        self._first = first
        self._last = last
        self._tally: Tally | None = None
        self._walked = False
        self._looked_at = first

    async def look(self, opened: "OpenArchive", version: int) -> None:
        """Go on up to a version.

        Raises:
            BlockMissing, ArchiveFormatError: Metadata is not all here, or makes no sense.
        """
        if self._first > version:
            return
        stop = version if self._last is None else min(self._last, version)
        if not self._walked:
            tally = Tally(opened.archive, self._first, self._part.matches)
            while await opened.run(tally.advance):
                pass
            self.claims, self._walked = tally.claims, True
        while await opened.run(partial(self._advance, opened.archive, stop)):
            pass

    def _advance(self, archive: Archive, stop: int) -> bool:
        if self._looked_at >= stop:
            return False
        page = archive.history(self._looked_at, CHOOSY_SLICE)
        for entry in page.entries:
            stat = entry.stat
            if entry.seq > stop or stat is None or not stat.is_file:
                continue
            if self._part.matches("/" + "/".join(entry.components)):
                self.claims.add(stat.offset, stat.offset + stat.blocks)
        self._looked_at = page.last
        return True
