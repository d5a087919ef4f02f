"""Traces, metrics and the explanation of requests, with the classes of OpenTelemetry as the judge of what is exported."""

from __future__ import annotations

import base64
import http.server
import json
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from conftest import BINARY, Roost, wait_for
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from yandex.cloud.datasphere.v1.node_service_pb2 import NodeExecutionRequest, NodeExecutionResponse

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector:
    """Takes OTLP over HTTP; keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces" and self.headers["content-type"] == "application/json"
                outer.take(body)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def take(self, body: bytes) -> None:
        tree = json.loads(body)
        for resource in tree["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    # OTLP writes ids in hex, where the JSON of protocol buffers has base64.
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in span:
                            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
        message = json_format.ParseDict(tree, ExportTraceServiceRequest())
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


CELL = """
import roost.tracing
answer = {"traceparent": roost.tracing.traceparent(), "text": question["text"]}
print("asked", question["text"])
"""


def cell_node(roost: Roost) -> str:
    roost.checkpoint("question = {'text': 'x'}", CELL.strip(), name="traced")
    return roost.node("traced", inputs=["question:dict"], outputs=["answer:dict"])


def test_a_trace_passes_through_to_the_cell_and_to_the_collector(
    make_server: Callable[..., Roost], collector: Collector
) -> None:
    roost = make_server("--otlp-endpoint", f"http://127.0.0.1:{collector.server.server_port}")
    node = cell_node(roost)
    path = f"/datasphere/v1/nodes/{node}:execute"
    body = {"folder_id": roost.folder, "input": {"question": {"text": "hi"}}}
    answer = roost.call("POST", path, body, headers={"traceparent": PARENT, "x-request-id": "traced-1"})
    assert answer.status == 200, answer
    inner = answer.json["output"]["answer"]["traceparent"].split("-")
    assert inner[1] == TRACE and inner[2] != "b7ad6b7169203331" and inner[3] == "01"

    explained = roost.get("/v1/requests/traced-1")
    assert explained["traceId"] == TRACE and explained["spanId"] == inner[2] and explained["nodeId"] == node
    assert explained["instanceId"] == roost.instances(node)[0]["id"] and explained["status"] == 200
    done = subprocess.run(
        [BINARY, "explain", "traced-1"], env=roost.environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert node in done.stdout and "Upstream:" in done.stdout and TRACE in done.stdout
    missing = subprocess.run(
        [BINARY, "explain", "nobody"], env=roost.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert missing.returncode != 0 and "not among the recent ones" in missing.stderr

    wait_for("the span", lambda: any(s.span_id.hex() == inner[2] for s in collector.spans))
    span = next(s for s in collector.spans if s.span_id.hex() == inner[2])
    assert span.trace_id.hex() == TRACE and span.parent_span_id.hex() == "b7ad6b7169203331"
    attributes = {a.key: a.value for a in span.attributes}
    assert attributes["roost.node.id"].string_value == node
    assert attributes["http.response.status_code"].int_value == 200
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 1_700_000_000 * 10**9

    logs = wait_for("the log", lambda: [x for x in roost.logs(node) if x["message"] == "asked hi"])
    assert logs[0]["requestId"] == "traced-1"
    with urllib.request.urlopen(f"{roost.url}/metrics") as response:
        metrics = response.read().decode()
    labels = f'node_id="{node}",node_path="{path}"'
    assert f"node_requests{{{labels}}} 1" in metrics
    assert f'node_http_codes{{{labels},code="200"}} 1' in metrics
    assert f"node_request_durations_count{{{labels}}} 1" in metrics
    assert f"node_requests_durations_count{{{labels}}} 1" in metrics


def test_calls_of_grpc_are_traced_and_counted_by_their_status(make_server: Callable[..., Roost]) -> None:
    roost = make_server()
    node = cell_node(roost)
    method = "/yandex.cloud.datasphere.v1.NodeService/Execute"
    values = Struct()
    values.update({"question": {"text": "hi"}})
    metadata = [("authorization", f"Bearer {roost.token}"), ("traceparent", PARENT), ("x-request-id", "call-1")]
    with grpc.insecure_channel(f"127.0.0.1:{roost.port}") as channel:
        execute = channel.unary_unary(method, lambda m: m.SerializeToString(), NodeExecutionResponse.FromString)
        request = NodeExecutionRequest(folder_id=roost.folder, node_id=node, input=values)
        answer = execute(request, metadata=metadata, timeout=60)
        assert answer.output["answer"]["traceparent"].split("-")[1] == TRACE
        with pytest.raises(grpc.RpcError) as failure:
            execute(NodeExecutionRequest(folder_id="x", node_id=node, input=values), metadata=metadata[:2], timeout=60)
    assert failure.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert dict(failure.value.initial_metadata() or failure.value.trailing_metadata())["traceresponse"].split("-")[1] == TRACE
    assert roost.get("/v1/requests/call-1")["traceId"] == TRACE
    with urllib.request.urlopen(f"{roost.url}/metrics") as response:
        metrics = response.read().decode()
    labels = f'node_id="{node}",node_path="{method}"'
    assert f'node_grpc_codes{{{labels},code="0"}} 1' in metrics
    assert f'node_grpc_codes{{{labels},code="7"}} 1' in metrics
    assert f"node_requests{{{labels}}} 2" in metrics


class Echo:
    """A server that answers with the headers it got."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = json.dumps(dict(self.headers.items())).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_proxied_request_is_traced_counted_and_explained(make_server: Callable[..., Roost]) -> None:
    roost = make_server()
    echo = Echo()
    try:
        address = f"127.0.0.1:{echo.server.server_port}"
        made = roost.call(
            "POST", "/v1/nodes", {"name": "echo", "kind": "address", "addresses": [{"address": address}]}
        )
        assert "error" not in roost.finished(made.json["id"])
        node = made.json["resourceId"]
        sent = {"x-node-id": node, "traceparent": PARENT, "tracestate": "a=b", "x-request-id": "proxied-1"}
        answer = roost.call("GET", "/some/path?secret=1", headers=sent)
        assert answer.status == 200, answer
        got = {name.lower(): value for name, value in answer.json.items()}
        explained = roost.get("/v1/requests/proxied-1")
        assert got["traceparent"] == f"00-{TRACE}-{explained['spanId']}-01" and got["tracestate"] == "a=b"
        assert explained["route"] == "header" and explained["nodeId"] == node and explained["instanceId"]
        untraced = roost.call("GET", "/", headers={"x-node-id": node, "traceparent": "x", "tracestate": "a=b"})
        assert not {"traceparent", "tracestate"} & {name.lower() for name in untraced.json}
        direct = roost.call("GET", f"/nodes/{node}/proxy/x", headers={"x-request-id": "proxied-2"})
        assert direct.status == 200 and roost.get("/v1/requests/proxied-2")["route"] == "path"
    finally:
        echo.close()
    failed = roost.call("GET", "/", headers={"x-node-id": node, "traceparent": PARENT})
    assert failed.status == 503 and failed.headers["traceresponse"].startswith(f"00-{TRACE}-"), failed
    with urllib.request.urlopen(f"{roost.url}/metrics") as response:
        metrics = response.read().decode()
    assert f'node_requests{{node_id="{node}",node_path="/some/path"}} 1' in metrics


def test_only_who_may_view_the_node_gets_an_explanation(make_server: Callable[..., Roost]) -> None:
    roost = make_server()
    refused = roost.call("POST", "/datasphere/v1/nodes/x:execute", {}, headers={"x-request-id": "lost"})
    assert refused.status == 404 and refused.headers["traceresponse"].startswith("00-")
    assert roost.get("/v1/requests/lost")["status"] == 404
    roost.call("POST", "/v1/serviceAccounts", {"name": "robot", "role": "developer"})
    token = roost.call("POST", "/v1/tokens", {"serviceAccount": "robot"}).json["iamToken"]
    assert roost.call("GET", "/v1/requests/lost", token=token).status == 404


def test_a_bad_collector_address_stops_the_start(make_server: Callable[..., Roost], tmp_path: Any) -> None:
    done = subprocess.run(
        [BINARY, "serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--otlp-endpoint", "https://h"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and "--otlp-endpoint" in done.stderr and "TLS" in done.stderr
