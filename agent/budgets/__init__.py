"""What may be spent, on whom, in which time; and what happens where that is reached."""
