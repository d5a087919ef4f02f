"""`python -m roost.kernel -f FILE` runs the kernel; `python -m roost.kernel install` makes it known to Jupyter."""

from __future__ import annotations

import argparse
import sys
import tempfile

from roost.kernel.spec import write_spec


def install(arguments: list[str]) -> int:
    """Installs the kernelspec and says where."""
    from jupyter_client.kernelspec import KernelSpecManager

    parser = argparse.ArgumentParser(prog="python -m roost.kernel install")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--sys-prefix", action="store_true", help="into this Python environment (the default)")
    where.add_argument("--user", action="store_true", help="for this user")
    where.add_argument("--prefix", help="into another prefix")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        source = write_spec(folder)
        prefix = None if options.user else options.prefix or sys.prefix
        path = KernelSpecManager().install_kernel_spec(source, "roost", user=options.user, prefix=prefix)
    print(f"installed the kernel 'Python 3 (Roost)' in {path}")
    return 0


def main() -> int:
    """The entry point."""
    if sys.argv[1:2] == ["install"]:
        return install(sys.argv[2:])
    from ipykernel.kernelapp import IPKernelApp

    from roost.kernel.kernel import RoostKernel

    IPKernelApp.launch_instance(kernel_class=RoostKernel)
    return 0


if __name__ == "__main__":
    sys.exit(main())
