"""What a register or a byte of memory can be while functions are turned into terms."""

from dataclasses import dataclass
from typing import TypeAlias

import z3

from .ir import Unknown


@dataclass(frozen=True)
class Demand:
    """Wherever `path` is taken, `holds`."""

    what: str
    path: z3.BoolRef
    holds: z3.BoolRef


@dataclass(frozen=True)
class Pointer:
    place: int
    offset: z3.BitVecRef


@dataclass(frozen=True)
class Byte:
    term: z3.BitVecRef
    defined: z3.BoolRef


@dataclass(frozen=True)
class Perhaps:
    """A number that may be undefined. It may be carried about; a computation with it has to show that it is defined."""

    term: z3.BitVecRef
    defined: z3.BoolRef


Value: TypeAlias = "z3.BitVecRef | Perhaps | Pointer | list[Value] | None"
Memory = dict[int, list[Byte]]

YES, NO = z3.BoolVal(True), z3.BoolVal(False)
UNDEFINED = Byte(z3.BitVecVal(0, 8), NO)
COMPARE = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "ult": z3.ULT,
    "ule": z3.ULE,
    "ugt": z3.UGT,
    "uge": z3.UGE,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
}
ARITHMETIC = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "lshr": z3.LShR,
}


def both(a: z3.BoolRef, b: z3.BoolRef) -> z3.BoolRef:
    return z3.simplify(z3.And(a, b))


def choose(condition: z3.BoolRef, a: Value, b: Value) -> Value:
    """`a` where the condition holds, else `b`."""
    if a is b:
        return a
    if isinstance(a, z3.BitVecRef) and isinstance(b, z3.BitVecRef):
        return z3.If(condition, a, b)
    if isinstance(a, z3.BitVecRef | Perhaps) and isinstance(b, z3.BitVecRef | Perhaps):
        x, y = perhaps(a), perhaps(b)
        return Perhaps(z3.If(condition, x.term, y.term), z3.If(condition, x.defined, y.defined))
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [choose(condition, x, y) for x, y in zip(a, b, strict=True)]
    raise Unknown("a choice between two pointers")


def perhaps(value: z3.BitVecRef | Perhaps) -> Perhaps:
    return value if isinstance(value, Perhaps) else Perhaps(value, YES)


def merge(ways: list[tuple[z3.BoolRef, Memory]]) -> Memory:
    memory = dict(ways[-1][1])
    for condition, other in reversed(ways[:-1]):
        for place in memory.keys() | other.keys():
            mine, its = memory.get(place), other.get(place)
            if mine is None or its is None:
                memory[place] = mine or its or []  # Made on one way only: nobody on the other has a pointer to it.
            elif mine is not its:
                memory[place] = [
                    x if x is y else Byte(z3.If(condition, y.term, x.term), z3.If(condition, y.defined, x.defined))
                    for x, y in zip(mine, its, strict=True)
                ]
    return memory


def is_true(condition: z3.BitVecRef) -> z3.BoolRef:
    return z3.simplify(condition == 1)


def promise(name: str, flag: str, a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BoolRef:
    """What a flag of an operation says of its operands."""
    if flag == "disjoint":
        return (a & b) == 0
    extend = z3.ZeroExt if flag == "nuw" else z3.SignExt
    wide = ARITHMETIC[name](extend(64, a), extend(64, b) if name != "shl" else z3.ZeroExt(64, b))
    return wide == extend(64, ARITHMETIC[name](a, b))
