"""Clients that people use, against the TLS port with a token: httpx in both versions of HTTP, websockets, h2load."""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
from collections.abc import Iterator

import httpx
import pytest
import websockets
from conftest import Roost
from test_browser import Site, register
from test_tls import flags, make, tls_port
from websockets.exceptions import InvalidStatus


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """The server's certificate, trusted."""
    folder = tmp_path_factory.mktemp("certificate")
    make(folder, "localhost")
    context = ssl.create_default_context(cafile=str(folder / "chain.pem"))
    context.folder = folder  # type: ignore[attr-defined]
    return context


@pytest.fixture(scope="module")
def roost(trust: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    folder = trust.folder  # type: ignore[attr-defined]
    server = Roost(
        tmp_path_factory.mktemp("server") / "data", *flags(folder / "chain.pem", folder / "key.pem")
    ).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def doubler(roost: Roost) -> str:
    """A cell node that doubles a number."""
    roost.checkpoint("x = 1", "y = x * 2", name="doubler")
    return roost.node("doubler", inputs=["x:int"], outputs=["y:int"])


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def check(answer: httpx.Response, number: int, http2: bool) -> None:
    assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert answer.status_code == 200 and answer.json() == {"output": {"y": 2 * number}}, answer.text


@pytest.mark.parametrize("http2", [False, True], ids=["1.1", "2"])
def test_httpx_executes_and_reads_streams(
    roost: Roost, trust: ssl.SSLContext, doubler: str, site: Site, http2: bool
) -> None:
    node = register(roost, site, f"httpx-{2 if http2 else 1}")
    headers = {"authorization": f"Bearer {roost.token}"}
    path = f"/datasphere/v1/nodes/{doubler}:execute"
    base = f"https://localhost:{tls_port(roost)}"

    async def together() -> None:
        async with httpx.AsyncClient(http2=http2, verify=trust, base_url=base, headers=headers, timeout=60) as client:
            places = asyncio.Semaphore(8)

            async def double(number: int) -> None:
                async with places:
                    answer = await client.post(path, json={"folder_id": roost.folder, "input": {"x": number}})
                check(answer, number, http2)

            await asyncio.gather(*map(double, range(100)))

    # Many at once by its asynchronous client: a synchronous one mixes up the streams of several threads
    # on one HTTP/2 connection (encode/httpx#3002).
    asyncio.run(together())
    with httpx.Client(http2=http2, verify=trust, base_url=base, headers=headers, timeout=60) as client:
        check(client.post(path, json={"folder_id": roost.folder, "input": {"x": 21}}), 21, http2)
        assert client.post(path, json={}, headers={"authorization": "Bearer wrong"}).status_code == 401
        # Events arrive one by one: the next is made only after this one was read.
        with client.stream("GET", "/events", headers={"x-node-id": node}) as answer:
            assert answer.status_code == 200
            site.gates[0].set()
            lines = (line for line in answer.iter_lines() if line)
            for number in range(3):
                assert next(lines) == f"data: {number}"
                if number < 2:
                    site.gates[number + 1].set()


def test_websockets_talk_over_tls_and_are_refused_without_a_token(
    roost: Roost, trust: ssl.SSLContext, site: Site
) -> None:
    node = register(roost, site, "websockets")
    url = f"wss://localhost:{tls_port(roost)}/echo"
    headers = {"x-node-id": node}

    async def talk() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with websockets.connect(url, ssl=trust, additional_headers=headers):
                pass
        assert refused.value.response.status_code == 401
        allowed = {**headers, "authorization": f"Bearer {roost.token}"}
        async with websockets.connect(url, ssl=trust, additional_headers=allowed) as socket:
            for text in ("hello", "x" * 100_000):
                await socket.send(text)
                assert await asyncio.wait_for(socket.recv(), 60) == f"echo: {text}"
            waited = await socket.ping()
            await asyncio.wait_for(waited, 60)

    asyncio.run(talk())


@pytest.mark.parametrize("flag", [[], ["--h1"]], ids=["2", "1.1"])
def test_h2load_executes_without_an_error(
    roost: Roost, doubler: str, tmp_path_factory: pytest.TempPathFactory, flag: list[str]
) -> None:
    body = tmp_path_factory.mktemp("h2load") / "body.json"
    body.write_text(f'{{"folder_id": "{roost.folder}", "input": {{"x": 21}}}}')
    command = ["h2load", *flag, "-n", "2000", "-c", "8", "-m", "1" if flag else "8", "-d", str(body)]
    command += ["-H", f"authorization: Bearer {roost.token}", "-H", "content-type: application/json"]
    command += [f"https://localhost:{tls_port(roost)}/datasphere/v1/nodes/{doubler}:execute"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"Application protocol: {'http/1.1' if flag else 'h2'}" in done.stdout, done.stdout
    counted = re.search(r"requests: 2000 total.*2000 succeeded, 0 failed, 0 errored, 0 timeout", done.stdout)
    assert counted and "status codes: 2000 2xx" in done.stdout, done.stdout
