"""Imports are made, told and compared as the table says."""

import sys

from tests.benchmarks import writing
from tests.benchmarks.writing import Import, Source


def test_each_source_is_told_with_how_it_compares():
    chosen = [Source("large", 3, print), Source("small", 15, print), Source("flat", None, print)]
    done = {}
    for source, ours in zip(chosen, (1.0, 1.0, 2.0), strict=True):
        done[source.title, "original"] = [Import(10.0, 100, 10**6, 9.0, 10**8)] * 2
        done[source.title, "datd"] = [Import(ours, 100, 10**6, 1.0, 10**7)]
    lines = writing.show(chosen, done)
    assert lines[2] == "  as fast as the original: 10.00 (wanted: 3)"
    assert lines[5].endswith("10.00 (wanted: 15)  TOO LOW")
    assert lines[8] == "  as fast as the original: 5.00 times"
    assert "100" in lines[1].splitlines()[2].split()


def test_sources_are_as_large_as_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SMALL_FILES", 200)
    for number, source in enumerate(writing.sources(5 * 2**20, 50)):
        folder = tmp_path / str(number)
        folder.mkdir()
        source.make(folder)
    assert (tmp_path / "0" / "file").stat().st_size == 5 * 2**20
    assert len(list((tmp_path / "1").glob("*/*"))) == 200
    assert len(list((tmp_path / "1").iterdir())) == writing.FOLDERS
    assert len(list((tmp_path / "2").iterdir())) == 50
    assert len(writing.sources(1, 0)) == 2


def test_our_side_imports_a_folder_and_says_so(tmp_path):
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "a").write_bytes(b"1" * 200_000)
    (source / "below" / "b").write_bytes(b"2")
    words = [sys.executable, "-m", "tests.benchmarks.writing_side", str(source)]
    done = writing.imported([*words, str(tmp_path / "store")], tmp_path / "home", source)
    assert (done.files, done.size) == (2, 200_001)
    assert done.memory > 10**6
    assert (tmp_path / "store" / "content.data").stat().st_size == 200_001
