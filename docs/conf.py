"""How `make docs` makes the site. Its source is the checkout: a page links to any file as on a forge, and both work.

Pages are plain Markdown. What only the site needs is added while it is built: each folder's index page lists the pages
beside it, and the reference is filled with the docstrings of what is public.
"""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import airflow_mlops_provider
from airflow_mlops_provider.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "airflow-mlops-provider"
version = release = airflow_mlops_provider.__version__
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**/*.md", "docs/*.md"]
exclude_patterns = [".*", *(folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name != "docs")]
extensions = ["myst_parser", "sphinx.ext.autodoc"]

myst_heading_anchors = 4
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

    return [f"/{file.relative_to(ROOT).with_suffix('')}" for file in sorted([*beside, *below, *root], key=place)]


def public_modules(room: str) -> list[str]:
    """Return a room's modules; where Airflow is told of some, of its operators and hooks for example, only those."""
    info = get_provider_info()
    told = {name for kind in KINDS for entry in info[kind] for name in entry["python-modules"]}
    inside = [f"{room}.{module.name}" for module in pkgutil.iter_modules(import_module(room).__path__)]
    return [module for module in inside if module in told] or inside


def members(name: str) -> str:
    """Return the directives that put docstrings into a page: of the public names, of a room or of a module."""
    module = import_module(name)
    if module is airflow_mlops_provider:
        public = {name: getattr(module, name) for name in module.__all__}
        kinds = {name: "autoclass" if isinstance(what, type) else "autofunction" for name, what in public.items()}
        lines = [f".. {kind}:: {module.__name__}.{name}\n   :members:\n" for name, kind in kinds.items()]
    else:
        modules = public_modules(name) if hasattr(module, "__path__") else [name]
        lines = [f".. automodule:: {module}\n   :members:\n" for module in modules]
    return "```{eval-rst}\n" + "\n".join(lines) + "```"


def options() -> str:
    """Return the configuration's options as a table."""
    declared = get_provider_info()["config"]["mlops"]["options"].items()
    rows = [
        f"| `{name}` | {said['description'].strip()} | {_code(said['default'])} | {_code(said['example'])} |"
        for name, said in declared
    ]
    return "\n".join(["| option | says | default | example |", "|---|---|---|---|", *rows])


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


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
