"""``trainer.py``: a plain function that learns, the same model of the same rows each time."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.initiation.writing.declared import Declared
from airflow_mlops_provider.lifecycle.initiation.writing.python import indented, mapping, string

_HEAD = '''"""The trainer: {what}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
{imports}


'''
_TREES = '''\
def train(features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> lightgbm.Booster:
    """Return boosted trees."""
    import lightgbm

    params = {params}
    repeatable = {{"deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}}
    data = lightgbm.Dataset(features, label=label)
    return lightgbm.train({{**params, **settings, **repeatable}}, data, num_boost_round={rounds})
'''
_CLASSES = '''def train(
    features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int, problem: MulticlassClassification
) -> lightgbm.Booster:
    """Return boosted trees for each class; a label is the place of its class."""
    import lightgbm

    params = {params}
    repeatable = {{"deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}}
    data = lightgbm.Dataset(features, label=label)
    return lightgbm.train({{**params, **settings, **repeatable}}, data, num_boost_round={rounds})
'''
_RANKS = '''def train(
    features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int, group: pd.Series
) -> lightgbm.Booster:
    """Return trees that order the rows of each {query}; which {query} it is says nothing."""
    import lightgbm

    order = group.argsort(kind="stable")
    sizes = group.iloc[order].groupby(group.iloc[order], sort=False).size()
    rows = features.drop(columns={name}).iloc[order]
    data = lightgbm.Dataset(rows, label=label.iloc[order], group=sizes.to_numpy())
    params = {params}
    repeatable = {{"deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}}
    return lightgbm.train({{**params, **settings, **repeatable}}, data, num_boost_round={rounds})
'''
_FOREST = '''def train(features: pd.DataFrame, label: {label}, settings: dict[str, Any], seed: int) -> Pipeline:
    """Return what fills gaps and takes words apart, and the forest{blind}."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import {forest}
    from sklearn.impute import SimpleImputer
{more}    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    numbers = features.select_dtypes("number").columns.tolist()
    words = [name for name in features.columns if name not in numbers]
    table = make_column_transformer(
        (SimpleImputer(keep_empty_features=True), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
    )
    forest = {forest}(n_estimators=100, {leaf}random_state=seed, n_jobs=1, **settings)
    return make_pipeline(table, {last}).fit(features{given})
'''
_LINE = '''def train(features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> Pipeline:
    """Return a line through what was: unlike trees it goes on beyond what was learned from."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    del seed  # there is no chance in it
    past = [name for name in features.columns if name != {name}]
    table = make_column_transformer(
        (make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), past),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), [{name}]),
    )
    line = RidgeCV(**{{"alphas": [0.001, 0.01, 0.1, 1.0, 10.0, 100.0], **settings}})
    return make_pipeline(table, line).fit(features, label)
'''
#: Of so few rows trees are made small.
FEW_ROWS, SOME_ROWS = 500, 5000
_OBJECTIVES = {
    "binary_classification": "binary",
    "multiclass_classification": "multiclass",
    "regression": "l1",
    "ranking": "lambdarank",
}


def trainer(declared: Declared) -> str:
    """Return the module."""
    kind, rows = declared.proposal.problem.kind, declared.proposal.reading.rows
    if kind in ("anomaly_detection", "multilabel_classification"):
        return _forest(kind)
    if declared.is_forecast:
        more = "    import pandas as pd\n    from sklearn.pipeline import Pipeline"
        return _head("a line through what was", imports=more) + _LINE.format(name=string(declared.series))
    leaves, least, rounds = (4, 5, 60) if rows < FEW_ROWS else (8, 10, 100) if rows < SOME_ROWS else (31, 20, 200)
    params = {
        "objective": string(_OBJECTIVES.get(kind, "l1")),
        **({"num_class": "len(problem.classes)"} if kind == "multiclass_classification" else {}),
        "num_leaves": str(leaves),
        "min_data_in_leaf": str(least),
        "learning_rate": "0.05" if rows >= FEW_ROWS else "0.1",
    }
    facts = {"params": indented(mapping(params)).strip(), "rounds": rounds}
    if kind == "ranking":
        facts |= {"query": declared.proposal.problem.query or "", "name": string(declared.proposal.problem.query or "")}
        return _head("LightGBM's trees for an order") + _RANKS.format(**facts)
    if kind == "multiclass_classification":
        more = "\n    from airflow_mlops_provider import MulticlassClassification"
        return _head("LightGBM's trees, a probability for each class", more=more) + _CLASSES.format(**facts)
    return _head("LightGBM's trees") + _TREES.format(**facts)


def _forest(kind: str) -> str:
    more = "    import pandas as pd\n    from sklearn.pipeline import Pipeline"
    if kind == "anomaly_detection":
        facts = {"label": "pd.Series", "blind": "; it looks at no label", "forest": "IsolationForest"}
        return _head("a forest that isolates what is unlike the rest", imports=more) + _FOREST.format(
            **facts, more="", leaf="", last="forest", given=""
        )
    facts = {"label": "pd.DataFrame", "blind": "", "forest": "RandomForestClassifier"}
    return _head("a forest that gives a probability for each label", imports=more) + _FOREST.format(
        **facts,
        more="    from sklearn.multiclass import OneVsRestClassifier\n",
        leaf="min_samples_leaf=5, ",
        last="OneVsRestClassifier(forest)",
        given=", label",
    )


def _head(what: str, *, imports: str = "    import lightgbm\n    import pandas as pd", more: str = "") -> str:
    return _HEAD.format(what=what, imports=f"{imports}\n{more}" if more else imports)
