"""`python -m roost.worker CONFIG`: the zygote of a node; with `--instance ID` one spawned instance."""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import time


def main() -> None:
    """Runs until the zygote is shut down or, in an instance, until it is stopped."""
    from roost.worker import prepare

    parser = argparse.ArgumentParser(prog="python -m roost.worker")
    parser.add_argument("config", help="path of the launch configuration")
    parser.add_argument("--instance", help="internal: this process is one spawned instance")
    arguments = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "Agg")
    sys.argv[:] = [""]
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # `input()` in a cell fails at once instead of waiting for nobody
    os.close(nothing)
    faulthandler.enable(file=2)
    from roost.worker import children, config
    from roost.worker.instance import Instance, Start

    if arguments.instance:
        loaded = config.load(os.path.abspath(arguments.config))
        ready, lifeline = children.INSTANCE_READY_FD, children.INSTANCE_LIFELINE_FD
        for fd in (ready, lifeline):
            os.set_inheritable(fd, False)
        start = Start(arguments.instance, loaded, ready, lifeline, time.time(), {})
        Instance(start).serve()
    saved = prepare.pin_threads()
    from roost.worker.zygote import Zygote

    try:
        loaded = config.load(os.path.abspath(arguments.config))
    except (OSError, ValueError) as error:
        sys.exit(f"roost.worker: {arguments.config}: {error}")
    forked = Zygote(loaded, saved).run()
    if forked is not None:
        Instance(forked).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
