from tests.helpers.libraries import node, source, state, until

from datd.hosting.jobs import Jobs
from datd.hosting.verification import AT_ONCE, stretches, verify
from datd.replication.block_map import INDEX_LIMIT, BlockMap


async def verified(one, archive):
    jobs = Jobs(one.services.spawn, one.services.wall_clock)
    job = jobs.start("verify", archive.key, lambda job: verify(archive, job), unit="blocks")
    await until(lambda: job.ended_at is not None)
    return job


def test_blocks_that_rotted_are_found_and_fetched_again(told):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "1") as one,
            node(network, folder / "2", "10.0.0.2") as two,
        ):
            made.plant(one)
            await one.seeding(made.key)
            copy = await two.seeding(made.key, one)
            whole = await verified(two, copy)
            total = made.metadata.length + made.content.length
            assert (whole.state, whole.done, whole.total) == ("done", total, total)
            with (made.folder(two) / "content.data").open("r+b") as file:
                file.write(b"rot")
            job = await verified(two, copy)
            assert (job.state, job.done) == ("done", total - 1)
            assert "1 of" in job.text
            await until(lambda: state(copy) == "seeding")
            assert (await verified(two, copy)).done == total

    told(of)


def test_an_archive_of_which_nothing_is_here_has_nothing_to_verify(told):
    async def of(network, folder):
        async with node(network, folder) as one:
            archive = await one.add(source().key)
            job = await verified(one, archive)
            assert (job.state, job.done) == ("done", 0)

    told(of)


def test_l9_what_is_not_here_of_an_endless_feed_costs_nothing():
    ranges = [(10, 10 + AT_ONCE + 1), (2**31, 2**31 + 1), (INDEX_LIMIT - 1, INDEX_LIMIT)]
    assert list(stretches(BlockMap.of_ranges(ranges), INDEX_LIMIT)) == [
        (10, 10 + AT_ONCE),
        (10 + AT_ONCE, 10 + 2 * AT_ONCE),
        (2**31, 2**31 + AT_ONCE),
        (INDEX_LIMIT - 1, INDEX_LIMIT),
    ]
