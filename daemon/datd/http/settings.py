"""How an archive is to be hosted, checked: its name, networks, domain, patterns, peers."""

from collections.abc import Iterable, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from typing import Any

from datctl.models import ArchiveChanges, NewArchive
from datctl.models_writing import Hosting, NewFolder
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.keeping import patterns
from datd.hosting.library import Library
from datd.hosting.settings import Settings
from datd.hosting.web.layout import web_source
from datd.http.access import Access
from datd.http.inputs import read_address, shown
from datd.http.problems import Problem
from datd.naming.lookup import SystemLookup
from datd.naming.names import host_name
from datd.records import ImportRules
from datd.types import Address

# `ARCHIVE` may be the beginning of a key; a name of that form would be read as one.
_KEY_BEGINNING = 6
_RULES = frozenset(field.name for field in dataclass_fields(ImportRules))
# Behind the `+` of a link it means the newest version, as Beaker has it.
_NEWEST = "latest"


class SettingsReader:
    """Turns what clients ask for into settings, or says what is wrong with it."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lookup = SystemLookup()

    def settings(self, asked: NewArchive | Hosting) -> Settings:
        """How a new archive is to be hosted.

        Raises:
            Problem: Something in it makes no sense.
        """
        _check_name(asked.name)
        self._check_networks(asked.networks)
        found = Settings(
            name=asked.name,
            tags=asked.tags,
            paused=asked.paused,
            networks=asked.networks,
            domain=_domain(asked.domain),
        )
        if isinstance(asked, NewArchive | NewFolder):
            found["mode"] = asked.mode
        if isinstance(asked, NewArchive):
            _check_patterns(asked.include, asked.mode)
            found["include"] = asked.include
            found["web_sources"] = _web_sources(asked.web_sources)
        return found

    async def peers(self, asked: Sequence[str], access: Access) -> list[Address]:
        """Addresses of sources; for `access` see `read_address`.

        Raises:
            Problem: One is no address, its name is not known, or it must not be dialled.
        """
        return [await read_address(peer, self._lookup, access) for peer in asked]

    def changes(self, archive: HostedArchive, asked: ArchiveChanges, newest: int) -> Changes:
        """What is to be changed of an archive, whose newest known version is given, too.

        Raises:
            Problem: Something in it makes no sense for this archive.
        """
        given = asked.model_fields_set
        fields: dict[str, Any] = {}
        for name in ("mode", "watch", "chunking"):
            if name in given:
                if getattr(asked, name) is None:
                    raise _wrong(name, "expected a value, not null")
                fields[name] = getattr(asked, name)
        if "name" in given:
            _check_name(asked.name)
            fields["name"] = asked.name
        if "tags" in given:
            fields["tags"] = list(dict.fromkeys(asked.tags or ()))
        if "include" in given:
            _check_patterns(asked.include, asked.mode or archive.record.mode)
            fields["include"] = asked.include
        if asked.prune and not given & {"mode", "include"}:
            if archive.record.mode != "sparse":
                raise _wrong("prune", "only a sparse archive drops what nobody wants; give `mode`")
            fields["include"] = archive.record.include
        rules = {name: getattr(asked, name) for name in _RULES & given}
        for name in rules:
            if rules[name] is None:
                raise _wrong(name, "expected a value, not null")
            if archive.record.source is None:
                raise _wrong(name, "this archive is not published from a folder")
        if rules:
            fields["import_rules"] = replace(archive.record.import_rules, **rules)
        if "version" in given:
            fields["pinned"] = asked.version
        if "networks" in given:
            self._check_networks(asked.networks)
            fields["networks"] = asked.networks and sorted(set(asked.networks))
        if "web_sources" in given:
            fields["web_sources"] = _web_sources(asked.web_sources or ())
        if "domain" in given:
            fields["domain"] = _domain(asked.domain)
        if asked.watch and archive.record.source is None:
            raise _wrong("watch", "this archive is not published from a folder")
        if asked.chunking is not None and not archive.record.writable:
            raise _wrong("chunking", "this archive is not written here")
        if asked.version_tags:
            fields["version_tags"] = _tags(archive.record.version_tags, asked.version_tags, newest)
        return Changes(fields)

    def _check_networks(self, asked: Iterable[str] | None) -> None:
        here = self._library.networks
        for number, name in enumerate(asked or ()):
            if name not in here:
                raise Problem(
                    "bad_request",
                    f"{shown(name)} is no discovery network of this daemon; there are: "
                    f"{', '.join(here) or 'none'}.",
                    fields=[(f"/networks/{number}", "there is no such network")],
                )


def _tags(known: dict[str, int], asked: dict[str, int | None], newest: int) -> dict[str, int]:
    tags = dict(known)
    for tag, version in asked.items():
        if tag.lower() == _NEWEST:
            raise _wrong(f"version_tags/{tag}", "it always means the newest version")
        if version is None:
            tags.pop(tag, None)
        elif version > newest:
            raise _wrong(
                f"version_tags/{tag}",
                f"version {version} is not known here: the newest is {newest}",
            )
        else:
            tags[tag] = version
    return tags


def _wrong(field: str, why: str) -> Problem:
    return Problem("bad_request", f"In the body: {field}: {why}.", fields=[(f"/{field}", why)])


def _web_sources(asked: Sequence[str]) -> list[str]:
    """Addresses of web sources as they are kept.

    Raises:
        Problem: One is none.
    """
    found = []
    for number, text in enumerate(asked):
        try:
            found.append(web_source(text))
        except ValueError as error:
            raise _wrong(f"web_sources/{number}", f"{shown(text)} {error}") from None
    return list(dict.fromkeys(found))


def _check_patterns(lines: Sequence[str] | None, mode: str) -> None:
    if lines is None:
        return
    if mode != "sparse":
        raise _wrong("include", "only a sparse archive has patterns")
    try:
        patterns.parse(lines)
    except ValueError as error:
        raise _wrong("include", str(error)) from None


def _domain(text: str | None) -> str | None:
    """A domain as requests will name it.

    Raises:
        Problem: It is none.
    """
    if text is None:
        return None
    domain = host_name(text)
    if domain is None:
        raise Problem(
            "bad_request",
            f"{shown(text)} is no domain: expected a name such as dat.example.org.",
            fields=[("/domain", "is no domain")],
        )
    return domain


def _check_name(name: str | None) -> None:
    looks_like_key = (
        name is not None
        and len(name) >= _KEY_BEGINNING
        and all(digit in "0123456789abcdefABCDEF" for digit in name)
    )
    odd = name is not None and (name != name.strip() or ":" in name or name in {".", ".."})
    if looks_like_key or odd:
        raise Problem(
            "bad_request",
            f"{shown(name or '')} cannot be a name: it could be taken for a link, a path or the "
            "beginning of a key, or has space around it.",
            fields=[("/name", "choose another name")],
        )
