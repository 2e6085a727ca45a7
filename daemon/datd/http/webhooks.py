"""Routes of webhooks: receivers that events are sent to."""

import ipaddress
from datetime import UTC, datetime

from aiohttp import web
from yarl import URL

from datctl.models_events import NewWebhook, WebhookChanges, WebhookList, WebhookTest
from datctl.models_events import Webhook as WebhookModel
from datd.hosting.library import Library
from datd.hosting.telling import signing
from datd.hosting.telling.webhooks import Hook
from datd.http import shapes
from datd.http.events import interest_of
from datd.http.inputs import read_body, read_query, shown
from datd.http.operation import PREFIX, Operation
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.stats import NoQuery
from datd.naming.destinations import public

_DISK = ("damaged", "disk_full", "read_only")


class WebhookRoutes:
    """Handlers of `/webhooks`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._webhooks = library.herald.webhooks

    def operations(self) -> list[Operation]:
        """What can be done with webhooks."""
        all_of_them, one = f"{PREFIX}/webhooks", f"{PREFIX}/webhooks/{{id}}"
        names = {"id": "Id of the webhook."}
        return [
            Operation(
                "GET",
                all_of_them,
                self.list,
                name="list_webhooks",
                summary="All webhooks, and how they fare",
                scope="admin",
                tag="Webhooks",
                answers={200: WebhookList},
            ),
            Operation(
                "POST",
                all_of_them,
                self.add,
                name="add_webhook",
                summary="Have events sent to a receiver, from now on",
                scope="admin",
                tag="Webhooks",
                bodies=(NewWebhook,),
                answers={201: WebhookModel},
                errors=("unknown_archive", "busy", *_DISK),
                description=(
                    "Each event is sent by POST, as the JSON object that the stream of events has, "
                    "one after the other. What is not answered with 2xx within 10 seconds is sent "
                    "again, over a day; then the webhook is disabled, and at once if the answer is "
                    "410. Redirects are not followed. Deliveries are signed as Standard Webhooks "
                    "has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`). The secret "
                    "is shown in this answer only."
                ),
            ),
            Operation(
                "GET",
                one,
                self.show,
                name="get_webhook",
                summary="One webhook, and how it fares",
                scope="admin",
                tag="Webhooks",
                names=names,
                answers={200: WebhookModel},
                errors=("no_such_webhook",),
            ),
            Operation(
                "PATCH",
                one,
                self.change,
                name="change_webhook",
                summary="Change a webhook, or enable one that was disabled",
                scope="admin",
                tag="Webhooks",
                names=names,
                bodies=(WebhookChanges,),
                answers={200: WebhookModel},
                errors=("no_such_webhook", "unknown_archive", *_DISK),
            ),
            Operation(
                "DELETE",
                one,
                self.remove,
                name="remove_webhook",
                summary="Send nothing there any more",
                scope="admin",
                tag="Webhooks",
                names=names,
                answers={204: None},
                errors=("no_such_webhook", *_DISK),
            ),
            Operation(
                "POST",
                f"{one}/test",
                self.test,
                name="test_webhook",
                summary="Send an event of kind `webhook.test` once, and say what came of it",
                scope="admin",
                tag="Webhooks",
                names=names,
                answers={200: WebhookTest},
                errors=("no_such_webhook",),
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /webhooks`."""
        read_query(request, NoQuery)
        return shapes.json_response(
            WebhookList(webhooks=[_model(hook) for hook in self._webhooks.all()])
        )

    async def show(self, request: web.Request) -> web.Response:
        """`GET /webhooks/{id}`."""
        read_query(request, NoQuery)
        return shapes.json_response(_model(self._find(request)))

    async def add(self, request: web.Request) -> web.Response:
        """`POST /webhooks`."""
        read_query(request, NoQuery)
        body = await read_body(request, NewWebhook)
        self._require_possible(body.url)
        archive = None if body.archive is None else self._library.find(body.archive).key
        interest_of(archive, body.path, body.kinds, body.tag)
        hook = await self._webhooks.add(
            body.url,
            _secret(body.secret),
            kinds=tuple(body.kinds),
            archive=None if archive is None else archive.hex,
            path=body.path,
            tag=body.tag,
            enabled=body.enabled,
        )
        return shapes.json_response(_model(hook, secret=True), status=201)

    async def change(self, request: web.Request) -> web.Response:
        """`PATCH /webhooks/{id}`."""
        read_query(request, NoQuery)
        hook = self._find(request)
        body = await read_body(request, WebhookChanges)
        given = {name: getattr(body, name) for name in body.model_fields_set}
        for name in ("url", "kinds", "enabled"):
            if name in given and given[name] is None:
                raise Problem("bad_request", f"`{name}` cannot be null.")
        if "url" in given:
            self._require_possible(given["url"])
        if given.get("archive") is not None:
            given["archive"] = self._library.find(given["archive"]).key.hex
        if "kinds" in given:
            given["kinds"] = tuple(given["kinds"])
        renewed = "secret" in given
        new_secret = renewed and given["secret"] is None
        if new_secret:
            del given["secret"]
        elif renewed:
            given["secret"] = _secret(given["secret"])
        self._require_sense(hook, given)
        await self._webhooks.change(hook, new_secret=new_secret, **given)
        return shapes.json_response(_model(hook, secret=renewed))

    def _require_sense(self, hook: Hook, given: dict[str, object]) -> None:
        archive = given.get("archive", hook.webhook.archive)
        if given.get("path", hook.webhook.path) is not None and archive is None:
            raise Problem("bad_request", "Give the `archive` that `path` is in, too.")
        kinds = given.get("kinds", ())
        interest_of(None, None, list(kinds) if isinstance(kinds, tuple) else [], None)

    async def remove(self, request: web.Request) -> web.Response:
        """`DELETE /webhooks/{id}`."""
        read_query(request, NoQuery)
        await self._webhooks.remove(self._find(request))
        return web.Response(status=204, headers=SAFE_HEADERS)

    async def test(self, request: web.Request) -> web.Response:
        """`POST /webhooks/{id}/test`."""
        read_query(request, NoQuery)
        attempt = await self._webhooks.test(self._find(request))
        return shapes.json_response(
            WebhookTest(delivered=attempt.error is None, status=attempt.status, error=attempt.error)
        )

    def _find(self, request: web.Request) -> Hook:
        return self._webhooks.find(request.match_info["id"])

    def _require_possible(self, text: str) -> None:
        """Refuse what could never be sent; where names lead is looked at each time (T-49)."""
        try:
            url = URL(text)
            port = url.port
        except ValueError:
            raise _bad_url(text, "it cannot be read") from None
        if url.scheme not in ("http", "https") or not url.host or not port:
            raise _bad_url(text, "it has to begin with http:// or https:// and a host")
        if url.user is not None or url.password is not None or url.fragment:
            raise _bad_url(text, "it may hold neither a user name nor a fragment")
        try:
            ipaddress.ip_address(url.host)
        except ValueError:
            return
        if not public(url.host, self._library.services.webhook_networks):
            raise _bad_url(
                text, "its address is not public; the setting webhooks.allow_networks may allow it"
            )


def _bad_url(text: str, why: str) -> Problem:
    return Problem("bad_request", f"Nothing can be sent to {shown(text)}: {why}.")


def _secret(text: str | None) -> str | None:
    """A secret that somebody chose, as ours are written.

    Raises:
        Problem: It is none.
    """
    if text is None:
        return None
    try:
        return signing.secret_text(signing.secret_bytes(text))
    except ValueError as error:
        raise Problem(
            "bad_request",
            f"The secret {error}: expected whsec_ and {signing.MIN_SECRET} to "
            f"{signing.MAX_SECRET} bytes in base64.",
        ) from None


def _model(hook: Hook, *, secret: bool = False) -> WebhookModel:
    webhook, progress = hook.webhook, hook.progress
    return WebhookModel(
        id=webhook.id,
        url=webhook.url,
        kinds=list(webhook.kinds),
        archive=webhook.archive,
        path=webhook.path,
        tag=webhook.tag,
        enabled=webhook.enabled,
        created_at=datetime.fromtimestamp(webhook.created_at, UTC),
        position=progress.position,
        attempts=progress.attempts,
        failing_since=shapes.moment(progress.failing_since),
        delivered_at=shapes.moment(progress.delivered_at),
        status=progress.status,
        error=progress.error,
        disabled=progress.disabled,
        secret=webhook.secret if secret else None,
    )
