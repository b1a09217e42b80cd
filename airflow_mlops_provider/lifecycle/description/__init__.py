"""How a model version is described, of its records alone: model card, bill of materials, provenance, dossier."""
