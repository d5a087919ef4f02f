"""`python -m roost.worker CONFIG`: the zygote of a node; with `--instance ID` one spawned instance."""

from __future__ import annotations

import faulthandler
import os
import sys
import time


def enter_groups(count: int) -> None:
    """In a spawned instance: the first thing it does."""
    from roost.worker import children, groups

    first = children.INSTANCE_GROUP_FD
    trouble = groups.enter(range(first, first + count))
    if trouble is not None:
        children.report_trouble(children.INSTANCE_READY_FD, trouble)


def main() -> None:
    """Runs until the zygote is shut down or, in an instance, until it is stopped."""
    fallback = os.environ.get("ROOST_FALLBACK_PATH")
    if fallback and fallback not in sys.path:
        sys.path.append(fallback)  # last: what the environment has itself counts
    arguments = sys.argv[1:]
    spawned = len(arguments) == 4 and arguments[1] in ("--instance", "--warm-instance")
    if not spawned and len(arguments) != 1:
        sys.exit("usage: python -m roost.worker CONFIG")
    from roost.worker import groups

    if spawned:
        enter_groups(int(arguments[3]))
    else:
        groups.install()
    from roost.worker import prepare

    os.environ.setdefault("MPLBACKEND", "Agg")
    sys.argv[:] = [""]
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # `input()` in a cell fails at once instead of waiting for nobody
    os.close(nothing)
    faulthandler.enable(file=2)
    from roost.worker import children, config
    from roost.worker.instance import Instance, Start

    if spawned:
        loaded = config.load(os.path.abspath(arguments[0]))
        ready, lifeline = children.INSTANCE_READY_FD, children.INSTANCE_LIFELINE_FD
        for fd in (ready, lifeline):
            os.set_inheritable(fd, False)
        warms = arguments[1] == children.WARM_INSTANCE
        start = Start(arguments[2], loaded, ready, lifeline, time.time(), {}, warms=warms)
        Instance(start).serve()
    saved = prepare.pin_threads()
    from roost.worker.zygote import Zygote

    try:
        loaded = config.load(os.path.abspath(arguments[0]))
    except (OSError, ValueError) as error:
        sys.exit(f"roost.worker: {arguments[0]}: {error}")
    forked = Zygote(loaded, saved).run()
    if forked is not None:
        Instance(forked).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
