"""Webhooks: what happens is sent to receivers elsewhere, in order, until they have taken it.

Each remembers how far it is, in the catalogue: what happens while the daemon or receiver is away
is sent later, from the journal. After a crash the last few may be sent again, under the same id.
A task runs only while there is something to send.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from yarl import URL

from datd.books import webhooks as book
from datd.books.webhooks import Progress, Webhook
from datd.errors import Busy, StorageError, UnknownWebhook, WebError
from datd.hosting.services import Services
from datd.hosting.telling import signing
from datd.hosting.telling.event_kinds import Interest, Position, Told, named_kinds
from datd.hosting.telling.file_events import FileEvents
from datd.hosting.telling.following import Following, TagsOf
from datd.keys import Key
from datd.naming.web import Web
from datd.words import counted

log = logging.getLogger(__name__)

# Receivers of one daemon; each may hold up a delivery for `ANSWER_SECONDS`.
MAX_WEBHOOKS: Final = 64
AT_ONCE: Final = 16
# Standard Webhooks: 15 to 30 s is recommended; ours take a second, and who is slow answers first.
ANSWER_SECONDS: Final = 10.0
# Standard Webhooks' schedule: over a day in all, after which nobody is there any more.
RETRIES: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
# Receivers that failed together do not come back to all of us at the same moment.
_JITTER: Final = 0.2
# What a receiver asks for with `Retry-After` is heeded up to this.
_MAX_PATIENCE: Final = 3_600.0
# A position is written down this often while events are delivered one after the other; after a
# crash what came since is sent again.
SAVE_SECONDS: Final = 1.0
_MAX_ERROR: Final = 300


@dataclass(slots=True)
class Attempt:
    """What came of sending one event.

    Attributes:
        status: HTTP status of the answer, if there was one.
        error: Why it was not taken; None if it was.
        patience: Seconds that the receiver asks for.
    """

    status: int | None = None
    error: str | None = None
    patience: float = 0.0


class Hook:
    """One webhook at work.

    Attributes:
        webhook: Where and what.
        progress: How far it is.
    """

    def __init__(self, webhook: Webhook, progress: Progress) -> None:
        self.webhook = webhook
        self.progress = progress
        self.task: asyncio.Task[None] | None = None
        self.watching = AsyncExitStack()
        self.changing = asyncio.Lock()
        self.at_rest = False
        self.saved_at = float("-inf")

    @property
    def interest(self) -> Interest:
        """What is to be sent."""
        hook = self.webhook
        archive = None if hook.archive is None else Key(bytes.fromhex(hook.archive))
        return Interest(archive, hook.path, named_kinds(hook.kinds), hook.tag)

    @property
    def position(self) -> Position:
        """Behind the last event that was taken."""
        return Position.parse(self.progress.position)


class Webhooks:
    """All webhooks, and what is on its way to them."""

    def __init__(
        self,
        services: Services,
        files: FileEvents,
        tags_of: TagsOf,
        *,
        random_bytes: Callable[[int], bytes],
        web: Web | None = None,
    ) -> None:
        """Nothing is sent before `start`.

        Args:
            services: The journal, the catalogue, time and chance.
            files: What versions changed.
            tags_of: Tags of an archive, by its key in hex.
            random_bytes: So many bytes that nobody can guess.
            web: The way out; None: to public addresses, and those that are allowed.
        """
        self._services = services
        self._events = services.events
        self._files = files
        self._tags_of = tags_of
        self._random_bytes = random_bytes
        self._web = web or Web(
            allow=services.webhook_networks,
            plain=True,
            requests=AT_ONCE,
            setting="webhooks.allow_networks",
        )
        self._hooks: dict[str, Hook] = {}
        self._closing = False
        self._adding = asyncio.Lock()

    async def start(self) -> None:
        """Go on where the last run ended.

        Raises:
            StorageError: The catalogue cannot be read.
        """
        for webhook, progress in await self._services.catalogue.together(book.load):
            self._hooks[webhook.id] = hook = Hook(webhook, progress)
            await self._begin(hook)
        self._events.listen(self)
        self.news()

    async def close(self) -> None:
        """End; what was not taken yet is sent after the next start."""
        self._closing = True
        self._events.forget(self)
        for hook in self.all():
            async with self._rest(hook):
                pass
        await self._web.close()

    def news(self) -> None:
        """Something happened: send it to whom it concerns."""
        for hook in self._hooks.values():
            if hook.task is None:
                self._look(hook)

    # ---- what there is

    def all(self) -> list[Hook]:
        """All of them, the oldest first."""
        return list(self._hooks.values())

    def find(self, name: str) -> Hook:
        """The webhook with an id.

        Raises:
            UnknownWebhook: There is none.
        """
        found = self._hooks.get(name)
        if found is None:
            raise UnknownWebhook(f"there is no webhook {name[:80]!r}")
        return found

    async def add(self, url: str, secret: str | None, **fields: Any) -> Hook:
        """Send events to a receiver, from now on.

        Args:
            url: Where to; `refusal` says whether that is possible.
            secret: What deliveries are signed with; None: one is made.
            fields: Those of `Webhook`.

        Raises:
            Busy: There are far too many.
            StorageError: It cannot be written down.
        """
        webhook = Webhook(
            self._random_bytes(8).hex(), url, secret or self._secret(), self._events.now, **fields
        )
        hook = Hook(webhook, Progress(str(Position(self._events.newest))))
        # One after the other: those that are being written down are counted, too.
        async with self._adding:
            if len(self._hooks) >= MAX_WEBHOOKS:
                raise Busy(f"{MAX_WEBHOOKS} webhooks are the most there can be: remove one")
            await self._save(hook)
            self._hooks[webhook.id] = hook
        await self._begin(hook)
        return hook

    async def change(self, hook: Hook, *, new_secret: bool = False, **fields: Any) -> None:
        """Send otherwise than before, or again.

        Raises:
            UnknownWebhook: It was removed meanwhile.
            StorageError: It cannot be written down; nothing changed.
        """
        if new_secret:
            fields["secret"] = self._secret()
        async with self._rest(hook):
            self.find(hook.webhook.id)
            before, progress = hook.webhook, hook.progress
            hook.webhook = replace(before, **fields)
            if fields.get("enabled") is True:
                hook.progress = replace(progress, attempts=0, failing_since=None, disabled=None)
            try:
                await self._save(hook)
            except StorageError:
                hook.webhook, hook.progress = before, progress
                raise

    async def remove(self, hook: Hook) -> None:
        """Send nothing there any more.

        Raises:
            UnknownWebhook: It was removed meanwhile.
            StorageError: It cannot be written down; it stays.
        """
        async with self._rest(hook):
            self.find(hook.webhook.id)
            await self._services.catalogue.together(partial(book.remove, name=hook.webhook.id))
            del self._hooks[hook.webhook.id]

    async def test(self, hook: Hook) -> Attempt:
        """Send an event that means nothing, once, also if nothing else is sent."""
        told = Told(hook.position, "webhook.test", self._events.now, None, {})
        return await self._send(hook, told, f"test_{self._random_bytes(8).hex()}")

    def _secret(self) -> str:
        return signing.secret_text(self._random_bytes(signing.SECRET_SIZE))

    # ---- sending

    async def _begin(self, hook: Hook) -> None:
        if not hook.webhook.enabled or self._closing:
            return
        interest = hook.interest
        if interest.path is not None and interest.archive is not None:
            await hook.watching.enter_async_context(self._files.watching(interest.archive))
        self._look(hook)

    @asynccontextmanager
    async def _rest(self, hook: Hook) -> AsyncIterator[None]:
        """Have nothing sent, or written down by who sends, for the time of an `async with`.

        One after the other: two changes at once would begin to send twice, and a position that is
        noted behind a removal would bring the webhook back at the next start.
        """
        async with hook.changing:
            hook.at_rest = True
            try:
                if hook.task is not None:
                    hook.task.cancel()
                    await asyncio.wait([hook.task])
                await hook.watching.aclose()
                if hook.webhook.id in self._hooks:
                    await self._note(hook)
                yield
            finally:
                hook.at_rest = False
                if hook.webhook.id in self._hooks:
                    await self._begin(hook)

    def _look(self, hook: Hook) -> None:
        """Begin to send, if there is something to send, and nothing is on its way."""
        if not hook.webhook.enabled or hook.at_rest or self._closing:
            return
        recent = self._events.recent(hook.position.whole, self._events.newest)
        interest = hook.interest
        if recent is not None and not any(
            interest.wants(event, self._tags_of) or interest.wants_files(event) for event in recent
        ):
            if recent:
                hook.progress.position = str(Position(recent[-1].id))
            return
        hook.task = self._services.spawn(self._run(hook))
        # By callback: a task that is cancelled before its first step reaches no `finally`.
        hook.task.add_done_callback(partial(self._ended, hook))

    def _ended(self, hook: Hook, task: asyncio.Task[None]) -> None:
        hook.task = None
        if not task.cancelled():
            self._look(hook)  # something may have happened when the task had just gone through

    async def _run(self, hook: Hook) -> None:
        try:
            following = Following(
                self._events, self._files, hook.interest, hook.position, tags_of=self._tags_of
            )
            while following.behind:
                for told in await following.read():
                    if not await self._deliver(hook, told):
                        return
                hook.progress.position = str(following.position)
            await self._note(hook)
        except StorageError as error:
            log.error("webhook %s waits: %s", hook.webhook.id, error)
            await asyncio.sleep(RETRIES[0])
        except Exception:
            # Nobody waits for this task, and its fault must not end the daemon.
            log.exception("webhook %s failed", hook.webhook.id)
            await asyncio.sleep(RETRIES[1])

    async def _deliver(self, hook: Hook, told: Told) -> bool:
        """Send one event until it is taken. Returns whether it was, ever."""
        message = f"evt_{hook.webhook.id}_{told.position}"
        progress = hook.progress
        while True:
            attempt = await self._send(hook, told, message)
            progress.status = attempt.status
            if attempt.error is None:
                progress.attempts, progress.failing_since, progress.error = 0, None, None
                progress.delivered_at = self._events.now
                progress.position = str(told.position)
                if self._services.clock() >= hook.saved_at + SAVE_SECONDS:
                    await self._note(hook)
                return True
            progress.error = attempt.error[:_MAX_ERROR]
            progress.failing_since = progress.failing_since or self._events.now
            progress.attempts += 1
            if attempt.status == 410 or self._is_over(progress):
                await self._disable(hook)
                return False
            await self._note(hook)
            share = 1 + _JITTER * (self._services.choose(1_001) / 1_000 - 0.5)
            pause = max(RETRIES[min(progress.attempts, len(RETRIES)) - 1] * share, attempt.patience)
            await asyncio.sleep(pause)

    def _is_over(self, progress: Progress) -> bool:
        """Whether a receiver was given all its time: each start of the daemon is a try, too."""
        since = progress.failing_since or self._events.now
        lasted = self._events.now - since
        return progress.attempts > len(RETRIES) and lasted >= (1 - _JITTER) * sum(RETRIES)

    async def _send(self, hook: Hook, told: Told, message: str) -> Attempt:
        body = json.dumps(told.document()).encode("ascii")
        headers = {
            "Content-Type": "application/json",
            **signing.headers(hook.webhook.secret, message, int(self._events.now), body),
        }
        url = URL(hook.webhook.url)
        try:
            page = await self._web.post(url, body, headers, seconds=ANSWER_SECONDS)
        except WebError as error:
            return Attempt(None, str(error))
        if 200 <= page.status < 300:
            return Attempt(page.status)
        asked = page.headers.get("Retry-After", "")
        patience = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 0.0
        return Attempt(
            page.status,
            f"{url.host} answered with status {page.status}"
            + (", and redirects are not followed" if 300 <= page.status < 400 else ""),
            min(patience, _MAX_PATIENCE),
        )

    async def _disable(self, hook: Hook) -> None:
        before, progress = hook.webhook, hook.progress
        progress.disabled = (
            f"{progress.error}: it is gone"
            if progress.status == 410
            else f"{progress.error}; tried {counted(progress.attempts, 'time')}"
        )
        hook.webhook = replace(before, enabled=False)
        log.warning("webhook %s is disabled: %s", hook.webhook.id, progress.disabled)
        beside = self._events.beside(
            "webhook.disabled", None, webhook=hook.webhook.id, reason=progress.disabled
        )
        saved = partial(book.save, webhook=hook.webhook, progress=progress)
        try:
            await self._services.catalogue.together(
                lambda database: (saved(database), beside(database))
            )
        except StorageError:
            # Nobody would ever be told of it: it is tried again, and disabled then.
            hook.webhook, progress.disabled = before, None
            raise

    # ---- the book

    async def _note(self, hook: Hook) -> None:
        """Write a position down; if that fails, only more is sent twice."""
        try:
            await self._save(hook)
        except StorageError as error:
            log.error("%s", error)

    async def _save(self, hook: Hook) -> None:
        hook.saved_at = self._services.clock()
        # As it is now: the thread of the catalogue writes it later.
        webhook, progress = hook.webhook, replace(hook.progress)
        await self._services.catalogue.together(
            partial(book.save, webhook=webhook, progress=progress)
        )
