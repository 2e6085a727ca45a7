from datd.discovery.dht import recent
from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.recent import MAX_NAMES, RecentSearches
from datd.types import Address

NAME = b"n" * 20
ONE, TWO = (Contact(bytes([at]) * 20, Address(f"10.0.0.{at}", 1)) for at in (1, 2))


def test_nodes_are_kept_longer_than_their_tokens():
    searches = RecentSearches()
    searches.ended(4, NAME, [(ONE, b"t"), (TWO, None)], 0)
    assert searches.tokens(4, NAME, 100) == [(ONE, b"t")]
    assert searches.contacts(4, NAME, 100) == [ONE, TWO]
    assert searches.tokens(4, NAME, recent.TOKEN_LIFETIME) == []
    assert searches.contacts(4, NAME, recent.TOKEN_LIFETIME) == [ONE, TWO]
    assert searches.contacts(4, NAME, recent.LIFETIME) == []


def test_families_and_names_are_apart():
    searches = RecentSearches()
    searches.ended(4, NAME, [(ONE, b"t")], 0)
    assert searches.contacts(6, NAME, 0) == searches.contacts(4, b"o" * 20, 0) == []
    searches.forget(NAME)
    assert searches.contacts(4, NAME, 0) == []


def test_a_thousand_names_are_kept():
    searches = RecentSearches()
    for number in range(MAX_NAMES + 5):
        searches.ended(4, number.to_bytes(20, "big"), [(ONE, b"t")], 0)
    assert len(searches) == MAX_NAMES
    assert searches.contacts(4, (4).to_bytes(20, "big"), 0) == []
    assert searches.contacts(4, (5).to_bytes(20, "big"), 0) == [ONE]
