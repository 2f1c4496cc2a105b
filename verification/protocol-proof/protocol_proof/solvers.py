"""Two solvers that share no code."""

import cvc5
import z3

LIMIT = 20_000
"""Milliseconds for one question."""


def by_z3(assertions: list[z3.BoolRef]) -> str:
    solver = z3.Solver()
    solver.set("timeout", LIMIT)
    solver.add(*assertions)
    return str(solver.check())


def by_cvc5(assertions: list[z3.BoolRef]) -> str:
    question = z3.Solver()
    question.add(*assertions)
    solver = cvc5.Solver()
    solver.setOption("full-saturate-quant", "true")
    solver.setOption("tlimit-per", str(LIMIT))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, "(set-logic ALL)\n" + question.to_smt2(), "question")
    symbols, answers = parser.getSymbolManager(), []
    while not (command := parser.nextCommand()).isNull():
        answers.append(command.invoke(solver, symbols))
    return "".join(answers).strip()
