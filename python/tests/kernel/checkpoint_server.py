"""A server with the upload API of docs/formats/checkpoint.md that keeps everything in memory."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Optional

TOKEN = "token-of-the-test"
CHUNK = 8 << 20


class CheckpointServer:
    """Listens on a free port of the loopback interface."""

    def __init__(self) -> None:
        self.blobs: Dict[str, bytes] = {}
        self.uploads: Dict[str, bytearray] = {}
        self.checkpoints: List[Dict[str, Any]] = []
        self.pins: List[Dict[str, Any]] = []
        self.put: List[str] = []
        self.refuse: Optional[int] = None
        self.gate = threading.Event()
        """Calls wait until it is set."""
        self.gate.set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps quiet."""

            def answer(self) -> None:
                """Every method."""
                owner.gate.wait(30)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("authorization") != f"Bearer {TOKEN}":
                    status, answer = 401, {"code": "UNAUTHENTICATED", "detail": "the token is not valid"}
                elif owner.refuse:
                    status, answer = (
                        owner.refuse,
                        {"code": "RESOURCE_EXHAUSTED", "detail": "the disk is full"},
                    )
                else:
                    status, answer = owner.handle(self.command, self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = answer

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def stop(self) -> None:
        """Ends the thread and closes the port."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def store(self, digest: str, data: bytes) -> Any:
        """Keeps a blob whose bytes have the digest."""
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            return 400, {"code": "INVALID_ARGUMENT", "detail": "the hash differs", "field": "digest"}
        self.blobs[digest] = data
        self.put.append(digest)
        return 200, {}

    def handle(self, method: str, path: str, body: bytes) -> Any:
        """Status and JSON of one call."""
        path, _, query = path.partition("?")
        base = "/v1/projects/default"
        if (method, path) == ("POST", f"{base}/blobs:missing"):
            wanted = json.loads(body)["digests"]
            return 200, {"missing": [digest for digest in wanted if digest not in self.blobs]}
        if method == "PUT" and path.startswith(f"{base}/blobs/"):
            if len(body) > CHUNK:
                return 413, {"code": "PAYLOAD_TOO_LARGE", "detail": "use an upload"}
            return self.store(path.rpartition("/")[2], body)
        if (method, path) == ("POST", f"{base}/uploads"):
            name = f"upl{len(self.uploads)}"
            self.uploads[name] = bytearray()
            return 200, {"id": name, "chunkBytes": CHUNK}
        if path.startswith(f"{base}/uploads/"):
            upload = self.uploads[path.rpartition("/")[2]]
            if method == "PATCH":
                if query != f"offset={len(upload)}" or len(body) > CHUNK:
                    return 400, {"code": "INVALID_ARGUMENT", "detail": "wrong chunk", "field": "offset"}
                upload += body
                return 200, {}
            return self.store(query.partition("=")[2], bytes(upload))
        if (method, path) == ("POST", f"{base}/checkpoints"):
            manifest = json.loads(body)["manifest"]
            missing = [digest for digest in digests_of(manifest) if digest not in self.blobs]
            if missing:
                return 400, {"code": "INVALID_ARGUMENT", "detail": f"missing {missing}", "field": "manifest"}
            self.checkpoints.append(manifest)
            return 200, {"id": f"chk{len(self.checkpoints):017d}", "name": None}
        if method == "POST" and path.endswith(":pin"):
            self.pins.append({"id": path.rpartition("/")[2][:-4], **json.loads(body)})
            return 200, {}
        return 404, {"code": "NOT_FOUND", "detail": f"no {method} {path}"}


def digests_of(manifest: Dict[str, Any]) -> List[str]:
    """Every blob that a manifest names."""
    found = [module["source"]["digest"] for module in manifest["localModules"]]
    for group in manifest["groups"]:
        found += [group["stream"]["digest"], *(buffer["digest"] for buffer in group["buffers"])]
    return found
