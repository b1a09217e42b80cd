"""The rules of the house, read off syntax trees, the tree of files and the pages: each returns a line per offence."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

PACKAGE = "airflow_mlops_provider"
#: Words that a stranger does not grep for. An underscore before or behind them makes no other word of them.
FORBIDDEN = frozenset(
    {
        *("as_asked", "left_by", "told", "asked", "drawn", "receipt", "Elsewhere", "Patience", "FAREWELLS", "Workshop"),
        *("silence", "reveals", "tail", "stands", "bears"),
    }
)
MOST_MODULES = 15
MOST_LINES = 300
#: Folders of tests that mirror no room: what they test lies outside of the package.
BESIDE = frozenset({"dags"})
#: What the pages may name though no checkout has it: made by a build, or by a run.
MADE = ("var/", "dist/", "build/", ".venv", f"{PACKAGE}/reference_dags")

#: Files of a product, and of a Feast repository, which the pages name without a folder.
OF_PRODUCTS = frozenset({"product.py", "settings.json", "feature_store.yaml", "stack.toml"})

_PATH = re.compile(r"\.?[\w-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:py|md|toml|yaml)")
_FUNCTION = re.compile(r"(?P<file>[\w./-]+\.py):(?P<name>[A-Za-z_][\w.]*)")
_DOTTED = re.compile(rf"\b{PACKAGE}(?:\.\w+)+(?::\w+)?")
_OURS = re.compile(rf"\b{PACKAGE}(?:/[\w.-]*\w)+")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_MAKE = re.compile(r"(?:^|[\s(&|;])make((?: [A-Z_]+=\S+)*)((?: [a-z]+)*)", re.MULTILINE)
_COMMAND = re.compile(r"\bairflow\s+mlops\s+([a-z][a-z-]*)")


# --- the syntax trees


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each thing that a module names; what it merely reads of others does not count."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
            yield line, node.name or ""
        elif isinstance(node, ast.arg):
            yield line, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield line, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield line, node.attr
        elif isinstance(node, ast.alias):
            yield line, node.asname or ""
        elif isinstance(node, ast.MatchAs | ast.MatchStar):
            yield line, node.name or ""
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.value.lineno, node.arg


def forbidden_names(folder: Path) -> list[str]:
    """Return where a module below a folder is, or calls something, by a word of :data:`FORBIDDEN`."""
    offences = []
    for file in _modules(folder):
        if file.stem in FORBIDDEN:
            offences.append(f"{file.relative_to(folder)}: the module itself")
        names = defined_names(ast.parse(file.read_bytes()))
        offences += [
            f"{file.relative_to(folder)}:{line}: {name}" for line, name in names if name.strip("_") in FORBIDDEN
        ]
    return offences


def vague_names(folder: Path) -> list[str]:
    """Return where a loop's variable is called ``one``, or a value ``found``: rarely is there nothing better."""
    offences = []
    for file in _modules(folder):
        for node in ast.walk(ast.parse(file.read_bytes())):
            loop = isinstance(node, ast.For | ast.comprehension) and getattr(node.target, "id", "") == "one"
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            value = isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and any(
                getattr(target, "id", "") == "found" for target in targets
            )
            if loop or value:
                offences.append(f"{file.relative_to(folder)}: {ast.unparse(node).splitlines()[0][:100]}")
    return offences


def functions(file: Path) -> dict[str, int]:
    """Return a module's functions, and its classes' as ``Class.method``, with the line of each."""
    defined: dict[str, int] = {}
    for node in ast.parse(file.read_bytes()).body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        named = [(f"{node.name}.", part) for part in inner] if isinstance(node, ast.ClassDef) else [("", node)]
        for before, part in named:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                defined[f"{before}{part.name}"] = part.lineno
    return defined


# --- the tree of files


def crowded(package: Path) -> list[str]:
    """Return the folders that hold more modules, and the modules that hold more lines, than a reader takes in."""
    modules = _modules(package)
    inside = {
        folder: [file for file in modules if file.parent == folder] for folder in {file.parent for file in modules}
    }
    counts = {folder: sum(file.stem != "__init__" for file in files) for folder, files in inside.items()}
    lines = {file: len(file.read_text("utf-8").splitlines()) for file in modules}
    return [
        *(f"{_shown(folder, package)}: {count} modules" for folder, count in counts.items() if count > MOST_MODULES),
        *(f"{_shown(file, package)}: {count} lines" for file, count in lines.items() if count > MOST_LINES),
    ]


def unintroduced(package: Path) -> list[str]:
    """Return the folders with modules or rooms in them that no ``__init__.py`` introduces by its docstring."""
    offences = []
    for folder in sorted({parent for file in _modules(package) for parent in (file.parent, *file.parents)}):
        if not folder.is_relative_to(package):
            continue
        init = folder / "__init__.py"
        if not init.is_file():
            offences.append(f"{_shown(folder, package)}: no __init__.py")
        elif not ast.get_docstring(ast.parse(init.read_bytes())):
            offences.append(f"{_shown(folder, package)}: __init__.py has no docstring")
    return offences


def unmirrored(tests: Path, package: Path) -> list[str]:
    """Return the folders of unit tests that are no room of the package."""
    folders = {file.parent.relative_to(tests) for file in tests.rglob("*.py")}
    return [
        str(path)
        for path in sorted(folders)
        if path.parts and path.parts[0] not in BESIDE and not (package / path).is_dir()
    ]


# --- the pages


def pages(root: Path) -> list[Path]:
    """Return the pages for people: those in the root and below ``docs``."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def unresolved(page: Path, root: Path, commands: set[str]) -> list[str]:
    """Return what a page names and a checkout does not have: a file, a link, a function, a module, a command.

    :param commands: what comes after ``airflow mlops``.
    """
    text = page.read_text("utf-8")
    code = [*_FENCE.findall(text), *(span for _, span in _SPAN.findall(_FENCE.sub("", text)))]
    lines = [line for part in code for line in re.sub(r"#.*", "", part).splitlines()]
    named = {
        **{f"file {path}": _is_file(path, root) for path in _paths(text)},
        **{f"link {target}": _leads(page, label, target) for label, target in _LINK.findall(text)},
        **{
            f"function {where['file']}:{where['name']}": bool(_function(where, root))
            for where in _FUNCTION.finditer(text)
        },
        **{f"name {name}": _is_name(name, root) for name in _DOTTED.findall(text)},
        **{f"make {target}": target in _targets(root) for line in lines for target in _made(line)},
        **{f"airflow mlops {name}": name in commands for part in code for name in _COMMAND.findall(part)},
    }
    return [f"{page.relative_to(root)}: {what}" for what, is_there in named.items() if not is_there]


def wrong_calls(page: Path, root: Path) -> list[str]:
    """Return the calls of a page, ``file:function → file:function``, that the code does not make.

    They go up the layers of ``pyproject.toml``, or the caller's module does not so much as name what it calls.
    """
    order, offences = layers(root), []
    for item in re.split(r"\n\n|\n(?=\s*(?:\d+\.|-) )", page.read_text("utf-8")):
        for chain in filter(lambda part: "→" in part, re.split("[⇒;]", item)):
            for caller, callee in pairwise(_FUNCTION.finditer(chain)):
                above, below = (order.get(_room(where["file"]), -1) for where in (caller, callee))
                name = callee["name"].rpartition(".")[2]
                if above > below or not re.search(rf"\b{name}\b", _source(caller, root)):
                    offences.append(f"{caller.group()} → {callee.group()}")
    return offences


def walked(page: Path) -> list[str]:
    """Return every ``file:function`` that a page names, in its order."""
    return [where.group() for where in _FUNCTION.finditer(page.read_text("utf-8"))]


def _paths(text: str) -> set[str]:
    spans = [span for _, span in _SPAN.findall(_FENCE.sub("", text)) if _PATH.fullmatch(span)]
    return {*spans, *_OURS.findall(text)}


def _is_file(path: str, root: Path) -> bool:
    path = path.rstrip("/")
    beside = {page.name for page in pages(root)} | OF_PRODUCTS
    return path.startswith(MADE) or path in beside or any((base / path).exists() for base in (root, root / PACKAGE))


def _leads(page: Path, label: str, target: str) -> bool:
    if target.startswith(("http://", "https://", "#")):
        return True
    path = target.partition("#")[0]
    says = label.strip("`")
    honest = not _PATH.fullmatch(says) or says.strip("./") in path
    return (page.parent / path).exists() and honest


def _file(where: re.Match[str], root: Path) -> Path | None:
    return next((base / where["file"] for base in (root / PACKAGE, root) if (base / where["file"]).is_file()), None)


def _source(where: re.Match[str], root: Path) -> str:
    file = _file(where, root)
    return file.read_text("utf-8") if file else ""


def _function(where: re.Match[str], root: Path) -> bool:
    file = _file(where, root)
    return file is not None and where["name"] in functions(file)


def _is_name(name: str, root: Path) -> bool:
    """Say whether a dotted name is a module, or something that a module defines."""
    parts = name.replace(":", ".").split(".")
    for length in range(len(parts), 0, -1):
        path = root.joinpath(*parts[:length])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.is_file():
            rest = parts[length:]
            return not rest or rest[0] in _members(file)
    return False


def _members(file: Path) -> set[str]:
    """Return what a module defines; of a package also the names that it loads when they are asked for."""
    tree = ast.parse(file.read_bytes())
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {name for _, name in defined_names(tree)} | (strings if file.stem == "__init__" else set())


def _targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text("utf-8"), re.MULTILINE))


def _made(line: str) -> list[str]:
    return [target for _, targets in _MAKE.findall(line) for target in targets.split()]


def layers(root: Path) -> dict[str, int]:
    """Return each room's place in the order in which imports point."""
    told = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    listed = next(contract["layers"] for contract in told if contract["type"] == "layers")
    return {room.strip(" ()"): number for number, layer in enumerate(listed) for room in re.split("[:|]", layer)}


def _room(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


def _modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _shown(path: Path, package: Path) -> str:
    return path.relative_to(package.parent).as_posix()
