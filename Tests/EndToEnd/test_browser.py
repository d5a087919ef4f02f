"""A node's page in Chromium: by host name and by path, with EventSource and WebSocket, signed in with a token."""

from __future__ import annotations

import asyncio
import http.client
import pathlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from browser import SECONDS, chromium, picture_of_failure
from conftest import Answer, Roost, wait_for
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from test_aliases import publish
from test_tls import flags, make, tls_port

PAGE = """<!doctype html><title>node</title><link rel="icon" href="data:,"><p id="events"></p><p id="echo"></p>
<script>
  const events = new EventSource("events");
  events.onmessage = (event) => {
    document.getElementById("events").textContent += event.data + ";";
    if (event.data === "2") events.close();  // it would connect again
  };
  const address = new URL("echo", location.href.replace(/^http/, "ws"));
  const socket = new WebSocket(address);
  socket.onopen = () => socket.send("hello");
  socket.onmessage = (event) => { document.getElementById("echo").textContent = event.data; };
  document.cookie = "mine=1; path=/";
</script>"""


class Site:
    """A node's server: a page, events that the test lets go one at a time, and a WebSocket that echoes."""

    def __init__(self) -> None:
        self.gates = [threading.Event() for _ in range(3)]
        self.heads: list[tuple[str, list[tuple[str, str]]]] = []
        routes = [
            Route("/events", self.events),
            WebSocketRoute("/echo", self.echo),
            Route("/{rest:path}", self.page, methods=["GET", "POST"]),
        ]
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        configuration = uvicorn.Config(Starlette(routes=routes), log_level="error", timeout_graceful_shutdown=5)
        self.server = uvicorn.Server(configuration)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]}, daemon=True)
        self.thread.start()
        wait_for("the node's server has started", lambda: self.server.started)

    def note(self, asked: Request | WebSocket) -> None:
        head = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in asked.headers.raw]
        self.heads.append((asked.url.path, head))

    async def page(self, request: Request) -> Response:
        self.note(request)
        answer = HTMLResponse(PAGE)
        # The node tries to take the session over.
        for cookie in (b"roost-session=stolen; Path=/", b"theirs=2"):
            answer.raw_headers.append((b"set-cookie", cookie))
        return answer

    async def events(self, request: Request) -> Response:
        self.note(request)

        async def made() -> AsyncIterator[str]:
            for number, gate in enumerate(self.gates):
                await asyncio.to_thread(gate.wait, SECONDS)
                yield f"data: {number}\n\n"

        return StreamingResponse(made(), media_type="text/event-stream")

    async def echo(self, socket: WebSocket) -> None:
        self.note(socket)
        await socket.accept()
        async for message in socket.iter_text():
            await socket.send_text(f"echo: {message}")

    def cookies(self) -> list[str]:
        return [value for _, head in self.heads for name, value in head if name == "cookie"]

    def close(self) -> None:
        for gate in self.gates:
            gate.set()
        self.server.should_exit = True
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture(scope="module")
def roost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    """A server on two ports, the second with TLS."""
    folder = tmp_path_factory.mktemp("server")
    server = Roost(folder / "data", *flags(*make(folder, "browser")), "--alias-domain", "aliases.localhost").start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--ignore-certificate-errors") as made:
        yield made


def register(roost: Roost, site: Site, name: str) -> str:
    body = {"name": name, "kind": "address", "addresses": [{"address": site.address}]}
    answer = roost.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    operation = roost.finished(answer.json["id"])
    assert "error" not in operation, operation
    return str(answer.json["resourceId"])


def place_of(roost: Roost, node: str, rule: str = "host", scheme: str = "http") -> str:
    """The node's page by one of the rules. Browsers take every name below localhost for this machine."""
    port = roost.port if scheme == "http" else tls_port(roost)
    if rule == "path":
        return f"{scheme}://localhost:{port}/nodes/{node}/proxy/"
    return f"{scheme}://{node}.nodes.localhost:{port}/"


def ask(roost: Roost, path: str, method: str = "GET", **headers: str) -> Answer:
    """A request without the credentials that the tests usually send."""
    connection = http.client.HTTPConnection("127.0.0.1", roost.port, timeout=60)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def sign_in(page: Page, place: str, token: str) -> None:
    page.goto(place)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("rule", ["path", "host"])
def test_a_page_with_events_and_a_websocket_works_through_the_gateway(
    roost: Roost, site: Site, browser: Browser, tmp_path: pathlib.Path, rule: str, scheme: str
) -> None:
    node = register(roost, site, f"site-by-{rule}-{scheme}")
    place = place_of(roost, node, rule, scheme)
    context = browser.new_context()
    page = context.new_page()
    with picture_of_failure(page, tmp_path / "failed.png"):
        sign_in(page, place, "wrong")
        expect(page.get_by_role("alert")).to_contain_text("the token is malformed")
        page.screenshot(path=tmp_path / "refused.png")
        sign_in(page, place, roost.token)
        expect(page).to_have_url(place)
        expect(page.locator("#echo")).to_have_text("echo: hello")
        # Each event is shown before the next one is made: nothing holds them back.
        for number, gate in enumerate(site.gates):
            expect(page.locator("#events")).to_have_text("".join(f"{n};" for n in range(number)))
            gate.set()
        expect(page.locator("#events")).to_have_text("0;1;2;")
        spoken = page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        assert spoken == ("h2" if scheme == "https" else "http/1.1")
        kept = {cookie["name"]: cookie for cookie in context.cookies()}
        session = kept["roost-session"]
        assert session["httpOnly"] and session["sameSite"] == "Strict" and session["value"] != "stolen"
        assert session["secure"] == (scheme == "https")
        assert session["path"] == ("/" if rule == "host" else f"/nodes/{node}/proxy")
        assert session["domain"] == place.split("/")[2].rpartition(":")[0]
        assert "roost-session" not in page.evaluate("document.cookie")
        # A page may ask again with what it set itself: that goes on to the node, the session never does.
        assert page.evaluate("fetch('again', {cache: 'no-store'}).then(answer => answer.status)") == 200
    assert any(target.endswith("/again") for target, _ in site.heads)
    assert any("mine=1" in cookie and "theirs=2" in cookie for cookie in site.cookies())
    assert not any("roost-session" in value for _, head in site.heads for _, value in head)
    assert not any(name.lower() == "authorization" for _, head in site.heads for name, _ in head)
    context.close()


def test_another_nodes_page_can_not_use_the_session(roost: Roost, site: Site, browser: Browser) -> None:
    mine, other = register(roost, site, "site-mine"), register(roost, site, "site-other")
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, place_of(roost, mine), roost.token)
    expect(page.locator("#echo")).to_have_text("echo: hello")
    sign_in(page, place_of(roost, other), roost.token)
    expect(page.locator("#echo")).to_have_text("echo: hello")
    seen = len(site.heads)
    address = place_of(roost, mine).replace("http", "ws", 1) + "echo"
    opened = page.evaluate(
        "address => new Promise(done => { const socket = new WebSocket(address);"
        " socket.onopen = () => done('opened'); socket.onerror = () => done('refused'); })",
        address,
    )
    assert opened == "refused"
    posted = "address => fetch(address, {method: 'POST', mode: 'no-cors', credentials: 'include'}).then(() => 'sent')"
    assert page.evaluate(posted, place_of(roost, mine) + "change") == "sent"
    assert len(site.heads) == seen
    context.close()


def test_a_session_is_good_for_its_node_and_nothing_else(roost: Roost, site: Site) -> None:
    mine, other = register(roost, site, "session-mine"), register(roost, site, "session-other")
    made = roost.call("POST", "/v1/tokens", {"ttlSeconds": 600})
    token = made.json["iamToken"]
    begun = roost.call("POST", f"/nodes/{mine}/session", token=token)
    assert begun.status == 204, begun
    value = begun.headers["set-cookie"].split(";")[0]
    session = value.removeprefix("roost-session=")
    path = f"/nodes/{mine}/proxy/page"
    assert ask(roost, path, cookie=f"a=1; {value}; b=2").status == 200
    assert site.cookies()[-1] == "a=1; b=2"
    assert ask(roost, path, cookie=value).status == 200
    refused = ask(roost, path)
    assert refused.status == 401 and "no token" in refused.json["message"]
    # The token in place of the session, the session in place of the token, another node, another way to name it.
    assert ask(roost, path, cookie=f"roost-session={token}").status == 401
    for _ in range(2):
        assert ask(roost, path, authorization=f"Bearer {session}").status == 401
        assert ask(roost, "/v1/nodes", authorization=f"Bearer {session}").status == 401
        assert ask(roost, f"/nodes/{other}/proxy/page", cookie=value).status == 401
        assert ask(roost, "/page", x_node_id=mine, cookie=value).status == 401
    # Other origins, with and without the header that older browsers lack.
    host = f"127.0.0.1:{roost.port}"
    assert ask(roost, path, cookie=value, origin=f"http://{host}").status == 200
    assert ask(roost, path, cookie=value, origin="http://evil.example").status == 403
    assert ask(roost, path, cookie=value, origin="null").status == 403
    assert ask(roost, path, cookie=value, sec_fetch_site="same-site").status == 403
    assert ask(roost, f"/nodes/{mine}/session", "DELETE", origin="http://evil.example").status == 403
    gone = ask(roost, f"/nodes/{mine}/session", "DELETE")
    assert gone.status == 204 and "Max-Age=0" in gone.headers["set-cookie"]
    # People are led to the page where they sign in, programs are not.
    led = ask(roost, path, accept="text/html,*/*;q=0.8")
    assert led.status == 303 and led.headers["location"] == f"/nodes/{mine}/session"
    # Revoking the token ends what was made of it.
    assert roost.call("DELETE", f"/v1/tokens/{made.json['id']}").status == 204
    wait_for("the session has ended", lambda: ask(roost, path, cookie=value).status == 401)


def test_who_may_not_call_the_node_gets_no_session(roost: Roost, site: Site) -> None:
    node = register(roost, site, "session-roles")
    stranger = roost.call("POST", "/v1/serviceAccounts", {"name": "stranger"})
    assert stranger.status == 201, stranger
    token = roost.call("POST", "/v1/tokens", {"serviceAccount": "stranger"}).json["iamToken"]
    refused = roost.call("POST", f"/nodes/{node}/session", token=token)
    assert refused.status == 403 and "set-cookie" not in refused.headers, refused
    key = roost.call("POST", f"/v1/serviceAccounts/{stranger.json['id']}/apiKeys", {})
    granted = roost.call(
        "POST", f"/v1/serviceAccounts/{stranger.json['id']}:grant", {"role": "datasphere.user", "folderId": roost.folder}
    )
    assert granted.status in (200, 204), granted
    begun = ask(roost, f"/nodes/{node}/session", "POST", authorization=f"Api-Key {key.json['secret']}")
    assert begun.status == 204, begun


@pytest.mark.parametrize("rule", ["path", "host"])
def test_a_page_behind_an_alias_keeps_its_session_while_nodes_change(
    roost: Roost, site: Site, browser: Browser, rule: str
) -> None:
    name = f"shop-by-{rule}"
    blue, green = (register(roost, site, f"{name}-{node}") for node in ("blue", "green"))
    publish(roost, name, {blue: 100, green: 0}, showNode=True)
    port = roost.port
    place = f"http://{name}.aliases.localhost:{port}/" if rule == "host" else f"http://localhost:{port}/aliases/{name}/proxy/"
    context = browser.new_context()
    page = context.new_page()
    for gate in site.gates:
        gate.set()
    sign_in(page, place, roost.token)
    expect(page).to_have_url(place)
    expect(page.locator("#echo")).to_have_text("echo: hello")
    expect(page.locator("#events")).to_have_text("0;1;2;")
    asked = "fetch('again', {cache: 'no-store'}).then(answer => [answer.status, answer.headers.get('x-roost-node')])"
    assert page.evaluate(asked) == [200, blue]
    publish(roost, name, {blue: 0, green: 100}, showNode=True)
    wait_for("the other node answers", lambda: page.evaluate(asked) == [200, green])
    session = next(cookie for cookie in context.cookies() if cookie["name"] == "roost-session")
    assert session["path"] == ("/" if rule == "host" else f"/aliases/{name}/proxy")
    assert not any("roost-session" in value for _, head in site.heads for _, value in head)
    context.close()


def test_a_session_of_an_alias_is_good_for_that_alias_only(roost: Roost, site: Site) -> None:
    node = register(roost, site, "aliased")
    publish(roost, "narrow", {"aliased": 100})
    publish(roost, "other", {"aliased": 100})
    host = "narrow.aliases.localhost"
    begun = ask(roost, "/.roost/session", "POST", authorization=f"Bearer {roost.token}", host=host)
    assert begun.status == 204, begun
    value = begun.headers["set-cookie"].split(";")[0]
    assert ask(roost, "/page", host=host, cookie=value).status == 200
    assert ask(roost, "/aliases/narrow/proxy/page", cookie=value).status == 200
    # Neither another alias nor the node behind it, nor by a header.
    assert ask(roost, "/page", host="other.aliases.localhost", cookie=value).status == 401
    assert ask(roost, f"/nodes/{node}/proxy/page", cookie=value).status == 401
    assert ask(roost, "/page", x_node_alias="narrow", cookie=value).status == 401
    assert ask(roost, "/page", host=host, cookie=value, origin="http://other.aliases.localhost").status == 403
    led = ask(roost, "/aliases/narrow/proxy/page", accept="text/html")
    assert led.status == 303 and led.headers["location"] == "/aliases/narrow/session"
    assert ask(roost, "/aliases/nobody/session", "POST", authorization=f"Bearer {roost.token}").status == 404
    roost.call("POST", "/v1/serviceAccounts", {"name": "passer-by"})
    token = roost.call("POST", "/v1/tokens", {"serviceAccount": "passer-by"}).json["iamToken"]
    refused = ask(roost, "/aliases/narrow/session", "POST", authorization=f"Bearer {token}")
    assert refused.status in (403, 404) and "set-cookie" not in refused.headers, refused
    publish(roost, "narrow", {"aliased": 100}, access="public")
    assert ask(roost, "/aliases/narrow/session", "POST", authorization=f"Bearer {token}").status == 204
