"""Blocks of time, the units of which resamples of forecasts are made."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

Places = npt.NDArray[np.intp]

#: A block is so many horizons long, if there is time enough.
HORIZONS = 4
#: So many blocks are made of the rows' time, rather than longer ones.
ENOUGH = 20


def numbered(times: pd.Series, ahead: pd.Series, season: timedelta | None) -> Places:
    """Return the number of each moment's block, from 0 on, of blocks that follow each other without a gap.

    Rows are resampled by whole blocks, so that the dependence within them is kept (non-overlapping blocks: Carlstein,
    "The use of subseries values for estimating the variance of a general statistic from a stationary sequence", Annals
    of Statistics 14(3), 1986; blocks in the bootstrap: Künsch, "The jackknife and the bootstrap for general stationary
    observations", Annals of Statistics 17(3), 1989). What goes over a block's end is lost: of errors that add up over
    a horizon h, blocks of length l keep 1 - h / (3 l) of the variance, so that a block is as long as four horizons, or
    as a season if that is longer; but no longer than a twentieth of the time, as resamples of few blocks spread too
    little, and never shorter than a horizon.

    Rows within a horizon are told apart by their moments; of a single moment, each is by itself: what an interval says
    is then said of that time alone.

    :param ahead: how far ahead of its moment each row's value lies; the furthest counts.
    """
    if times.empty:
        return np.empty(0, dtype=np.intp)
    span = times.max() - times.min()
    horizon = pd.Timedelta(ahead.max())
    longest = max(HORIZONS * horizon, pd.Timedelta(season or 0))
    length = max(horizon, min(longest, span / ENOUGH))
    if span < length:
        alone = span == pd.Timedelta(0)
        return np.arange(len(times)) if alone else pd.factorize(times, sort=True)[0]
    return np.asarray(pd.factorize((times - times.min()) // length, sort=True)[0])
