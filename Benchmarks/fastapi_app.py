"""The cells as one would write them by hand: FastAPI, models, async handlers. No authentication, no ACL."""

from __future__ import annotations

from random import randint, seed

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Bounds(BaseModel):
    left_bound: int
    right_bound: int


class Inputs(BaseModel):
    input_data: Bounds


class Execute(BaseModel):
    folder_id: str
    input: Inputs


class Value(BaseModel):
    generated_value: int


class Outputs(BaseModel):
    output_data: Value


class Answer(BaseModel):
    output: Outputs


def generate_value(input_data: Bounds) -> dict[str, int]:
    return dict(generated_value=randint(input_data.left_bound, input_data.right_bound))


@app.post("/datasphere/v1/nodes/draw:execute")
async def draw(request: Execute) -> Answer:
    output_data = generate_value(request.input.input_data)
    print(output_data)
    return Answer.model_validate({"output": {"output_data": output_data}})


@app.post("/datasphere/v1/nodes/randomizer:execute")
async def randomizer(request: Execute) -> Answer:
    seed()
    output_data = generate_value(request.input.input_data)
    print(output_data)
    return Answer.model_validate({"output": {"output_data": output_data}})
