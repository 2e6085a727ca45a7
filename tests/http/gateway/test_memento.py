import pytest

from datd.http.gateway.memento import Memento, http_date, links, parse_accept_datetime, timemap
from datd.http.problems import Problem


def test_a_date_of_http_is_read_and_written():
    # The example of RFC 7089, 2.1.1.
    text = "Thu, 31 May 2007 20:35:00 GMT"
    assert parse_accept_datetime(text) == 1_180_643_700
    assert http_date(1_180_643_700.9) == text


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2019-03-01", "Fri, 99 Mar 2019 12:00:00 GMT", "\xff", "1" * 5000]
)
def test_what_is_no_date_is_a_bad_request(text):
    with pytest.raises(Problem) as caught:
        parse_accept_datetime(text)
    assert caught.value.status == 400


@pytest.mark.parametrize("seconds", [None, 0, -5, 1e18])
def test_numbers_that_are_no_dates_are_left_out(seconds):
    assert http_date(seconds) is None


def test_links_tell_where_other_versions_are():
    said = links("/a/b", Memento(7, 1_180_643_700))
    assert '</a/b>; rel="original timegate"' in said
    assert '</a/b?timemap>; rel="timemap"; type="application/link-format"' in said
    dated = 'rel="memento"; datetime="Thu, 31 May 2007 20:35:00 GMT"'
    assert f"</a/b?version=7>; {dated}" in said


def test_a_time_map_lists_versions_and_where_it_goes_on():
    text = timemap("/a", [Memento(1, 1_180_643_700), Memento(4, None)], 4)
    lines = text.split(",\n")
    assert lines[0] == '</a>; rel="original timegate"'
    assert any("</a?timemap&since=4>" in line and 'rel="timemap"' in line for line in lines)
    assert lines[-1] == '</a?version=4>; rel="memento"\n'
