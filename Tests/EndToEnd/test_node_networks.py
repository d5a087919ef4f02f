"""Networks of image nodes on a machine whose addresses are used by others too."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator

import engine
import pytest
from conftest import Roost
from engine import SOCKET
from test_image_nodes import failure, images, make

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

BRIDGES = [f"roost-n{os.getpid() % 100000}"]
"""Interfaces that no engine knows of, as one leaves them that was killed."""


def ip(*words: str) -> None:
    subprocess.run(["/usr/sbin/ip" if os.path.exists("/usr/sbin/ip") else "ip", *words], check=True)


def occupy(bridge: str, address: str) -> None:
    ip("link", "add", bridge, "type", "bridge")
    ip("address", "add", address, "dev", bridge)
    ip("link", "set", bridge, "up")


@pytest.fixture()
def server(tmp_path: pathlib.Path) -> Iterator[Roost]:
    server = Roost(tmp_path / "data", "--engine", SOCKET, "--node-networks", "10.199.88.0/24").start()
    try:
        yield server
    finally:
        server.close()
        for bridge in BRIDGES:
            if os.path.exists(f"/sys/class/net/{bridge}"):
                ip("link", "delete", bridge)


def test_a_range_that_another_interface_has_is_not_taken(server: Roost) -> None:
    occupy(BRIDGES[0], "10.199.88.1/25")
    node = make(server, "beside")
    assert images(server, node, "GET", "/id").status == 200
    assert server.instances(node)[0]["address"].startswith("10.199.88.1")

    _, message = failure(server, "crowded", {"reference": "testapp:1"})
    assert "no range is left for the node's network" in message and "--node-networks" in message, message


def test_a_subnet_whose_range_another_interface_has_is_refused_by_name(server: Roost) -> None:
    occupy(BRIDGES[0], "10.199.90.1/24")
    made = server.call("POST", "/v1/subnets", {"name": "apps", "cidr": "10.199.90.0/24"})
    assert made.status in (200, 201), made
    body = {"zones": [{"zone": "local", "subnet": "apps"}]}
    _, message = failure(server, "shared", {"reference": "testapp:1"}, **body)
    assert f"interface {BRIDGES[0]} of this machine has 10.199.90.0/24 already" in message, message
