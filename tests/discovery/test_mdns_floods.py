"""Floods on the multicast group: they cost little, cause little, and hide nobody."""

import asyncio
import contextlib
import random
import sys
import time
import tracemalloc

import pytest
from tests.helpers.multicast import ANSWER, DAT_14, NAME, answer_of, linked
from tests.suites.discovery_networks import KEY, OTHER

from datd.discovery import dns_message, hyperswarm_message
from datd.discovery.dns_message import TYPE_TXT, Question
from datd.discovery.dns_text import Text
from datd.types import Address


class StoppedClock:
    """Time goes on when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def still():
    """A host and its neighbour, and the host's time, which stands still."""
    clock = StoppedClock()
    async with linked(clock) as (host, neighbour):
        yield host, neighbour, clock


async def test_t38_of_a_flood_100_packets_a_second_are_looked_at(still):
    host, neighbour, _ = still
    host.network.join(KEY, False)
    for port in range(1, 500):
        neighbour.say(answer_of(port))
    await host.finds(KEY, 100)
    neighbour.say_as("127.0.0.2", answer_of(5555))  # another host, another hundred
    await host.finds(KEY, 5555)
    assert len(host.found) == 101


async def test_t38_one_host_has_50_packets_a_second_and_hides_no_other(still):
    host, neighbour, clock = still
    host.network.join(KEY, False)
    neighbour.say_as("127.0.0.2", *(answer_of(port) for port in range(1, 151)))
    await host.finds(KEY, 50)
    neighbour.say_as("127.0.0.3", answer_of(5555))
    await host.finds(KEY, 5555)
    assert len(host.found) == 51
    clock.now += 1
    neighbour.say_as("127.0.0.2", answer_of(7777))
    await host.finds(KEY, 7777)


@pytest.mark.parametrize("generation", [b"\x03dat", DAT_14])
async def test_t38_one_host_causes_50_answers_a_second_and_all_cause_100(still, generation):
    host, neighbour, _ = still
    host.network.join(KEY, True)
    host.network.join(OTHER, False)
    if generation == DAT_14:
        one = hyperswarm_message.encode_question(NAME)
    else:
        one = dns_message.encode_question(NAME, "dat.local")
    sixteen = one[:4] + (16).to_bytes(2, "big") + one[6:12] + one[12:] * 16

    async def answers(number: int, *questions: bytes) -> int:
        """How often a host is answered. What one sends is heard in order, and so is what ours does:
        last it asks something itself.
        """
        last = dns_message.encode_answer(
            Question(OTHER[:20], TYPE_TXT), "dat.local", host="127.0.0.1", port=number, token="x"
        )
        question = dns_message.encode_question(OTHER[:20], "dat.local")
        neighbour.say_as(f"127.0.0.{number}", *questions, last)
        await host.finds(OTHER, number)
        host.network.lookup(OTHER)
        count = 0
        while (told := await neighbour.next()) != question:
            count += told[2:4] == ANSWER and generation in told and NAME.hex().encode() in told
        return count

    assert await answers(2, *[sixteen] * 10) == 50
    assert await answers(3, one) == 1
    assert sum([await answers(number, *[sixteen] * 4) for number in range(4, 8)]) == 49


async def test_t38_a_hostile_host_costs_little_and_tells_little(still):
    host, neighbour, clock = still
    host.network.join(KEY, True)
    noise = random.Random(38)
    real = (answer_of(1), crowd(), dns_message.encode_question(NAME, "dat.local"))
    hostile = [*(noise.randbytes(noise.randrange(1500)) for _ in range(100)), *real]
    hostile += [bytes(cut(datagram, noise)) for datagram in real for _ in range(100)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    async def flood() -> list[float]:
        """Twenty seconds of it; gives what each turn of the event loop cost."""
        clock.now += 1
        chance, costs = random.Random(39), []
        for _ in range(400):
            clock.now += 0.05
            for _ in range(100):
                with contextlib.suppress(BlockingIOError):
                    neighbour.say(chance.choice(hostile))
            turn = time.thread_time()  # a busy machine may take the processor away at any moment
            await asyncio.sleep(0)
            costs.append(time.thread_time() - turn)
        return costs

    # Twice the same: some machines count as ours what others took of the processor.
    costs = await flood(), await flood()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert max(map(min, *costs)) < 0.25
    assert grown < 2**20 + sys.getsizeof(host.found) * 20
    # No datagram of a frame's size tells more than 180 peers, and 100 of them a second are read.
    assert 31 <= len(host.found) < 100 * (clock.now + 1) * 180
    neighbour.say_as("127.0.0.2", answer_of(4444))  # another host is heard all the time
    await host.finds(KEY, 4444)
    clock.now += 1  # the budget is full again: so is an honest program on this one
    neighbour.say(answer_of(5555))
    await host.finds(KEY, 5555)


def crowd() -> bytes:
    """An answer with as many peers as a string holds, at addresses that nobody should dial."""
    hosts = ("127.0.0.1", "10.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1")
    peers = tuple(Address(hosts[n % 5], n) for n in range(31))
    record = dns_message.text_record(Text(token="x", peers=peers))
    question = dns_message.encode_question(NAME, "dat.local")
    return dns_message.encode_reply(0, question[12:], [record])


def cut(datagram: bytes, noise: random.Random) -> bytearray:
    """A datagram with one byte changed, cut somewhere."""
    spoiled = bytearray(datagram)
    spoiled[noise.randrange(len(spoiled))] = noise.randrange(256)
    return spoiled[: noise.randrange(len(spoiled) + 1)]
