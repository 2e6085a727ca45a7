"""Archives of our own, written over the API: made, filled, copied; their secret keys."""

from collections.abc import AsyncIterable, Sequence
from typing import Any, Literal

from datctl.connection import ANSWER_SECONDS, Connection, parse
from datctl.models import Archive, Chunking, Mode
from datctl.models_archive import FollowLinks
from datctl.models_jobs import Job
from datctl.models_writing import (
    AdoptFolder,
    Described,
    Fork,
    GivenSecretKey,
    NewEmpty,
    NewFolder,
    SecretKey,
    Written,
)
from datctl.routes import (
    DEFAULT_WAIT,
    archive_path,
    file_path,
    if_match,
    new_archive,
    patience,
    several,
)

# Who else writes the archive goes first; a folder of many files takes a while to remove.
_WRITE_SECONDS = 5 * ANSWER_SECONDS


class Writing:
    """The methods of `Client` that write.

        archive = await dat.create(title="Letters", chunking="content")
        written = await dat.put(archive.key, "/2019/may.txt", b"Dear", new=True)
        print(written.version, [entry.path async for entry in dat.walk(archive.key)])
        await dat.delete(archive.key, "/2019", recursive=True)

    All but `create`, `publish` and `fork` raise `ApiError` of kind `forbidden` for archives that
    are not ours, and `Conflict` where more of the archive exists elsewhere than is here.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # ---- archives

    async def create(
        self,
        *,
        title: str | None = None,
        description: str | None = None,
        chunking: Chunking = "fixed",
        name: str | None = None,
        tags: Sequence[str] = (),
        idempotency_key: str | None = None,
        **hosting: Any,
    ) -> Archive:
        """A new empty archive of our own.

        Args:
            title: For its readers, in its `dat.json`; so is `description`.
            description: What it holds.
            chunking: How files are cut: "fixed" pieces of 64 KiB, or by "content".
            name: To call it by here.
            tags: To find it by here.
            idempotency_key: As in `Client.add`: without it, asking again makes another archive.
            hosting: `paused`, `peers`, `networks`, `domain`, as in `Client.add`.
        """
        body = NewEmpty.model_construct(
            new=Described.model_construct(**_given(title=title, description=description)),
            chunking=chunking,
            **_given(name=name, tags=several(tags) or None, **hosting),
        )
        return await self._new(body, idempotency_key)

    async def publish(
        self,
        folder: str,
        *,
        title: str | None = None,
        description: str | None = None,
        chunking: Chunking = "fixed",
        watch: bool = False,
        adopt: Literal["auto", "never"] = "auto",
        copy: bool = False,
        mode: Mode | None = None,
        follow_links: FollowLinks | None = None,
        ignore_hidden: bool | None = None,
        delete: bool | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        idempotency_key: str | None = None,
        **hosting: Any,
    ) -> Archive:
        """Publish a folder of the daemon's host; it fills in a job of the daemon (`Archive.job`).

        Args:
            folder: Its absolute path, below one of the `import_roots` of the daemon.
            title: For its readers, in a new `dat.json`; so is `description`.
            description: What it holds.
            chunking: As in `create`.
            watch: Publish changes there as they happen, from now on.
            adopt: What to do with an archive that lies there already: "auto" takes it over with
                its key, "never" makes a new one of the files.
            copy: Copy an archive that is taken over into the daemon's folder.
            mode: What to keep of an archive that is taken over; None: what its files allow.
            follow_links: Which links to files count as those files, as in `ImportRules`.
            ignore_hidden: Whether what begins with a dot is left out; by default it is.
            delete: Whether what vanishes from the folder leaves the archive; by default it does.
            name: To call it by here.
            tags: To find it by here.
            idempotency_key: As in `create`.
            hosting: `paused`, `peers`, `networks`, `domain`, as in `Client.add`.

        Raises:
            ApiError: `forbidden`: the folder may not be published.
        """
        body = NewFolder.model_construct(
            folder=folder,
            chunking=chunking,
            watch=watch,
            adopt=adopt,
            copied=copy,
            **_given(
                title=title,
                description=description,
                mode=mode,
                follow_links=follow_links,
                ignore_hidden=ignore_hidden,
                delete=delete,
                name=name,
                tags=several(tags) or None,
                **hosting,
            ),
        )
        return await self._new(body, idempotency_key)

    async def fork(
        self,
        archive: str,
        *,
        version: int | str | None = None,
        wait: float = DEFAULT_WAIT,
        title: str | None = None,
        description: str | None = None,
        chunking: Chunking | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        idempotency_key: str | None = None,
        **hosting: Any,
    ) -> Archive:
        """A copy of an archive, of its newest version or another, under a new key of our own.

        It fills in a job of the daemon (`Archive.job`). `wait`: seconds for what has to come from
        peers before the copy can begin; for the other arguments see `create`.
        """
        fields = _given(
            version=version, title=title, description=description, chunking=chunking, name=name,
            tags=several(tags) or None, **hosting,
        )  # fmt: skip
        body = Fork.model_construct(**fields)
        _, document = await self._connection.call(
            "POST",
            f"{archive_path(archive)}/fork",
            query={"wait": wait},
            body=body,
            headers=new_archive(idempotency_key),
            silence=patience(wait),
        )
        return parse(Archive, document)

    async def adopt(self, archive: str, folder: str) -> Job:
        """Have an archive filled from files that lie in a folder of the daemon's host, by hash."""
        body = AdoptFolder.model_construct(folder=folder)
        _, document = await self._connection.call(
            "POST", f"{archive_path(archive)}/adopt", body=body
        )
        return parse(Job, document)

    async def _new(self, body: NewEmpty | NewFolder, key: str | None) -> Archive:
        # Opening a folder with a large archive in it takes the daemon a while.
        _, document = await self._connection.call(
            "POST", "/archives", body=body, headers=new_archive(key), silence=_WRITE_SECONDS
        )
        return parse(Archive, document)

    # ---- files

    async def put(
        self,
        archive: str,
        path: str,
        content: bytes | AsyncIterable[bytes],
        *,
        etag: str | None = None,
        new: bool = False,
    ) -> Written:
        """Write a file, in place of what was there.

        Args:
            archive: Which one.
            path: Of the file.
            content: Its bytes, whole or as they come.
            etag: Only if the file there is still the one that had this ETag.
            new: Only if there is nothing.

        Raises:
            ApiError: `precondition`: there is something else at the path.
        """
        if content is None:  # which elsewhere stands for nothing to send: not for an empty file
            raise TypeError("content is bytes, or an asynchronous iterable of bytes, not None")
        headers = {"Content-Type": "application/octet-stream", **if_match(etag)}
        if new:
            headers["If-None-Match"] = "*"
        _, document = await self._connection.call(
            "PUT",
            file_path(archive, path.rstrip("/")),
            content=content,
            headers=headers,
            silence=_WRITE_SECONDS,
        )
        return parse(Written, document)

    async def mkdir(self, archive: str, path: str) -> Written:
        """Make a folder that stays while it is empty.

        Raises:
            Conflict: There is something already.
        """
        _, document = await self._connection.call(
            "PUT", file_path(archive, path.rstrip("/") + "/"), silence=_WRITE_SECONDS
        )
        return parse(Written, document)

    async def delete(
        self, archive: str, path: str, *, recursive: bool = False, etag: str | None = None
    ) -> None:
        """Remove a file or an empty folder; older versions keep what they had.

        Args:
            archive: Which one.
            path: Of the file or folder.
            recursive: A folder with all that lies in it.
            etag: Only if the file there is still the one that had this ETag.

        Raises:
            ApiError: `precondition`: it is another one.
            NotFound: There is nothing.
            Conflict: It is a folder with something in it.
        """
        await self._connection.call(
            "DELETE",
            file_path(archive, path),
            query={"recursive": recursive},
            headers=if_match(etag),
            silence=_WRITE_SECONDS,
        )

    # ---- secret keys

    async def secret_key(self, archive: str) -> SecretKey:
        """What it takes to write an archive of ours elsewhere.

        Raises:
            ApiError: `no_secret_key`: it is not here.
        """
        return await self._connection.get(f"{archive_path(archive)}/secret_key", SecretKey)

    async def give_secret_key(self, archive: str, secret_key: str) -> Archive:
        """Make a hosted archive ours, by its secret key of 128 hex digits."""
        body = GivenSecretKey.model_construct(secret_key=secret_key)
        _, document = await self._connection.call(
            "PUT", f"{archive_path(archive)}/secret_key", body=body
        )
        return parse(Archive, document)


def _given(**fields: Any) -> dict[str, Any]:
    """Those that say something: the daemon knows its own defaults."""
    return {name: value for name, value in fields.items() if value is not None}
