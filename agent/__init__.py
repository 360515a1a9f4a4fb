"""One call, from answer to hang-up: the only place where Pipecat appears."""
