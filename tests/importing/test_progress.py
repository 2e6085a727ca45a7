from datd.importing.progress import MAX_SKIPPED_NAMED, Progress
from datd.importing.scan import Skipped


def test_a_folder_that_grew_since_it_was_counted_is_never_more_than_done():
    progress = Progress(files_total=1, bytes_total=10)
    progress.did(1, 10)
    progress.did(1, 5)
    assert (progress.files_done, progress.files_total) == (2, 2)
    assert (progress.bytes_done, progress.bytes_total) == (15, 15)


def test_the_first_reasons_are_named_and_all_are_counted():
    progress = Progress()
    for number in range(MAX_SKIPPED_NAMED + 5):
        progress.skip(Skipped(str(number), "it is neither a file nor a folder"))
    assert len(progress.skipped) == MAX_SKIPPED_NAMED
    assert progress.skipped_total == MAX_SKIPPED_NAMED + 5
    assert progress.skipped[0].path == "0"
