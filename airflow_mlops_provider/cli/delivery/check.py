"""``airflow mlops check``: the steps of a product repository's CI, run here; a line for each."""

from __future__ import annotations

import logging
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from airflow_mlops_provider import discovery
from airflow_mlops_provider.cli.delivery import image, parse
from airflow_mlops_provider.cli.delivery.definition import STEPS
from airflow_mlops_provider.cli.delivery.image import SkippedError
from airflow_mlops_provider.cli.delivery.sample import Sample
from airflow_mlops_provider.cli.delivery.sample import log as jobs_log
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.product import MLProduct

#: So many rows are asked for, once from the server and once from batch prediction.
ROWS = 50
GREEN, RED, SKIPPED = "✓", "✗", "-"
Step = tuple[str, str | None, Callable[[], str]]


def run(args: Namespace) -> list[str]:
    """Run the steps that a command line names, and return which are red."""
    with nullcontext(args.work) if args.work else tempfile.TemporaryDirectory(prefix="mlops-check-") as folder:
        work = Path(folder).absolute()
        work.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(work / "check.log")
        jobs_log.addHandler(handler)
        jobs_log.setLevel(logging.INFO)
        jobs_log.propagate = False
        logging.getLogger().setLevel(logging.ERROR)  # a line for each step is what is shown
        try:
            return Steps(args, work).run()
        finally:
            jobs_log.removeHandler(handler)
            handler.close()


@dataclass
class Steps:
    """The steps in their order. What a red step would have made, the later ones of its product don't wait for."""

    args: Namespace
    work: Path
    red: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        """Run them, and print a line for each."""
        stopped: dict[str, str] = {}
        for name, product, work in self._steps():
            if not self._wanted(name, product):
                continue
            began = time.monotonic()
            mark, said = self._try(work) if product not in stopped else (SKIPPED, f"{stopped[product]} is red")
            seconds = time.monotonic() - began
            print(f"{mark} {name:<11} {seconds:6.1f} s  {f'{product}: ' if product else ''}{said}", flush=True)
            if mark == RED:
                self.red.append(f"{name} of {product}" if product else name)
                if product:
                    stopped[product] = name
        return self.red

    def _wanted(self, name: str, product: str | None) -> bool:
        only = set(self.args.only or STEPS)
        # Whatever is to be done with a product: one that can't be used is not passed over.
        return name in only or (name == STEPS[1] and product is None and bool(only - {STEPS[0], STEPS[-1]}))

    def _try(self, work: Callable[[], str]) -> tuple[str, str]:
        try:
            return GREEN, work()
        except SkippedError as why:
            return SKIPPED, f"skipped: {why}"
        except Exception as error:  # noqa: BLE001  # much of it is the team's own code: whatever it raises, it is red
            jobs_log.exception("the step is red")
            return RED, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:1000]}"

    def _steps(self) -> Iterator[Step]:
        folders = [folder for folder in discovery.product_folders(self.args.dags) if folder.is_dir()]
        errors: list[str] = []
        usable = {product.name: product for product in discovery.products(folders, errors)}
        wanted = self.args.products or [*usable]
        if (odd := sorted({*wanted} - {*usable})) and not errors:
            raise UnknownNameError("product", odd[0], usable)
        yield STEPS[0], None, lambda: f"{sum(map(parse.parsed, folders))} DAGs"
        if errors:
            yield STEPS[1], None, lambda: _refuse(errors)
        for name in wanted:
            if name in usable:
                yield from self._of_product(usable[name])
        if not wanted and not errors:
            yield STEPS[1], None, lambda: _refuse([f"no product in {', '.join(map(str, folders))}"])
        yield STEPS[-1], None, lambda: image.build(self.args.dockerfile)

    def _of_product(self, product: MLProduct) -> Iterator[Step]:
        sample = Sample(product, str(self.args.landing), self.work) if self.args.landing else None

        def needs_sample(work: Callable[[Sample], str]) -> Callable[[], str]:
            def step() -> str:
                if sample is None:
                    raise SkippedError("no sample to run on; give --landing")
                return work(sample)

            return step

        name = product.name
        yield STEPS[1], name, lambda: f"{product.problem}, judged by {product.metric.name}"
        yield STEPS[2], name, needs_sample(lambda made: f"{len(made.features)} intervals met what is expected of them")
        yield STEPS[3], name, needs_sample(lambda made: f"version {made.version.version}: {made.figures}")
        yield STEPS[4], name, needs_sample(lambda made: f"{made.served(ROWS)} rows answered as in batch")


def _refuse(errors: list[str]) -> str:
    raise ConfigurationError("; ".join(errors))
