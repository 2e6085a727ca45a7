import pytest
from tests.helpers.libraries import node

from datd.errors import ArchiveExists, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.register import Register
from datd.keys import Key
from datd.records import Record


def with_register(told, story):
    async def of(network, folder):
        async with node(network, folder) as here:

            def archive(number, **fields):
                record = Record(Key(bytes([number]) * 32), added_at=1.0, **fields)
                return HostedArchive(record, here.services)

            story(Register(), archive)

    told(of)


def test_an_archive_is_found_by_all_that_it_is_called(told):
    def story(register, archive):
        one = register.enter(archive(0xAB, name="recipes", domain="x.example"))
        register.enter(archive(0xCD, shortname="y.example"))
        for reference in ("recipes", "ab" * 32, "AB" * 32, f"dat://{'ab' * 32}/p", "ababab",
                          "x.example"):  # fmt: skip
            assert register.find(reference) is one
        assert register.find("y.example").key.hex == "cd" * 32
        assert register.of_domain("x.example") is one
        assert register.of_key(one.key) is one
        assert register.of_discovery_key(one.key.discovery_key.raw) is one
        register.strike(one)
        for reference in ("recipes", "ababab", "x.example"):
            with pytest.raises(UnknownArchive):
                register.find(reference)
        assert one.removed

    with_register(told, story)


def test_a_beginning_that_two_share_means_none(told):
    def story(register, archive):
        register.enter(archive(0xAB))
        other = archive(0xAB)
        other.key = Key(bytes([0xAB]) * 31 + b"\1")
        register.enter(other)
        with pytest.raises(UnknownArchive, match="2 archives begin"):
            register.find("ababab")
        with pytest.raises(UnknownArchive):
            register.find("ababa")

    with_register(told, story)


@pytest.mark.parametrize(
    ("reference", "said"),
    [("f9cc", True), ("F9CCa", True), ("f9cc+12", True), ("f9ccab", False), ("kitchen", False)],
)
def test_a_beginning_that_is_too_short_is_told_how_long_it_has_to_be(told, reference, said):
    def story(register, archive):
        register.enter(archive(0xAB))
        with pytest.raises(UnknownArchive, match="is hosted here") as caught:
            register.find(reference)
        assert ("needs 6 digits" in str(caught.value)) == said

    with_register(told, story)


def test_names_and_domains_are_taken_once(told):
    def story(register, archive):
        one = register.enter(archive(1, name="a", domain="x.example"))
        for name, domain in (("a", None), (None, "x.example"), ("b", "x.example")):
            with pytest.raises(ArchiveExists):
                register.require_free(name, domain)
        register.require_free("a", "x.example", besides=one)
        register.require_free("b", None)
        one.record.name, one.record.domain = "b", None
        assert register.find("a") is register.of_domain("x.example") is one  # not sure yet
        register.recall(one, "a", "x.example")
        register.require_free("a", "x.example")
        assert register.find("b") is one

    with_register(told, story)


def test_a_stranger_finds_an_archive_by_its_whole_name_only(told):
    def story(register, archive):
        one = register.enter(archive(1, name="diary", domain="x.example"))
        assert register.of_name("diary") is one
        assert register.of_name("X.example") is one
        for guess in ("diar", one.key.hex[:20], one.key.hex, f"dat://{one.key.hex}"):
            assert register.of_name(guess) is None

    with_register(told, story)
