from pathlib import Path

import pytest
from tests.helpers.adopted import foreign

from datd.hosting.descriptors import Descriptors
from datd.hosting.folders.lender import Lender
from datd.storage.layout import LayoutName, detect


@pytest.mark.parametrize("vector", ["clone-history", "flat-history", "archival-nested"])
def test_an_archive_is_read_in_every_layout_and_its_folder_stays_as_it_is(
    tmp_path: Path, vector: str
):
    made = foreign(vector, tmp_path / "folder")
    for bits in made.folder.rglob("*bitfield"):
        bits.unlink()  # it would be mended, if this folder were ours
    before = made.state()
    how: LayoutName | None = detect(made.folder)
    assert how is not None
    pool = Descriptors()
    lender = Lender(made.folder, how, made.key, pool)
    lender.open()
    for feed, name in ((lender.metadata, "metadata"), (lender.content, "content")):
        assert feed is not None
        told = made.expected[name]
        assert feed.length == told["length"]
        assert not feed.writable
        for start, stop in told["have"]:
            for block in range(start, stop):
                value, proof = feed.serve(block)
                assert proof.nodes or feed.length == 1
                assert len(value) == feed.block_size(block)
    lender.close()
    assert made.state() == before
    assert pool.open_files == 0
