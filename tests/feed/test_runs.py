from datd.feed.runs import runs


def test_runs_are_made_of_neighbours():
    assert runs([1, 2, 3, 7, 9, 10]) == [(1, 4), (7, 8), (9, 11)]
