"""Which of its arguments a rule reads the values of: arrays that no rule reads need not be kept.

This is seen in the rule's bytecode, and never guessed. An argument is not read if every instruction that mentions it
loads it alone and the next one takes its `shape`, `ndim`, `size` or `dtype`. Anything else counts as a read: another
name for it, a call that it is passed to, a nested function that closes over it, an assignment to its name. So does all
in a rule that looks at its own variables by name (`locals()`, `eval`), and in a callable that is no Python function.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from types import CodeType, FunctionType, MethodType
from typing import Any

#: What a rule may ask of an argument whose values are not kept.
ATTRIBUTES = {"shape", "ndim", "size", "dtype"}
#: What reaches variables by their names, where the code does not mention them.
_BY_NAME = {"locals", "vars", "dir", "eval", "exec", "evaluate", "_getframe", "currentframe", "f_locals"}
#: How instructions end that leave a variable on top of the stack (LOAD_FAST_LOAD_FAST, STORE_FAST_LOAD_FAST, ...).
_LOADS = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
#: Instructions whose argument is an attribute, a global or a constant, and never a local variable.
_NO_VARIABLE = {*dis.hasname, *dis.hasconst}
_PLACEHOLDER = getattr(functools, "Placeholder", None)  # of Python 3.14: an argument of a partial that is still open


def arguments_read(rule: Callable[..., Any]) -> tuple[list[bool], bool]:
    """Whether a rule may read the values of each positional argument that it names, and of those that follow."""
    function: Any = rule
    bound = 0
    while type(function) in (functools.partial, MethodType):
        if type(function) is MethodType:
            function, bound = function.__func__, bound + 1
        elif _PLACEHOLDER is None or all([x is not _PLACEHOLDER for x in function.args]):
            function, bound = function.func, bound + len(function.args)
        else:
            break
    if type(function) is not FunctionType:  # its own code may say nothing about what runs
        return [], True
    code = function.__code__
    read = _variables_read(code)
    named = [name in read for name in code.co_varnames[: code.co_argcount]]
    # the name of *args stands after those of all named arguments
    further = bool(code.co_flags & inspect.CO_VARARGS)
    return named[bound:], further and code.co_varnames[code.co_argcount + code.co_kwonlyargcount] in read


def reads_values(rule: Callable[..., Any], argument: int) -> bool:
    """Whether a rule may read the values of one of its positional arguments, not its shape or dtype alone."""
    named, further = arguments_read(rule)
    return named[argument] if argument < len(named) else further


def unread_by(p: Any, lone: int) -> tuple[bool, Sequence[int]]:
    """Whether no rule of a primitive reads the output's values, and which inputs' values none reads.

    `lone` is the input that alone requires a gradient, so that its rule alone is called, or -1 if several do. Of the
    inputs of a joint rule it is all or none.
    """
    rules = [p.joint] if p.joint is not None else p.rules if lone < 0 else p.rules[lone : lone + 1]
    readers = [rule for rule in rules if rule is not None]
    if p.joint is not None:
        named, further = arguments_read(p.joint)
        unread: Sequence[int] = range(0 if any(named[2:]) or further else sys.maxsize)
    else:
        unread = [k for k in range(len(p.rules)) if not any([reads_values(rule, k + 2) for rule in readers])]
    return not any([reads_values(rule, 1) for rule in readers]), unread


@functools.cache
def _variables_read(code: CodeType) -> frozenset[str]:
    """The local variables that code uses otherwise than to ask for a shape or dtype."""
    if not _BY_NAME.isdisjoint(_names(code)):
        return frozenset(code.co_varnames)
    return frozenset(variables_read(list(dis.get_instructions(code))))


def variables_read(instructions: Sequence[dis.Instruction]) -> set[str]:
    """The local variables that instructions mention otherwise than to take an attribute of `ATTRIBUTES`."""
    read: set[str] = set()
    for instruction, following in zip(instructions, [*instructions[1:], None]):
        if instruction.opcode in _NO_VARIABLE:
            continue
        argument = instruction.argval
        names = argument if isinstance(argument, tuple) else (argument,)
        asked = following is not None and following.opname == "LOAD_ATTR" and following.argval in ATTRIBUTES
        if asked and instruction.opname.endswith(_LOADS):
            names = names[:-1]
        read.update([name for name in names if isinstance(name, str)])
    return read


def _names(code: CodeType) -> set[str]:
    """The names of globals and attributes in code and in the functions that are nested in it."""
    nested = [_names(part) for part in code.co_consts if isinstance(part, CodeType)]
    return {*code.co_names, *code.co_freevars}.union(*nested)
