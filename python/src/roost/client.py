"""A small client of Roost's management API: standard library only."""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.parse
from typing import Any, Dict, List, Optional

MAX_SINGLE_BYTES = 8 << 20
"""Blobs up to this size are sent in one request, larger ones in chunks."""


class APIError(Exception):
    """The server refused a call, or could not be reached."""

    def __init__(self, message: str, status: int = 0, code: str = "UNAVAILABLE", field: Optional[str] = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


class Client:
    """One server and one identity. `address` is resolved at once, so that a forked child needs no resolver."""

    def __init__(self, url: str, token: str, project: str = "default", timeout: float = 60.0) -> None:
        parsed = urllib.parse.urlsplit(url)
        if parsed.scheme != "http" or not parsed.hostname:
            raise APIError(f"ROOST_URL: {url!r} is not an http://HOST:PORT address", code="INVALID_ARGUMENT")
        self.url = url.rstrip("/")
        self.host = parsed.hostname
        self.port = parsed.port or 80
        self.token = token
        self.project = project
        self.timeout = timeout
        try:
            self.address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][4][0]
        except OSError as error:
            raise APIError(f"{self.host} is not known: {error}") from error
        self._connection: Optional[http.client.HTTPConnection] = None

    @classmethod
    def from_environment(cls) -> Optional[Client]:
        """The client that the environment describes; None when `ROOST_URL` is not set."""
        url = os.environ.get("ROOST_URL")
        if not url:
            return None
        token = os.environ.get("ROOST_TOKEN", "")
        path = os.environ.get("ROOST_TOKEN_FILE")
        if not token and path:
            try:
                with open(path, encoding="utf-8") as file:
                    token = file.read().strip()
            except OSError as error:
                raise APIError(f"ROOST_TOKEN_FILE: {path} can't be read: {error.strerror}") from error
        if not token:
            raise APIError("no token: set ROOST_TOKEN_FILE (or ROOST_TOKEN)", code="UNAUTHENTICATED")
        return cls(url, token, os.environ.get("ROOST_PROJECT", "default"))

    def call(self, method: str, path: str, body: Any = None, raw: Optional[memoryview] = None) -> Any:
        """One request; the JSON of its answer, or None for an empty one."""
        headers = {"authorization": f"Bearer {self.token}", "host": f"{self.host}:{self.port}"}
        data: Any = None
        if raw is not None:
            data, headers["content-type"] = raw, "application/octet-stream"
        elif body is not None:
            data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            headers["content-type"] = "application/json"
        for attempt in (0, 1):
            fresh = self._connection is None
            connection = self._connection or http.client.HTTPConnection(
                str(self.address), self.port, timeout=self.timeout
            )
            self._connection = connection
            try:
                connection.request(method, path, body=data, headers=headers)
                answer = connection.getresponse()
                text = answer.read()
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._connection = None
                # A kept connection may have been closed by the server: one more try on a new one.
                if fresh or attempt:
                    raise APIError(f"{self.url} can't be reached: {error}") from error
        if answer.status >= 400:
            raise self._failure(answer.status, text)
        return json.loads(text) if text else None

    @staticmethod
    def _failure(status: int, text: bytes) -> APIError:
        try:
            problem = json.loads(text)
            message = problem.get("detail") or problem.get("message") or text.decode(errors="replace")
            return APIError(str(message), status, str(problem.get("code", "")), problem.get("field"))
        except (ValueError, AttributeError):
            return APIError(f"HTTP {status}: {text[:200].decode(errors='replace')}", status, "UNKNOWN")

    def close(self) -> None:
        """Drops the kept connection. A forked child does it first: the socket is its parent's."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Blobs and checkpoints

    def missing(self, digests: List[str]) -> List[str]:
        """Those of the digests that the server lacks."""
        found: List[str] = []
        for start in range(0, len(digests), 10_000):
            part = digests[start : start + 10_000]
            answer = self.call("POST", f"/v1/projects/{self.project}/blobs:missing", {"digests": part})
            found.extend(answer["missing"])
        return found

    def upload(self, digest: str, data: memoryview) -> None:
        """Uploads one blob."""
        base = f"/v1/projects/{self.project}"
        if data.nbytes <= MAX_SINGLE_BYTES:
            self.call("PUT", f"{base}/blobs/{digest}", raw=data)
            return
        upload = self.call("POST", f"{base}/uploads")
        size = int(upload["chunkBytes"])
        for offset in range(0, data.nbytes, size):
            chunk = data[offset : offset + size]
            self.call("PATCH", f"{base}/uploads/{upload['id']}?offset={offset}", raw=chunk)
        self.call("PUT", f"{base}/uploads/{upload['id']}?digest={digest}")

    def register(self, manifest: Dict[str, Any]) -> Dict[str, Any]:
        """Registers a checkpoint whose blobs are uploaded; the resource that the server made."""
        path = f"/v1/projects/{self.project}/checkpoints"
        resource: Dict[str, Any] = self.call("POST", path, {"manifest": manifest})
        return resource

    def save_model(
        self, name: str, kind: str, path: str, origin: Dict[str, Optional[str]], signature: Dict[str, Any]
    ) -> Dict[str, Any]:
        """Uploads a model's file and registers it; `origin` has its notebook and its variable."""
        base = f"/v1/projects/{self.project}"
        upload = self.call("POST", f"{base}/uploads")
        offset = 0
        with open(path, "rb") as file:
            while chunk := file.read(int(upload["chunkBytes"])):
                self.call("PATCH", f"{base}/uploads/{upload['id']}?offset={offset}", raw=memoryview(chunk))
                offset += len(chunk)
        digest = self.call("PUT", f"{base}/uploads/{upload['id']}")["digest"]
        body = {"name": name, "kind": kind, "digest": digest, **origin, **signature}
        resource: Dict[str, Any] = self.call("POST", f"{base}/models", body)
        return resource

    def deploy_model(self, name: str, model: str) -> Dict[str, Any]:
        """Makes a node of a saved model; the operation."""
        body = {"name": name, "project": self.project, "kind": "model", "model": {"names": [model]}}
        operation: Dict[str, Any] = self.call("POST", "/v1/nodes", body)
        return operation

    def pin(self, checkpoint: str, name: str) -> Dict[str, Any]:
        """Pins a checkpoint under a name."""
        resource: Dict[str, Any] = self.call("POST", f"/v1/checkpoints/{checkpoint}:pin", {"name": name})
        return resource
