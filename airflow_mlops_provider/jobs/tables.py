"""The tables that jobs hand on to each other, by the names of their files."""

from __future__ import annotations

#: The rows of a training set that models learn from, and the later ones that they are judged on; and those of a search.
TRAIN, EVALUATE, VALIDATE = "train", "evaluate", "validate"
#: Rows to predict, with their label and when that became known.
EXAMPLES = "examples"
#: A sample of what a model learned from, with its predictions.
REFERENCE = "reference"
#: What was predicted in batch, and what the model was given for it.
PREDICTIONS, INPUTS = "predictions", "inputs"
#: Beside raw tables, if any row was left out: how many of which source, and why.
LEFT_OUT = "left_out.json"
