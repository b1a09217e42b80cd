"""Python as text: calls with an argument a line, strings, comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping

WIDTH = 100


def string(value: str) -> str:
    """Return a literal in double quotes, unless that would need escapes."""
    if '"' in value and "'" not in value and "\\" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False) if value.isprintable() else json.dumps(value)


def long_string(value: str) -> str:
    """Return a literal that takes several lines if it has to."""
    if len(value) <= WIDTH - 20:
        return string(value)
    words = textwrap.wrap(value, WIDTH - 20, drop_whitespace=False, break_long_words=True)
    return "\n".join(("(", *(f"    {string(part)}" for part in words), ")"))


def comment(text: str) -> str:
    """Return a comment, in several lines if it has to."""
    plain = " ".join(text.split())
    return "\n".join(f"# {line}" for line in textwrap.wrap(plain[:1].upper() + plain[1:], WIDTH - 10))


def indented(text: str, by: int = 4) -> str:
    """Return text further in."""
    return textwrap.indent(text, " " * by)


def block(opening: str, parts: Iterable[str], closing: str) -> str:
    """Return parts between brackets, each in lines of its own, comments among them; empty ones are left out."""
    lines = [part if part.startswith("#") else f"{part}," for part in parts if part]
    return "\n".join((opening, indented("\n".join(lines)), closing)) if lines else opening + closing


def call(name: str, *parts: str) -> str:
    """Return a call with an argument a line."""
    return block(f"{name}(", parts, ")")


def short(name: str, /, **arguments: str) -> str:
    """Return a call in one line, or with an argument a line if that would be too long."""
    parts = [f"{key}={value}" for key, value in arguments.items()]
    line = f"{name}({', '.join(parts)})"
    return line if len(line) <= WIDTH - 20 and "\n" not in line else call(name, *parts)


def strings(values: Iterable[str], brackets: str = "()") -> str:
    """Return a tuple, or a list, of strings."""
    parts = [string(value) for value in values]
    line = ", ".join(parts) + ("," if len(parts) == 1 and brackets == "()" else "")
    if len(line) <= WIDTH - 30:
        return f"{brackets[0]}{line}{brackets[1]}"
    return block(brackets[0], parts, brackets[1])


def mapping(values: Mapping[str, str]) -> str:
    """Return a dict, an entry a line."""
    return block("{", (f"{string(key)}: {value}" for key, value in values.items()), "}")


def imports(module: str, text: str, names: Iterable[str]) -> str:
    """Return the import of those names that a text uses."""
    used = sorted(name for name in set(names) if re.search(rf"(?<![\w.\"']){name}\(", text))
    line = f"from {module} import {', '.join(used)}"
    return line if len(line) <= WIDTH - 10 else block(f"from {module} import (", used, ")")
