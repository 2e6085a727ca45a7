"""Requests and answers of the routes that write: new archives, files, forks, secret keys."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from datctl.models import (
    MAX_PATH_LENGTH,
    Chunking,
    Domain,
    Entry,
    Mode,
    Name,
    Networks,
    Peers,
    Request,
    Tags,
    Text,
    VersionTag,
    Whole,
)
from datctl.models_archive import FollowLinks

FolderPath = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATH_LENGTH)]
SecretKeyText = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{128}$")]


class Described(Request):
    """What goes into `/dat.json` of a new archive, as `dat create` writes it.

    Attributes:
        title: Null: no `/dat.json` is written unless there is a description.
    """

    title: Text | None = None
    description: Text | None = None


class Hosting(Request):
    """How a new archive of ours is hosted; see `NewArchive`."""

    name: Name | None = None
    tags: Tags = Field(default=[])
    paused: bool = False
    peers: Peers = Field(default=[])
    networks: Networks | None = None
    domain: Domain | None = None


class NewEmpty(Hosting):
    """Body of `POST /archives`: a new empty archive of our own.

    Attributes:
        new: What it is called, for its readers.
        chunking: How its files are cut: "fixed" pieces of 64 KiB, or by "content".
    """

    new: Described
    chunking: Chunking = "fixed"


class NewFolder(Hosting, Described):
    """Body of `POST /archives`: publish a folder of the daemon's host.

    Attributes:
        folder: Its path, absolute, below one of the `import_roots`.
        watch: Publish changes there as they happen, from now on.
        chunking: As in `NewEmpty`.
        follow_links: As in `ImportRules`; likewise `ignore_hidden` and `delete`.
        adopt: What to do with an archive that lies there already (in `.dat`, or as its own files):
            "auto" takes it over, or keeps the one that the folder is published as; "never" makes a
            new one of the files.
        copied: (`copy` in JSON) Take an adopted archive's files into the data folder instead of
            using them in place.
        mode: Of an adopted archive that is not ours.
    """

    model_config = ConfigDict(extra="forbid", validate_by_name=True, serialize_by_alias=True)

    folder: FolderPath
    watch: bool = False
    chunking: Chunking = "fixed"
    follow_links: FollowLinks = "inside"
    ignore_hidden: bool = True
    delete: bool = True
    adopt: Literal["auto", "never"] = "auto"
    copied: Annotated[bool, Field(alias="copy")] = False
    mode: Mode = "archive"


class Fork(Hosting, Described):
    """Body of `POST /archives/{key}/fork`: a copy of one version under a key of our own.

    Attributes:
        version: Number or tag of the version; null: the newest one.
        chunking: How files are cut that are written later; null: as in the original.
    """

    version: Whole | VersionTag | None = None
    chunking: Chunking | None = None


class AdoptFolder(Request):
    """Body of `POST /archives/{key}/adopt`: files that may hold blocks of the archive.

    Attributes:
        folder: Its path, absolute, below one of the `import_roots`.
    """

    folder: FolderPath


class Written(Entry):
    """Answer of `PUT /archives/{key}/files/{path}`: the entry as it is now.

    Attributes:
        version: Number of the version that it made.
    """

    version: int


class GivenSecretKey(Request):
    """Body of `PUT /archives/{key}/secret_key`.

    Attributes:
        secret_key: 128 hex digits: seed and public key.
    """

    secret_key: SecretKeyText


class SecretKey(BaseModel):
    """Answer of `GET /archives/{key}/secret_key`: whoever has it can write the archive."""

    key: str
    secret_key: str
