import io
import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datctl import output
from datctl.models import Rates

HOSTILE = [
    "plain.txt",
    "sp ace",
    "\x1b[2J\x1b[31mred",
    "a\nb",
    "a\r\nb",
    "tab\there",
    "bell\x07",
    "c1\x9b31m",
    "\u202egnp.exe",
    "\u2066isolate",
    "zero\u200bwidth",
    "\ufeffbom",
    "line\u2028separator",
    "soft\u00adhyphen",
    "\ud800",
    "[bold]markup[/bold]",
    "[link=http://evil]x[/link]",
    ":smile:",
    "\x00",
    "\x7f",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x07x",
    "ÄÖÜ",
    "日本語",
    "👩‍🚀",
    "e\u0301",
    "%s%n",
    "$(reboot)",
    "'; DROP TABLE",
    "<script>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_t47_no_name_steers_a_terminal(name):
    shown = output.shown(name)
    assert "\n" not in shown
    assert all(c.isprintable() or c == "\u200d" for c in shown)
    assert shown.encode("utf-8")


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "file", "0 files"),
        (1, "file", "1 file"),
        (2, "file", "2 files"),
        (3, "entry", "3 entries"),
    ],
)
def test_counts_are_said_in_their_number(number, noun, text):
    assert output.count_text(number, noun) == text


def test_names_in_all_scripts_stay_readable():
    for name in ("ÄÖÜ", "日本語", "👩‍🚀", "plain.txt"):
        assert output.shown(name) == name


def test_what_is_invisible_is_spelt_out():
    assert output.shown("a\x1b[1m\u202e\U000e0001") == "a\\x1b[1m\\u202e\\U000e0001"


@given(st.text())
def test_t47_no_text_at_all_breaks_a_line(text):
    assert len(output.shown(text).splitlines()) <= 1


@pytest.mark.parametrize("name", HOSTILE)
def test_t47_tables_and_json_hold_hostile_names(name, capsys):
    output.print_table(("A", ">B"), [(name, "1"), ("x", "22")])
    written = capsys.readouterr().out
    assert len(written.splitlines()) == 3
    assert "\x1b" not in written
    output.print_fields([("name", name)])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_json_is_one_ascii_document(capsys):
    output.print_json([Rates(download=1, upload=2), Rates(download=0, upload=0)])
    written = capsys.readouterr().out
    assert written.isascii()
    assert json.loads(written)[0] == {"download": 1.0, "upload": 2.0}


def test_plain_values_are_one_document_too(capsys):
    output.print_document([{"a": "\u202e", "b": None}])
    written = capsys.readouterr().out
    assert written.isascii()
    assert json.loads(written) == [{"a": "\u202e", "b": None}]


def test_a_table_for_a_program_is_aligned_also_with_wide_letters(capsys):
    output.print_table(("NAME", ">SIZE"), [("\u8336", "1"), ("te\u0301", "100"), ("a", "22")])
    assert capsys.readouterr().out.splitlines() == [
        "NAME  SIZE", "\u8336       1", "te\u0301     100", "a       22",
    ]  # fmt: skip


def test_a_table_for_a_program_needs_no_library():
    script = (
        "import sys; from datctl import output; output.print_table(('A',), [('x',)]);"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_table_for_a_program_is_not_cut(capsys):
    output.print_table(("A", "B"), [("x" * 500, "y")])
    assert "x" * 500 in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (65536, "65.5 kB"),
        (999_499, "999 kB"),
        (999_999, "1.00 MB"),
        (123_456_789, "123 MB"),
        (2**53, "9.01 PB"),
        (10**19, "10000 PB"),
    ],
)
def test_sizes_for_people(count, text):
    assert output.size_text(count) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0.0 %"), (0.5, "50.0 %"), (0.99999, "99.9 %"), (1, "100 %")]
)
def test_a_hundred_percent_means_all(share, text):
    assert output.percent_text(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3_600, "1 h"), (90_061, "1 d 1 h")],
)
def test_lengths_of_time(seconds, text):
    assert output.span_text(seconds) == text


def test_times_are_shown_to_the_minute():
    assert output.time_text(None) == "-"
    assert len(output.time_text(datetime(2026, 1, 2, 3, 4, tzinfo=UTC))) == 16


def test_progress_into_a_log_is_a_line_now_and_then():
    stream, now = io.StringIO(), [100.0]
    with output.Progress("get x", lambda: now[0], stream) as progress:
        for done in range(100):
            progress.update(done, 100, f"{done} files")
            now[0] += 0.5
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0] == "get x: 20.0 % 20 files"
    assert "\x1b" not in stream.getvalue()
