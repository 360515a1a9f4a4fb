"""How well a box hears, takes turns and answers."""
