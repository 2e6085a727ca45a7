"""Jobs begun and ended; what they do is tested beside each of them."""

import asyncio
import json

import pytest
from tests.helpers.folders import write
from tests.helpers.libraries import node, source, until

from datd.errors import ArchiveExists, Busy, FolderRefused
from datd.hosting.changes import Changes
from datd.hosting.jobs import WAITING


async def publish(one, folder, fields=None, **settings):
    return await one.library.workshop.publish(
        str(folder), fields or {}, chunking="fixed", watch=False, **settings
    )


def test_a_title_is_written_into_the_folder_that_is_published(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with node(network, folder / "data") as one:
            ours = await publish(one, folder / "site", {"title": "Site"})
            await until(lambda: not ours.record.importing)
            said = {"title": "Site", "description": "", "url": ours.key.link}
            assert json.loads((folder / "site/dat.json").read_text()) == said
            with pytest.raises(FolderRefused, match=r"dat\.json"):
                await publish(one, folder / "site", {"title": "Other"})
            (folder / "site/dat.json").unlink()
            (folder / "site/dat.json").symlink_to("nowhere")
            with pytest.raises(FolderRefused, match=r"dat\.json"):
                await publish(one, folder / "site", {"title": "Other"})
            assert len(one.library.archives()) == 1

    told(of)


def test_a_name_that_is_taken_makes_no_archive(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with node(network, folder / "data") as one:
            await publish(one, folder / "site", name="mine")
            with pytest.raises(ArchiveExists):
                await publish(one, folder / "site", name="mine")
            assert len(one.library.archives()) == 1

    told(of)


async def fill(one, key):
    """Have as many jobs under way as there may be."""

    async def forever(_):
        await asyncio.Event().wait()

    for _ in range(WAITING):
        one.library.workshop.jobs.start("verify", key, forever, unit="blocks")


def test_where_too_much_is_under_way_no_archive_is_made_that_nobody_fills(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with node(network, folder / "data") as one:
            mine = await one.library.create()
            await fill(one, mine.key)
            with pytest.raises(Busy):
                await publish(one, folder / "site")
            with pytest.raises(Busy):
                await one.library.workshop.fork(mine, 0, {}, chunking="fixed")
            assert one.library.archives() == [mine]

    told(of)


def test_c18_work_that_cannot_be_gone_on_with_keeps_nothing_from_starting(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with node(network, folder / "data") as one:
            ours = await one.library.create(source=folder / "site", name="site")
            other = await one.library.create(name="other")
            await ours.change(Changes({"importing": True, "source": None}))
            await other.change(Changes({"importing": True, "source": str(folder / "site")}))
        async with node(network, folder / "data") as again:
            other = again.library.find("other")
            await until(lambda: not other.record.importing)
            assert [entry.path for entry in (await other.list("/"))[0]] == ["/a"]

    told(of)


def test_a_removed_archive_has_no_jobs(told):
    async def of(network, folder):
        write(folder / "site/a", b"a")
        async with node(network, folder / "data") as one:
            workshop = one.library.workshop
            ours = await one.library.create(source=folder / "site")
            async with one.library.publisher.writing(ours):
                job = await workshop.imports.start(ours)
                await one.library.remove(ours)
            assert job.state == "cancelled"
            assert workshop.jobs.of(ours.key) is None
            assert (folder / "site/a").exists()

    told(of)


def test_an_archive_is_verified_once_at_a_time(told):
    async def of(network, folder):
        async with node(network, folder) as one:
            archive = await one.add(source().key)
            job = one.library.workshop.verify(archive)
            assert one.library.workshop.verify(archive) is job
            await until(lambda: job.ended_at is not None)
            assert one.library.workshop.verify(archive) is not job

    told(of)
