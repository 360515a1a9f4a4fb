"""A supervisor whose workers are edge_worker.py; settings come from the environment."""

import asyncio
import logging
import os
import sys
from pathlib import Path

from agent.config import load_config
from agent.supervisor import Supervisor

logging.basicConfig(level="INFO", format="%(message)s")
worker = Path(__file__).with_name("edge_worker.py")
command = [sys.executable, os.environ.get("STAND_IN", str(worker))]
sys.exit(asyncio.run(Supervisor(load_config(None, os.environ), os.environ, command).run()))
