import errno
import logging

from datd.shortage import LINE_SECONDS, Shortage

FULL = OSError(errno.EMFILE, "Too many open files")


def test_c17_one_line_a_minute_is_said_whoever_meets_it(caplog):
    now = 1000.0
    shortage = Shortage(lambda: now)
    with caplog.at_level(logging.WARNING, "datd.shortage"):
        for moment in (0.0, 1.0, LINE_SECONDS - 1):
            now = 1000.0 + moment
            shortage.met(FULL, "connections to the API wait")
            shortage.met(FULL, "files cannot be opened")
        assert len(caplog.messages) == 1
        now = 1000.0 + LINE_SECONDS
        shortage.met(FULL, "files cannot be opened")
    first, second = caplog.messages
    assert first.startswith("connections to the API wait (Too many open files)")
    assert second.startswith("files cannot be opened")
    assert "LimitNOFILE" in second


def test_c17_who_can_give_something_back_is_asked_each_time():
    shortage, asked = Shortage(lambda: 0.0), []
    shortage.relieved_by(lambda: asked.append("pool"))
    shortage.met(FULL, "x")
    shortage.met(FULL, "x")
    assert asked == ["pool", "pool"]
