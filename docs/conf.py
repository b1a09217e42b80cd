"""How `make docs` makes the site. Its source is the checkout: a page links to any file as on a forge, and both work.

Pages are plain Markdown. What only the site needs is added while it is built: each folder's index page lists the pages
beside it, and the reference is filled with the docstrings of what is public.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import airflow_mlops_provider
from airflow_mlops_provider.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from types import ModuleType

    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "airflow-mlops-provider"
version = release = airflow_mlops_provider.__version__
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**/*.md", "docs/*.md"]
exclude_patterns = [".*", *(folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name != "docs")]
extensions = ["myst_parser", "sphinx.ext.autodoc"]

myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # a fragment may hold "…"; what is none runs in a test
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say it, and links to vendors' types would lead nowhere

html_theme = "furo"
html_title = f"{project} {version}"
html_extra_path = ["site/index.html"]
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"

#: The order in which the first page lists the others; what is not named here comes behind, by name.
ORDER = (
    "README",
    "getting-started",
    "tutorial",
    "concepts",
    "how-to",
    "extend",
    "operating",
    "reference",
    "architecture",
)
#: What a page is called there, if not by its title.
TITLES = {"/README": "In ten minutes </README>"}
INDEX = ("index", "README")
KINDS = ("operators", "sensors", "triggers", "hooks")
#: A link within the checkout.
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#:]+)\)")
#: The comment that stands for the docstrings of a module, or of a room's public modules.
MEMBERS = re.compile(r"<!-- members of (airflow_mlops_provider[\w.]*) -->")

#: The comment that stands for the options of the configuration.
OPTIONS = "<!-- options -->"


def contents(page: Path) -> list[str]:
    """Return the pages that an index lists: those beside it, and the index of each folder below."""
    beside = [file for file in page.parent.glob("*.md") if file.stem not in INDEX]
    below = [file for name in INDEX for file in page.parent.glob(f"*/{name}.md")]
    root = list(ROOT.glob("*.md")) if page == ROOT / f"{root_doc}.md" else []

    def place(file: Path) -> tuple[int, str]:
        name = file.parent.name if file in below else file.stem
        return (ORDER.index(name) if name in ORDER else len(ORDER), name.lower())

    entries = [f"/{file.relative_to(ROOT).with_suffix('')}" for file in sorted([*beside, *below, *root], key=place)]
    return [TITLES.get(entry, entry) for entry in entries]


def members(name: str) -> str:
    """Return Markdown that puts docstrings into a page: of the public names, of a room's modules or of a module."""
    module = import_module(name)
    if module is airflow_mlops_provider:
        return "\n".join(_documented(module, public) for public in module.__all__)
    if not hasattr(module, "__path__"):
        return _directive("automodule", name, "members")
    public = [module for kind in KINDS for entry in get_provider_info()[kind] for module in entry["python-modules"]]
    inside = [import_module(module) for module in public if module.startswith(f"{name}.")]
    if not inside:
        raise ValueError(f"Airflow is told of no module of {name}: a comment for each of its modules is needed")
    return "\n".join(f"## {_title(module)}\n\n{_classes(module)}" for module in inside)


def _title(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2].replace("_", " ").capitalize()


def _classes(module: ModuleType) -> str:
    """Return the docstrings of a module's classes; what its other parts are for concerns nobody else."""
    defined = {name: value for name, value in vars(module).items() if isinstance(value, type) and name[0] != "_"}
    return "\n".join(
        _documented(module, name) for name, value in defined.items() if value.__module__ == module.__name__
    )


def _documented(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    kind = "autoclass" if isinstance(value, type) else "autofunction"
    # What an operator overrides of its base is no way to use it.
    shows = [] if kind == "autofunction" or hasattr(value, "execute") else ["members"]
    return _directive(kind, f"{module.__name__}.{name}", *shows)


def _directive(kind: str, name: str, *shows: str) -> str:
    lines = [f".. {kind}:: {name}", *(f"   :{option}:" for option in shows)]
    return "\n".join(["```{eval-rst}", *lines, "```", ""])


def options() -> str:
    """Return the configuration's options, each with what it says, its default and an example."""
    declared = get_provider_info()["config"]["mlops"]["options"].items()
    return "\n".join(f"## {name}\n\n{said['description']}\n{_values(said)}" for name, said in declared)


def _values(said: dict[str, str | None]) -> str:
    return "".join(f"- {key}: `{said[key]}`\n" for key in ("default", "example") if said[key])


def complete(_: Sphinx, name: str, source: list[str]) -> None:
    """Add to a page's text what only the site needs."""
    page = ROOT / f"{name}.md"
    # A forge shows folders, a site has none: a link to one becomes its words.
    text = LINK.sub(lambda link: link[1] if (page.parent / link[2]).is_dir() else link[0], source[0])
    source[0] = MEMBERS.sub(lambda comment: members(comment[1]), text.replace(OPTIONS, options()))
    if page.stem in INDEX and page.parent != ROOT:
        source[0] += "\n```{toctree}\n:hidden:\n:titlesonly:\n\n" + "\n".join(contents(page)) + "\n```\n"


def setup(app: Sphinx) -> None:
    """Take part in the build."""
    app.connect("source-read", complete)
