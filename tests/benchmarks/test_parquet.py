from tests.benchmarks.parquet import Query, show


def test_too_much_is_called_too_much():
    title, good, bad = show([Query("DuckDB", 0.3, 0.021), Query("pyarrow", 0.4, 0.06)], 10**9)
    assert title == "one of 48 columns (2.08 %) of a parquet file of 1000 MB"
    assert good == "  DuckDB: 2.10 % of the file moved (at most 5 %), 0.30 s"
    assert bad.endswith("0.40 s  TOO MUCH")
