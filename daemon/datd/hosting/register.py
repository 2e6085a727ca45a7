"""Archives by key, name, discovery key and domain: how people and peers find one."""

import re
from collections.abc import ValuesView

from datd.errors import ArchiveExists, KeyFormatError, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.keys import Key
from datd.naming import names

# The beginning of a key that is enough to mean it, if only one archive has it.
MIN_PREFIX = 6
# What may be meant as a beginning, but is too short; a version can follow.
_TOO_SHORT = re.compile(rf"[0-9a-fA-F]{{1,{MIN_PREFIX - 1}}}(?:\+.*)?", re.DOTALL)


def unknown(reference: str) -> UnknownArchive:
    """That no archive is called so, and what may be amiss with it; nothing of what is hosted."""
    text = f"no archive {reference[:80]!r} is hosted here"
    if _TOO_SHORT.fullmatch(reference):
        text += f"; the beginning of a key needs {MIN_PREFIX} digits or more"
    return UnknownArchive(text)


class Register:
    """Every archive once, under all that it is called."""

    def __init__(self) -> None:
        self._by_key: dict[str, HostedArchive] = {}
        self._by_discovery: dict[bytes, HostedArchive] = {}
        self._by_name: dict[str, HostedArchive] = {}
        self._by_domain: dict[str, HostedArchive] = {}

    def enter(self, archive: HostedArchive) -> HostedArchive:
        """Take an archive in."""
        self._by_key[archive.key.hex] = archive
        self._by_discovery[archive.key.discovery_key.raw] = archive
        self.call(archive)
        archive.removed = False
        return archive

    def strike(self, archive: HostedArchive) -> None:
        """Take an archive out."""
        archive.removed = True
        del self._by_key[archive.key.hex]
        del self._by_discovery[archive.key.discovery_key.raw]
        if archive.record.name is not None:
            del self._by_name[archive.record.name]
        if archive.record.domain is not None:
            del self._by_domain[archive.record.domain]

    def call(self, archive: HostedArchive) -> None:
        """Take in what an archive is called now."""
        if archive.record.name is not None:
            self._by_name[archive.record.name] = archive
        if archive.record.domain is not None:
            self._by_domain[archive.record.domain] = archive

    def recall(self, archive: HostedArchive, name: str | None, domain: str | None) -> None:
        """Take in what an archive is called now; until a moment ago it had this name and domain."""
        if name is not None:
            del self._by_name[name]
        if domain is not None:
            del self._by_domain[domain]
        self.call(archive)

    def require_free(
        self, name: str | None, domain: str | None, *, besides: HostedArchive | None = None
    ) -> None:
        """Check that no archive but one is called so.

        Raises:
            ArchiveExists: Another one is.
        """
        if name is not None and self._by_name.get(name, besides) is not besides:
            raise ArchiveExists(f"another archive is called {name!r}: choose another name")
        if domain is not None and self._by_domain.get(domain, besides) is not besides:
            raise ArchiveExists(
                f"another archive has the domain {domain}: take it away there first"
            )

    # ---- finding

    def all(self) -> ValuesView[HostedArchive]:
        """All of them, in the order in which they were added."""
        return self._by_key.values()

    def of_key(self, key: Key) -> HostedArchive | None:
        """The archive with that key."""
        return self._by_key.get(key.hex)

    def of_discovery_key(self, discovery_key: bytes) -> HostedArchive | None:
        """The archive with that public name of 32 bytes."""
        return self._by_discovery.get(discovery_key)

    def of_domain(self, domain: str) -> HostedArchive | None:
        """The archive that has a domain (ASCII, lower case)."""
        return self._by_domain.get(domain)

    def of_name(self, name: str) -> HostedArchive | None:
        """The archive with that name, domain or shortname."""
        return self._by_name.get(name) or self._find_by_host(name)

    def find(self, reference: str) -> HostedArchive:
        """Look an archive up by key, link, name, or a beginning of its key that only it has.

        A domain or a shortname does as well, as far as it is known here: nobody is asked.

        Raises:
            UnknownArchive: There is none, or more than one.
        """
        archive = self._by_name.get(reference)
        if archive is None:
            try:
                archive = self._by_key.get(Key.parse(reference).hex)
            except KeyFormatError:
                archive = self._find_by_host(reference) or self._find_by_beginning(
                    reference.lower()
                )
        if archive is None:
            raise unknown(reference)
        return archive

    def _find_by_host(self, reference: str) -> HostedArchive | None:
        try:
            named = names.parse(reference)
        except KeyFormatError:
            return None
        if named is None:
            return None
        found = [a for a in self._by_key.values() if a.record.shortname == named.host]
        # What was added last is what the name meant last.
        return self._by_domain.get(named.host) or (found[-1] if found else None)

    def _find_by_beginning(self, digits: str) -> HostedArchive | None:
        if len(digits) < MIN_PREFIX:
            return None
        found = [a for name, a in self._by_key.items() if name.startswith(digits)]
        if len(found) > 1:
            raise UnknownArchive(f"{len(found)} archives begin with {digits}: give more digits")
        return found[0] if found else None
