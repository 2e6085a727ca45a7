"""The table tells what asking first costs, and what it saves."""

from tests.benchmarks import dedup
from tests.benchmarks.dedup import Fetch


def test_cost_and_saving_are_told_for_each_size_of_blocks():
    done = []
    for size in (65536, 16384):
        done += [
            Fetch(size, False, False, 1.0, 1000, 1010, 0.9),
            Fetch(size, True, False, 1.0, 1000, 1010, 0.9),
        ]
        done += [
            Fetch(size, False, True, 1.2, 1000, 1015, 0.91),
            Fetch(size, True, True, 0.5, 1000, 70, 0.5),
        ]
    shown = dedup.show(done)
    assert len(shown) == 2 * 5
    _, seconds, cpu, bytes_, kept = shown[:5]
    assert "TOO LOW" in seconds
    assert "TOO LOW" not in cpu
    assert "TOO LOW" not in bytes_
    assert "0.93" in kept
    assert "TOO LOW" not in kept


def test_a_copy_differs_in_one_file_of_twenty(tmp_path):
    folders = dedup.make_folders(tmp_path, 100_000)
    held, copy, strange = (
        [(folders[name] / f"{n}").read_bytes() for n in range(dedup.FILES)]
        for name in ("held", "copy", "strange")
    )
    assert sum(a != b for a, b in zip(held, copy, strict=True)) == 5
    assert not set(held) & set(strange)
    assert {len(one) for one in (*held, *copy, *strange)} == {1000}
