"""One column of a parquet file on an original peer: its bytes travel, and hardly any others."""

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from tests.helpers.parquet import COLUMN, COLUMNS, far_table
from tests.helpers.reference import Reference

# The same columns, and row groups as DuckDB writes them. The gigabyte itself is measured by
# `./dev bench -- --only parquet`: the original takes a minute to import it.
SIZE, ROWS = 100_000_000, 122_880


def test_a_column_of_a_parquet_file_costs_a_twentieth_of_it_at_most(
    reference: Reference, tmp_path: Path
):
    with far_table(reference, tmp_path, SIZE, rows=ROWS) as far:
        assert far.size > SIZE
        with duckdb.connect() as database:
            database.register_filesystem(far.filesystem)
            query = f"SELECT sum({COLUMN}), count(*) FROM 'dat://{far.path}'"
            [(total, count)] = database.execute(query).fetchall()
        assert total == pytest.approx(far.total, rel=1e-9)
        assert count == SIZE // COLUMNS // 8
        first = far.moved
        # A column is a 48th. Beside it: the footer, and the rest of each first and last block.
        assert 1 / COLUMNS < first < 0.03
        # pyarrow asks for another column; the footer is here already.
        read = pq.read_table(far.path, columns=["m7"], filesystem=far.filesystem)
        assert read.num_rows == count
        assert far.moved - first < 0.03
        assert far.moved <= 0.05
