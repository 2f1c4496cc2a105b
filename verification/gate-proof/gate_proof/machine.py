"""Turns a function without loops into terms over its parameters, and collects what has to be so for it to have a meaning.

Every path is followed at once: where two meet, each value becomes an if-then-else. What would be a panic or undefined
behaviour (an unreachable place, a load of an undefined byte or beyond its object, an overflow that a flag denies) is a
demand, to be proved like any other claim.
"""

import re

import z3

from .ir import Function, Instruction, Module, Unknown, size_of, split_top, split_type
from .values import (
    ARITHMETIC,
    COMPARE,
    NO,
    UNDEFINED,
    YES,
    Byte,
    Demand,
    Memory,
    Perhaps,
    Pointer,
    Value,
    both,
    choose,
    is_true,
    merge,
    perhaps,
    promise,
)


class Machine:
    def __init__(self, module: Module) -> None:
        self.module = module
        self.demands: list[Demand] = []
        self.places = 0
        self.constants: dict[str, tuple[int, list[Byte]]] = {}

    def run(self, name: str, arguments: list[z3.BitVecRef]) -> z3.BitVecRef:
        """The function's value. What has to hold for it to have one is in `demands` afterwards."""
        self.demands = []
        value = self.call(self.module.functions[name], list(arguments), YES, {})[0]
        if not isinstance(value, z3.BitVecRef | Perhaps):
            raise Unknown(f"what {name} gives")
        self.demand("what is given is defined", YES, perhaps(value).defined)
        return perhaps(value).term

    def place(self, memory: Memory, content: list[Byte]) -> Pointer:
        self.places += 1
        memory[self.places] = content
        return Pointer(self.places, z3.BitVecVal(0, 64))

    def demand(self, what: str, path: z3.BoolRef, holds: z3.BoolRef) -> None:
        if not z3.is_true(z3.simplify(holds)):
            self.demands.append(Demand(what, path, holds))

    def call(
        self, function: Function, arguments: list[Value], path: z3.BoolRef, memory: Memory
    ) -> tuple[Value, Memory]:
        frame = Frame(self, function)
        for (_, name), argument in zip(function.parameters, arguments, strict=True):
            frame.registers[name] = argument
        return frame.run(path, memory)


class Frame:
    """One call of one function."""

    def __init__(self, machine: Machine, function: Function) -> None:
        self.machine = machine
        self.function = function
        self.registers: dict[str, Value] = {}
        self.coming: dict[str, list[tuple[z3.BoolRef, Memory, str]]] = {}
        self.returned: list[tuple[z3.BoolRef, Memory, Value]] = []
        self.path = YES
        self.memory: Memory = {}
        self.label = ""

    def run(self, path: z3.BoolRef, memory: Memory) -> tuple[Value, Memory]:
        order = self.order()
        self.coming[order[0]] = [(path, memory, "")]
        for label in order:
            ways = self.coming.get(label)
            if not ways:
                continue
            self.label = label
            self.path = z3.simplify(z3.Or([way[0] for way in ways]))
            self.memory = merge([(way[0], way[1]) for way in ways])
            for instruction in self.function.blocks[label].instructions:
                self.step(instruction)
        if not self.returned:
            return None, memory
        value = self.returned[-1][2]
        for condition, _, other in reversed(self.returned[:-1]):
            value = choose(condition, other, value)
        return value, merge([(way[0], way[1]) for way in self.returned])

    def order(self) -> list[str]:
        """The blocks, each after all that lead to it. A loop has no such order."""
        done: list[str] = []
        under_way: set[str] = set()

        def visit(label: str) -> None:
            if label in done:
                return
            if label in under_way:
                raise Unknown(f"a loop at {label} in {self.function.name}")
            under_way.add(label)
            last = self.function.blocks[label].instructions[-1].text
            for target in re.findall(r'label (%(?:[\w.$-]+|"[^"]+"))', last):
                visit(target)
            done.append(label)

        visit(next(iter(self.function.blocks)))
        return done[::-1]

    def value(self, kind: str, text: str) -> Value:
        text = text.split(" ")[-1]
        if text in self.registers:
            return self.registers[text]
        if kind == "ptr" and text.startswith("@"):
            return self.constant(text)
        if match := re.fullmatch(r"i(\d+)", kind):
            if text in ("true", "false"):
                return z3.BitVecVal(int(text == "true"), 1)
            if re.fullmatch(r"-?\d+", text):
                return z3.BitVecVal(int(text), int(match[1]))
        if text == "poison" and (match := re.fullmatch(r"\{ (.*) \}", kind)):
            return [None] * len(split_top(match[1]))
        raise Unknown(f"the value {kind} {text} in {self.function.name}")

    def bits(self, kind: str, text: str) -> z3.BitVecRef:
        """A number to compute with."""
        found = self.number(kind, text)
        self.machine.demand("what is computed with is defined", self.path, found.defined)
        return found.term

    def number(self, kind: str, text: str) -> Perhaps:
        found = self.value(kind, text)
        if not isinstance(found, z3.BitVecRef | Perhaps):
            raise Unknown(f"{kind} {text} is no number in {self.function.name}")
        return perhaps(found)

    def pointer(self, text: str) -> Pointer:
        found = self.value("ptr", text)
        if not isinstance(found, Pointer):
            raise Unknown(f"{text} is no pointer in {self.function.name}")
        return found

    def constant(self, name: str) -> Pointer:
        if name not in self.machine.constants:
            content = self.machine.module.constants.get(name)
            if content is None:
                raise Unknown(f"a pointer to {name}")
            known = [UNDEFINED if byte is None else Byte(z3.BitVecVal(byte, 8), YES) for byte in content]
            self.machine.constants[name] = (self.machine.place({}, known).place, known)
        place, known = self.machine.constants[name]
        self.memory.setdefault(place, known)
        return Pointer(place, z3.BitVecVal(0, 64))

    def step(self, instruction: Instruction) -> None:
        result, text = instruction.result, instruction.text
        word = re.sub(r"^(tail |musttail |notail )", "", text).split(" ")[0]
        handler = getattr(self, f"do_{word}", None) or (self.do_arithmetic if word in ARITHMETIC else None)
        if handler is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        given = handler(text)
        if result is not None:
            self.registers[result] = given

    def do_arithmetic(self, text: str) -> Value:
        match = re.fullmatch(r"(\w+)((?: nuw| nsw| disjoint)*) (i\d+) (\S+), (\S+)", text)
        if match is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        name, flags, kind = match[1], match[2].split(), match[3]
        a, b = self.bits(kind, match[4]), self.bits(kind, match[5])
        if name in ("shl", "lshr"):
            self.machine.demand("a shift is narrower than its word", self.path, z3.ULT(b, b.size()))
        for flag in flags:
            self.machine.demand(f"{name} {flag} as promised", self.path, promise(name, flag, a, b))
        return ARITHMETIC[name](a, b)

    def do_icmp(self, text: str) -> Value:
        match = re.fullmatch(r"icmp (samesign )?(\w+) (i\d+) (\S+), (\S+)", text)
        if match is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        a, b = self.bits(match[3], match[4]), self.bits(match[3], match[5])
        if match[1]:
            self.machine.demand("both have the same sign", self.path, (a < 0) == (b < 0))
        return z3.If(COMPARE[match[2]](a, b), z3.BitVecVal(1, 1), z3.BitVecVal(0, 1))

    def do_select(self, text: str) -> Value:
        condition, a, b = [split_type(part) for part in split_top(text[len("select ") :])]
        return choose(is_true(self.bits(*condition)), self.value(*a), self.value(*b))

    def do_zext(self, text: str) -> Value:
        value, wide, flags = self.converted(text)
        if "nneg" in flags:
            self.machine.demand("zext of what is not negative", self.path, value >= 0)
        return z3.ZeroExt(wide - value.size(), value)

    def do_trunc(self, text: str) -> Value:
        value, narrow, flags = self.converted(text)
        cut = z3.Extract(narrow - 1, 0, value)
        if "nuw" in flags:
            self.machine.demand("trunc loses nothing", self.path, z3.ZeroExt(value.size() - narrow, cut) == value)
        if "nsw" in flags:
            self.machine.demand("trunc keeps the sign", self.path, z3.SignExt(value.size() - narrow, cut) == value)
        return cut

    def converted(self, text: str) -> tuple[z3.BitVecRef, int, list[str]]:
        match = re.fullmatch(r"\w+((?: nneg| nuw| nsw)*) (i\d+) (\S+) to i(\d+)", text)
        if match is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        return self.bits(match[2], match[3]), int(match[4]), match[1].split()

    def do_alloca(self, text: str) -> Value:
        match = re.fullmatch(r"alloca (.+), align \d+", text)
        if match is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        return self.machine.place(self.memory, [UNDEFINED] * size_of(match[1], self.machine.module.sizes))

    def do_getelementptr(self, text: str) -> Value:
        rest = re.sub(r"^getelementptr (inbounds )?(nuw )?", "", text)
        kind, base, *indices = split_top(rest)
        if len(indices) != 1:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        pointer, index = self.pointer(base), self.bits(*split_type(indices[0]))
        size = size_of(kind, self.machine.module.sizes)
        end = len(self.memory[pointer.place])
        offset = z3.simplify(pointer.offset + index * size)
        self.machine.demand("a look-up is in bounds", self.path, z3.ULE(index, end // size))
        self.machine.demand("a look-up is in bounds", self.path, z3.ULE(offset, end))
        return Pointer(pointer.place, offset)

    def read(self, pointer: Pointer, count: int) -> list[Byte]:
        content = self.memory[pointer.place]
        if count > len(content):
            raise Unknown(f"a load of more than there is, in {self.function.name}")
        self.machine.demand("a load is in bounds", self.path, z3.ULE(pointer.offset, len(content) - count))
        offset = z3.simplify(pointer.offset)
        if z3.is_bv_value(offset):
            start = offset.as_long()
            return content[start : start + count] if start + count <= len(content) else [UNDEFINED] * count
        found = []
        for byte in range(count):
            here = UNDEFINED
            for start in range(len(content) - count + 1):
                other = content[start + byte]
                at = offset == start
                here = Byte(z3.If(at, other.term, here.term), z3.If(at, other.defined, here.defined))
            found.append(here)
        return found

    def write(self, pointer: Pointer, content: list[Byte]) -> None:
        offset = z3.simplify(pointer.offset)
        whole = self.memory[pointer.place]
        if not z3.is_bv_value(offset) or offset.as_long() + len(content) > len(whole):
            raise Unknown(f"a store to a place that is computed, in {self.function.name}")
        start = offset.as_long()
        self.memory[pointer.place] = whole[:start] + content + whole[start + len(content) :]

    def do_load(self, text: str) -> Value:
        match = re.fullmatch(r"load i(\d+), ptr (\S+), align \d+", text)
        if match is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        found = self.read(self.pointer(match[2]), int(match[1]) // 8)
        terms = [byte.term for byte in reversed(found)]
        defined = z3.simplify(z3.And([byte.defined for byte in found]))
        term = z3.Concat(terms) if len(terms) > 1 else terms[0]
        return term if z3.is_true(defined) else Perhaps(term, defined)

    def do_store(self, text: str) -> None:
        match = re.fullmatch(r"store (i\d+) (\S+), ptr (\S+), align \d+", text)
        if match is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        value = self.number(match[1], match[2])
        content = [Byte(z3.Extract(at + 7, at, value.term), value.defined) for at in range(0, value.term.size(), 8)]
        self.write(self.pointer(match[3]), content)

    def do_insertvalue(self, text: str) -> Value:
        whole, part, index = split_top(text[len("insertvalue ") :])
        values = self.value(*split_type(whole))
        if not isinstance(values, list):
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        at = int(index)
        return [*values[:at], self.value(*split_type(part)), *values[at + 1 :]]

    def do_extractvalue(self, text: str) -> Value:
        whole, index = split_top(text[len("extractvalue ") :])
        values = self.value(*split_type(whole))
        if not isinstance(values, list) or values[int(index)] is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        return values[int(index)]

    def do_call(self, text: str) -> Value:
        match = re.search(r"(@[\w.$]+)\((.*)\)$", text)
        if match is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        name, arguments = match[1], [split_type(part) for part in split_top(match[2])]
        if name.startswith("@llvm.memcpy."):
            to, origin, count = (rest for _, rest in arguments[:3])
            self.write(self.pointer(to), self.read(self.pointer(origin), int(count)))
            return None
        callee = self.machine.module.functions.get(name)
        if callee is not None:
            given = [self.value(kind, rest) for kind, rest in arguments]
            value, self.memory = self.machine.call(callee, given, self.path, dict(self.memory))
            return value
        if "panic" in name and self.function.blocks[self.label].instructions[-1].text == "unreachable":
            return None  # The `unreachable` that follows it demands that nobody comes here.
        raise Unknown(f"the call «{text}» in {self.function.name}")

    def do_unreachable(self, _: str) -> None:
        self.machine.demand("no panic, nothing impossible", self.path, NO)

    def do_ret(self, text: str) -> None:
        kind, rest = split_type(text[len("ret ") :])
        self.returned.append((self.path, self.memory, self.value(kind, rest) if rest else None))

    def go(self, condition: z3.BoolRef, target: str) -> None:
        self.coming.setdefault(target, []).append((both(self.path, condition), dict(self.memory), self.label))

    def do_br(self, text: str) -> None:
        if match := re.fullmatch(r"br label (\S+)", text):
            self.go(YES, match[1])
        elif match := re.fullmatch(r"br i1 (\S+), label (\S+), label (\S+)", text):
            condition = is_true(self.bits("i1", match[1]))
            self.go(condition, match[2])
            self.go(z3.Not(condition), match[3])
        else:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")

    def do_switch(self, text: str) -> None:
        match = re.fullmatch(r"switch (i\d+) (\S+), label (\S+) \[(.*)\]", text)
        if match is None:
            raise Unknown(f"the instruction «{text}» in {self.function.name}")
        value = self.bits(match[1], match[2])
        other = YES
        for kind, number, target in re.findall(r"(i\d+) (-?\d+), label (\S+)", match[4]):
            here = value == self.bits(kind, number)
            self.go(here, target)
            other = both(other, z3.Not(here))
        self.go(other, match[3])
