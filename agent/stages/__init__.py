"""Pipecat shells around the engines: hearing, thinking, speaking."""
