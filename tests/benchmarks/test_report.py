"""The benchmark measures what it says and shows it."""

import os
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import measure
from tests.benchmarks.datd_side import DatdSide
from tests.benchmarks.original_side import OriginalSide
from tests.benchmarks.report import Load, Measurement, machine, row, table
from tests.helpers.processes import peak_memory, processor_seconds
from tests.helpers.reference import Reference


def measurement(seconds: float) -> Measurement:
    return Measurement(seconds, 10_000_000, 200, 0.5, 1.5, 50_000_000)


def test_a_row_shows_medians_and_the_rate_beside_the_original():
    runs = [measurement(seconds) for seconds in (1.0, 2.0, 100.0)]
    shown = row("a -> b", runs, [measurement(4.0)])
    assert shown == ["a -> b", "5.0", "100", "0.50", "1.50", "50", "2.00"]


def test_a_table_is_aligned_on_its_numbers():
    shown = table(
        "load", [row("a -> b", [measurement(1.0)], []), row("c", [measurement(10.0)], [])]
    )
    header, *lines = shown.splitlines()
    assert header.startswith("load")
    assert {len(line) for line in lines} == {len(header)}


def test_the_machine_is_named():
    assert "cores" in machine()


def test_processor_time_and_memory_of_a_process():
    assert processor_seconds(os.getpid()) > 0
    assert peak_memory(os.getpid()) > 1_000_000


@pytest.mark.interop
@pytest.mark.xdist_group("benchmarks")
def test_every_pair_is_measured(tmp_path: Path):
    with Reference.installed(tmp_path) as reference:
        original = OriginalSide(reference.node)
        runs = measure(Load(1024, 100_000), [original, DatdSide()], original, rounds=1)
    assert len(runs) == 4
    assert all(run[0].seconds > 0 and run[0].size > 100_000 for run in runs.values())
