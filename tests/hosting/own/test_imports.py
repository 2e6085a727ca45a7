"""Folders of this host as archives: brought up to date, resumed, watched. See also scenarios."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from tests.helpers.api import running_api
from tests.helpers.folders import write
from tests.helpers.libraries import node, read, until

from datd.errors import FolderRefused
from datd.hosting.changes import Changes


@asynccontextmanager
async def published(network, folder, **settings):
    """A node with an archive of `site` that is complete, and the job that made it so."""
    async with node(network, folder / "data") as one:
        ours = await one.library.create(source=folder / "site", name="site", **settings)
        yield one, ours


async def brought_up_to_date(one, ours):
    job = await one.library.workshop.imports.start(ours)
    await until(lambda: job.ended_at is not None, 60)
    return job


async def paths(ours):
    return [entry.path for entry in (await ours.list("/", recursive=True))[0]]


def test_an_import_tells_what_it_found(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        write(folder / "site/b", b"b" * 70_000)
        (folder / "site/out").symlink_to("/etc/hostname")
        async with published(network, folder) as (one, ours):
            job = await brought_up_to_date(one, ours)
            assert (job.state, job.done, job.total) == ("done", 70_001, 70_001)
            assert [path for path, _ in job.skipped] == ["/out"]
            assert "2 added" in job.text
            assert await read(ours, "/b") == b"b" * 70_000
            assert not ours.record.importing
            write(folder / "site/b", b"c")
            again = await brought_up_to_date(one, ours)
            assert "1 changed" in again.text
            assert await read(ours, "/b") == b"c"

    told(of)


def test_a_second_wish_during_an_import_is_one_more_pass_of_the_same_job(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with published(network, folder) as (one, ours):
            imports = one.library.workshop.imports
            async with one.library.publisher.writing(ours):
                job = await imports.start(ours)
                assert await imports.start(ours) is job
                assert ours.record.importing
                write(folder / "site/b", b"b")
            await until(lambda: job.ended_at is not None)
            assert await paths(ours) == ["/a", "/b"]
            assert len(one.library.workshop.jobs.all()) == 1

    told(of)


async def at_the_end_of(ours, job):
    """Wait for the moment in which an import has seen everything and writes that down."""
    while ours.record.importing:  # noqa: ASYNC110 - a moment that nobody tells of
        await asyncio.sleep(0)
    assert job.ended_at is None


def test_a_wish_that_comes_as_an_import_ends_is_not_lost(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with published(network, folder) as (one, ours):
            imports = one.library.workshop.imports
            job = await imports.start(ours)
            await at_the_end_of(ours, job)
            write(folder / "site/b", b"b")
            await imports.start(ours)
            await until(lambda: one.library.workshop.jobs.of(ours.key) is None)
            assert await paths(ours) == ["/a", "/b"]
            assert not ours.record.importing

    told(of)


def test_two_who_ask_at_once_get_the_same_import(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with published(network, folder) as (one, ours):
            imports = one.library.workshop.imports
            first, second = await asyncio.gather(imports.start(ours), imports.start(ours))
            assert first is second
            await until(lambda: first.ended_at is not None)

    told(of)


def test_an_import_that_was_under_way_goes_on_at_the_next_start(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with published(network, folder) as (one, ours):
            async with one.library.publisher.writing(ours):
                await one.library.workshop.imports.start(ours)
                await one.library.workshop.close()
            assert ours.record.importing
        async with node(network, folder / "data") as again:
            ours = again.library.find("site")
            await until(lambda: not ours.record.importing)
            assert await paths(ours) == ["/a"]

    told(of)


def test_one_that_is_cancelled_or_fails_is_not_begun_again(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with published(network, folder) as (one, ours):
            workshop = one.library.workshop
            async with one.library.publisher.writing(ours):
                await one.library.cancel(await workshop.imports.start(ours))
            assert not ours.record.importing
            (folder / "site").rename(folder / "elsewhere")
            job = await brought_up_to_date(one, ours)
            assert job.state == "failed"
            assert "is not a folder" in (job.error or "")
            assert not ours.record.importing
            assert ours.error is None  # its own files are as good as before

    told(of)


def test_a_folder_that_may_not_be_published_any_more_is_left_alone(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with published(network, folder) as (one, ours):
            (folder / "site").rename(folder / "moved")
            (folder / "site").symlink_to("/etc")
            job = await brought_up_to_date(one, ours)
            assert job.state == "failed"
            assert await paths(ours) == []

    told(of)


def test_only_what_has_a_folder_is_imported(told):
    async def of(network, folder):
        async with node(network, folder / "data") as one:
            ours = await one.library.create()
            with pytest.raises(FolderRefused):
                await one.library.workshop.imports.start(ours)

    told(of)


async def test_a_watched_folder_is_published_until_it_is_not_watched_any_more(tmp_path):
    site, data = tmp_path / "site", tmp_path / "data"
    write(site / "a", b"a")
    data.mkdir()
    async with running_api(data) as api:
        await follow(api.library, site)


async def follow(library, site):
    ours = await library.create(source=site, watch=True)
    library.workshop.watch(ours)

    def is_at(version):
        """Whether that version is here, and no import is under way that could find more."""
        idle = library.workshop.jobs.of(ours.key) is None
        return idle and ours.record.summary.version == version

    await until(lambda: is_at(1))
    # One change for the watch, which is told once: no later one starts another import.
    write(site.parent / "b", b"b")
    (site.parent / "b").rename(site / "b")
    await until(lambda: is_at(2))
    await library.change(ours, Changes({"watch": False}))
    write(site / "c", b"c")
    await asyncio.sleep(1.5)  # twice what a change takes to be told
    assert await paths(ours) == ["/a", "/b"]
