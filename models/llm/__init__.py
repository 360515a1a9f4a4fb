"""Language models."""

import os

# Threads of llama.cpp meet at a barrier many times a token. By default they wait there
# spinning, and where recognition or synthesis wants the same cores, spinning keeps away the
# very thread that is waited for: prompts ran 3-5 times slower on two busy cores. OpenMP
# reads this once, when its library is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
