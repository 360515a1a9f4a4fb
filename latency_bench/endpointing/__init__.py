"""When a turn is over: the wait after complete utterances against callers cut off."""
