#!/usr/bin/env python3
"""Calls an alias over and over, as its users would, until it is told to end (SIGTERM, ctrl-C); then says what came back.

    python3 examples/ramp/load.py ALIAS

ROOST_URL and ROOST_TOKEN_FILE say where the server is.
"""

import http.client
import json
import os
import pathlib
import random
import signal
import sys
import threading
import urllib.parse
from collections import Counter
from typing import Any


def request(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> "tuple[int, Any]":
    token = pathlib.Path(os.environ["ROOST_TOKEN_FILE"]).read_text().strip()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def call(alias: str, end: threading.Event, seen: "Counter[str]") -> None:
    where = urllib.parse.urlsplit(os.environ["ROOST_URL"])
    connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=60)
    folder = request(connection, "GET", "/v1/folders")[1]["folders"][0]["id"]
    while not end.is_set():
        body = {"folder_id": folder, "input": {"rooms": random.randint(1, 6), "area": 62.0}}
        status, answer = request(connection, "POST", f"/datasphere/v1/aliases/{alias}:execute", body)
        seen[answer["output"]["model"] if status == 200 else f"failed with {status}"] += 1


def main() -> None:
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    seen: Counter[str] = Counter()
    callers = [threading.Thread(target=call, args=(sys.argv[1], end, seen)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print("answered:", ", ".join(f"{name} {count}" for name, count in sorted(seen.items())))


if __name__ == "__main__":
    main()
