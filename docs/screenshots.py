"""Takes the pictures of the pages from what `make demo` left: `.venv/bin/python docs/screenshots.py [var/demo]`.

Needs Chromium (Debian's `chromium`), and no server: the page *MLOps* is made as Airflow's plugin makes it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.ui import pages, reading

PICTURES = Path(__file__).parent / "pictures"
PRODUCT = "flight_delay"
#: Width and height in pixels: what a reader takes in at once, not the whole of a long page.
SIZES = {"product": (1280, 1120), "summary": (1280, 800)}
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")


def drawn(home: Path) -> dict[str, str]:
    """Return the HTML of each picture's page. :raises SystemExit: if no demo has ended there."""
    summary, store = home / "summary.html", FolderStore(home / "mlops")
    if not summary.exists() or Ledger(store, PRODUCT).live() is None:
        raise SystemExit(f"no version of {PRODUCT} is live in {home}: run `make demo` first")
    return {
        "product": pages.product(reading.record(store, PRODUCT, lambda _: True)),
        "summary": summary.read_text("utf-8"),
    }


def picture(name: str, html: str, folder: Path) -> Path:
    """Take the picture of a page, and return its file."""
    page, file, (width, height) = folder / f"{name}.html", PICTURES / f"{name}.png", SIZES[name]
    page.write_text(html, "utf-8")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no Chromium is here: apt-get install chromium")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, *FLAGS, profile, f"--window-size={width},{height}", f"--screenshot={file}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return file


def main(home: Path) -> None:
    """Take all pictures. :param home: where `make demo` ran."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mlops-pictures-") as folder:
        for name, html in drawn(home).items():
            file = picture(name, html, Path(folder))
            print(f"{file}: {file.stat().st_size // 1024} KiB")  # noqa: T201 - it speaks to a terminal


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "var/demo"))
