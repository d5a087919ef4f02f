"""Serves the models under /app/models by the Open Inference Protocol, as Triton does: requests on port 8000, metrics on 8002."""

import json
import os
import pathlib
import re
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

ROOT = pathlib.Path(__file__).parent / "models"
VERSION = "1"


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Model:
    """One affine layer: enough to be right or wrong about something."""

    def __init__(self, name, folder):
        found = json.loads((folder / "model.json").read_text())
        self.name = name
        self.input, self.output = found["input"], found["output"]
        self.weights = np.array(found["weights"], np.float32)
        self.bias = np.array(found["bias"], np.float32)
        self.activation = found.get("activation")
        self.successes = self.failures = 0
        self.seconds = 0.0
        self.lock = threading.Lock()

    def metadata(self):
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "numpy",
            "inputs": [self.input],
            "outputs": [self.output],
        }

    def infer(self, body):
        began = time.perf_counter()
        try:
            answer = self.answer(body)
        except Refused:
            with self.lock:
                self.failures += 1
            raise
        with self.lock:
            self.successes += 1
            self.seconds += time.perf_counter() - began
        return answer

    def answer(self, body):
        tensors = body.get("inputs") or []
        if len(tensors) != 1 or tensors[0].get("name") != self.input["name"]:
            raise Refused(400, f"model '{self.name}' has one input, '{self.input['name']}'")
        tensor, width = tensors[0], self.input["shape"][1]
        if tensor.get("datatype") != "FP32":
            raise Refused(
                400, f"input '{tensor['name']}' is {tensor.get('datatype')}, model '{self.name}' expects FP32"
            )
        shape = tensor.get("shape")
        values = np.array(tensor.get("data", []), np.float32).reshape(-1)
        if not shape or len(shape) != 2 or shape[1] != width or values.size != shape[0] * width:
            raise Refused(
                400, f"unexpected shape for input '{tensor['name']}': expected [-1,{width}], got {shape}"
            )
        found = values.reshape(shape) @ self.weights + self.bias
        if self.activation == "softmax":
            found = np.exp(found - found.max(axis=1, keepdims=True))
            found /= found.sum(axis=1, keepdims=True)
        output = {**self.output, "shape": list(found.shape), "data": [float(v) for v in found.reshape(-1)]}
        named = {"id": body["id"]} if "id" in body else {}
        return {**named, "model_name": self.name, "model_version": VERSION, "outputs": [output]}


MODELS = {folder.name: Model(folder.name, folder / VERSION) for folder in sorted(ROOT.iterdir())}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of an answer go out together.
    wbufsize = -1
    disable_nagle_algorithm = True

    def reply(self, status, document):
        body = json.dumps(document).encode() if document is not None else b""
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handled(self, body):
        path = self.path.partition("?")[0]
        if path in ("/v2/health/live", "/v2/health/ready"):
            return None
        if path == "/v2":
            return {"name": "model-server", "version": "1", "extensions": []}
        found = re.fullmatch(rf"/v2/models/([^/]+)(?:/versions/{VERSION})?(?:/(ready|infer))?", path)
        model = MODELS.get(found[1]) if found else None
        if model is None:
            raise Refused(
                404, f"Request for unknown model: '{found[1]}' is not found" if found else f"no path {path}"
            )
        if found[2] == "infer":
            return model.infer(body)
        return None if found[2] == "ready" else model.metadata()

    def answer(self):
        try:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            self.reply(200, self.handled(json.loads(body) if body else {}))
        except Refused as refused:
            self.reply(refused.status, {"error": str(refused)})
        except (ValueError, TypeError, AttributeError) as error:
            self.reply(400, {"error": f"the request can't be read: {error}"})

    do_GET = do_POST = answer

    def log_message(self, form, *arguments):
        print(self.address_string(), form % arguments, flush=True)


class Metrics(Handler):
    def answer(self):
        lines = []
        for name, value in [
            ("nv_inference_request_success", lambda m: m.successes),
            ("nv_inference_request_failure", lambda m: m.failures),
            ("nv_inference_request_duration_us", lambda m: int(m.seconds * 1e6)),
        ]:
            lines.append(f"# TYPE {name} counter")
            lines += [f'{name}{{model="{m.name}",version="{VERSION}"}} {value(m)}' for m in MODELS.values()]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = answer


def main():
    requests = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Handler)
    metrics = ThreadingHTTPServer(("0.0.0.0", 8002), Metrics)
    threading.Thread(target=metrics.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=requests.shutdown).start())
    print(f"models: {', '.join(MODELS)}", flush=True)
    requests.serve_forever()


if __name__ == "__main__":
    main()
