"""Compiles the production rules alone to LLVM IR, and gives each as a function over terms."""

import re
import subprocess
from pathlib import Path

import z3

from .ir import Module, Unknown, parse
from .machine import Machine
from .values import Demand

HERE = Path(__file__).resolve().parent.parent
SOURCE = HERE.parent.parent / "src"
SOURCES = {"state.rs": SOURCE / "state.rs", "gate/word.rs": SOURCE / "gate" / "word.rs"}


def rustc(*arguments: str, folder: Path) -> None:
    done = subprocess.run(
        ["rustc", "--edition", "2024", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"the rules do not compile:\n{done.stderr}")


def compiled(folder: Path, edited: dict[str, str]) -> Module:
    """The rules as rustc lowers them, before any optimisation, with overflow checks. `edited` replaces files by texts."""
    (folder / "gate").mkdir(parents=True, exist_ok=True)
    for name, path in SOURCES.items():
        (folder / name).write_text(edited.get(name, path.read_text()))
    for name in ("rules.rs", "sample.rs", "serde.rs"):
        (folder / name).write_text((HERE / "rust" / name).read_text())
    if not (folder / "libserde.so").exists():
        rustc("--crate-type=proc-macro", "--crate-name=serde", "serde.rs", folder=folder)
    rustc(
        "--crate-type=lib",
        "--crate-name=rules",
        "--extern=serde=libserde.so",
        "-Copt-level=0",
        "-Coverflow-checks=on",
        "-Ccodegen-units=1",
        "-Csymbol-mangling-version=v0",
        "-Adead_code",
        "--emit=llvm-ir=rules.ll",
        "rules.rs",
        folder=folder,
    )
    return parse((folder / "rules.ll").read_text())


class Rules:
    """Each function of `rules.rs` by its name, over terms. `demands` are what each needs in order to have a meaning."""

    def __init__(self, module: Module) -> None:
        self.demands: list[tuple[str, Demand]] = []
        self.bodies: dict[str, tuple[list[z3.BitVecRef], z3.BitVecRef]] = {}
        machine = Machine(module)
        for name, function in module.functions.items():
            match = re.fullmatch(r"@_RNvCs\w+?_5rules\d+([a-z_]+)", name)
            if match is None or not function.exported:
                continue
            parameters = [z3.BitVec(its[1:], int(kind[1:])) for kind, its in function.parameters]
            self.bodies[match[1]] = (parameters, z3.simplify(machine.run(name, parameters)))
            self.demands += [(match[1], demand) for demand in machine.demands]

    def __call__(self, name: str, *arguments: z3.BitVecRef | int) -> z3.BitVecRef:
        if name not in self.bodies:
            raise Unknown(f"no rule is called {name}")
        parameters, body = self.bodies[name]
        terms = [
            z3.BitVecVal(given, its.size()) if isinstance(given, int) else given
            for its, given in zip(parameters, arguments, strict=True)
        ]
        return z3.substitute(body, *zip(parameters, terms, strict=True))
