"""Methods of `sync.Client`, written by `python -m tests.helpers.sync_methods`."""

import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any, Literal

from datctl.endpoint import Endpoint
from datctl.files import FileHead
from datctl.models import (
    ApiInfo,
    Archive,
    ArchivePage,
    ArchiveStats,
    ChosenFields,
    Chunking,
    DaemonStats,
    Entry,
    Listing,
    Mode,
    Peer,
)
from datctl.models_archive import FollowLinks
from datctl.models_auth import Account, AuditEntry, AuditPage, MadeToken, Token, TokenScope, WhoAmI
from datctl.models_diagnosis import Diagnosis
from datctl.models_events import Event, EventPage, Webhook, WebhookTest
from datctl.models_jobs import Job, JobKind, JobState
from datctl.models_settings import Setting
from datctl.models_versions import Change, Difference, DifferencePage, History
from datctl.models_writing import SecretKey, Written
from datctl.routes import DEFAULT_WAIT, PAGE, Version

class Methods:
    """What `Client` has beside `open` and `close`."""

    def account(self, name: str) -> Account:
        """One account."""

    def accounts(self) -> builtins.list[Account]:
        """Who may pin archives, by name."""

    def add(
        self,
        link: str,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        mode: Mode = "archive",
        include: Sequence[str] | None = None,
        version: int | None = None,
        paused: bool = False,
        peers: Sequence[str] = (),
        networks: Sequence[str] | None = None,
        web_sources: Sequence[str] = (),
        domain: str | None = None,
        idempotency_key: str | None = None,
    ) -> tuple[Archive, bool]:
        """Host an archive."""

    def add_account(
        self,
        name: str,
        password: str,
        *,
        email: str | None = None,
        max_bytes: int | None = None,
        max_pins: int | None = None,
    ) -> Account:
        """Let somebody pin archives; quotas that are not given are those of the settings."""

    def add_peer(self, archive: str, address: str) -> Archive:
        """Have a source tried now, and again later. `address` is `host:port`."""

    def add_webhook(
        self,
        url: str,
        *,
        kinds: Sequence[str] = (),
        archive: str | None = None,
        path: str | None = None,
        tag: str | None = None,
        secret: str | None = None,
        enabled: bool = True,
    ) -> Webhook:
        """Have what happens from now on sent to a receiver."""

    def adopt(self, archive: str, folder: str) -> Job:
        """Have an archive filled from files that lie in a folder of the daemon's host, by hash."""

    def all_archives(
        self,
        *,
        state: str | None = None,
        mode: Mode | None = None,
        writable: bool | None = None,
        tags: Sequence[str] = (),
        q: str | None = None,
        sort: str = "added",
    ) -> Iterator[Archive]:
        """Archives of all pages; for the arguments see `archives`."""

    def all_audit(self, *, since: int = 0) -> Iterator[AuditEntry]:
        """All lines after the one with the id `since` that are still there."""

    def archive(self, archive: str) -> Archive:
        """One archive."""

    def archive_etag(self, archive: str) -> str:
        """What stands for how an archive is hosted now, for `change` and `remove`."""

    def archive_stats(self, archive: str) -> ArchiveStats:
        """The numbers of one archive that move."""

    def archives(
        self,
        *,
        state: str | None = None,
        mode: Mode | None = None,
        writable: bool | None = None,
        tags: Sequence[str] = (),
        q: str | None = None,
        sort: str = "added",
        limit: int = 100,
        cursor: str | None = None,
    ) -> ArchivePage:
        """One page of archives; for the next one give its `next_cursor` and the same filters."""

    def audit(self, *, since: int | None = None, limit: int = 100) -> AuditPage:
        """Lines of the audit log after the one with the id `since`; without it the newest."""

    def cancel(self, job: str) -> None:
        """End a job. What it did so far stays."""

    def change(self, archive: str, *, etag: str | None = None, **settings: Any) -> Archive:
        """Host an archive otherwise. `settings` are the fields of `ArchiveChanges`; None clears."""

    def change_account(self, name: str, **fields: Any) -> Account:
        """Change an account. `fields` are those of `AccountChanges`."""

    def change_settings(self, changes: Mapping[str, Any]) -> builtins.list[Setting]:
        """Change some of them while it runs; they hold at once, and over restarts. Needs `admin`."""  # noqa: E501

    def change_webhook(self, webhook: str, **settings: Any) -> Webhook:
        """Change a webhook. `settings` are the fields of `WebhookChanges`."""

    def changes(
        self,
        archive: str,
        path: str = "/",
        *,
        since: Version | None = None,
        until: Version | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> Iterator[Change]:
        """Changes of all pages."""

    def chosen(
        self,
        fields: Sequence[str],
        *,
        state: str | None = None,
        mode: Mode | None = None,
        writable: bool | None = None,
        tags: Sequence[str] = (),
        q: str | None = None,
        sort: str = "added",
    ) -> Iterator[ChosenFields]:
        """Some fields of the archives of all pages, and always `key`: less to send where many are."""  # noqa: E501

    def create(
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
        """A new empty archive of our own."""

    def create_token(
        self,
        name: str,
        *,
        scope: TokenScope = "read",
        archives: Sequence[str] | None = None,
        expires_in: int | None = None,
    ) -> MadeToken:
        """Make a token. Its secret is in this answer and nowhere else."""

    def delete(
        self, archive: str, path: str, *, recursive: bool = False, etag: str | None = None
    ) -> None:
        """Remove a file or an empty folder; older versions keep what they had."""

    def diagnosis(self) -> Diagnosis:
        """What the daemon finds wrong with itself and its host."""

    def diff(
        self,
        archive: str,
        old: Version,
        new: Version | None = None,
        *,
        path: str = "/",
        limit: int = PAGE,
        cursor: str | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> DifferencePage:
        """One page of what differs between two versions; `new` is the newest one if None."""

    def differences(
        self,
        archive: str,
        old: Version,
        new: Version | None = None,
        *,
        path: str = "/",
        wait: float = DEFAULT_WAIT,
    ) -> Iterator[Difference]:
        """What differs, of all pages."""

    endpoint: Endpoint
    def event_page(
        self,
        *,
        since: str | int = 0,
        archive: str | None = None,
        path: str | None = None,
        kinds: Sequence[str] = (),
        tag: str | None = None,
        limit: int = PAGE,
        wait: float = 0,
    ) -> EventPage:
        """One page of events; for the next one give its `next` as `since`."""

    def events(
        self,
        *,
        since: str | int | None = None,
        archive: str | None = None,
        path: str | None = None,
        kinds: Sequence[str] = (),
        tag: str | None = None,
        patience: float = float("inf"),
    ) -> Iterator[Event]:
        """What happens, for ever: each event once, in order, restarts of the daemon included."""

    def finished(self, job: str, told: Callable[[Job], object] = lambda job: None) -> Job:
        """Wait until a job has ended, well or not."""

    def fork(
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
        """A copy of an archive, of its newest version or another, under a new key of our own."""

    def give_secret_key(self, archive: str, secret_key: str) -> Archive:
        """Make a hosted archive ours, by its secret key of 128 hex digits."""

    def head(
        self, archive: str, path: str, *, version: Version | None = None, wait: float = DEFAULT_WAIT
    ) -> FileHead | None:
        """What is known of a file; None if the path is a folder."""

    def history(
        self,
        archive: str,
        path: str = "/",
        *,
        since: Version | None = None,
        until: Version | None = None,
        limit: int = PAGE,
        wait: float = DEFAULT_WAIT,
    ) -> History:
        """One page of the changes of an archive, or of what lies at a path, oldest first."""

    def info(self) -> ApiInfo:
        """What answers there."""

    def is_alive(self) -> bool:
        """Whether it answers at all: it does, or `NoDaemon` is raised."""

    def is_ready(self) -> bool:
        """Whether it has looked over all its archives since it started, and serves them."""

    def job(self, job: str) -> Job:
        """One job, by its id."""

    def jobs(
        self,
        archive: str | None = None,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
    ) -> builtins.list[Job]:
        """What is under way and what ended lately, of one archive or of all, newest first."""

    def list(
        self,
        archive: str,
        path: str = "/",
        *,
        version: Version | None = None,
        recursive: bool = False,
        wait: float = DEFAULT_WAIT,
        limit: int = PAGE,
        cursor: str | None = None,
    ) -> Listing:
        """One page of a folder. `wait`: seconds for what has to come from peers first."""

    def metrics(self) -> str:
        """The daemon's numbers, as Prometheus reads them."""

    def mkdir(self, archive: str, path: str) -> Written:
        """Make a folder that stays while it is empty."""

    def openapi(self) -> dict[str, Any]:
        """The API, described as OpenAPI 3.1."""

    def pause(self, archive: str) -> Archive:
        """Neither fetch nor serve it, until resumed."""

    def peers(self, archive: str | None = None, *, state: str | None = None) -> builtins.list[Peer]:
        """All peers, of one archive or of all."""

    def publish(
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
        """Publish a folder of the daemon's host; it fills in a job of the daemon (`Archive.job`)."""  # noqa: E501

    def put(
        self,
        archive: str,
        path: str,
        content: bytes | (Iterator[bytes] | IO[bytes]),
        *,
        etag: str | None = None,
        new: bool = False,
    ) -> Written:
        """Write a file, in place of what was there."""

    def read(
        self,
        archive: str,
        path: str,
        *,
        version: Version | None = None,
        start: int = 0,
        stop: int | None = None,
        etag: str | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> bytes:
        """The bytes of a file, or some of them; for the arguments see `stream`."""

    def remove(
        self,
        archive: str,
        *,
        keep_data: bool = False,
        force: bool = False,
        delete_key: bool = False,
        etag: str | None = None,
    ) -> None:
        """Stop hosting an archive, and delete its files unless they are to be kept."""

    def remove_account(self, name: str) -> None:
        """Remove an account, and the archives that are there for it alone."""

    def remove_webhook(self, webhook: str) -> None:
        """Send nothing there any more."""

    def rescan(self, archive: str) -> Job:
        """Have the folder that an archive is published from looked through again."""

    def resume(self, archive: str) -> Archive:
        """Fetch and serve it again."""

    def revoke_token(self, id: str) -> None:
        """Make a token worth nothing."""

    def secret_key(self, archive: str) -> SecretKey:
        """What it takes to write an archive of ours elsewhere."""

    def set_domain(self, archive: str, domain: str | None) -> Archive:
        """Have `/.well-known/dat` of a domain name it, so that it becomes public, or take it away."""  # noqa: E501

    def set_networks(self, archive: str, networks: Sequence[str] | None) -> Archive:
        """Choose its discovery networks: None for all of the daemon's, an empty list for none."""

    def settings(self) -> builtins.list[Setting]:
        """The daemon's own settings, and where each comes from. Needs `admin`."""

    def stats(self) -> DaemonStats:
        """The whole daemon in numbers."""

    def stream(
        self,
        archive: str,
        path: str,
        *,
        version: Version | None = None,
        start: int = 0,
        stop: int | None = None,
        etag: str | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of a file as they come, for the time of an `async with`."""

    def test_webhook(self, webhook: str) -> WebhookTest:
        """Have an event of kind `webhook.test` sent once, and hear what came of it."""

    def tokens(self) -> builtins.list[Token]:
        """All tokens, without their secrets; the oldest first."""

    def verify(self, archive: str) -> Job:
        """Have every block read and hashed; damaged ones are fetched again."""

    def walk(
        self,
        archive: str,
        path: str = "/",
        *,
        version: Version | None = None,
        recursive: bool = True,
        wait: float = DEFAULT_WAIT,
    ) -> Iterator[Entry]:
        """Entries of all pages, by default with everything below."""

    def webhook(self, webhook: str) -> Webhook:
        """One webhook, by its id."""

    def webhooks(self) -> builtins.list[Webhook]:
        """All webhooks, and how they fare."""

    def whoami(self) -> WhoAmI:
        """What we may do there."""
