"""The machine's clock is set while the server runs. Tokens follow it, nothing else does."""

from __future__ import annotations

import pathlib
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import Answer, Roost, send_signal, wait_for

DAY = 86400


class Clock:
    """The wall clock of one server. Its monotonic clock goes on as it does."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.library = folder / "turned_clock.so"
        source = pathlib.Path(__file__).with_name("turned_clock.c")
        compiler = shutil.which("clang") or shutil.which("cc")
        assert compiler, "no C compiler: the Swift toolchain brings clang"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self.library, source], check=True)
        self.file = folder / "offset"
        self.file.write_bytes(bytes(8))

    def set(self, seconds: int) -> None:
        """Sets it so many seconds from the true time."""
        with open(self.file, "r+b") as file:
            file.write(struct.pack("<q", seconds))


@pytest.fixture
def turned(
    make_server: Callable[..., Roost], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> Iterator[tuple[Roost, Clock]]:
    clock = Clock(tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(clock.library))
        patch.setenv("TURNED_CLOCK", str(clock.file))
        server = make_server()
    yield server, clock
    clock.set(0)
    wait_for("a token of the true time", lambda: server.call("GET", "/v1/nodes").status == 200)


def year_of(server: Roost) -> int:
    return int((server.data / "logs" / "access.jsonl").read_text().splitlines()[-1].split('"time":"')[1][:4])


def test_a_clock_that_is_set_touches_tokens_only(turned: tuple[Roost, Clock]) -> None:
    server, clock = turned
    server.checkpoint("s = 0.0", "import time\ntime.sleep(s)\nslept = s", name="sleeper")
    node = server.node(
        "sleeper", inputs=["s:float"], outputs=["slept:float"], instances={"count": 2}, timeoutSeconds=4
    )
    before = {i["id"]: i["pid"] for i in server.healthy(node, 2)}
    folder = server.folder
    deleted: list[str] = []

    def execute(seconds: float, token: str) -> Answer:
        body = {"folder_id": folder, "input": {"s": seconds}}
        return server.call("POST", f"/datasphere/v1/nodes/{node}:execute", body, token=token)

    def serving() -> str | None:
        """The operator's token, once it is good by the server's clock."""
        token = server.token
        return token if execute(0, token).status == 200 else None

    for jump in (DAY, -DAY, 3650 * DAY, -3650 * DAY):
        old = str(wait_for("a good token", serving))
        results: dict[str, tuple[Answer, float]] = {}

        def run(name: str, seconds: float, token: str = old, results: dict[str, tuple[Answer, float]] = results) -> None:
            begun = time.monotonic()
            results[name] = (execute(seconds, token), time.monotonic() - begun)

        # One that ends in time and one that doesn't, both under way while the clock is set.
        threads = [threading.Thread(target=run, args=("short", 1.5)), threading.Thread(target=run, args=("long", 60.0))]
        for thread in threads:
            thread.start()
        busy = server.data / "run"
        wait_for(
            "both run", lambda: sum(p.read_bytes()[:1] not in (b"", b"\0") for p in busy.glob("*/sock/*.run")) == 2
        )
        clock.set(jump)
        refused = execute(0, old)
        assert refused.status == 401, (jump, refused)
        words = "expired at" if jump > 0 else "set the clock right"
        assert words in refused.json["message"], (jump, refused)
        for thread in threads:
            thread.join()
        short, took = results["short"]
        assert short.status == 200 and 1.4 < took < 4, (jump, short, took)
        long, took = results["long"]
        assert long.status == 504 and 3.9 < took < 8, (jump, long, took)

        # The operator gets a token that is good by the new time.
        wait_for("a token of the new time", serving)
        assert {i["id"]: i["pid"] for i in server.healthy(node, 2)} == before, jump
        assert server.status(node)["restarts"] == 0

        # Back-off and replacement go on.
        victim = next(iter(before))
        send_signal(before[victim])
        after = wait_for("it is replaced", lambda: victim not in [i["id"] for i in server.healthy(node, 2)])
        assert after
        # A new node: what wait for reset counts is its own.
        other = f"other-{len(deleted)}"
        deleted.append(server.node(other, checkpoint="sleeper", inputs=["s:float"], outputs=["slept:float"]))
        server.finished(server.call("DELETE", f"/v1/nodes/{deleted[-1]}").json["id"])
        described = server.get("/v1/operations?page_size=2")["operations"]
        assert [o["description"] for o in described] == [f"Delete node {other}", f"Create node {other}"]
        server.finished(server.call("POST", f"/v1/nodes/{node}:suspend").json["id"])
        server.finished(server.call("POST", f"/v1/nodes/{node}:resume").json["id"])
        clock.set(0)
        wait_for("a token of the true time", serving)
        server.finished(server.call("DELETE", f"/v1/nodes/{node}").json["id"])
        node = server.node(
            "sleeper", inputs=["s:float"], outputs=["slept:float"], instances={"count": 2}, timeoutSeconds=4
        )
        before = {i["id"]: i["pid"] for i in server.healthy(node, 2)}
    assert len(set(deleted)) == 4
    clock.set(3650 * DAY)
    wait_for("a token of the new time", serving)
    wait_for("the access log follows the clock", lambda: year_of(server) > 2030)
