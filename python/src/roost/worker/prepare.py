"""Process set-up around the fork: thread-count variables, random state, signals."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import Any, Optional

from roost.worker import codec
from roost.worker.config import Config

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PINNED = {**dict.fromkeys(THREAD_VARIABLES, "1"), "ARROW_DEFAULT_MEMORY_POOL": "system"}
IGNORED_THREADS = frozenset(("jemalloc_bg_thd",))

Saved = dict[str, Optional[str]]


def pin_threads() -> Saved:
    """Before any library is loaded: OpenMP pools of the zygote would hang its forks."""
    saved = {name: os.environ.get(name) for name in PINNED}
    os.environ.update(PINNED)
    return saved


def unpin_threads(saved: Saved) -> None:
    """Gives the environment its variables back."""
    for name, value in saved.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def threads() -> list[str]:
    """Names of this process's threads."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm", encoding="utf-8", errors="replace") as file:
                name = file.read().strip()
        except OSError:
            continue  # it has just ended
        if name not in IGNORED_THREADS:
            found.append(name)
    return found


def choose_mode(config: Config) -> tuple[str, str, int]:
    """`fork` or `spawn`, the reason, and the number of threads, after the restore."""
    names = threads()
    count = len(names)
    if config.start_mode != "auto":
        return config.start_mode, f"the node's configuration asks for {config.start_mode}", count
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized():
        return "spawn", "the restore started CUDA, which can't be used after a fork", count
    if count > 1:
        return (
            "spawn",
            f"the restore started threads ({count - 1}: {_listed(names)}), which a fork would lose",
            count,
        )
    return "fork", "the restore left a single thread", count


def _listed(names: list[str]) -> str:
    others = list(names)
    own = threading_name()
    if own in others:
        others.remove(own)
    counted = {name: others.count(name) for name in sorted(set(others))}
    return ", ".join(name if n == 1 else f"{name} x{n}" for name, n in counted.items())


def threading_name() -> str:
    """The name of the main thread."""
    with open("/proc/self/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def preload() -> None:
    """Loads what each instance would load at its begin, so that forks share it."""
    global _thread_pools
    codec.chosen()
    if "numpy" in sys.modules:
        importlib.import_module("numpy.random")  # loaded lazily, it would be seeded in each fork
    if "numpy" in sys.modules or "torch" in sys.modules:
        with contextlib.suppress(ImportError, AttributeError):  # not installed, or older than version 3
            _thread_pools = importlib.import_module("threadpoolctl").ThreadpoolController()


_thread_pools: Any = None
"""The thread pools of native libraries: found once before the fork, since looking through all mapped files is slow."""


def random_state() -> Any:
    """The state of `random`, which Python changes at a fork by itself."""
    random = sys.modules.get("random")
    return None if random is None else random.getstate()


def reseed(config: Config, kept: Any) -> None:
    """After a fork: random numbers of this process's own, or the pinned ones if the node wants them."""
    if config.keep_random_state:
        if kept is not None:
            sys.modules["random"].setstate(kept)
        return
    random, numpy_random, torch = (sys.modules.get(name) for name in ("random", "numpy.random", "torch"))
    if random is not None:
        random.seed()
    if numpy_random is not None:
        numpy_random.seed()
    if torch is not None and hasattr(torch, "seed"):
        torch.seed()


def use_cpus(cpus: float) -> None:
    """Lets numeric libraries that are loaded already use the node's processors, as far as the machine has them."""
    count = max(1, min(int(cpus), len(os.sched_getaffinity(0))))
    if _thread_pools is not None:
        _thread_pools.limit(limits=count)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(count)


def be_first_without_memory() -> None:
    """When the memory limit is reached the kernel is to end this process, not the one that forked it."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def reset_signals() -> None:
    """In a process that user code forked: signals as in a fresh Python."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def nothing(signum: int, frame: Any) -> None:
    """A signal handler: unlike SIG_IGN it is not inherited by programs that user code starts."""
