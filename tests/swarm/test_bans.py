from datd.swarm.bans import MAX_OFFENDERS, Bans

HOUR, DAY = 3600.0, 86400.0


def test_l19_an_hour_and_then_a_day():
    bans = Bans()
    assert bans.ban(["x"], 0.0) == HOUR
    assert bans.until("x") == HOUR
    assert bans.ban(["x"], 5000.0) == 5000.0 + DAY
    assert bans.ban(["x"], 150000.0) == 150000.0 + DAY


def test_three_different_bad_blocks_and_no_good_one_are_a_ban():
    bans = Bans()
    assert bans.bad_block(["x"], 1, False, 0.0) is None
    assert bans.bad_block(["x"], 1, False, 0.0) is None
    assert bans.bad_block(["x"], 2, False, 0.0) is None
    assert bans.bad_block(["x"], 3, False, 7.0) == 7.0 + HOUR


def test_who_sent_good_blocks_too_has_a_bad_disk_and_is_not_banned():
    bans = Bans()
    for index in range(50):
        assert bans.bad_block(["x"], index, True, 0.0) is None
    assert bans.until("x") < 0


def test_each_mark_of_an_offender_is_remembered():
    bans = Bans()
    bans.ban(["host", ("host", 3282)], 0.0)
    assert bans.until("host") == bans.until(("host", 3282)) == HOUR
    assert bans.until("other") < 0
    bans.lift(("host", 3282))
    assert bans.until(("host", 3282)) < 0


def test_without_any_mark_nobody_is_banned():
    assert Bans().bad_block([], 1, False, 0.0) is None


def test_the_record_stays_small_whatever_comes():
    bans = Bans()
    for number in range(3 * MAX_OFFENDERS):
        bans.ban([number], 0.0)
    kept = [number for number in range(3 * MAX_OFFENDERS) if bans.until(number) > 0]
    assert kept == list(range(2 * MAX_OFFENDERS, 3 * MAX_OFFENDERS))


def test_a_day_after_the_last_ban_it_is_forgiven():
    bans = Bans()
    bans.ban(["x"], 0.0)
    assert bans.ban(["x"], HOUR + DAY) == HOUR + DAY + HOUR  # as if it were the first one
    for index in (1, 2):
        bans.bad_block(["y"], index, False, 0.0)
    assert bans.bad_block(["y"], 3, False, DAY) is None
