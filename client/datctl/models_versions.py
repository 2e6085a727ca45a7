"""Versions: the history of an archive or of one path, and what differs between two versions."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from datctl.models import Entry


class Change(BaseModel):
    """One version: what it did to one path.

    Attributes:
        version: Its number.
        type: "put" or "delete".
        path: Any text, starting with `/`: it is the author's.
        kind: "file", "directory" or "other"; null for a deletion.
        size: Bytes; null for a deletion.
        mtime: As the author signed it; null where that is no date, and for a deletion.
    """

    version: int
    type: Literal["put", "delete"]
    path: str
    kind: str | None = None
    size: int | None = None
    mtime: datetime | None = None


class History(BaseModel):
    """Answer of `GET /archives/{key}/history`: changes, oldest first.

    Attributes:
        version: The newest version known.
        next_since: Ask on with `since` set to this; null at the end.
        complete: Whether nothing is left out. The first question for one path of a large archive
            makes an index begin; until it is there, changes from before the path was last deleted
            may be missing: ask again in a while.
    """

    key: str
    version: int
    changes: list[Change]
    next_since: int | None
    complete: bool = True


class Difference(BaseModel):
    """One path that is not the same in both versions; `old` or `new` is null where it is absent."""

    type: Literal["added", "changed", "removed"]
    path: str
    old: Entry | None = None
    new: Entry | None = None


class DifferencePage(BaseModel):
    """Answer of `GET /archives/{key}/diff`. The two versions are `from` and `to` in JSON.

    Attributes:
        changes: May be none on a page that is not the last: a page takes seconds at most.
        next_cursor: Ask on with this as `cursor`; null at the end.
    """

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    key: str
    old_version: Annotated[int, Field(alias="from")]
    new_version: Annotated[int, Field(alias="to")]
    changes: list[Difference]
    next_cursor: str | None
