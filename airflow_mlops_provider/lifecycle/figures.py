"""What a kind of problem shows of predictions beside its metrics, as plain numbers: a page draws them."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen


class Matrix(Frozen):
    """Numbers by row and column, such as how many rows of each true class were given which.

    :param title: what it shows; its heading.
    :param rows, columns: their names.
    :param values: for each row its numbers, None where there is none; whole numbers are counts.
    :param note: what a reader has to know of it.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[int | float | None, ...], ...]
    note: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if [len(row) for row in self.values] != [len(self.columns)] * len(self.rows):
            raise ValueError(f"{self.title}: {len(self.rows)} rows of {len(self.columns)} numbers each are needed")
        return self


class Curve(Frozen):
    """Lines through points, such as how often something was so against how probable it was said to be.

    :param title: what it shows; its heading.
    :param x, y: what the axes are of, with the unit.
    :param lines: for each line, by its name, its points from left to right.
    :param diagonal: whether perfect predictions lie where x and y are the same.
    :param note: what a reader has to know of it.
    """

    title: str
    x: str
    y: str
    lines: dict[str, tuple[tuple[float, float], ...]]
    diagonal: bool = False
    note: str = ""


Figure = Matrix | Curve


class Figures(Frozen):
    """All that is shown of some predictions, as a file keeps it."""

    figures: tuple[Figure, ...] = ()
