"""Every exception that datd raises on purpose.

DatdError
├── ConfigError             a setting is wrong; the text names it
├── KeyFormatError          a text is not a Dat link
├── PeerError               the remote side is at fault; the connection ends
│   ├── ProtocolError       it said something the protocol does not allow
│   └── IntegrityError      it sent a block, hash or signature that does not hold
│       └── ForkError       it proved another history under the same key
├── StorageError            a file cannot be read, written or understood: our fault or the disk's
│   ├── ReadOnlyError       the disk takes no writes
│   ├── NewerFormat         a newer datd wrote it
│   └── DamagedCatalogue    the catalogue makes no sense any more
├── NoRoom                  a quota or the floor of free disk space is reached
├── QuotaUsedUp             a pinning account may not keep more than it does
├── NotWritableError        appending needs the secret key
│   ├── Behind              a longer history was signed with it than is here
│   └── Forked              two histories were signed with it
├── BlockMissing            a block (or the hashes above it) is not here; ask the network
├── Gone                    what is asked for was here once, and is not kept on purpose
├── ArchiveFormatError      the author of an archive signed something that makes no sense
├── UnknownArchive          no archive with this key or name is hosted
├── SecretRefused           a secret key is not the one of the archive it was given for
├── FolderRefused           a folder of this host may not be published, or cannot be
├── UnknownJob              there is no such job, or it ended long ago
├── UnknownWebhook          there is no webhook with this id
├── Busy                    somebody else is at it, or too much is under way: later it may work
├── ArchiveExists           it is hosted already, with other settings than were asked for
├── EntryNotFound           an archive has no such file or folder
├── VersionNotFound         an archive has no such version (yet)
├── PathRefused             a path cannot be written in an archive as asked
├── FolderNotEmpty          a folder is to go, and something lies in it
├── NameNotFound            no archive stands behind a shortname such as example.org
├── NameUnreachable         nobody who could say what a shortname means was to be had
├── WebError                a server of the web may not be asked, or gave nothing that can be used
├── GatewayError            a router does not pass a port on
│   └── PortTaken           it passes that one on to another host
└── Timeout                 no peer gave what was asked for in time

Machines raise; only the edges (connection, HTTP, command) catch. Anything else that escapes is
a bug of ours.
"""

from collections.abc import Sequence


class DatdError(Exception):
    """Base of all errors that datd raises on purpose."""


class ConfigError(DatdError):
    """A setting is wrong. The text names the setting and says what was expected."""


class KeyFormatError(DatdError):
    """A text is not a Dat link."""


class PeerError(DatdError):
    """The remote side is at fault."""


class ProtocolError(PeerError):
    """The peer said something that the protocol does not allow."""


class IntegrityError(PeerError):
    """A block, hash or signature from a peer does not hold.

    Attributes:
        index: The block concerned, counted from 0; -1 if none.
        signature: Whether a signature failed (rather than a hash).
        stored: Blocks of the same batch that were good and are stored.
    """

    def __init__(self, text: str, *, index: int = -1, signature: bool = False) -> None:
        super().__init__(text)
        self.index = index
        self.signature = signature
        self.stored: list[int] = []


class ForkError(IntegrityError):
    """A valid signature covers a history other than the one held here.

    Attributes:
        length: Length, in blocks, that the other history claims.
        root_hash: 32 bytes that its signature covers.
        evidence: The 64-byte signature of the other history.
    """

    def __init__(
        self, text: str, *, index: int, length: int, root_hash: bytes, evidence: bytes
    ) -> None:
        super().__init__(text, index=index)
        self.length = length
        self.root_hash = root_hash
        self.evidence = evidence


class StorageError(DatdError):
    """A file cannot be read, written or understood."""


class ReadOnlyError(StorageError):
    """The disk takes no writes."""


class NewerFormat(StorageError):
    """A newer datd wrote what lies here; this one would only do harm."""


class DamagedCatalogue(StorageError):
    """The catalogue can be read, but makes no sense. The next start makes it anew (C-19)."""


class NoRoom(DatdError):
    """A quota or the floor of free disk space is reached. The text says which, and what to do."""


class QuotaUsedUp(DatdError):
    """A pinning account may not keep more than it does. The text says which of its quotas."""


class NotWritableError(DatdError):
    """Appending needs the secret key, which is not here."""


class Behind(NotWritableError):
    """A longer history was signed with our own key than is here: to append would fork it."""


class Forked(NotWritableError):
    """Two histories were signed with our own key. Nothing is appended to either, ever."""


class BlockMissing(DatdError):
    """A block, or the hashes needed for it, are not held here.

    Attributes:
        discovery_key: 32 bytes naming the feed.
        index: The block, counted from 0.
        also: Further blocks of that feed that will be wanted next: ask for all in one round trip.
        seeks: Bytes of that feed whose blocks are to be found in the same round trip: `types.Seek`.
        stages: Those of `also` whose arrival is reason to try again: more may be asked for then.
        unsure: Whether `index` is only the guess of the first of `seeks`: that one is to be found.
    """

    def __init__(
        self,
        discovery_key: bytes,
        index: int,
        also: Sequence[int] = (),
        seeks: Sequence[tuple[int, int, int, int]] = (),
        *,
        stages: Sequence[int] = (),
        unsure: bool = False,
    ) -> None:
        super().__init__(f"block {index} is not here")
        self.discovery_key = discovery_key
        self.index = index
        self.also = also
        self.seeks = seeks
        self.stages = stages
        self.unsure = unsure


class Gone(DatdError):
    """Content of an old version, in an archive that keeps the newest one only."""


class ArchiveFormatError(DatdError):
    """The author of an archive signed something that makes no sense."""


class LookUpTooLong(ArchiveFormatError):
    """One look-up would read more than is read at once. What it read is in memory: ask again."""


class UnknownArchive(DatdError):
    """No archive with this key or name is hosted."""


class SecretRefused(DatdError):
    """A secret key is not the one of the archive it was given for."""


class FolderRefused(DatdError):
    """A folder of this host is not to be published, or cannot be. The text says why.

    Attributes:
        forbidden: Whether the operator has not allowed it.
    """

    def __init__(self, text: str, *, forbidden: bool = False) -> None:
        super().__init__(text)
        self.forbidden = forbidden


class UnknownJob(DatdError):
    """There is no such job, or it ended so long ago that nothing is known of it."""


class UnknownWebhook(DatdError):
    """There is no webhook with this id."""


class Busy(DatdError):
    """Somebody else is at it, or too much is under way. Later it may work."""


class ArchiveExists(DatdError):
    """The archive is hosted already, with other settings than were asked for."""


class EntryNotFound(DatdError):
    """An archive has no such file or folder."""


class VersionNotFound(DatdError):
    """An archive has no such version, or not yet."""


class PathRefused(DatdError):
    """A path cannot be written in an archive as asked. The text says why."""


class FolderNotEmpty(DatdError):
    """A folder is to be removed, and something lies in it."""


class NameNotFound(DatdError):
    """No archive stands behind a shortname. The text says who was asked and what to do."""


class NameUnreachable(DatdError):
    """Nobody who could say what a shortname means was to be had; later it may be otherwise."""


class WebError(DatdError):
    """A server of the web may not be asked, cannot be reached, or says too much."""


class GatewayError(DatdError):
    """A router does not pass a port on: it is silent, refuses, or speaks another protocol."""


class PortTaken(GatewayError):
    """The router passes that port on to another host already."""


class HashesLost(DatdError):
    """Hashes that a peer counts on were not kept, through no fault of its: both are to begin anew.

    Who was told that we keep every hash (`datd-keeps-hashes`) sends none twice on a connection.
    """


class Timeout(DatdError):
    """No peer gave what was asked for in time."""
