"""What calls take of the machine: processor, GPU, energy, memory."""
