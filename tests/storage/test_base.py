from pathlib import Path

from datd.hosting.descriptors import Descriptors
from datd.storage.layout import bare


def test_closing_a_feed_gives_all_its_descriptors_back(tmp_path: Path):
    pool = Descriptors()
    storage = bare(tmp_path, pool)
    for file in (storage.key, storage.secret_key, storage.tree, storage.signatures):
        file.write(0, b"x")
    storage.bitfield.write(0, b"x")
    storage.data.write(0, b"x")
    assert pool.open_files == 6
    storage.close()
    assert pool.open_files == 0
    assert storage.tree.read(0, 1) == b"x"
    pool.close()
