"""A carrier's media stream as the carrier plays it."""
