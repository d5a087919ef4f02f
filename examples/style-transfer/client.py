"""Gives a picture another style: `client.py RESULT.png [PICTURE]`. Without a picture one is drawn.

IAM_SECRET (a token), NODE_ID, FOLDER_ID and MODEL_ID (id or name of the model) come from the environment, and ROOST_URL says where the node is.
"""

from __future__ import annotations

import os
import sys

import numpy
import tritonclient.http as http
from PIL import Image, ImageDraw

HEADERS = {
    "Authorization": f"Bearer {os.environ['IAM_SECRET']}",
    "x-node-id": os.environ["NODE_ID"],
    "x-folder-id": os.environ["FOLDER_ID"],
}
MODEL = os.environ["MODEL_ID"]


def headers() -> dict[str, str]:
    """The client writes into the headers that it is given: each call gets its own."""
    return dict(HEADERS)


def drawn() -> Image.Image:
    """A house in front of a blue sky."""
    picture = Image.new("RGB", (448, 448), (90, 150, 230))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 300, 448, 448), (60, 140, 60))
    pen.rectangle((120, 180, 330, 340), (200, 180, 150))
    pen.polygon(((100, 180), (225, 80), (350, 180)), (160, 60, 40))
    pen.ellipse((350, 30, 420, 100), (250, 230, 90))
    return picture


picture = (Image.open(sys.argv[2]).convert("RGB") if len(sys.argv) > 2 else drawn()).resize((224, 224))
rows = numpy.asarray(picture, "float32").transpose(2, 0, 1)[numpy.newaxis]

client = http.InferenceServerClient(os.environ["ROOST_URL"].removeprefix("http://"))
assert client.is_model_ready(MODEL, headers=headers())
print("input:", client.get_model_config(MODEL, headers=headers())["input"])

asked = http.InferInput("input1", rows.shape, "FP32")
asked.set_data_from_numpy(rows, binary_data=False)
answer = client.infer(MODEL, [asked], headers=headers()).as_numpy("output1")

styled = numpy.clip(answer[0], 0, 255).transpose(1, 2, 0).astype("uint8")
Image.fromarray(styled).save(sys.argv[1])
print(f"{sys.argv[1]}: {styled.shape[1]} x {styled.shape[0]}, mean colour {styled.mean(axis=(0, 1)).round().tolist()}")
