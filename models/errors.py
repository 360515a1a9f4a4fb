"""Errors of models and engines, each saying whose fault it is and what to do."""


class ModelError(Exception):
    """Something about a model is wrong; the message names it and the remedy."""


class ModelNotFound(ModelError):
    """No such name in the catalogue, or no such file."""


class ModelCorrupt(ModelError):
    """A model's file is truncated, of another kind, or fails its checksum."""


class EngineError(ModelError):
    """An engine failed while it worked on one request; others are unaffected."""
