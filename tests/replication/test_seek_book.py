from datd.replication.remote_blocks import RemoteBlocks
from datd.replication.seek_book import SeekBook
from datd.types import Seek
from datd.wire.messages import Request


def having(*ranges: tuple[int, int]) -> RemoteBlocks:
    remote = RemoteBlocks()
    for start, stop in ranges:
        remote.have(start, stop - start)
    return remote


def test_a_byte_is_asked_of_one_peer_and_for_the_likely_block():
    book = SeekBook()
    book.want(Seek(900, guess=9, first=5, stop=20))
    book.want(Seek(900, guess=11, first=5, stop=20))
    assert book.guesses() == [9]
    one, two = having((0, 30)), having((0, 30))
    assert book.next(one) == [Request(9, bytes=900)]
    assert (book.next(one), book.next(two), book.guesses()) == ([], [], [])
    assert (book.asked_of(one), book.asked_of(two)) == ([900], [])
    book.leave(one)
    assert book.next(two) == [Request(9, bytes=900)]
    book.settle([900])
    assert (len(book), book.asked_of(two), 900 in book) == (0, [], False)


def test_only_blocks_that_the_peer_has_are_named():
    # The original ends the connection when it is asked for one that it knows nothing of.
    seek = Seek(900, guess=9, first=5, stop=20)
    for ranges, named in [
        ([(10, 12)], [10]),
        ([(6, 8)], [6]),
        ([(0, 5), (20, 30)], []),
        ([], []),
        ([(19, 20), (5, 6)], [19]),
    ]:
        book = SeekBook()
        book.want(seek)
        assert [request.index for request in book.next(having(*ranges))] == named


def test_l12_readers_cannot_pile_up_bytes():
    book = SeekBook()
    for position in range(1, 5000):
        book.want(Seek(position, 0, 0, 9))
    assert len(book) == 1024
