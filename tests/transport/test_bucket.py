"""The machine alone: rates, turns, changes. Time is what the test says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from datd.transport.bucket import BURST_SECONDS, QUANTUM, Account, Bucket


def limited(rate):
    bucket = Bucket()
    bucket.limit(rate, 0.0)
    return bucket


def account():
    return Account(lambda: None)


def drained(rate):
    """A bucket out of which all that it began with was taken."""
    bucket = limited(rate)
    bucket.owe(account(), max(QUANTUM, int(rate * BURST_SECONDS)), 0.0)
    return bucket


def run(bucket, wants, until, now=0.0):
    """Let accounts use what they get until a time; gives what each was paid.

    Args:
        bucket: The machine.
        wants: Bytes that each account owes again as soon as it owes nothing, by account.
        until: Seconds.
        now: When it begins.
    """
    paid = dict.fromkeys(wants, 0)
    for one, size in wants.items():
        bucket.owe(one, size, now)
        while not one.owed:
            paid[one] += size
            bucket.owe(one, size, now)
    while (timer := bucket.next_timer()) is not None and timer <= until:
        assert timer > now - 1e-6
        now = max(now, timer)
        # Those who are gone have an account, too.
        for one in wants.keys() & bucket.handle_timer(now):
            while not one.owed:
                paid[one] += wants[one]
                bucket.owe(one, wants[one], now)
    return {one: paid[one] + size - one.owed for one, size in wants.items()}


def test_without_a_limit_nobody_owes_anything():
    bucket, one = Bucket(), account()
    bucket.owe(one, 10**12, 0.0)
    assert one.owed == 0
    assert bucket.next_timer() is None


def test_what_is_there_is_taken_at_once():
    bucket, one = limited(1_000_000), account()
    bucket.owe(one, 400_000, 0.0)
    bucket.owe(one, 600_000, 0.0)
    assert one.owed == 0
    bucket.owe(one, 1, 0.0)
    assert one.owed == 1


def test_what_nobody_used_is_kept_for_a_second_only():
    bucket, one = drained(1_000_000), account()
    bucket.owe(one, 1_000_000, 3600.0)
    assert one.owed == 0
    bucket.owe(one, 1, 3600.0)
    assert one.owed == 1


@settings(max_examples=40)
@given(
    st.integers(16_000, 10**9),
    st.lists(st.integers(1, 10**7), min_size=1, max_size=8),
)
def test_the_rate_holds_over_a_long_time(rate, sizes):
    bucket = drained(rate)
    seconds = 2_000 * max(1.0, max(sizes) / rate) / 100
    # A payment a tick is enough to see, and a thousand sizes a tick take their time.
    sizes = [max(size, rate // 50) for size in sizes]
    paid = sum(run(bucket, {account(): size for size in sizes}, seconds).values())
    most = rate * seconds
    assert paid <= most * 1.05 + 1
    assert paid >= most * 0.95 - QUANTUM - rate * 0.05


def test_each_gets_as_much_however_much_it_asks_for_at_once():
    bucket = drained(1_000_000)
    small, large, huge = account(), account(), account()
    paid = run(bucket, {small: QUANTUM, large: 10 * QUANTUM, huge: 128 * QUANTUM}, 400.0)
    shares = [paid[one] / sum(paid.values()) for one in (small, large, huge)]
    assert min(shares) > 0.31
    assert max(shares) < 0.36


def test_a_word_does_not_wait_behind_all_that_another_owes():
    bucket = drained(100_000)
    bulk, word = account(), account()
    bucket.owe(bulk, 8 * 2**20, 0.0)
    bucket.owe(word, 100, 0.0)
    now, freed = 0.0, []
    while word not in freed:
        now = bucket.next_timer()
        freed += bucket.handle_timer(now)
    assert now <= (QUANTUM + 100) / 100_000 + 0.1
    assert bulk.owed > 7 * 2**20


def test_nobody_starves_beside_many_who_always_want_more():
    bucket = drained(1_000_000)
    wants = {account(): 2**20 for _ in range(100)}
    paid = run(bucket, wants, 30.0)
    assert min(paid.values()) >= 3 * QUANTUM
    assert max(paid.values()) - min(paid.values()) <= 2 * QUANTUM


def test_a_higher_limit_holds_for_those_who_wait():
    bucket, one = drained(16_000), account()
    bucket.owe(one, 16_000_000, 0.0)
    bucket.handle_timer(1.0)
    assert bucket.limit(16_000_000, 1.0) == []
    now = 1.0
    while one.owed:
        now = bucket.next_timer()
        bucket.handle_timer(now)
    assert 1.9 < now < 2.1


def test_a_lower_limit_takes_back_what_was_saved():
    bucket, one = limited(10_000_000), account()
    bucket.limit(100_000, 5.0)
    bucket.owe(one, 200_000, 5.0)
    assert one.owed == 200_000
    assert bucket.handle_timer(5.0) == []
    assert one.owed >= 100_000


def test_without_the_limit_all_go_on():
    bucket = drained(16_000)
    waiting = [account() for _ in range(5)]
    for one in waiting:
        bucket.owe(one, 10**9, 0.0)
    assert bucket.limit(None, 1.0) == waiting
    assert [one.owed for one in waiting] == [0] * 5
    assert (bucket.waiting, bucket.next_timer()) == (0, None)


def test_who_leaves_without_having_sent_takes_nothing_from_the_others():
    bucket = drained(100_000)
    gone, other = account(), account()
    bucket.owe(gone, 10**9, 0.0)
    bucket.owe(other, 1_000, 0.0)
    bucket.close(gone, 0.0, unused=10**9)
    assert bucket.handle_timer(0.02) == [other]


def test_what_was_read_is_paid_though_the_reader_is_gone():
    bucket = drained(100_000)
    gone, other = account(), account()
    bucket.owe(gone, 300_000, 0.0)
    bucket.close(gone, 0.0)
    paid = run(bucket, {other: QUANTUM}, 10.0)
    assert 600_000 < paid[other] < 740_000


def test_those_who_use_much_and_go_have_one_turn_together():
    bucket = drained(100_000)
    other = account()
    wants = {other: QUANTUM}
    used = 0
    for second in range(20):
        for _ in range(10):
            stranger = account()
            bucket.owe(stranger, 1_000_000, float(second))
            bucket.close(stranger, float(second))
        if other.owed:
            wants = {other: other.owed}
        used += run(bucket, wants, second + 1.0, now=float(second))[other]
        bucket.close(other, second + 1.0, unused=other.owed)
    assert used > 900_000


def test_what_the_gone_used_is_not_paid_for_longer_than_a_minute():
    bucket = drained(100_000)
    for _ in range(100):
        stranger = account()
        bucket.owe(stranger, 10**7, 0.0)
        bucket.close(stranger, 0.0)
    now = 0.0
    while (timer := bucket.next_timer()) is not None:
        now = timer
        bucket.handle_timer(now)
    assert 59 < now < 61


def test_what_was_paid_and_not_sent_comes_back():
    bucket, one, other = limited(1_000_000), account(), account()
    bucket.owe(one, 700_000, 0.0)
    bucket.owe(other, 400_000, 0.0)
    assert (one.owed, other.owed) == (0, 400_000)
    bucket.close(one, 0.0, unused=700_000)
    assert bucket.handle_timer(0.0) == [other]
    # Part of it was paid.
    bucket.owe(one, 700_000, 0.0)
    bucket.handle_timer(0.05)
    assert 0 < one.owed < 700_000
    bucket.close(one, 0.05, unused=700_000)
    bucket.owe(other, 640_000, 0.05)
    assert other.owed == 0


def test_nothing_comes_back_beyond_a_second():
    bucket, one = limited(100_000), account()
    bucket.close(one, 0.0, unused=10**9)
    bucket.owe(one, 100_001, 0.0)
    assert one.owed == 100_001


def test_payments_come_together_on_a_fast_line():
    bucket = drained(10**9)
    wants = {account(): 2**20 for _ in range(10)}
    for one, size in wants.items():
        bucket.owe(one, size, 0.0)
    bucket.handle_timer(bucket.next_timer())
    bucket.owe(next(iter(wants)), 10**9, 0.5)
    bucket.handle_timer(0.5)
    assert bucket.next_timer() >= 0.505
