"""`offhook bench compare`: the box and other agents, asked the same on one machine, in turn."""
