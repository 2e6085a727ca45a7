"""Settings of an archive that can be changed while it is hosted. Values only."""

from dataclasses import dataclass, field
from typing import Any

from datd.records import Record


@dataclass(frozen=True, slots=True)
class Changes:
    """Fields of a record with the values they shall have; what is not named stays as it is.

    Attributes:
        fields: By name, as in `Record`: "networks", "domain", "paused", …
    """

    fields: dict[str, Any] = field(default_factory=dict)

    def exchange(self, record: Record) -> "Changes":
        """Put the values into a record; gives what undoes that."""
        before = Changes({name: getattr(record, name) for name in self.fields})
        for name, value in self.fields.items():
            setattr(record, name, value)
        return before
