"""Reads the part of LLVM's textual IR that the gate's rules compile to. What it doesn't know, it refuses."""

import re
from dataclasses import dataclass, field

NAME = r'[%@](?:[\w.$-]+|"[^"]+")'


class Unknown(Exception):
    """Something in the IR that this translator has no meaning for. Never skipped: what is not understood is not proved."""


@dataclass(frozen=True)
class Instruction:
    """One line: what it gives its result to, if anything, and its text without comment and metadata."""

    result: str | None
    text: str


@dataclass
class Block:
    label: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True)
class Function:
    name: str
    parameters: list[tuple[str, str]]
    """Type and name of each."""
    blocks: dict[str, Block]
    """In the order of the text: the first is the entry."""
    exported: bool


@dataclass(frozen=True)
class Module:
    functions: dict[str, Function]
    constants: dict[str, list[int | None]]
    """The bytes of each constant that is made of nothing but bytes; `None` is undefined."""
    sizes: dict[str, int]
    """The size of each named type that is made of nothing but bytes."""


def split_top(text: str) -> list[str]:
    """Splits at the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        if letter in "([{<":
            depth += 1
        elif letter in ")]}>":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    rest = text[start:].strip()
    return [*parts, rest] if rest else parts


def size_of(kind: str, sizes: dict[str, int]) -> int:
    """The size of a type in bytes. Only such as have no padding of their own."""
    kind = kind.strip()
    if match := re.fullmatch(r"i(8|16|32|64)", kind):
        return int(match[1]) // 8
    if match := re.fullmatch(r"\[(\d+) x (.+)\]", kind):
        return int(match[1]) * size_of(match[2], sizes)
    if kind in sizes:
        return sizes[kind]
    raise Unknown(f"the size of the type {kind}")


def constant_bytes(kind: str, value: str, sizes: dict[str, int]) -> list[int | None]:
    """The bytes of a constant, the lowest first."""
    value = value.strip()
    if value in ("undef", "poison"):
        return [None] * size_of(kind, sizes)
    if value == "zeroinitializer":
        return [0] * size_of(kind, sizes)
    if match := re.fullmatch(r'c"(.*)"', value):
        parts = re.findall(r"\\([0-9A-Fa-f]{2})|(.)", match[1])
        return [int(code, 16) if code else ord(letter) for code, letter in parts]
    if match := re.fullmatch(r"(?:<\{|\[)(.*)(?:\}>|\])", value):
        whole: list[int | None] = []
        for part in split_top(match[1]):
            inner, constant = split_type(part)
            whole += constant_bytes(inner, constant, sizes)
        return whole
    if re.fullmatch(r"-?\d+", value):
        size = size_of(kind, sizes)
        return list((int(value) % (1 << 8 * size)).to_bytes(size, "little"))
    raise Unknown(f"the constant {value}")


def split_type(text: str) -> tuple[str, str]:
    """A type, and what follows it."""
    text = text.strip()
    depth = 0
    for at, letter in enumerate(text):
        if letter in "([{<":
            depth += 1
        elif letter in ")]}>":
            depth -= 1
        elif letter == " " and depth == 0:
            return text[:at], text[at + 1 :].strip()
    return text, ""


def without_notes(line: str) -> str:
    """A line without its comment, its metadata and its group of attributes."""
    line = re.sub(r"(?:,\s*![\w.]+ ![\w.]+)+\s*$", "", line.split(" ;")[0].rstrip())
    return re.sub(r"\s#\d+$", "", line)


def parse(text: str) -> Module:
    functions: dict[str, Function] = {}
    constants: dict[str, list[int | None]] = {}
    sizes: dict[str, int] = {}
    function: Function | None = None
    block: Block | None = None
    joined = ""
    for raw in text.splitlines():
        line = joined + without_notes(raw)
        joined = ""
        if line.startswith("define "):
            function = header(line)
            functions[function.name] = function
        elif line == "}":
            function = block = None
        elif function is not None:
            if match := re.match(r'((?:[\w.$-]+|"[^"]+")):', line):
                block = Block("%" + match[1])
                function.blocks[block.label] = block
            elif re.match(r"\s+switch .*\[$", line) or (re.match(r"\s+switch ", line) and "]" not in line):
                joined = line
            elif line.strip() and not line.lstrip().startswith(";"):
                if block is None:
                    raise Unknown(f"an instruction before the first label: {line}")
                match = re.match(rf"\s+({NAME}) = (.*)$", line)
                found = Instruction(match[1], match[2]) if match else Instruction(None, line.strip())
                block.instructions.append(found)
        elif match := re.match(r'(%"[^"]+") = type \{ (.*) \}$', line):
            sizes[match[1]] = sum(size_of(part, sizes) for part in split_top(match[2]))
        elif match := re.match(rf"({NAME}) = private unnamed_addr constant (.*), align \d+$", line):
            kind, value = split_type(match[2])
            try:
                constants[match[1]] = constant_bytes(kind, value, sizes)
            except Unknown:
                continue  # It has no bytes then, and a load from it is refused.
    return Module(functions, constants, sizes)


def header(line: str) -> Function:
    match = re.search(r"@([\w.$]+)\((.*)\)[^)]*\{$", line)
    if match is None:
        raise Unknown(f"the head of a function: {line}")
    parameters = []
    for part in split_top(match[2]):
        kind, rest = split_type(part)
        parameters.append((kind, rest.split(" ")[-1]))
    return Function("@" + match[1], parameters, {}, not line.startswith("define internal "))
