from datd.http.attempts import MAX_ADDRESSES, MAX_FAILURES, FailedAttempts


def test_t42_the_first_wrong_tokens_are_only_counted_then_the_address_waits():
    failed = FailedAttempts()
    assert [failed.add("192.0.2.1", now) for now in range(MAX_FAILURES)] == [0.0] * MAX_FAILURES
    assert 0 < failed.add("192.0.2.1", MAX_FAILURES) <= 60
    assert failed.add("192.0.2.2", MAX_FAILURES) == 0


def test_t42_after_a_quiet_minute_an_address_may_try_again():
    failed = FailedAttempts()
    for now in range(100):
        failed.add("192.0.2.1", now / 10)
    assert failed.wait("192.0.2.1", 10.0) > 0
    assert failed.wait("192.0.2.1", 200.0) == 0
    assert failed.add("192.0.2.1", 200.0) == 0


def test_t42_a_right_password_waits_behind_the_last_attempt_that_is_allowed():
    failed = FailedAttempts()
    for _ in range(MAX_FAILURES):
        assert failed.wait("ada", 5.0) == 0
        failed.add("ada", 5.0)
    assert failed.wait("ada", 6.0) == 59.0
    assert failed.wait("ben", 6.0) == 0
    failed.forget("ada")
    assert failed.wait("ada", 6.0) == 0


def test_addresses_of_one_ipv6_network_count_together():
    failed = FailedAttempts()
    waits = [failed.add(f"2001:db8:0:1::{number:x}", 0.0) for number in range(MAX_FAILURES + 1)]
    assert waits[-1] > 0
    assert failed.wait("2001:db8:0:1::ffff", 0.0) > 0
    assert failed.add("2001:db8:0:2::1", 0.0) == 0


def test_memory_of_failed_attempts_has_an_end():
    failed = FailedAttempts()
    for number in range(3 * MAX_ADDRESSES):
        failed.add(f"198.51.{number // 256}.{number % 256}", float(number))
    assert len(failed._times) == MAX_ADDRESSES


def test_who_comes_in_takes_back_one_attempt_and_not_those_before_it():
    failed = FailedAttempts()
    for _ in range(MAX_FAILURES):
        failed.add("192.0.2.1", 5.0)
    failed.take_back("192.0.2.1")
    assert failed.wait("192.0.2.1", 6.0) == 0
    failed.add("192.0.2.1", 6.0)
    assert failed.wait("192.0.2.1", 7.0) > 0
    failed.take_back("192.0.2.7")  # nothing was counted
