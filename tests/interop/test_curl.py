"""What people fetch files with, asked for parts, for what is missing, and for what is new."""

import asyncio
import random
import shutil

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.operations.row import make, put

DATA = random.Random(5).randbytes(3 * 2**20 + 123)
BEARER = f"Authorization: Bearer {TOKEN}"


@pytest.fixture
async def served(tmp_path):
    """The address of a file of three megabytes."""
    folder = tmp_path / "daemon"
    folder.mkdir()
    async with running_api(folder) as api:
        path = await make(api)
        await put(api, path, "film.bin", DATA)
        yield f"{api.url}{path}/files/film.bin"


async def run(folder, *command, status=0):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(180):
        out, err = await process.communicate()
    assert process.returncode == status, err.decode(errors="replace")
    return out


async def curl(folder, *arguments, status=0):
    return await run(folder, "curl", "--silent", "-H", BEARER, *arguments, status=status)


async def test_curl_resumes_a_download(served, tmp_path):
    (tmp_path / "film.bin").write_bytes(DATA[:1_000_000])
    told = await curl(
        tmp_path, "-C", "-", "-o", "film.bin", "-w", "%{http_code} %{size_download}", served
    )
    assert told == f"206 {len(DATA) - 1_000_000}".encode()
    assert (tmp_path / "film.bin").read_bytes() == DATA


async def test_curl_has_nothing_to_do_where_all_is_there(served, tmp_path):
    (tmp_path / "film.bin").write_bytes(DATA)
    told = await curl(tmp_path, "-C", "-", "-o", "film.bin", "-w", "%{http_code}", served)
    assert told == b"416"
    assert (tmp_path / "film.bin").read_bytes() == DATA


async def test_wget_resumes_a_download(served, tmp_path):
    (tmp_path / "film.bin").write_bytes(DATA[:1_000_000])
    await run(tmp_path, "wget", "--quiet", "--continue", "--header", BEARER, served)
    assert (tmp_path / "film.bin").read_bytes() == DATA
    await run(tmp_path, "wget", "--quiet", "--continue", "--header", BEARER, served)
    assert (tmp_path / "film.bin").read_bytes() == DATA


async def test_curl_takes_several_ranges(served, tmp_path):
    out = await curl(tmp_path, "-r", "0-99,200000-200099,-50", served)
    for part in (DATA[:100], DATA[200_000:200_100], DATA[-50:]):
        assert part in out
    assert out.count(b"Content-Range: bytes ") == 3
    assert await curl(tmp_path, "-r", "5-9", served) == DATA[5:10]
    told = await curl(tmp_path, "-o", "none", "-w", "%{http_code}", "-r", "99999999-", served)
    assert told == b"416"


async def test_curl_fetches_only_what_is_new(served, tmp_path):
    keep = ["--etag-save", "etag", "--etag-compare", "etag", "-o", "film.bin"]
    code = ["-w", "%{http_code} %{size_download}"]
    assert await curl(tmp_path, *keep, *code, served) == f"200 {len(DATA)}".encode()
    assert await curl(tmp_path, *keep, *code, served) == b"304 0"
    assert (tmp_path / "film.bin").read_bytes() == DATA


async def test_a_download_has_its_name(served, tmp_path):
    await curl(tmp_path, "-O", "-J", f"{served}?download=true")
    assert (tmp_path / "film.bin").read_bytes() == DATA


async def test_curl_writes_only_what_it_saw(served, tmp_path):
    (tmp_path / "new").write_bytes(b"new")
    head = (await curl(tmp_path, "--head", served)).decode().lower()
    etag = next(line[6:].strip() for line in head.splitlines() if line.startswith("etag: "))
    code = ["-o", "answer", "-w", "%{http_code}", "-T", "new"]
    assert await curl(tmp_path, *code, "-H", f"If-Match: {etag}", served) == b"200"
    assert await curl(tmp_path, *code, "-H", f"If-Match: {etag}", served) == b"412"
    assert await curl(tmp_path, *code, "-H", "If-None-Match: *", served) == b"412"
    assert await curl(tmp_path, served) == b"new"
