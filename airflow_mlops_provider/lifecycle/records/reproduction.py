"""Whether a model version can be made again, exactly: what is compared, in the data's order, and in which words."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.records.manifest import Manifest

#: Formats whose bytes are the same for the same model. Of others, the predictions on the kept sample decide.
STABLE_FORMATS = ("lightgbm",)
SAMPLE = "reference.parquet"
ROLES = {
    "clean": "rule",
    "compute": "feature code",
    "examples": "example code",
    "assemble": "input code",
    "trainer": "trainer",
}
GONE = "gone"
LONGEST = 80


class Finding(Frozen):
    """One thing, compared with its record.

    :param recorded, found: both sides, in short.
    :param differs: the difference in words; empty if there is none.
    :param note: what a reader should know although nothing differs.
    """

    what: str
    recorded: str
    found: str
    differs: str = ""
    note: str = ""

    @property
    def equal(self) -> bool:
        """Whether both sides are the same."""
        return not self.differs


class Comparison:
    """What was compared so far, by section, in the order of the data."""

    def __init__(self) -> None:
        self.sections: dict[str, list[Finding]] = {}

    def add(self, section: str, findings: Iterable[Finding]) -> list[Finding]:
        """Note some findings, each once, and return those that are new."""
        noted = self.sections.setdefault(section, [])
        new = [finding for finding in dict.fromkeys(findings) if finding not in noted]
        noted += new
        return new

    @property
    def first_difference(self) -> Finding | None:
        """The first finding that is not equal."""
        every = (finding for findings in self.sections.values() for finding in findings)
        return next((finding for finding in every if not finding.equal), None)

    @property
    def verdict(self) -> str:
        """``identical``, or what differs first."""
        first = self.first_difference
        return f"differs: {first.differs}" if first else "identical"


def compared(what: str, recorded: str, found: str, now: str = "now") -> Finding:
    """Return what comparing two plain values finds."""
    words = "" if recorded == found else f"{what} (recorded {recorded}, {now} {found})"
    return Finding(what=what, recorded=recorded, found=found, differs=words)


def files(delivered: Mapping[str, tuple[str, str | None]]) -> Iterator[Finding]:
    """Yield a finding for each delivered file: by key its recorded hash and the one now, None for a file that is gone.

    A file that is gone is no difference: the snapshot of its rows was kept.
    """
    for key, (was, now) in delivered.items():
        if now is None:
            note = "gone from the landing root: its kept snapshot is taken"
            yield Finding(what=f"raw file {key}", recorded=short(was), found=GONE, note=note)
        else:
            yield compared(f"raw file {key}", *_short_pair(was, now))


def declarations(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each field of the product's declaration that a job read, named down to the value."""
    for field, was in recorded.items():
        now = present.get(field)
        where, old, new = next(_differences(field, was, now), (field, was, now))
        yield compared(f"setting {where}", _brief(old), _brief(new))


def packages(names: tuple[str, ...], recorded: Mapping[str, str], present: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding for each distribution that a job depends on."""
    for name in sorted(set(names)):
        yield compared(f"package {name}", recorded.get(name.lower().replace("_", "-"), "absent"), present[name], "here")


def role_of(module: str, functions: Mapping[str, str]) -> str:
    """Return what a module is to a product, whose functions come by field: ``rule shop.rules:clean``, or a module."""
    named = ((noun, functions.get(field, "")) for field, noun in ROLES.items())
    roles = (f"{noun} {function}" for noun, function in named if function.partition(":")[0] == module)
    return next(roles, f"module {module}")


def result(name: str, recorded: Manifest, rebuilt: Manifest) -> Iterator[Finding]:
    """Yield what comparing a result made again with the recorded one finds: its content, then its metrics."""
    if recorded.spec.job != "evaluate":  # its page and its figures tell the same; the figures are compared below
        yield _content(name, recorded, rebuilt)
    yield from metrics(recorded, rebuilt)


def metrics(recorded: Manifest, rebuilt: Manifest) -> Iterator[Finding]:
    """Yield a finding for each number, equal to the last digit; how long something took is named, not compared."""
    for name in sorted(recorded.metrics.keys() | rebuilt.metrics.keys()):
        was, now = (repr(side.metrics[name]) if name in side.metrics else "none" for side in (recorded, rebuilt))
        if name.endswith("_seconds"):
            yield Finding(what=f"metric {name}", recorded=was, found=now, note="a duration: not compared")
        else:
            yield compared(f"metric {name}", was, now)


def short(sha256: str) -> str:
    """Return a hash as a person reads it."""
    return sha256[:12]


def first_change(old: str, new: str) -> tuple[str, str] | None:
    """Return where a source file first differs from an older one, and how, in words; None if it does not."""
    before, after = old.splitlines(), new.splitlines()
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            function = _function_at(new, j1 + 1) if j2 > j1 else _function_at(old, i1 + 1)
            was, now = (lines[0].strip()[:LONGEST] if lines else "" for lines in (before[i1:i2], after[j1:j2]))
            only_one = f"{was!r} is gone" if was else f"{now!r} is new"
            where = f"line {j1 + 1} in {function}" if function else f"line {j1 + 1}"
            return where, f"{was!r} is now {now!r}" if was and now else only_one
    return None


def _function_at(source: str, line: int) -> str | None:
    """Return the name of the outermost function or class around a line; None outside any, or in no valid Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first <= line <= (node.end_lineno or node.lineno):
                return node.name
    return None


def _content(name: str, recorded: Manifest, rebuilt: Manifest) -> Finding:
    was, now = (side.result.hash if side.result else "" for side in (recorded, rebuilt))
    sides = {"what": name, "recorded": short(was), "found": short(now)}
    if was == now:
        return Finding(**sides)
    outputs, others = ({output.name: output.sha256 for output in side.outputs} for side in (recorded, rebuilt))
    flavor = (recorded.spec.settings.get("trainer") or {}).get("flavor", STABLE_FORMATS[0])
    if flavor not in STABLE_FORMATS and SAMPLE in outputs and outputs[SAMPLE] == others.get(SAMPLE):
        note = f"{flavor} files differ from run to run; the predictions on the kept sample are equal"
        return Finding(**sides, note=note)
    file = min(file for file in outputs.keys() | others.keys() if outputs.get(file) != others.get(file))
    was, now = (short(side[file]) if file in side else "none" for side in (outputs, others))
    differs = f"{name}, file {file} (recorded {was}, made again {now})"
    return Finding(**sides, differs=differs, note=_cause(recorded, rebuilt))


def _cause(recorded: Manifest, rebuilt: Manifest) -> str:
    """Return what is left to blame where all that went in was the same."""
    here = rebuilt.hardware
    parts = [f"{key} {was}, now {here.get(key)}" for key, was in recorded.hardware.items() if was != here.get(key)]
    machine = f"the machine is another ({'; '.join(parts)})" if parts else "the machine is of the same kind"
    return f"all that went in is the same, {machine}: if nothing in the code is left to chance, it is the machine"


def _differences(where: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path to each value that differs; the members of a list go by their name where they have one."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in {**was, **now}:
            yield from _differences(f"{where}.{key}", was.get(key), now.get(key))
    elif isinstance(was, list) and isinstance(now, list) and _named([*was, *now]):
        yield from _differences(where, *({member["name"]: member for member in side} for side in (was, now)))
    elif was != now:
        yield where, was, now


def _named(members: list[Any]) -> bool:
    return all(isinstance(member, Mapping) and "name" in member for member in members)


def _brief(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _short_pair(was: str, now: str) -> tuple[str, str]:
    return (short(was), short(now)) if short(was) != short(now) or was == now else (was, now)
