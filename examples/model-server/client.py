"""Asks the model `iris` through the gateway: client.py NODE_ID (with pip install 'tritonclient[http]')."""

import os
import pathlib
import sys

import numpy
import tritonclient.http
from tritonclient.utils import InferenceServerException

LABELS = ["setosa", "versicolor", "virginica"]
token = pathlib.Path(os.environ["ROOST_TOKEN_FILE"]).read_text().strip()
headers = {"Authorization": f"Bearer {token}", "x-node-id": sys.argv[1]}
client = tritonclient.http.InferenceServerClient(os.environ["ROOST_URL"].partition("://")[2])


def infer(rows):
    measurements = numpy.array(rows, numpy.float32)
    tensor = tritonclient.http.InferInput("measurements", measurements.shape, "FP32")
    tensor.set_data_from_numpy(measurements, binary_data=False)
    output = tritonclient.http.InferRequestedOutput("probabilities", binary_data=False)
    return client.infer("iris", [tensor], outputs=[output], headers=headers).as_numpy("probabilities")


assert client.is_model_ready("iris", headers=headers)
print([tensor["name"] for tensor in client.get_model_metadata("iris", headers=headers)["inputs"]])
for row in infer([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]):
    print(LABELS[int(row.argmax())], f"{row.max():.2f}")
try:
    infer([[1, 2, 3]])
except InferenceServerException as error:
    print(error)
