"""The one ordered list of stages that operators' files, task groups, pages and the README follow."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A stage, in the order in which data goes through it: the first comes before there is a product."""

    INITIATION = "initiation"
    FEATURES = "features"
    VALIDATION = "validation"
    EXPERIMENTATION = "experimentation"
    TRAINING = "training"
    EVALUATION = "evaluation"
    REGISTRY = "registry"
    DEPLOYMENT = "deployment"
    SERVING = "serving"
    MONITORING = "monitoring"
    FEEDBACK = "feedback"


#: The stages that a product goes round and round.
LOOP = tuple(stage for stage in Stage if stage is not Stage.INITIATION)
