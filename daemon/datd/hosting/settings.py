"""How an archive is to be hosted, as somebody asks for it when it is added or made."""

from collections.abc import Sequence
from typing import TypedDict

from datd.errors import ArchiveExists
from datd.keys import Key
from datd.records import ImportRules, Record
from datd.types import Address


class Settings(TypedDict, total=False):
    """What is not named is as usual.

    Attributes:
        name: A name to call it by, not used by another one.
        tags: Words to find it by.
        mode: What to keep: "archive", "latest" or "sparse".
        include: Patterns of paths, for a sparse one.
        paused: Only write it down, fetch nothing yet.
        networks: Discovery networks to use for it; None for all there are, now and later.
        domain: Where `/.well-known/dat` shall name it, in ASCII and lower case.
        web_sources: Addresses of the web where it lies too, as `web_layout.web_source` gives them.
    """

    name: str | None
    tags: Sequence[str]
    mode: str
    include: list[str] | None
    paused: bool
    networks: Sequence[str] | None
    domain: str | None
    web_sources: Sequence[str]


# Links within the folder are followed, hidden files left out, what vanished is removed.
AS_DAT_DOES = ImportRules()


def record_of(key: Key, now: float, peers: Sequence[Address], settings: Settings) -> Record:
    """The first page of an archive in the catalogue. `now` is seconds since 1970."""
    networks = settings.get("networks")
    return Record(
        key,
        added_at=now,
        name=settings.get("name"),
        tags=list(dict.fromkeys(settings.get("tags", ()))),
        mode=settings.get("mode", "archive"),
        include=settings.get("include"),
        paused=settings.get("paused", False),
        networks=None if networks is None else sorted(set(networks)),
        domain=settings.get("domain"),
        peers=list(dict.fromkeys(peers)),
        web_sources=list(dict.fromkeys(settings.get("web_sources", ()))),
    )


def require_same(record: Record, version: int | None, asked: Settings) -> None:
    """Check that an archive which is hosted already is asked for as it is, or without saying how.

    Raises:
        ArchiveExists: It is hosted otherwise.
    """
    networks = asked.get("networks")
    name, domain, include = asked.get("name"), asked.get("domain"), asked.get("include")
    tags, web_sources = set(asked.get("tags", ())), set(asked.get("web_sources", ()))
    differs = (
        (name is not None and name != record.name)
        or (bool(tags) and tags != set(record.tags))
        or (asked.get("mode", "archive") not in ("archive", record.mode))
        or (include is not None and include != record.include)
        or (version is not None and version != record.pinned)
        or (asked.get("paused", False) and not record.paused)
        or (networks is not None and sorted(set(networks)) != record.networks)
        or (domain is not None and domain != record.domain)
        or (bool(web_sources) and web_sources != set(record.web_sources))
    )
    if differs:
        raise ArchiveExists(
            "this archive is hosted already, with other settings: change them where it is shown, "
            "or ask without naming any"
        )
