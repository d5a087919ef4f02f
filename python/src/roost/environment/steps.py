"""The steps of making an environment. `uv` resolves and installs; no code of a package runs here unless sources are allowed."""

from __future__ import annotations

import compileall
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from roost.distributions import installed

FORMAT = 1
"""Part of every digest: raised when environments of the same lock are made in another way."""
MAX_LOG_BYTES = 4 << 20


class BuildError(Exception):
    """What its user is told."""


class Order(NamedTuple):
    """See `EnvironmentBuilder`, which writes it."""

    uv: str
    python: str
    requirements: str
    locked: bool
    indexUrl: Optional[str]
    findLinks: List[str]
    offline: bool
    allowSource: bool
    folder: str
    cache: str
    log: str

    @property
    def lock(self) -> str:
        return os.path.join(self.folder, "lock.txt")

    @property
    def venv(self) -> str:
        return os.path.join(self.folder, "venv")

    @property
    def sources(self) -> List[str]:
        """Where packages come from, as arguments of uv."""
        found: List[str] = []
        if self.offline:
            found.append("--no-index")
        elif self.indexUrl:
            found += ["--default-index", self.indexUrl]
        for place in self.findLinks:
            found += ["--find-links", place]
        return found if self.allowSource else [*found, "--only-binary", ":all:"]


class Log:
    """Lines in the form of a node's log."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115

    def line(self, text: str, stream: str = "build") -> None:
        """One line; a log that is full takes no more."""
        if self._file.tell() > MAX_LOG_BYTES:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%06dZ" % (now % 1 * 1e6)
        self._file.write(json.dumps({"time": stamp, "stream": stream, "message": text[:4000]}) + "\n")
        self._file.flush()


def main(arguments: List[str]) -> int:
    """Runs a step; 0 when it went well, else `error.json` says why not."""
    step, path = arguments
    if step == "probe":
        return probe()
    if step == "inspect":
        print(json.dumps({"python": platform.python_version(), "packages": _packages(json.loads(path))}))
        return 0
    with open(path, encoding="utf-8") as file:
        order = Order(**json.load(file))
    log = Log(order.log)
    try:
        {"resolve": resolve, "install": install, "finish": finish, "unpack": unpack}[step](order, log)
        return 0
    except BuildError as error:
        log.line(str(error), "error")
        _write(os.path.join(order.folder, "error.json"), {"message": str(error)})
        return 1


def resolve(order: Order, log: Log) -> None:
    """Makes `lock.txt` and `resolved.json`."""
    given = os.path.join(order.folder, "requirements.txt")
    with open(given, "w", encoding="utf-8") as file:
        file.write(order.requirements + "\n")
    if order.locked:
        with open(order.lock, "w", encoding="utf-8") as file:
            file.write(order.requirements + "\n")
    else:
        log.line("resolving for Python " + platform.python_version())
        _uv(
            order, log, "the requirements can't be resolved",
            "pip", "compile", given, "--output-file", order.lock, "--generate-hashes", "--no-annotate",
            "--no-header", "--python", order.python, "--quiet", *order.sources,
        )  # fmt: skip
    with open(order.lock, encoding="utf-8") as file:
        lock = _canonical(file.read())
    if not lock:
        raise BuildError("requirements: there is no package in them")
    with open(order.lock, "w", encoding="utf-8") as file:
        file.write(lock)
    _write(os.path.join(order.folder, "resolved.json"), {"digest": digest(order, lock), "lock": lock})


def digest(order: Order, lock: str) -> str:
    """Names an environment: equal ones are made once. The interpreter is a part, since the environment links to it."""
    parts = {
        "format": FORMAT,
        "lock": lock,
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "machine": platform.machine(),
        "interpreter": os.path.realpath(order.python),
        "source": order.allowSource,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _canonical(text: str) -> str:
    """Without comments and blank lines, so that only what counts is in the digest."""
    lines = [re.sub(r"(^|\s)#.*$", "", line).rstrip() for line in text.splitlines()]
    return "".join(line + "\n" for line in lines if line)


def install(order: Order, log: Log) -> None:
    """Makes `venv` of `lock.txt`; every file must have a hash of the lock."""
    _uv(
        order,
        log,
        "the environment can't be made",
        "venv",
        "--python",
        order.python,
        "--relocatable",
        "--quiet",
        order.venv,
    )
    _uv(
        order, log, "the packages can't be installed",
        "pip", "sync", order.lock, "--require-hashes", "--python", os.path.join(order.venv, "bin", "python"),
        "--quiet", *order.sources,
    )  # fmt: skip


def finish(order: Order, log: Log) -> None:
    """Compiles to bytecode and writes `built.json`."""
    site = _site_packages(order.venv)
    log.line("compiling to bytecode")
    compileall.compile_dir(site, quiet=2, workers=0)
    packages = _packages([site])
    log.line("%d packages" % len(packages))
    built = {"python": platform.python_version(), "packages": packages, "sizeBytes": _size(order.venv)}
    _write(os.path.join(order.folder, "built.json"), built)


ROOT_FOLDERS = ("dev", "etc", "proc", "run", "tmp", "var/tmp")
ROOT_FILES = ("etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf", "etc/services", "etc/protocols")


def unpack(order: Order, log: Log) -> None:
    """Unpacks `image.tar` to `made/root`, and adds what a sandbox puts its own in the place of."""
    root = os.path.join(order.folder, "made", "root")
    log.line("unpacking the image")
    _run(
        ["tar", "-xf", os.path.join(order.folder, "image.tar"), "-C", root, "--no-same-owner", "--exclude=dev/*"],
        log, "the image can't be unpacked", {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, order.folder,
    )  # fmt: skip
    os.remove(os.path.join(order.folder, "image.tar"))
    for name in ROOT_FOLDERS:
        os.makedirs(os.path.join(root, name), exist_ok=True)
    for name in ROOT_FILES:
        path = os.path.join(root, name)
        # A link may lead out of the root, where nothing can be put.
        if os.path.islink(path):
            os.remove(path)
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8"):
                pass


def probe() -> int:
    """Runs on the image's own Python: compiles its packages, and prints what it has."""
    for path in sys.path:
        if path.endswith("-packages") and os.path.isdir(path):
            compileall.compile_dir(path, quiet=2, workers=0)
    print(json.dumps({"python": platform.python_version(), "packages": _packages(list(sys.path))}))
    return 0


def _site_packages(venv: str) -> str:
    return os.path.join(venv, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")


def _packages(paths: List[str]) -> List[Dict[str, Any]]:
    return [
        {"name": one.name, "version": one.version, "modules": list(one.modules)} for one in installed(paths)
    ]


def _size(folder: str) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


_HINTS: Tuple[Tuple[str, str], ...] = (
    (
        r"no wheels|only-binary|building from source is disabled",
        "; only wheels are used: choose a version that has one for this Python, or allow building with --allow-source",
    ),
    (
        r"hash(es)? mismatch|--require-hashes|must have a hash|hash-checking",
        "; every line of a lock needs ==VERSION and --hash=sha256:…: make it with `uv pip compile --generate-hashes`",
    ),
    (
        r"error sending request|dns error|failed to fetch|connection|tcp connect",
        "; the index can't be reached from this server: give --index-url, or wheels in a folder with --find-links and --offline",
    ),
)


def _uv(order: Order, log: Log, failure: str, *arguments: str) -> None:
    """Runs uv and logs what it says."""
    temporary = os.path.join(order.folder, "tmp")
    os.makedirs(temporary, exist_ok=True)
    environment = {name: os.environ[name] for name in os.environ if name.lower().endswith("_proxy")}
    environment.update(
        {
            "HOME": order.folder,
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TMPDIR": temporary,  # on the disk that is measured, not in the sandbox's memory
            "UV_CACHE_DIR": order.cache,
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }
    )
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    if os.path.exists(bundle):
        environment["SSL_CERT_FILE"] = bundle  # also authorities that the machine's owner has added
    log.line("uv " + " ".join(arguments))
    _run([order.uv, *arguments], log, failure, environment, order.folder)


def _run(command: List[str], log: Log, failure: str, environment: Dict[str, str], folder: str) -> None:
    said: List[str] = []
    try:
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, cwd=folder, text=True, errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise BuildError(f"{failure}: {command[0]} can't be started: {error}") from error
    assert running.stdout is not None
    for line in running.stdout:
        log.line(line.rstrip("\n"))
        said.append(line.strip())
    code = running.wait()
    if code == 0:
        return
    told = re.sub(r"\s+", " ", " ".join(re.sub(r"^[×╰│├─▶\s]+", "", line) for line in said if line)).strip()
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, told, re.I)), "")
    raise BuildError(f"{failure}: {told[:1500] or 'it ended with code %d' % code}{hint}")


def _write(path: str, value: Any) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)
