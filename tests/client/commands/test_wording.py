from datctl.commands import wording

LINK = "dat://" + "a" * 64


async def test_an_archive_is_said_in_a_line(dat):
    bare, _ = await dat.add(LINK)
    assert wording.label(bare) == LINK
    named = bare.model_copy(update={"name": "x\x1b"})
    assert wording.label(named) == "x\\x1b (aaaaaaaaaaaa)"
    assert wording.amount(bare) == "0 B of 0 B"
    assert wording.conflict(bare) == "none"
    assert wording.blocks(bare.blocks.model_copy(update={"unavailable": 3})).endswith(
        "3 that nobody has any more"
    )


async def test_modes_are_explained(dat):
    found, _ = await dat.add(LINK, mode="sparse", include=["/a"])
    assert wording.mode(found) == "sparse: what is read, and /a"
    assert wording.mode(found.model_copy(update={"include": None})) == "sparse: what is read"
    assert wording.mode(found.model_copy(update={"mode": "archive"})).startswith("archive")
