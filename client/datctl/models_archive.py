"""Parts of what is told about an archive: proofs of a second history, savings, rules of imports."""

from typing import Literal

from pydantic import BaseModel

FollowLinks = Literal["inside", "all", "none"]


class SignedHistory(BaseModel):
    """What a writer put its name to; `root_hash` and `signature` in hex, `length` in blocks."""

    length: int
    root_hash: str
    signature: str


class Conflict(BaseModel):
    """Proof that one key signed two histories.

    Attributes:
        feed: Discovery key of the feed.
        kept: The history that came first, kept and served; null where it has no signature here.
        refused: The other one, of which nothing is stored.
    """

    feed: str
    kept: SignedHistory | None
    refused: SignedHistory


class Saved(BaseModel):
    """What did not have to be downloaded, since it was on the daemon's host already.

    In other archives, or in folders that were named to fill this one.

    Counted since the daemon's start.
    """

    blocks: int = 0
    bytes: int = 0


class ImportRules(BaseModel):
    """How the source folder is imported.

    Attributes:
        follow_links: Which symbolic links to files count as those files: of those that lead to
            where something may be published "all", those that stay "inside" of the folder, "none".
        ignore_hidden: Whether files and folders with a leading dot are left out.
        delete: Whether what vanished from the folder is removed from the archive.
    """

    follow_links: FollowLinks = "inside"
    ignore_hidden: bool = True
    delete: bool = True


class Amount(BaseModel):
    """What is held of what is wanted; `unavailable` are old blocks that no peer has any more."""

    have: int
    total: int
    unavailable: int = 0


class PeerCounts(BaseModel):
    """Peers of an archive or of all."""

    connected: int
    known: int
