"""The one ordered list of stages that operators' files, task groups, pages and the README follow."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A stage of the loop, in the order in which data goes through it."""

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
