"""The settings of the running daemon: what is configured, and what was changed since.

Most settings are taken once, at the start. Some can be changed while the daemon runs; such a change
is written down and holds over restarts, until it is taken back.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from datd.books import settings as book
from datd.catalogue import Catalogue
from datd.errors import ConfigError

log = logging.getLogger(__name__)

Source = Literal["default", "file", "credential", "environment", "command_line", "changed"]


@dataclass(frozen=True, slots=True)
class Configured:
    """One setting.

    Attributes:
        name: As in `storage.max_bytes`.
        value: As JSON has it; None: not set, or a secret.
        source: Where the value comes from.
        description: For people.
        secret: Whether the value is nobody's business.
        changeable: Whether it can be changed while the daemon runs.
        configured: What would hold without the change, if it was changed.
    """

    name: str
    value: Any
    source: Source
    description: str
    secret: bool = False
    changeable: bool = False
    configured: Any = None


class Tuning:
    """All settings of a daemon."""

    def __init__(
        self,
        catalogue: Catalogue,
        configured: Sequence[Configured],
        *,
        apply: Mapping[str, Callable[[Any], object]],
        check: Callable[[str, object], object],
    ) -> None:
        """Nothing is changed before `open`.

        Args:
            catalogue: Where changes are written down.
            configured: All settings, as the daemon was started with them.
            apply: For those that can be changed: what makes a value hold.
            check: Gives the value for a name as it is used; raises `ConfigError`.
        """
        self._catalogue = catalogue
        self._configured = {one.name: one for one in configured}
        self._apply = apply
        self._check = check
        self._changed: dict[str, Any] = {}

    async def open(self) -> None:
        """Make what was changed earlier hold again."""
        for name, value in (await self._catalogue.together(book.load)).items():
            try:
                self._changed[name] = self._checked(name, value)
            except ConfigError as error:
                # Another version of the program may have taken it.
                log.warning("%s was changed earlier, and is as configured: %s", name, error)
            else:
                log.info("%s is %s, as it was changed earlier", name, value)
                self._apply[name](self._changed[name])

    def all(self) -> list[Configured]:
        """Every setting as it holds now."""
        return [self._now(one) for one in self._configured.values()]

    async def change(self, changes: Mapping[str, Any]) -> None:
        """Make settings hold otherwise, all or none; None takes an earlier change back.

        Raises:
            ConfigError: A value is not possible, or a setting cannot be changed.
            StorageError: It cannot be written down, and so does not hold.
        """
        checked = {
            name: None if value is None else self._checked(name, value)
            for name, value in changes.items()
        }
        if any(name not in self._apply for name in checked):
            raise ConfigError("such settings change with a restart")
        await self._catalogue.together(lambda database: book.save(database, checked))
        for name, value in checked.items():
            before = self._now(self._configured[name]).value
            self._changed.pop(name, None)
            if value is not None:
                self._changed[name] = value
            self._hold(name, before)

    def reconfigure(self, configured: Sequence[Configured]) -> None:
        """The configuration was read anew: what can be changed holds as it says, unless changed."""
        for one in configured:
            if one.name in self._apply:
                before = self._now(self._configured[one.name]).value
                self._configured[one.name] = one
                self._hold(one.name, before)

    def _hold(self, name: str, before: object) -> None:
        value = self._now(self._configured[name]).value
        self._apply[name](value)  # also if it is as before: reading anew may have set it otherwise
        if value != before:
            log.info("%s is %s now", name, "not set" if value is None else value)

    def _now(self, one: Configured) -> Configured:
        changeable = one.name in self._apply
        if one.name not in self._changed:
            return replace(one, changeable=changeable, configured=one.value)
        return replace(
            one,
            value=self._changed[one.name],
            source="changed",
            changeable=changeable,
            configured=one.value,
        )

    def _checked(self, name: str, value: object) -> object:
        if name not in self._apply:
            raise ConfigError(f"{name} can be changed only with a restart")
        return self._check(name, value)
