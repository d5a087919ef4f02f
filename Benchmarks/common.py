"""What the benchmarks share: a real server, a client of its API, processor time, tables with bars."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("ROOST_BINARY", ROOT / "bin" / "roost"))
PYTHON = pathlib.Path(os.environ.get("ROOST_PYTHON", ROOT / ".venv" / "bin" / "python"))
SOURCES = ROOT / "python" / "src"
SUMMARY = os.environ.get("ROOST_BENCH_SUMMARY")
"""A file to which every bar is appended as a JSON line; `scripts/bench` prints them together."""


class BenchmarkError(Exception):
    """The benchmark could not be run: no statement about speed."""


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 60, pause: float = 0.02) -> Any:
    """Polls until the condition gives a true value, which is returned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise BenchmarkError(f"not within {seconds:g} s: {what}")


class Roost:
    """One `roost serve` with a data folder of its own. `core` pins it and everything it starts."""

    def __init__(self, *flags: str, core: int | None = None) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-bench-"))
        self.data = self.folder / "data"
        self.log = self.folder / "serve.log"
        self.flags = flags
        self.core = core
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Roost:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> Roost:
        """Starts the server and waits until it is ready."""
        if not BINARY.exists():
            raise BenchmarkError(f"{BINARY} is missing: run `make build`")
        command = [str(BINARY), "serve", "--data", str(self.data), "--listen", "127.0.0.1:0", *self.flags]
        environment = {**os.environ, "ROOST_PYTHON": str(PYTHON), "ROOST_PYTHONPATH": str(SOURCES)}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                pinned(command, self.core), stdout=log, stderr=log, env=environment
            )

        def serving() -> bool:
            if self.process is None or self.process.poll() is not None:
                raise BenchmarkError(f"roost serve ended:\n{self.log.read_text()[-3000:]}")
            for line in self.log.read_text().splitlines():
                if '"roost serves"' in line:
                    self.port = int(json.loads(line)["listen"].rpartition(":")[2])
                    return True
            return False

        wait_for("roost serves", serving)
        wait_for("readyz", lambda: self.call("GET", "/readyz")[0] == 200)
        return self

    def close(self) -> None:
        """Deletes every node, stops the server, removes the folder: nothing is left behind."""
        process = self.process
        if process is not None and process.poll() is None:
            try:
                if self.port:
                    for node in self.get("/v1/nodes?page_size=1000")["nodes"]:
                        self.call("DELETE", f"/v1/nodes/{node['id']}")
                    wait_for("all nodes are gone", lambda: not self.get("/v1/nodes")["nodes"], 30)
            finally:
                end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process id of the server: `taskset` replaces itself by it."""
        assert self.process is not None
        return self.process.pid

    @property
    def token(self) -> str:
        """The operator's token, read again each time: the server renews it."""
        path = self.data / "admin.token"
        return path.read_text().strip() if path.exists() else ""

    @property
    def environment(self) -> dict[str, str]:
        """What a client of this server has in its environment."""
        return {
            **os.environ,
            "ROOST_URL": f"http://127.0.0.1:{self.port}",
            "ROOST_TOKEN_FILE": str(self.data / "admin.token"),
            "PYTHONPATH": str(SOURCES),
        }

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            headers = {"authorization": f"Bearer {self.token}"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            try:
                return answer.status, json.loads(text) if text else None
            except ValueError:
                return answer.status, text.decode(errors="replace")
        finally:
            connection.close()

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """As `call`, for requests that must succeed."""
        status, answer = self.call(method, path, body)
        if status >= 300:
            raise BenchmarkError(f"{method} {path}: HTTP {status} {answer}")
        return answer

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        return self.done("GET", path)

    @property
    def folder_id(self) -> str:
        """The default folder."""
        return str(self.get("/v1/folders")["folders"][0]["id"])

    def checkpoint(self, name: str, *cells: str, notebook: pathlib.Path | None = None) -> str:
        """Runs cells (or a notebook) through the real kernel and pins the checkpoint of the last cell."""
        if notebook is None:
            notebook = self.folder / f"{name}.ipynb"
            notebook.write_text(json.dumps(notebook_of(cells)))
        command = [str(PYTHON), "-m", "roost.notebook", "run", str(notebook)]
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)
        if ran.returncode != 0:
            raise BenchmarkError(f"{notebook.name}: {ran.stdout}{ran.stderr}")
        newest = self.get("/v1/checkpoints")["checkpoints"][0]["id"]
        self.done("POST", f"/v1/checkpoints/{newest}:pin", {"name": name})
        return name

    def node(self, name: str, checkpoint: str, inputs: list[str], outputs: list[str], **more: Any) -> str:
        """Asks for a node and returns its id at once. Variables are `name:type`."""
        body = {
            "name": name,
            "checkpoint": checkpoint,
            "inputs": [dict(zip(("name", "type"), text.split(":"))) for text in inputs],
            "outputs": [dict(zip(("name", "type"), text.split(":"))) for text in outputs],
            **more,
        }
        return str(self.done("POST", "/v1/nodes", body)["resourceId"])

    def healthy(self, node: str, count: int, seconds: float = 120) -> list[dict[str, Any]]:
        """Waits until exactly `count` instances are there, all healthy."""

        def level() -> Any:
            found = self.get(f"/v1/nodes/{node}/instances")["instances"]
            good = [one for one in found if one["status"] == "HEALTHY"]
            return good if len(good) == len(found) == count else None

        try:
            return list(wait_for(f"{count} healthy instances", level, seconds, 0.05))
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}; node: {self.get(f'/v1/nodes/{node}')['status']}") from error

    def execute(self, node: str, folder: str, values: dict[str, Any]) -> tuple[int, Any]:
        """One execute request."""
        path = f"/datasphere/v1/nodes/{node}:execute"
        return self.call("POST", path, {"folder_id": folder, "input": values})


def notebook_of(cells: Iterable[str]) -> dict[str, Any]:
    """A notebook file with these code cells."""
    kernel = {"display_name": "Python 3 (Roost)", "language": "python", "name": "roost"}
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{at}",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": cell,
        }
        for at, cell in enumerate(cells)
    ]
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command, bound to one core with all that it starts."""
    return list(command) if core is None else ["taskset", "-c", str(core), *command]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes so far, all threads: their processor-time clocks (nanoseconds)."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started, kindly at first."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wrk(
    name: str, url: str, arguments: Sequence[str], pids: Iterable[int], connections: int, seconds: float, core: int,
    script: str = "post.lua",
) -> dict[str, float]:  # fmt: skip
    """One run of wrk with a script of this folder: requests per second, latencies, processor microseconds of `pids` per request."""
    script = str(pathlib.Path(__file__).resolve().parent / script)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", script, url, "--", *arguments]
    pids = list(pids)
    before = cpu_seconds(pids)
    ran = subprocess.run(pinned(command, core), capture_output=True, text=True, timeout=seconds + 60)
    spent = cpu_seconds(pids) - before
    line = next((line for line in ran.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise BenchmarkError(f"{name}: wrk: {ran.stdout}{ran.stderr}")
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    if not found["requests"] or found["status"] or found["socket"]:
        raise BenchmarkError(f"{name}: {found}")
    return {
        "rate": found["requests"] / found["microseconds"] * 1e6,
        "p50": found["p50"],
        "p99": found["p99"],
        "cpu": spent / found["requests"] * 1e6,
    }


def with_ancestors(pids: Iterable[int]) -> set[int]:
    """Processes and those that started them, up to (not including) process 1 and this process."""
    found: set[int] = set()
    for pid in pids:
        while pid > 1 and pid != os.getpid() and pid not in found:
            found.add(pid)
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
    return found


def kilobytes(pid: int, file: str, name: str) -> int:
    """A figure of `/proc/PID/{status,smaps_rollup}`; lines of the same name are added."""
    with open(f"/proc/{pid}/{file}", encoding="utf-8") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def machine() -> str:
    """One line about the machine."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} vCPU, {memory:.0f} GiB, Linux {os.uname().release}"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints an aligned table: the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    print(f"\n{title}")
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [text.ljust(widths[at]) if at == 0 else text.rjust(widths[at]) for at, text in enumerate(row)]
        print("  ".join(cells).rstrip())
    sys.stdout.flush()


def bar(name: str, measured: float, limit: float, unit: str = "", *, at_least: bool = False) -> None:
    """Prints PASS or MISS. A missed bar is no error."""
    passed = measured >= limit if at_least else measured <= limit
    sign = ">=" if at_least else "<="
    line = f"{'PASS' if passed else 'MISS'}  {name}: {measured:.2f}{unit} (bar {sign} {limit:g}{unit})"
    print(line)
    sys.stdout.flush()
    if SUMMARY:
        with open(SUMMARY, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def median(values: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(list(values))


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keeps every core from halting, with one thread each that runs when nothing else would (SCHED_IDLE).

    On a virtual machine a core that halts goes back to the host, and the wait until it runs again is charged as processor
    time to whoever is woken. It weighs most on the side that is done soonest, and says nothing about either. The figures
    of both sides are taken this way; `ROOST_BENCH_HALT=1` leaves the cores alone.

    Processor time is shared out between groups first: beside servers in cgroups of their own a thread that is idle only among its
    neighbours would take half a core. So the threads are in a group that is idle as a whole, where one can be made.
    """
    spinners: list[subprocess.Popen[bytes]] = []
    group = idle_group()
    try:
        if os.environ.get("ROOST_BENCH_HALT") != "1":
            for core in sorted(os.sched_getaffinity(0)):
                command = ["chrt", "--idle", "0", "taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]
                spinners.append(subprocess.Popen(command))
                if group is not None:
                    (group / "cgroup.procs").write_text(str(spinners[-1].pid))
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
        if group is not None:
            with contextlib.suppress(OSError):
                group.rmdir()


def idle_group() -> pathlib.Path | None:
    """A new cgroup whose processes run when nothing else would; None where this process may not make one."""
    for parent in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup"):
        group = pathlib.Path(parent) / f"roost-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "cpu.idle").write_text("1")
            return group
        except OSError:
            group.rmdir()
    return None


def run(main: Callable[[], None], *, keeps_awake: bool = False) -> None:
    """Runs a benchmark: 0 when it measured, 1 with a reason when it could not.

    `keeps_awake` is for servers under load. Starts of processes are timed without: they wait for the kernel, which the
    threads of `awake` would delay.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    try:
        with awake() if keeps_awake else contextlib.nullcontext():
            main()
    except (BenchmarkError, OSError, subprocess.SubprocessError, http.client.HTTPException) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
