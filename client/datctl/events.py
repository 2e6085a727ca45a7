"""What happens in a daemon, followed over the API; and webhooks, to which it is sent."""

import asyncio
import json
import time
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any

from datctl.connection import Connection, parse
from datctl.errors import DatdError, UsageError, passes
from datctl.models_events import (
    Event,
    EventPage,
    NewWebhook,
    Webhook,
    WebhookChanges,
    WebhookList,
    WebhookTest,
    event_of,
)
from datctl.routes import several, webhook_path

# The daemon says something every 15 s: after three times that it is gone, or the way to it is.
SILENCE_SECONDS = 45.0
# A daemon that is started again is back within seconds; one that is not is asked less often.
FIRST_PAUSE = 0.5
MAX_PAUSE = 30.0
# An event about damaged blocks names a hundred of them; paths have up to 64 KiB.
MAX_EVENT = 2**20
PAGE = 1_000


class Events:
    """The methods of `Client` about what happens."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def events(
        self,
        *,
        since: str | int | None = None,
        archive: str | None = None,
        path: str | None = None,
        kinds: Sequence[str] = (),
        tag: str | None = None,
        patience: float = float("inf"),
    ) -> AsyncIterator[Event]:
        """What happens, for ever: each event once, in order, restarts of the daemon included.

        An event of kind `events.lost` says that the daemon does not remember all that was missed.

        Args:
            since: Id of an event: what came behind it is told first; 0: all that is kept. None:
                what happens from now on.
            archive: Only what happens to this one.
            path: Also the files of that archive that versions change, at or below this path.
            kinds: Only these, such as "archive.version", or "archive.*".
            tag: Only what happens to archives with this tag.
            patience: Once a connection was lost, seconds to try again before that is an error.

        Raises:
            NoDaemon: Nobody answers, at first or for longer than `patience`.
            DatdError: What comes are no events.
            NotFound: There is no such archive.
        """
        query = _query(since, archive, path, kinds, tag)
        lost_at: float | None = None
        pause = FIRST_PAUSE
        connected = False
        while True:
            try:
                headers = {"Accept": "text/event-stream"}
                async with self._connection.request(
                    "GET", "/events", query=query, headers=headers, silence=SILENCE_SECONDS
                ) as answer:
                    if answer.content_type != "text/event-stream":
                        raise _no_sense()
                    connected, lost_at, pause = True, None, FIRST_PAUSE
                    async for place, event in _parsed(answer.pieces()):
                        query["since"] = place
                        if event is not None:
                            yield event
            except DatdError as error:
                if not connected or not passes(error):
                    raise
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > patience:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def event_page(
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
        """One page of events; for the next one give its `next` as `since`.

        Args:
            since: Id of an event: what came behind it; 0: all that is kept.
            archive: As `events`.
            path: As `events`.
            kinds: As `events`.
            tag: As `events`.
            limit: At most so many events.
            wait: Seconds to wait if there is none yet.
        """
        query = _query(since, archive, path, kinds, tag)
        query |= {"format": "json", "limit": limit, "wait": wait}
        _, document = await self._connection.call(
            "GET", "/events", query=query, silence=wait + SILENCE_SECONDS
        )
        found = json.loads(document)
        # Kinds of a later daemon are events, too.
        events = [event_of(event) for event in found["events"]]
        return EventPage.model_construct(events=events, next=found["next"], more=found["more"])

    async def webhooks(self) -> list[Webhook]:
        """All webhooks, and how they fare."""
        return (await self._connection.get("/webhooks", WebhookList)).webhooks

    async def webhook(self, webhook: str) -> Webhook:
        """One webhook, by its id."""
        return await self._connection.get(webhook_path(webhook), Webhook)

    async def add_webhook(
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
        """Have what happens from now on sent to a receiver.

        Args:
            url: Where to, by POST.
            kinds: As `events`.
            archive: As `events`.
            path: As `events`.
            tag: As `events`.
            secret: What deliveries are signed with; None: one is made.
            enabled: Whether anything is sent.

        Returns:
            The webhook, with its secret, which is shown only here.
        """
        body = NewWebhook.model_construct(
            url=url, kinds=several(kinds), archive=archive, path=path, tag=tag, secret=secret,
            enabled=enabled,
        )  # fmt: skip
        _, document = await self._connection.call("POST", "/webhooks", body=body)
        return parse(Webhook, document)

    async def change_webhook(self, webhook: str, **settings: Any) -> Webhook:
        """Change a webhook. `settings` are the fields of `WebhookChanges`.

        Raises:
            UsageError: There is no such setting.
        """
        unknown = settings.keys() - WebhookChanges.model_fields.keys()
        if unknown:
            raise UsageError(f"there is no setting {min(unknown)!r}")
        given = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in settings.items()
        }
        changes = WebhookChanges.model_construct(_fields_set=set(given), **given)
        _, document = await self._connection.call("PATCH", webhook_path(webhook), body=changes)
        return parse(Webhook, document)

    async def remove_webhook(self, webhook: str) -> None:
        """Send nothing there any more."""
        await self._connection.call("DELETE", webhook_path(webhook))

    async def test_webhook(self, webhook: str) -> WebhookTest:
        """Have an event of kind `webhook.test` sent once, and hear what came of it."""
        _, document = await self._connection.call("POST", f"{webhook_path(webhook)}/test")
        return parse(WebhookTest, document)


def _query(
    since: str | int | None,
    archive: str | None,
    path: str | None,
    kinds: Sequence[str],
    tag: str | None,
) -> dict[str, Any]:
    return {
        "since": since, "archive": archive, "path": path, "kind": several(kinds), "tag": tag
    }  # fmt: skip


def _no_sense() -> DatdError:
    # Not an error of the connection: whoever asked again would be told the same, for ever.
    return DatdError("what comes are no events; is the daemon of another version?")


async def _parsed(
    pieces: AsyncIterable[bytes],
) -> AsyncIterator[tuple[str, Event | None]]:
    """Ids and events of a stream, as the HTML standard has them. An id may come without an event.

    Raises:
        DatdError: What comes is no such stream.
    """
    waiting, place, data = bytearray(), "", list[str]()
    async for piece in pieces:
        waiting += piece
        *lines, rest = bytes(waiting).split(b"\n")
        waiting = bytearray(rest)
        if len(waiting) > MAX_EVENT:
            raise _no_sense()
        for line in lines:
            name, _, value = line.decode("utf-8", "replace").rstrip("\r").partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                place = value
            elif name == "data":
                data.append(value)
            elif not name and not value and place:
                yield place, _event("\n".join(data)) if data else None
                data = []


def _event(text: str) -> Event:
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError(text)
        return event_of(document)
    except (ValueError, RecursionError) as error:
        raise _no_sense() from error
