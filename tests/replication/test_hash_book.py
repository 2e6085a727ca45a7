import random

from datd.replication.block_map import REGION
from datd.replication.hash_book import HashBook
from datd.replication.remote_blocks import RemoteBlocks


def having(*ranges: tuple[int, int]) -> RemoteBlocks:
    remote = RemoteBlocks()
    for start, stop in ranges:
        remote.have(start, stop - start)
    return remote


def test_one_request_stands_for_two_neighbours():
    book, peer = HashBook(20), having((0, 20))
    book.want([1, 4, 5, 6, 7, 9])
    assert len(book) == 6
    assert book.next(peer, 9) == [1, 4, 6, 9]
    assert book.next(peer, 9) == []
    assert book.settle([4, 5, 8]) == [4, 5]
    assert len(book) == 4


def test_the_neighbour_of_what_is_asked_already_is_not_asked():
    book, peer = HashBook(20), having((0, 20))
    book.want([4])
    assert book.next(peer, 1) == [4]
    book.want([5])
    assert book.next(peer, 1) == []
    book.give_back(peer, [4])
    assert book.next(having((5, 6)), 1) == [5]


def test_those_far_apart_come_first_so_that_few_answers_draw_the_same_hashes():
    book, peer = HashBook(64), having((0, 64))
    book.want(range(5, 64))
    assert book.next(peer, 3) == [16, 32, 48]
    assert book.next(peer, 4) == [8, 24, 40, 56]
    assert book.next(peer, 99) == [5, *(n for n in range(6, 64, 2) if n % 8)]


def test_only_what_a_peer_has_and_only_once():
    book, one, two = HashBook(100), having((0, 10)), having((0, 30))
    book.want(range(50))
    first, second = book.next(one, 99), book.next(two, 99)
    assert first == list(range(0, 10, 2))
    assert second == list(range(10, 30, 2))
    book.leave(one)
    assert book.next(two, 99) == first


def test_what_is_settled_is_not_asked_again():
    book, peer = HashBook(REGION * 3), having((0, 3 * REGION))
    book.want([2 * REGION + 6, 2 * REGION + 9])
    assert book.any_in(2)
    assert not book.any_in(0)
    assert book.next(peer, 2) == [2 * REGION + 6, 2 * REGION + 9]
    assert sorted(book.settle(range(2 * REGION, 2 * REGION + 20))) == [
        2 * REGION + 6,
        2 * REGION + 9,
    ]
    book.give_back(peer, [2 * REGION + 6])
    assert (len(book), book.next(peer, 9), book.any_in(2)) == (0, [], False)


def test_every_hash_comes_whatever_peers_do():
    chance = random.Random(4)
    for _ in range(200):
        book = HashBook(64)
        wanted = set(chance.sample(range(64), chance.randrange(1, 64)))
        book.want(wanted)
        peers = [having((0, 64)), having((chance.randrange(32), chance.randrange(32, 64)))]
        asked: list[list[int]] = [[], []]
        known: set[int] = set()
        for _ in range(10_000):
            if not book:
                break
            who = chance.randrange(2)
            match chance.randrange(4):
                case 0 | 1:
                    asked[who] += book.next(peers[who], chance.randrange(1, 6))
                    assert len(set(asked[0] + asked[1])) == len(asked[0]) + len(asked[1])
                case 2 if asked[who]:
                    index = asked[who].pop(chance.randrange(len(asked[who])))
                    known.update((index, index ^ 1))
                    book.settle([index, index ^ 1])
                case 3 if asked[who]:
                    book.give_back(peers[who], [asked[who].pop()])
                case _:
                    pass
        assert wanted <= known
