"""Which names are set on every way to an instruction: a name set only in one branch must still be restored."""

from __future__ import annotations

import dis
from types import CodeType
from typing import Dict, FrozenSet, List, Optional, Tuple

_SETS = ("STORE_NAME", "STORE_GLOBAL")
_DELETES = ("DELETE_NAME", "DELETE_GLOBAL")
_ENDS = {
    "JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE", "RETURN_VALUE", "RETURN_CONST",
    "RAISE_VARARGS", "RERAISE",
}  # fmt: skip
_JUMPS = {*dis.hasjrel, *dis.hasjabs}


def set_before(code: CodeType) -> Dict[int, FrozenSet[str]]:
    """For each instruction that can be reached, by its offset: the names that the code has set by then."""
    instructions = list(dis.get_instructions(code))
    place = {instruction.offset: index for index, instruction in enumerate(instructions)}
    handlers = _handlers(code)
    # Context managers rarely swallow exceptions; where one may, the code after the block can't rely on its body.
    swallows = "suppress" in code.co_names
    known: List[Optional[FrozenSet[str]]] = [None] * len(instructions)
    waiting: List[Tuple[int, FrozenSet[str]]] = [(0, frozenset())]
    while waiting:
        index, names = waiting.pop()
        before = known[index]
        merged = names if before is None else before & names
        if before is not None and merged == before:
            continue
        known[index] = merged
        instruction = instructions[index]
        for start, end, target in handlers:
            if start <= instruction.offset < end and target in place:
                waiting.append((place[target], merged))
        after = merged
        if instruction.opname in _SETS:
            after = merged | {instruction.argval}
        elif instruction.opname in _DELETES:
            after = merged - {instruction.argval}
        if instruction.opcode in _JUMPS and instruction.argval in place:
            waiting.append((place[instruction.argval], after))
        ends = instruction.opname in _ENDS or (instruction.opname == "WITH_EXCEPT_START" and not swallows)
        if not ends and index + 1 < len(instructions):
            waiting.append((index + 1, after))
    return {instruction.offset: names for instruction, names in zip(instructions, known) if names is not None}


def set_at_end(code: CodeType, before: Dict[int, FrozenSet[str]]) -> FrozenSet[str]:
    """The names that are set whenever the code ends without an error."""
    ends = [
        before[instruction.offset]
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("RETURN_VALUE", "RETURN_CONST") and instruction.offset in before
    ]
    return frozenset.intersection(*ends) if ends else frozenset()


def _handlers(code: CodeType) -> List[Tuple[int, int, int]]:
    """Start, end and handler of guarded ranges (Python 3.11 and later; before, SETUP instructions are jumps)."""
    entries = getattr(dis.Bytecode(code), "exception_entries", ())
    return [(entry.start, entry.end, entry.target) for entry in entries]
