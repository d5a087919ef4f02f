"""Where Triton is, and how it is started: from the files of the wheel `nvidia-pytriton`, without root, Docker or a GPU.

    python -m roost.model.tritonserver ORDER

becomes the server (it replaces itself). The order is JSON: `triton` (the folder the wheel is in), `repository`, `folder` (may be
written to), `sockets` (the folder where it makes its unix sockets) or `http`, `grpc` and `metrics` (ports), `models`, `key` (of calls that
change what is served), `prefix` (of shared memory).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any, Dict, List, Mapping

from roost.model.errors import ModelError

HIDDEN = "model-repository,shared-memory,trace,logging"
"""What callers of models must not do."""
KEY_HEADER = "roost-model-key"
SERVICES = ("http", "grpc", "metrics")


def command(order: Mapping[str, Any]) -> List[str]:
    """The command line of the server."""
    server = os.path.join(order["triton"], "pytriton", "tritonserver")
    words = [os.path.join(server, "bin", "tritonserver"), *flags(order)]
    words.append(f"--backend-directory={backends(server, order['folder'])}")
    words += [f"--load-model={name}" for name in order["models"]]
    words.append(f"--backend-config=python,shm-region-prefix-name={order['prefix']}")
    return words


def flags(order: Mapping[str, Any]) -> List[str]:
    """The flags of any server, also of one in a container."""
    options = {
        "model-repository": order["repository"],
        "model-control-mode": "explicit",
        "exit-on-error": "false",
        "strict-readiness": "false",
        "disable-auto-complete-config": None,
        "exit-timeout-secs": "5",
        **places(order),
        "http-thread-count": order.get("threads", 4),
        # Without a GPU the server complains of it.
        "allow-gpu-metrics": "true" if order.get("gpu") else "false",
        "http-restricted-api": f"{HIDDEN}:{KEY_HEADER}={order['key']}",
        "grpc-restricted-protocol": f"{HIDDEN}:{KEY_HEADER}={order['key']}",
        "log-format": "ISO8601",
        "log-info": "false",
    }
    words = [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]
    words.append("--backend-config=python,shm-default-byte-size=1048576")
    return words


def places(order: Mapping[str, Any]) -> Dict[str, Any]:
    """Flags that say where the server listens."""
    if "sockets" not in order:
        address = order.get("address", "127.0.0.1")
        return {
            f"{name}-{what}": value
            for name in SERVICES
            for what, value in (("address", address), ("port", order[name]))
        }
    folder = reachable(order["sockets"])
    # The server puts a colon and the port behind the address of gRPC: the file is `grpc:1`.
    return {**{f"{name}-address": f"unix:{folder}/{name}" for name in SERVICES}, "grpc-port": 1}


def reachable(folder: str) -> str:
    """A name of a folder that leaves room for names of sockets: Linux knows those of 107 bytes at most."""
    if len(os.fsencode(folder)) <= 90:
        return folder
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(number, True)
    return f"/proc/self/fd/{number}"


def backends(server: str, folder: str) -> str:
    """A folder with the python backend and the stub for this Python, which the wheel keeps apart."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stub = os.path.join(server, "python_backend_stubs", version, "triton_python_backend_stub")
    if not os.path.exists(stub):
        known = sorted(os.listdir(os.path.join(server, "python_backend_stubs")))
        raise ModelError(
            f"Triton has no part for Python {version}, only for {', '.join(known)}; use one of those"
        )
    target = os.path.join(folder, "backends", "python")
    os.makedirs(target, exist_ok=True)
    source = os.path.join(server, "backends", "python")
    for name in os.listdir(source):
        if name.endswith((".so", ".py")):
            link(os.path.join(source, name), os.path.join(target, name))
    # The stub finds the libraries of the wheel, and itself, by where it is: links would lead it astray.
    shutil.copy2(stub, os.path.join(target, "triton_python_backend_stub"))
    return os.path.dirname(target)


def link(source: str, target: str) -> None:
    """A link; one that is there is left."""
    if not os.path.lexists(target):
        os.symlink(source, target)


def environment(order: Mapping[str, Any], own: Mapping[str, str]) -> Dict[str, str]:
    """Variables of the server. Models find the packages of the Python that runs this: the first on PATH."""
    libraries = [
        os.path.join(order["triton"], "nvidia_pytriton.libs"),
        *filter(None, [own.get("LD_LIBRARY_PATH")]),
    ]
    shared = os.path.join(sys.base_prefix, "lib")
    threads = str(order.get("modelThreads", 1))
    return {
        **own,
        "LD_LIBRARY_PATH": ":".join([*libraries, shared]),
        "PATH": os.path.dirname(sys.executable) + ":" + own.get("PATH", "/usr/bin:/bin"),
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "ROOST_PYTHON": order.get("python") or os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
    }


def main(arguments: List[str]) -> None:
    """Becomes the server."""
    with open(arguments[0], encoding="utf-8") as file:
        order = json.load(file)
    words = command(order)
    os.execve(words[0], words, environment(order, os.environ))


if __name__ == "__main__":
    main(sys.argv[1:])
