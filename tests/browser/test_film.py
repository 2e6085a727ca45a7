"""A person jumps in a film of an archive that is still downloading."""

from tests.helpers.browser import Shown, film
from tests.helpers.daemon import running_daemon
from tests.helpers.relay import slow_wire

# All of it takes 75 s, and the part that must not be here yet 50 s. The two jumps, with what the
# wire holds by then, take 17 s: time enough for a busy machine.
SECONDS, BYTES_A_SECOND, WIRE = 240, 160_000, 500_000
TARGET = 200
SEEN = """async at => {
    const video = document.querySelector("video");
    if (video.readyState < 1)
        await new Promise((done, failed) => {
            video.onloadedmetadata = done; video.onerror = () => failed(video.error.message)});
    const canvas = document.createElement("canvas");
    const colour = () => {
        const paper = canvas.getContext("2d");
        paper.drawImage(video, 0, 0);
        const [red, , blue] = paper.getImageData(10, 10, 1, 1).data;
        return red > blue ? "red" : "blue";
    };
    const jump = to => new Promise((done, failed) => {
        video.onseeked = () => done(colour());
        video.onerror = () => failed(video.error.message);
        video.currentTime = to;
    });
    return [video.duration, await jump(3), await jump(at), video.currentTime];
}"""


def test_a_film_is_jumped_in_while_its_archive_is_still_coming(browser, tmp_path):
    whole = film(SECONDS, BYTES_A_SECOND)
    with running_daemon(tmp_path / "a") as author, running_daemon(tmp_path / "b") as reader:
        key = Shown(author).make(
            {"film.webm": whole, "index.html": b"<video src=film.webm preload=metadata></video>"}
        )
        # What a browser needs to start is over before the archive begins to come.
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto("about:blank")
        with slow_wire("127.0.0.1", author.peer_port, WIRE) as port:
            body = {"link": key, "peers": [f"127.0.0.1:{port}"]}
            reader.request("POST", "/archives", body)
            page.goto(f"{Shown(reader).origin(key)}/")
            assert page.evaluate(SEEN, TARGET) == [SECONDS, "red", "blue", TARGET]
            # The middle, which lies before the place jumped to, is not all here yet.
            held = reader.archive(key)["bytes"]["have"]
            assert held < len(whole) * TARGET / SECONDS * 0.8, held / len(whole)
            page.close()
