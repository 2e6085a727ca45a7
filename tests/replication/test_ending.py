from datd.replication.ending import Ending
from datd.wire.messages import Info

# Expected messages: table "both not live" of the measured protocol.


def test_writer_answers_the_readers_info_and_is_done():
    ending = Ending(download=False, live=False)
    assert ending.informed(Info(True, True), True) == []
    assert not ending.finished
    assert ending.informed(Info(True, False), True) == [Info(False, False)]
    assert ending.finished


def test_reader_tells_once_and_waits_for_the_writer():
    ending = Ending(download=True, live=False)
    assert ending.completed() == [Info(True, False)]
    assert ending.completed() == []
    assert not ending.finished
    assert ending.informed(Info(False, False), True) == []
    assert ending.finished


def test_a_reader_that_lacks_something_goes_on():
    ending = Ending(download=True, live=False)
    assert ending.informed(Info(True, False), False) == []
    assert not ending.finished
    assert ending.completed() == [Info(True, False)]
    assert ending.finished


def test_live_ends_never_finish():
    for download in (True, False):
        ending = Ending(download=download, live=True)
        assert ending.completed() == []
        assert ending.informed(Info(True, False), True) == []
        assert not ending.finished
