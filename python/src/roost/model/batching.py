"""Several requests in one call of the model: rows are put together, and the answer is taken apart again."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple, Union

from roost.model.errors import ModelError, brief
from roost.model.predictors import Arrays, Predictor, checked

Outcome = Union[Arrays, str]
"""What a request gets: its outputs, or why there are none."""


def run(predictor: Predictor, requests: Sequence[Arrays], batches: bool) -> List[Outcome]:
    """One outcome per request, in their order. A request that fails does so alone."""
    outcomes: List[Outcome] = ["not run"] * len(requests)
    groups: Dict[Tuple[Any, ...], List[int]] = {}
    for place, arrays in enumerate(requests):
        key: Tuple[Any, ...] = (place,)
        if batches:
            key = tuple(sorted((name, array.shape[1:], str(array.dtype)) for name, array in arrays.items()))
        groups.setdefault(key, []).append(place)
    for places in groups.values():
        members = [requests[place] for place in places]
        try:
            answers = together(predictor, members) if len(members) > 1 else [checked(predictor, members[0])]
            for place, answer in zip(places, answers):
                outcomes[place] = answer
        except Exception as error:
            if len(members) == 1:
                outcomes[places[0]] = brief(error)
                continue
            # Whose fault it was is found by running them one by one.
            for place in places:
                outcomes[place] = run(predictor, [requests[place]], False)[0]
    return outcomes


def together(predictor: Predictor, members: Sequence[Arrays]) -> List[Arrays]:
    """One call for all; the model must give a row for each row."""
    import numpy

    counts = [len(next(iter(arrays.values()))) for arrays in members]
    joined = {name: numpy.concatenate([arrays[name] for arrays in members]) for name in members[0]}
    answer = checked(predictor, joined)
    total = sum(counts)
    for name, array in answer.items():
        if len(array) != total:
            raise ModelError(f"outputs: '{name}' has {len(array)} rows for a batch of {total}", "outputs")
    parts: List[Arrays] = []
    start = 0
    for count in counts:
        parts.append({name: array[start : start + count] for name, array in answer.items()})
        start += count
    return parts
