import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from tests.helpers.libraries import node, source, until
from tests.helpers.receivers import Delivery

from datd.books.webhooks import load
from datd.errors import Busy, StorageError, UnknownWebhook, WebError
from datd.hosting.telling import webhooks as module
from datd.hosting.telling.webhooks import ANSWER_SECONDS, MAX_WEBHOOKS, RETRIES
from datd.naming.web import Page

URL = "https://a.example/hook"


class Receivers:
    """What lies behind the way out: receivers that answer, fail or are silent."""

    def __init__(self):
        self.answers = []
        self.requests = []
        self.taken = []
        self.times = []
        self.headers = {}

    async def post(self, url, body, headers, *, seconds):
        answer = self.answers.pop(0) if self.answers else 200
        self.times.append(asyncio.get_running_loop().time())
        self.requests.append(Delivery(dict(headers), body))
        if answer == "silent":
            await asyncio.sleep(seconds)
            raise WebError(f"{url.host} did not answer in time")
        await asyncio.sleep(0.05)
        if 200 <= answer < 300:
            self.taken.append(self.requests[-1])
        return Page(answer, b"", self.headers)

    async def close(self):
        pass

    @property
    def events(self):
        return [delivery.event for delivery in self.taken]


@asynccontextmanager
async def hooked(network, folder, receivers):
    """A library whose way out leads to receivers of the test."""
    async with node(network, folder) as here:
        hooks = here.library.herald.webhooks
        hooks._web = receivers
        yield here, hooks


async def happen(here, count=1):
    for _ in range(count):
        here.services.events.tell("disk.full", None, reason="x")
    await here.services.events.settle()


def hook_story(told, of):
    async def run(network, folder):
        receivers = Receivers()
        async with hooked(network, folder, receivers) as (here, hooks):
            await of(here, hooks, receivers)

    told(run)


def test_events_are_sent_in_their_order_each_once_and_signed(told):
    async def of(here, hooks, receivers):
        hook = await hooks.add(URL, None)
        await happen(here, 5)
        await happen(here, 5)
        await until(lambda: len(receivers.taken) == 10)
        assert [event["id"] for event in receivers.events] == [str(n) for n in range(1, 11)]
        assert len({delivery.id for delivery in receivers.taken}) == 10
        assert all(one.is_signed_with(hook.webhook.secret) for one in receivers.taken)
        assert receivers.taken[0].headers["Content-Type"] == "application/json"
        await asyncio.sleep(2)
        # Nothing runs while nothing is to be sent.
        assert hook.task is None

    hook_story(told, of)


def test_only_what_somebody_wants_is_sent_and_the_rest_costs_no_task(told):
    async def of(here, hooks, receivers):
        hook = await hooks.add(URL, None, kinds=("archive.*",))
        await happen(here, 3)
        assert hook.task is None
        assert str(hook.position) == "3"
        made = source()
        await here.add(made.key)
        await until(lambda: receivers.taken)
        assert receivers.events[0]["kind"] == "archive.added"

    hook_story(told, of)


def test_what_is_not_taken_is_sent_again_under_the_same_id_before_anything_later(told):
    async def of(here, hooks, receivers):
        receivers.answers = [500, "silent", 302]
        hook = await hooks.add(URL, None)
        await happen(here, 2)
        await asyncio.sleep(sum(RETRIES[:4]))
        assert [one.event["id"] for one in receivers.requests] == ["1", "1", "1", "1", "2"]
        assert len({one.id for one in receivers.requests}) == 2
        # Each attempt has its own time, and its own signature.
        assert len({one.headers["webhook-timestamp"] for one in receivers.requests[:4]}) == 4
        pauses = [b - a for a, b in zip(receivers.times, receivers.times[1:], strict=False)]
        for pause, due, late in zip(pauses, RETRIES, (0, ANSWER_SECONDS, 0), strict=False):
            assert 0.9 * due <= pause - late <= 1.1 * due + 1
        assert (hook.progress.attempts, hook.progress.failing_since) == (0, None)

    hook_story(told, of)


def test_a_receiver_may_ask_for_patience(told):
    async def of(here, hooks, receivers):
        receivers.answers, receivers.headers = [429], {"Retry-After": "600"}
        await hooks.add(URL, None)
        await happen(here)
        await asyncio.sleep(700)
        assert 600 <= receivers.times[1] - receivers.times[0] < 610

    hook_story(told, of)


def test_a_receiver_that_fails_for_a_day_is_disabled_and_that_is_an_event(told, monkeypatch):
    assert sum(RETRIES) > 86_400
    retries = (5.0, 60.0, 600.0)
    monkeypatch.setattr(module, "RETRIES", retries)

    async def of(here, hooks, receivers):
        receivers.answers = [500] * 100
        hook = await hooks.add(URL, None)
        await happen(here, 3)
        await asyncio.sleep(1_000)
        assert not hook.webhook.enabled
        assert len(receivers.requests) == 1 + len(retries)
        assert "a.example answered with status 500" in hook.progress.disabled
        await asyncio.sleep(1)
        (last,), _ = await here.services.events.kept(3, 9)
        assert last.kind == "webhook.disabled"
        assert last.fields["webhook"] == hook.webhook.id
        # It goes on where it was, with what it missed.
        receivers.answers = []
        await hooks.change(hook, enabled=True)
        await until(lambda: len(receivers.taken) == 4)
        assert [event["id"] for event in receivers.events] == ["1", "2", "3", "4"]

    hook_story(told, of)


def test_a_receiver_that_is_gone_is_disabled_at_once(told):
    async def of(here, hooks, receivers):
        receivers.answers = [410]
        hook = await hooks.add(URL, None)
        await happen(here, 3)
        await until(lambda: not hook.webhook.enabled)
        await asyncio.sleep(100)
        assert len(receivers.requests) == 1
        assert "gone" in hook.progress.disabled

    hook_story(told, of)


def test_one_that_fails_does_not_hold_up_others(told):
    async def of(here, hooks, receivers):
        failing = await hooks.add(URL, None)
        receivers.answers = [500]
        await happen(here)
        await until(lambda: failing.progress.attempts == 1)
        await hooks.add(URL, None)
        await happen(here, 2)
        await until(lambda: len(receivers.taken) == 2, 3)

    hook_story(told, of)


def test_after_a_restart_it_goes_on_behind_what_was_taken(told):
    async def of(network, folder):
        receivers = Receivers()
        async with hooked(network, folder, receivers) as (here, hooks):
            hook = await hooks.add(URL, None, tag=None)
            await happen(here, 3)
            await until(lambda: len(receivers.taken) == 3)
            receivers.answers = [500] * 9
            await happen(here, 2)
            await until(lambda: hook.progress.attempts == 1)
        receivers.answers = []
        async with hooked(network, folder, receivers) as (here, hooks):
            (again,) = hooks.all()
            assert again.webhook == hook.webhook
            await happen(here)
            await until(lambda: len(receivers.taken) == 6, 600)
            assert [event["id"] for event in receivers.events] == [str(n) for n in range(1, 7)]

    told(of)


def test_a_webhook_is_changed_tested_and_removed(told):
    async def of(here, hooks, receivers):
        hook = await hooks.add(URL, None, enabled=False)
        await happen(here)
        assert receivers.requests == []
        assert (await hooks.test(hook)).error is None
        assert receivers.events[0]["kind"] == "webhook.test"
        receivers.answers = [404]
        assert (await hooks.test(hook)).status == 404
        secret = hook.webhook.secret
        await hooks.change(hook, new_secret=True, enabled=True, kinds=("disk.*",))
        await until(lambda: len(receivers.taken) == 2)
        assert receivers.taken[1].is_signed_with(hook.webhook.secret)
        assert not receivers.taken[1].is_signed_with(secret)
        assert hooks.find(hook.webhook.id) is hook
        await hooks.remove(hook)
        await happen(here)
        await asyncio.sleep(5)
        assert len(receivers.taken) == 2
        with pytest.raises(UnknownWebhook):
            hooks.find(hook.webhook.id)
        assert await here.catalogue.together(load) == []

    hook_story(told, of)


def test_changes_at_once_and_events_meanwhile_send_nothing_twice(told):
    async def of(here, hooks, receivers):
        hook = await hooks.add(URL, None)
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(hooks.change(hook, tag=None, kinds=("disk.*",) * (number % 2)))
                group.create_task(happen(here, 3))
        await until(lambda: len(receivers.taken) >= 12)
        await asyncio.sleep(5)
        taken = [event["id"] for event in receivers.events]
        assert list(dict.fromkeys(taken)) == [str(n) for n in range(1, 13)]
        # Only what was under way when a change came may be sent again.
        assert len(taken) <= 12 + 4
        assert hook.task is None

    hook_story(told, of)


def test_what_was_removed_while_it_was_sent_stays_away(told):
    async def of(here, hooks, receivers):
        for _ in range(20):
            hook = await hooks.add(URL, None)
            await happen(here, 2)
            await until(lambda: receivers.taken)
            await asyncio.gather(
                hooks.change(hook, tag="x"), hooks.remove(hook), return_exceptions=True
            )
            assert hooks.all() == []
            assert await here.catalogue.together(load) == []
            receivers.taken.clear()
            with pytest.raises(UnknownWebhook):
                await hooks.change(hook, tag=None)
            await happen(here)
            await asyncio.sleep(5)
            assert receivers.taken == []

    hook_story(told, of)


def test_starts_of_the_daemon_use_up_no_patience(told):
    async def of(network, folder):
        receivers = Receivers()
        receivers.answers = [500] * 1_000
        async with hooked(network, folder, receivers) as (here, hooks):
            hook = await hooks.add(URL, None)
            await happen(here)
            await until(lambda: hook.progress.attempts == 1)
        for _ in range(len(RETRIES) + 1):
            before = len(receivers.requests)
            async with hooked(network, folder, receivers) as (here, hooks):
                (hook,) = hooks.all()
                await until(lambda: len(receivers.requests) > before)  # noqa: B023
                await asyncio.sleep(1)
                assert hook.webhook.enabled

    told(of)


def test_there_can_be_only_so_many(told, monkeypatch):
    monkeypatch.setattr(module, "MAX_WEBHOOKS", 2)

    async def of(here, hooks, receivers):
        for _ in range(2):
            await hooks.add(URL, None)
        with pytest.raises(Busy):
            await hooks.add(URL, None)

    hook_story(told, of)
    assert MAX_WEBHOOKS == 64


def test_what_cannot_be_written_down_is_not_changed(told):
    async def of(here, hooks, receivers):
        hook = await hooks.add(URL, None)

        def full(database):
            database.execute("PRAGMA query_only = ON")

        await here.catalogue.together(lambda database: None)
        connection = here.catalogue._database
        full(connection)
        with pytest.raises(StorageError):
            await hooks.change(hook, url="https://b.example/")
        with pytest.raises(StorageError):
            await hooks.add(URL, None)
        connection.execute("PRAGMA query_only = OFF")
        assert hook.webhook.url == URL
        assert hooks.all() == [hook]

    hook_story(told, of)


def test_bodies_are_ascii_whatever_names_hold(told):
    async def of(here, hooks, receivers):
        await hooks.add(URL, None)
        here.services.events.tell("disk.full", None, reason="☃ \udc80 \x1b")
        await until(lambda: receivers.taken)
        assert receivers.taken[0].body.isascii()
        assert json.loads(receivers.taken[0].body)["reason"] == "☃ \udc80 \x1b"

    hook_story(told, of)
