from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.helpers.adopted import foreign

from datd.hosting.descriptors import Descriptors
from datd.hosting.folders.opening import open_live
from datd.hosting.folders.place import Place
from datd.hosting.lane import Lane
from datd.hosting.own.roots import ImportRoots
from datd.keys import Key
from datd.records import Record


async def test_a_feed_is_opened_in_its_lane_and_tells_the_loop_what_is_here(tmp_path: Path):
    made = foreign("clone-history", tmp_path / "folder")
    (tmp_path / "data").mkdir()
    record = Record(made.key, 0.0, location=str(made.folder), layout="dat")
    roots = ImportRoots([tmp_path], data_folder=tmp_path / "data")
    pool = Descriptors()
    with ThreadPoolExecutor(1) as threads:
        lane = Lane(threads)
        place = await lane.run(Place(record, tmp_path / "data/archives", roots).open, pool)
        content = Key.parse(made.expected["content"]["key"])
        found = [
            await open_live(
                lane, place, files, key, clean=True, choose=lambda limit: 0, secret=None
            )
            for files, key in (
                (place.files.metadata, made.key),
                (place.files.content, content),
            )
        ]
        for live, name in zip(found, ("metadata", "content"), strict=True):
            told = made.expected[name]
            have = [block for start, stop in told["have"] for block in range(start, stop)]
            assert live.feed.length == told["length"]
            assert [n for n in range(told["length"]) if n in live.picker.have] == have
            assert live.present_bytes == live.feed.present_bytes > 0
        await lane.run(place.close, sound=False)
