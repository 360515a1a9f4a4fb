"""Doors through which calls arrive: no models, no Pipecat."""
