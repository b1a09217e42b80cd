"""The rows to predict, and the trainer."""

import pandas as pd

DAY = pd.Timedelta(days=1)


def examples(tables, interval):
    """Return the day that is over, and what the next one was; missing where that was not delivered."""
    days = tables["days"].sort_values("date", ignore_index=True)
    true = pd.DataFrame({"wet": days["precipitation"] > 0, "windy": days["wind"] > 3.5, "warm": days["temp_max"] > 17})
    words = true.apply(lambda row: "|".join(true.columns[row]), axis=1)
    rows = days.assign(event_time=days["date"] + DAY, tomorrow=words.shift(-1), known_at=days["date"] + 2 * DAY)
    return rows[(rows["event_time"] >= interval.start) & (rows["event_time"] < interval.end)]


def train(features, label, settings, seed):
    """Return a forest that gives a probability a label."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.multiclass import OneVsRestClassifier

    forest = RandomForestClassifier(n_estimators=50, min_samples_leaf=10, random_state=seed, n_jobs=1, **settings)
    return OneVsRestClassifier(forest).fit(features, label)
