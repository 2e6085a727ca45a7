from datd.discovery.dht.own_address import OwnAddress


def test_several_owners_must_agree():
    own = OwnAddress()
    for number in range(1, 6):
        assert own.said("8.8.4.4", f"{number}.1.1.1") is None
    assert own.said("8.8.4.4", "6.1.1.1") == "8.8.4.4"


def test_one_owner_has_one_vote():
    own = OwnAddress()
    for number in range(1, 200):
        assert own.said("8.8.4.4", f"1.1.1.{number}") is None


def test_a_minority_of_liars_changes_nothing():
    own = OwnAddress()
    for number in range(1, 9):
        own.said("8.8.4.4", f"{number}.1.1.1")
    for number in range(1, 5):
        assert own.said("6.6.6.6", f"{number}.2.1.1") in (None, "8.8.4.4")


def test_a_new_address_is_believed_after_a_while():
    own = OwnAddress()
    for number in range(1, 17):
        own.said("8.8.4.4", f"{number}.1.1.1")
    told = [own.said("9.9.9.9", f"{number}.2.1.1") for number in range(1, 17)]
    assert told[-1] == "9.9.9.9"


def test_inner_addresses_and_inner_voters_do_not_count():
    own = OwnAddress()
    for number in range(1, 20):
        assert own.said("10.0.0.1", f"{number}.1.1.1") is None
        assert own.said("8.8.4.4", f"10.0.{number}.1") is None
        assert own.said("2001:4860::1", f"{number}.1.1.1") is None
        assert own.said("nonsense", f"{number}.1.1.1") is None


def test_t31_votes_are_bounded():
    own = OwnAddress()
    for number in range(5000):
        own.said(f"8.8.{number % 250}.4", f"{number % 200 + 1}.{number // 200}.1.1")
    assert len(own._votes) <= 16
