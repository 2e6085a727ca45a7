import pytest

from datd.books.events import Event
from datd.hosting.telling.event_kinds import KINDS, Interest, Position, Told, named_kinds
from datd.keys import Key

KEY, OTHER = Key(b"\xaa" * 32), Key(b"\xbb" * 32)


def event(kind, archive=KEY, **fields):
    return Event(1, kind, 0.0, None if archive is None else archive.hex, fields)


def tags_of(key):
    return ["site"] if key == KEY.hex else []


def test_positions_are_read_as_they_were_written():
    for position in (Position(0), Position(41), Position(41, 1207)):
        assert Position.parse(str(position)) == position
    assert (Position(41).whole, Position(41, 3).whole) == (41, 40)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.", ".1", "1.2.3", "\uff11", "9" * 19, " 1"])
def test_what_is_no_position(text):
    with pytest.raises(ValueError):  # noqa: PT011 - it holds what was given
        Position.parse(text)


def test_kinds_are_named_one_by_one_or_by_their_beginning():
    assert named_kinds(["job.ended", "file.*"]) == ("job.ended", "file.put", "file.deleted")
    assert named_kinds([]) == ()
    for wrong in ("job", "job.", "job.*.x", "*", "nothing.*", "job.end*", ""):
        with pytest.raises(ValueError, match="^" + wrong.replace("*", r"\*").replace(".", r"\.")):
            named_kinds([wrong])


def test_kinds_archives_and_tags_choose():
    version = event("archive.version", previous=1, version=2)
    assert Interest().wants(version, tags_of)
    assert Interest(KEY, kinds=("archive.version",), tag="site").wants(version, tags_of)
    assert not Interest(OTHER).wants(version, tags_of)
    assert not Interest(kinds=("job.ended",)).wants(version, tags_of)
    assert not Interest(tag="other").wants(version, tags_of)
    assert not Interest(tag="site").wants(event("archive.version", OTHER), tags_of)
    assert not Interest(tag="site").wants(event("daemon.started", None), tags_of)
    # It is gone, so nobody knows its tags any more but the event.
    assert Interest(tag="x").wants(event("archive.removed", OTHER, tags=["x"]), tags_of)


def test_files_are_looked_for_only_at_a_path_of_the_archive():
    version = event("archive.version", previous=1, version=2)
    assert Interest(KEY, "/a").wants_files(version)
    assert Interest(KEY, "/a", ("file.put",)).wants_files(version)
    assert not Interest(KEY).wants_files(version)
    assert not Interest(OTHER, "/a").wants_files(version)
    assert not Interest(KEY, "/a", ("archive.version",)).wants_files(version)
    assert not Interest(KEY, "/a").wants_files(event("archive.added"))


def test_the_journal_is_asked_for_versions_if_files_are_wanted():
    assert Interest(KEY, "/a", ("file.put",)).stored_kinds == ("archive.version",)
    assert Interest(KEY, None, ("file.put", "job.ended")).stored_kinds == ("job.ended",)
    assert Interest().stored_kinds == ()


def test_an_event_as_programs_get_it():
    told = Told(Position(4, 2), "file.put", 1.5, KEY.hex, {"path": "/a", "version": 2})
    assert told.document() == {
        "id": "4.2", "kind": "file.put", "at": "1970-01-01T00:00:01.500000Z", "archive": KEY.hex,
        "path": "/a", "version": 2,
    }  # fmt: skip
    assert told.kind in KINDS
