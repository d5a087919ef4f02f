"""HTTP/1: what two parsers could read differently is refused. nginx and HAProxy are asked the same, as reference points."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
from conftest import Roost, wait_for

HOST = b"host: a\r\n"
REFUSALS = {400, 408, 413, 414, 417, 431, 501, 505}


def get(*lines: bytes, start: bytes = b"GET /readyz HTTP/1.1") -> bytes:
    return start + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(*lines: bytes, body: bytes = b"", host: bytes = HOST, version: bytes = b"1.1") -> bytes:
    head = b"POST /readyz HTTP/" + version + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines)
    return head + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"transfer-encoding: chunked", body=body)


@dataclasses.dataclass
class Case:
    name: str
    sent: bytes
    status: int = 0
    """The refusal; 0: accepted."""
    words: str = ""


CASES = [
    # What must be taken.
    Case("a plain request", get()),
    Case("HTTP/1.0 without Host", b"GET /readyz HTTP/1.0\r\n\r\n"),
    Case("an empty Host", b"GET /readyz HTTP/1.1\r\nhost:\r\n\r\n"),
    Case("Host with a port", b"GET /readyz HTTP/1.1\r\nhost: [::1]:80\r\n\r\n"),
    Case("spaces around a value", get(b"x: \t y \t")),
    Case("bytes beyond ASCII in a value", get(b"x: \xc3\xa9")),
    Case("Content-Length and its body", post(b"content-length: 5", body=b"12345")),
    Case("chunks, an extension, a trailer", chunked(b"5;a=b\r\n12345\r\n0\r\nx: y\r\n\r\n")),
    Case("Transfer-Encoding: Chunked", post(b"transfer-encoding: Chunked", body=b"0\r\n\r\n")),
    Case("99 headers", get(*[b"x: y"] * 99)),
    Case("a target of 6000 bytes", get(start=b"GET /readyz?" + b"a" * 6000 + b" HTTP/1.1")),
    # Lengths.
    Case("two different lengths", post(b"content-length: 5", b"content-length: 6", body=b"123456"), 400, "Content-Length"),
    Case("the same length twice", post(b"content-length: 5", b"content-length: 5", body=b"12345"), 400, "twice"),
    Case("a list of lengths", post(b"content-length: 5, 5", body=b"12345"), 400, "one decimal number"),
    Case("a list of different lengths", post(b"content-length: 5, 6", body=b"123456"), 400, "one decimal number"),
    Case("length +5", post(b"content-length: +5", body=b"12345"), 400, "one decimal number"),
    Case("length -5", post(b"content-length: -5", body=b"12345"), 400, "one decimal number"),
    Case("length 0x5", post(b"content-length: 0x5", body=b"12345"), 400, "one decimal number"),
    Case("length 5 5", post(b"content-length: 5 5", body=b"12345"), 400, "one decimal number"),
    Case("an empty length", post(b"content-length:", body=b""), 400, "one decimal number"),
    Case("a length of 20 digits", post(b"content-length: 99999999999999999999"), 400, "one decimal number"),
    Case("length and chunked", post(b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n"), 400, "exclude"),
    Case("chunked and length", post(b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n"), 400, "exclude"),
    Case("content_length", post(b"content_length: 5", body=b"12345"), 400, "spelled"),
    # Transfer-Encoding.
    Case("xchunked", post(b"transfer-encoding: xchunked", body=b"0\r\n\r\n"), 400, "Transfer-Encoding"),
    Case("chunked twice in a list", post(b"transfer-encoding: chunked, chunked", body=b"0\r\n\r\n"), 400, "Transfer-Encoding"),
    Case("chunked twice", post(*[b"transfer-encoding: chunked"] * 2, body=b"0\r\n\r\n"), 400, "Transfer-Encoding"),
    Case("chunked, identity", post(b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n"), 400, "Transfer-Encoding"),
    Case("identity", post(b"transfer-encoding: identity", body=b"0\r\n\r\n"), 400, "Transfer-Encoding"),
    Case("chunked with a parameter", post(b"transfer-encoding: chunked;a=b", body=b"0\r\n\r\n"), 400, "Transfer-Encoding"),
    Case("quoted chunked", post(b'transfer-encoding: "chunked"', body=b"0\r\n\r\n"), 400, "Transfer-Encoding"),
    Case("an empty coding", post(b"transfer-encoding:", body=b"0\r\n\r\n"), 400, "Transfer-Encoding"),
    Case("vertical tab and chunked", post(b"transfer-encoding: \x0bchunked", body=b"0\r\n\r\n"), 400, "control byte"),
    Case("folded chunked", post(b"transfer-encoding:", b" chunked", body=b"0\r\n\r\n"), 400),
    Case("transfer_encoding", post(b"transfer_encoding: chunked", body=b"0\r\n\r\n"), 400, "spelled"),
    Case("gzip, chunked", post(b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"), 501, "chunked"),
    Case("chunked in HTTP/1.0", post(b"transfer-encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"), 400, "HTTP/1.1"),
    # Lines and bytes.
    Case("bare LF everywhere", b"GET /readyz HTTP/1.1\nhost: a\n\n", 400, "CR LF"),
    Case("bare LF behind a header", b"GET /readyz HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", 400, "CR LF"),
    Case("bare CR in a value", get(b"x: a\rb: c"), 400, "CR LF"),
    Case("bare CR behind the version", b"GET /readyz HTTP/1.1\rhost: a\r\n\r\n", 400),
    Case("NUL in a value", get(b"x: a\0b"), 400, "control byte"),
    Case("NUL in a name", get(b"x\0y: a"), 400, "token"),
    Case("NUL in the target", get(start=b"GET /readyz\0 HTTP/1.1"), 400, "target"),
    Case("DEL in a value", get(b"x: \x7f"), 400, "control byte"),
    Case("a folded header", get(b"x: a", b" b"), 400, "second line"),
    Case("a fold before the first header", b"GET /readyz HTTP/1.1\r\n x: y\r\n" + HOST + b"\r\n", 400, "second line"),
    Case("space before the colon", get(b"x : y"), 400, "colon"),
    Case("tab before the colon", get(b"x\t: y"), 400, "colon"),
    Case("no colon", get(b"xy"), 400),
    Case("an empty name", get(b": y"), 400, "token"),
    Case("a name with brackets", get(b"x(y): z"), 400, "token"),
    Case("a name beyond ASCII", get(b"\xc3\xa9: z"), 400, "token"),
    # Request lines.
    Case("a method with @", get(start=b"G@T /readyz HTTP/1.1"), 400, "method"),
    Case("two spaces", get(start=b"GET  /readyz HTTP/1.1"), 400, "target"),
    Case("a tab for a space", get(start=b"GET\t/readyz HTTP/1.1"), 400, "method"),
    Case("a space behind the version", get(start=b"GET /readyz HTTP/1.1 "), 400),
    Case("a space in the target", get(start=b"GET /rea dyz HTTP/1.1"), 400, "space"),
    Case("a fragment", get(start=b"GET /readyz#x HTTP/1.1"), 400, "target"),
    Case("a target without '/'", get(start=b"GET readyz HTTP/1.1"), 400, "path"),
    Case("HTTP/0.9", b"GET /readyz\r\n\r\n", 505, "version"),
    Case("HTTP/1.2", get(start=b"GET /readyz HTTP/1.2"), 505, "version"),
    Case("HTTP/2.0 in a request line", get(start=b"GET /readyz HTTP/2.0"), 505, "version"),
    Case("HTTP/01.1", get(start=b"GET /readyz HTTP/01.1"), 505, "version"),
    Case("an empty line first", b"\r\n" + get(), 400, "method"),
    Case("an absolute target of another host", get(start=b"GET http://b/readyz HTTP/1.1"), 400, "absolute"),
    Case("CONNECT", get(start=b"CONNECT a:80 HTTP/1.1"), 400, "CONNECT"),
    # Host.
    Case("no Host", b"GET /readyz HTTP/1.1\r\n\r\n", 400, "Host"),
    Case("two Hosts", get(b"host: b"), 400, "twice"),
    Case("the same Host twice", get(b"host: a"), 400, "twice"),
    Case("Host with a space", b"GET /readyz HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "Host"),
    Case("Host with @", b"GET /readyz HTTP/1.1\r\nhost: a@b\r\n\r\n", 400, "Host"),
    Case("Host with /", b"GET /readyz HTTP/1.1\r\nhost: a/b\r\n\r\n", 400, "Host"),
    Case("a list of Hosts", b"GET /readyz HTTP/1.1\r\nhost: a, b\r\n\r\n", 400, "Host"),
    Case("Host with a port in letters", b"GET /readyz HTTP/1.1\r\nhost: a:b\r\n\r\n", 400, "Host"),
    Case("Host with port 65536", b"GET /readyz HTTP/1.1\r\nhost: a:65536\r\n\r\n", 400, "Host"),
    Case("an open bracket in Host", b"GET /readyz HTTP/1.1\r\nhost: [::1\r\n\r\n", 400, "Host"),
    # Chunks.
    Case("a chunk of size 0x5", chunked(b"0x5\r\n12345\r\n0\r\n\r\n"), 400, "chunk"),
    Case("a chunk of size -1", chunked(b"-1\r\n12345\r\n0\r\n\r\n"), 400, "chunk"),
    Case("a chunk without a size", chunked(b"\r\n12345\r\n0\r\n\r\n"), 400, "chunk"),
    Case("a chunk's size beyond 64 bits", chunked(b"10000000000000005\r\n12345\r\n0\r\n\r\n"), 400, "chunk"),
    Case("a space behind a chunk's size", chunked(b"5 \r\n12345\r\n0\r\n\r\n"), 400, "chunk"),
    Case("a space before a chunk's size", chunked(b" 5\r\n12345\r\n0\r\n\r\n"), 400, "chunk"),
    Case("bare LF behind a chunk's size", chunked(b"5\n12345\r\n0\r\n\r\n"), 400, "chunk"),
    Case("bare LF behind a chunk", chunked(b"5\r\n12345\n0\r\n\r\n"), 400, "chunk"),
    Case("a chunk longer than its size", chunked(b"5\r\n123456\r\n0\r\n\r\n"), 400, "chunk"),
    Case("bare LF in an extension", chunked(b"5;a\n12345\r\n0\r\n\r\n"), 400, "extension"),
    Case("NUL in an extension", chunked(b"5;\0\r\n12345\r\n0\r\n\r\n"), 400, "extension"),
    Case("an extension of 300 bytes", chunked(b"5;" + b"a" * 300 + b"\r\n12345\r\n0\r\n\r\n"), 400, "256"),
    Case("a trailer with a space", chunked(b"0\r\nx y: z\r\n\r\n"), 400, "trailer"),
    Case("a folded trailer", chunked(b"0\r\nx: y\r\n z\r\n\r\n"), 400, "trailer"),
    Case("trailers of 10 KB", chunked(b"0\r\nx: " + b"y" * 10000 + b"\r\n\r\n"), 400, "8 KiB"),
    # Sizes: the limit and the actual size are in the message.
    Case("101 headers", get(*[b"x: y"] * 100), 431, "more than 100 headers; it has 101"),
    Case("a head of 70,000 bytes", get(b"x: " + b"y" * 70000), 431, "65536 bytes; "),
    Case("a target of 20,000 bytes", get(start=b"GET /" + b"a" * 19999 + b" HTTP/1.1"), 414, "16384 bytes; it has 20000"),
    Case("an expectation of tea", post(b"expect: tea", b"content-length: 1", body=b"x"), 417, "100-continue"),
]

LAXER = {
    # RFC 9112 3.2 and 5.1 allow these; a gateway has nothing to guess in them.
    "bytes beyond ASCII in a value",
    "an empty Host",
    # Their limits are lower than ours.
    "a target of 6000 bytes",
    "99 headers",
}


def ask(address: tuple[str, int] | str, sent: bytes, *, stays: bool = False) -> tuple[int, bytes, bool]:
    """The status (0: closed without one), all that came, and whether the server closed (unless it is not waited for)."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect(address)
        came = b""
        closed = False
        try:
            client.sendall(sent)
        except OSError:
            pass
        try:
            while not complete(came):
                part = client.recv(65536)
                if not part:
                    closed = True
                    break
                came += part
            if not closed and not stays:
                # Enough for a second answer or the end, where there is one.
                client.settimeout(1)
                while part := client.recv(65536):
                    came += part
                closed = True
        except TimeoutError:
            pass
        except OSError:
            closed = True
    first = came.split(b" ", 2)
    return (int(first[1]) if len(first) > 1 and first[1].isdigit() else 0), came, closed


def complete(came: bytes) -> bool:
    head, end, body = came.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return bool(end) and len(body) >= int(line[15:])
    return False


NGINX = """daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen unix:{folder}/origin; location / {{ return 200 "served\\n"; }} }}
  server {{ listen unix:{folder}/nginx; location / {{ proxy_pass http://unix:{folder}/origin; }} }}
}}
"""

HAPROXY = """defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
  option http-buffer-request
frontend front
  bind unix@{folder}/haproxy
  default_backend origin
backend origin
  server origin unix@{folder}/origin
"""


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Sockets of nginx and HAProxy, each as a proxy in front of the same answer."""
    folder = tmp_path_factory.mktemp("references")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    (folder / "haproxy.cfg").write_text(HAPROXY.format(folder=folder))
    started: list[subprocess.Popen[bytes]] = []
    log = open(folder / "log", "wb")
    try:
        for command in (
            [program("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "nginx.log"],
            [program("haproxy"), "-db", "-f", folder / "haproxy.cfg"],
        ):
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        sockets = {name: str(folder / name) for name in ("nginx", "haproxy")}
        for name, path in sockets.items():
            wait_for(f"{name} listens", lambda path=path: pathlib.Path(path).is_socket() and ask(path, get())[0] == 200, 10)
        yield sockets
    finally:
        for process in started:
            process.kill()
            process.wait()
        log.close()


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    assert found, f"{name} is missing: run scripts/setup"
    return found


def test_every_case_is_read_in_one_way(
    roost: Roost, references: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[str] = []
    wrong: list[str] = []
    for case in CASES:
        status, came, closed = ask(("127.0.0.1", roost.port), case.sent, stays=case.status == 0)
        accepted = status not in REFUSALS and status != 0
        others = {name: ask(path, case.sent, stays=True)[0] for name, path in references.items()}
        said = {name: "takes" if other not in REFUSALS and other != 0 else f"{other or 'closes'}" for name, other in others.items()}
        rows.append(f"{case.name:38} {'takes' if accepted else status:>7} {said['nginx']:>7} {said['haproxy']:>7}")
        if case.status == 0:
            if not accepted:
                wrong.append(f"{case.name}: refused with {came!r}")
            continue
        if status != case.status:
            wrong.append(f"{case.name}: {status} instead of {case.status}: {came[:300]!r}")
            continue
        if not closed or b"\r\nconnection: close\r\n" not in came.lower():
            wrong.append(f"{case.name}: the connection stays open")
        if len(re.findall(rb"HTTP/1\.[01] \d{3} ", came)) != 1:
            wrong.append(f"{case.name}: more than one answer: {came!r}")
        message = json.loads(came.partition(b"\r\n\r\n")[2])["message"]
        if case.words not in message:
            wrong.append(f"{case.name}: {message!r} lacks {case.words!r}")
    with capsys.disabled():
        print(f"\n{'case':38} {'roost':>7} {'nginx':>7} {'haproxy':>7}", *rows, sep="\n")
    assert not wrong, "\n".join(wrong)
    assert roost.call("GET", "/readyz").status == 200


def test_nothing_is_taken_that_both_others_refuse(roost: Roost, references: dict[str, str]) -> None:
    for case in CASES:
        if case.status != 0 or case.name in LAXER:
            continue
        others = [ask(path, case.sent, stays=True)[0] for path in references.values()]
        assert not all(status in REFUSALS for status in others), case.name
