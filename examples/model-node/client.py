"""Calls the node of this example with the stock clients of Triton, through the gateway.

`client.py NODE_ID`; ROOST_URL and ROOST_TOKEN_FILE say where, and who calls.
"""

from __future__ import annotations

import os
import pathlib
import sys

import numpy
import tritonclient.grpc as grpc
import tritonclient.http as http

NODE = sys.argv[1]
ADDRESS = os.environ["ROOST_URL"].removeprefix("http://")
TOKEN = pathlib.Path(os.environ["ROOST_TOKEN_FILE"]).read_text().strip()
# The HTTP client writes into the headers that it is given: each call gets its own.
HEADERS = {"authorization": f"Bearer {TOKEN}", "x-node-id": NODE}

flowers = numpy.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], dtype="float32")
for client, package in ((http.InferenceServerClient(ADDRESS), http), (grpc.InferenceServerClient(ADDRESS), grpc)):
    assert client.is_model_ready("iris", headers=dict(HEADERS))
    asked = package.InferInput("input__0", flowers.shape, "FP32")
    asked.set_data_from_numpy(flowers)
    answer = client.infer("iris", [asked], headers=dict(HEADERS))
    print(f"{package.__name__}: classes {answer.as_numpy('output__0').ravel().tolist()}")

client = http.InferenceServerClient(ADDRESS)
image = numpy.random.default_rng(1).uniform(0, 255, (1, 3, 224, 224)).astype("float32")
asked = http.InferInput("input1", image.shape, "FP32")
asked.set_data_from_numpy(image, binary_data=False)
styled = client.infer("mosaic", [asked], headers=dict(HEADERS)).as_numpy("output1")
picture = numpy.clip(styled[0], 0, 255).transpose(1, 2, 0).astype("uint8")
print(f"mosaic: a picture of {picture.shape[0]} x {picture.shape[1]}, mean colour {picture.mean(axis=(0, 1)).round().tolist()}")
