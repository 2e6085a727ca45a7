from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st

from datd.replication.block_map import INDEX_LIMIT, REGION
from datd.replication.picker import BlockPicker
from datd.replication.remote_blocks import RemoteBlocks
from datd.types import Seek


def picker(have: str = "", length: int = 0) -> BlockPicker:
    return BlockPicker(bitarray(have), length, choose=lambda limit: limit // 2)


def joined(book: BlockPicker, *ranges: tuple[int, int]) -> RemoteBlocks:
    remote = RemoteBlocks()
    book.join(remote)
    for start, stop in ranges:
        remote.have(start, stop - start)
    book.announced(remote)
    return remote


def test_one_peer_is_asked_in_order_of_the_feed():
    book = picker("1100", 4)
    book.want_all()
    peer = joined(book, (0, 10))
    assert book.next(peer, 3) == [2, 3, 4]
    assert book.next(peer, 9) == [5, 6, 7, 8, 9]
    assert book.next(peer, 9) == []
    assert (book.in_flight_count, book.missing_count, book.known_length) == (8, 8, 10)


def test_only_what_is_wanted():
    book = picker("", 20)
    peer = joined(book, (0, 20))
    assert book.next(peer, 9) == []
    book.want([(3, 5), (9, 10)])
    assert book.missing_count == 3
    assert book.next(peer, 9) == [3, 4, 9]
    book.stored([3, 12], 20)
    assert book.missing_count == 2
    book.lost([3])
    assert book.missing_count == 3
    assert book.next(peer, 9) == [3]


def test_who_is_told_of_an_offer_may_hold_it_back_before_anything_is_asked_for():
    book = picker()
    offers: list[list[tuple[int, int]]] = []

    def hold_all() -> None:
        offers.append(list(book.open_runs()))
        for start, stop in offers[-1]:
            book.hold_run(start, stop)

    book.on_offer = hold_all
    book.want_all()
    peer = joined(book, (0, 10), (REGION - 2, REGION + 2))
    assert offers[-1] == [(0, 10), (REGION - 2, REGION), (REGION, REGION + 2)]
    assert book.next(peer, 99) == []
    assert not book.idle
    book.release_run(0, 5)
    book.release([REGION])
    assert list(book.open_runs()) == [(0, 5), (REGION, REGION + 1)]
    book.prioritise([7])  # a reader does not wait
    assert book.next(peer, 99) == [7, 0, 1, 2, 3, 4, REGION]
    book.stored([0, 1, 2, 3, 4, 7, REGION], REGION + 2)
    assert not book.idle
    book.release_run(0, REGION + 2)
    assert sorted(book.next(peer, 99)) == [5, 6, 8, 9, REGION - 2, REGION - 1, REGION + 1]


def test_a_block_is_asked_of_one_peer_only_and_peers_begin_apart():
    book = picker()
    book.want_all()
    one, two = joined(book, (0, 100)), joined(book, (0, 100))
    assert book.next(one, 4) == [0, 1, 2, 3]
    assert book.next(two, 4) == [50, 51, 52, 53]
    asked = {0, 1, 2, 3, 50, 51, 52, 53}
    while more := book.next(one, 7) + book.next(two, 7):
        assert not asked & set(more)
        asked |= set(more)
    assert asked == set(range(100))


def test_what_a_reader_waits_for_comes_first_and_need_not_be_wanted():
    book = picker("", 20)
    book.want([(0, 5)])
    peer = joined(book, (0, 18))
    book.prioritise([17, 3, 19])
    assert book.next(peer, 3) == [17, 3, 0]
    book.forget_priority([19])
    assert book.next(peer, 9) == [1, 2, 4]


def test_two_readers_of_one_block():
    book = picker("", 20)
    peer = joined(book, (0, 20))
    book.prioritise([7])
    book.prioritise([7])
    book.forget_priority([7])
    assert book.next(peer, 2) == [7]
    book.give_back(peer, [7])
    assert book.next(peer, 2) == [7]
    book.give_back(peer, [7])
    book.forget_priority([7])
    assert book.next(peer, 2) == []


def test_blocks_of_a_peer_that_left_go_to_others():
    book = picker()
    book.want_all()
    one, two = joined(book, (0, 4)), joined(book, (0, 4))
    assert book.next(one, 9) == [0, 1, 2, 3]
    assert book.next(two, 9) == []
    before = book.changes
    book.leave(one)
    assert book.changes != before
    assert sorted(book.next(two, 9)) == [0, 1, 2, 3]


def test_known_length_follows_those_who_can_be_believed():
    book = picker("11", 2)
    book.want_all()
    liar, honest = joined(book, (0, INDEX_LIMIT)), joined(book, (0, 9))
    assert book.known_length == INDEX_LIMIT
    liar.trusted = False
    book.distrusted()
    assert (book.known_length, book.missing_count) == (9, 7)
    book.leave(honest)
    assert (book.known_length, book.missing_count) == (2, 0)


def test_beyond_our_length():
    book = picker()
    book.want_all()
    peer = joined(book, (REGION + 3, REGION + 5))
    assert book.next(peer, 9) == [REGION + 3, REGION + 4]
    book.stored([REGION + 3, REGION + 4], REGION + 5)
    assert book.length == REGION + 5
    assert book.missing_count == REGION + 3


def test_idle_and_unavailable():
    book = picker("", 10)
    book.want_all()
    assert book.unavailable() == 10
    peer = RemoteBlocks()
    peer.unknown[0] = True
    book.join(peer)
    peer.have(9, 1)
    book.announced(peer)
    # It has not said yet what else it has.
    assert book.unavailable() == 0
    peer.have_bitfield(0, REGION, b"\x02\xe0")
    book.announced(peer)
    assert (book.offered(2), book.offered(3)) == (True, False)
    assert book.unavailable() == 7
    assert book.unavailable([(2, 5)]) == 2
    asked = book.next(peer, 16)
    assert asked == [0, 1, 2]
    book.stored(asked, 10)
    assert book.idle
    assert book.missing_count == 7


def test_not_idle_while_a_peer_has_yet_to_tell_what_it_has():
    book = picker("1", 1)
    book.want_all()
    peer = joined(book, (0, 2))
    assert not book.idle
    peer.unhave(1, 1)
    peer.unknown[0] = True
    assert not book.idle
    peer.unknown[0] = False
    assert [book.idle] == [True]


def test_further_regions_are_asked_about_where_something_is_missing():
    book = picker()
    book.want([(5, 6), (3 * REGION, 3 * REGION + 1)])
    peer = joined(book, (4 * REGION, 4 * REGION + 1))
    assert book.region_to_ask_about(peer) == 3
    peer.unknown[3] = False
    assert book.region_to_ask_about(peer) is None
    book.prioritise([REGION + 1])
    assert book.region_to_ask_about(peer) == 1


def test_expected_size_follows_the_blocks_of_this_feed():
    book = picker()
    peer = joined(book, (0, 400))
    assert book.expected_size == 65536
    for index in range(400):
        book.arrived(peer, index, 1000)
    assert 1000 <= book.expected_size < 1100


_blocks = st.lists(st.integers(0, 30), max_size=8)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["next", "stored", "lost", "give", "have", "unhave", "urgent", "want"]),
            st.integers(0, 2),
            _blocks,
        ),
        max_size=30,
    )
)
def test_against_plain_sets(steps):
    book = picker("", 31)
    peers = [joined(book) for _ in range(3)]
    book.want_all()
    have: set[int] = set()
    claimed: list[set[int]] = [set(), set(), set()]
    flying: dict[int, int] = {}
    wanted, urgent = set(range(31)), set[int]()
    for step, who, blocks in steps:
        if step == "next":
            open_now = (wanted | urgent) - have - set(flying)
            asked = book.next(peers[who], len(blocks))
            assert len(asked) == len(set(asked))
            assert len(asked) == min(len(blocks), len(open_now & claimed[who]))
            assert set(asked) <= open_now & claimed[who]
            flying |= dict.fromkeys(asked, who)
        elif step == "stored":
            book.stored(blocks, 31)
            have |= set(blocks)
            flying = {i: w for i, w in flying.items() if i not in have}
            urgent -= have
        elif step == "lost":
            book.lost(blocks)
            have -= set(blocks)
        elif step == "give":
            book.give_back(peers[who], blocks)
            flying = {i: w for i, w in flying.items() if i not in blocks or w != who}
        elif step == "have":
            for index in blocks:
                peers[who].have(index, 1)
            book.announced(peers[who])
            claimed[who] |= set(blocks)
        elif step == "unhave":
            for index in blocks:
                peers[who].unhave(index, 1)
                if index == 0 and peers[who].reach == 0:
                    claimed[who].clear()
                claimed[who].discard(index)
        elif step == "urgent":
            book.prioritise(blocks)
            urgent |= set(blocks) - have
        else:
            book.want([(index, index + 2) for index in blocks])
            wanted = {i for index in blocks for i in (index, index + 1)}
        if not book.everything:
            assert book.missing_count == len(wanted - have)
        assert book.in_flight_count == len(flying)
        offered = set().union(*claimed)
        todo = (wanted | urgent) - have
        assert book.idle == (not flying and not todo & offered)


# Holding


def test_held_blocks_are_not_asked_for_until_they_are_released():
    book = picker("", 20)
    book.want([(0, 10)])
    peer = joined(book, (0, 20))
    book.hold(range(2, 6))
    assert book.next(peer, 99) == [0, 1, 6, 7, 8, 9]
    book.stored([0, 1, 6, 7, 8, 9, 2], 20)
    assert not book.idle  # they may come from elsewhere, and else from this peer
    assert book.missing_count == 3
    book.release([2, 3])
    assert book.next(peer, 99) == [3]
    book.give_back(peer, [3])
    book.release([4, 5])
    assert sorted(book.next(peer, 99)) == [3, 4, 5]
    book.stored([3, 4, 5], 20)
    assert book.idle


def test_a_held_block_stays_held_when_regions_are_worked_out_anew_or_a_peer_leaves():
    book = picker("", 20)
    book.want_all()
    one, two = joined(book, (0, 20)), joined(book, (0, 20))
    assert book.next(one, 3) == [0, 1, 2]
    book.hold([1, 2, 3])
    book.leave(one)
    book.want([(0, 5)])
    assert book.next(two, 9) == [0, 4]


def test_what_a_reader_waits_for_is_asked_for_though_it_is_held():
    book = picker("", 20)
    peer = joined(book, (0, 20))
    book.hold([3, 4])
    book.prioritise([4])
    assert book.next(peer, 9) == [4]


def test_hashes_and_bytes_far_away_make_us_ask_what_the_peer_has_there():
    book = picker()
    peer = joined(book, (3 * REGION, 3 * REGION + 1))
    assert book.region_to_ask_about(peer) is None
    book.ask_hashes([2 * REGION + 5])
    assert book.region_to_ask_about(peer) == 2
    book.seeks.want(Seek(10**9, REGION + 5, 0, 2 * REGION))
    assert book.region_to_ask_about(peer) == 1


def test_who_listens_hears_of_longer_feeds_once():
    book = picker("", 20)
    told = []
    book.on_reach = lambda: told.append(book.known_length)
    joined(book, (0, 20))
    assert told == []
    joined(book, (0, 30))
    joined(book, (0, 25))
    book.stored([39], 40)
    assert told == [30, 40]
