"""Engines and the catalogue of models: no Pipecat, no telephony, no asyncio."""
