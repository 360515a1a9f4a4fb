"""A box without engines behind its real doors, HTTP and SIP, until its input is closed."""

import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "agent"))

from scripted_door import QuietBox, a_store

from agent.config import load_config
from agent.logs import set_up_logs
from agent.phone import Phone
from agent.web.server import WebServer


async def serve() -> None:
    set_up_logs("INFO", False)
    config = load_config(None, os.environ)
    box = QuietBox(config, a_store(config.records.path.parent))
    phone = Phone(config, os.environ)
    async with WebServer(config.server) as server:
        await server.start(box)
        await phone.open(box)
        print(json.dumps({"http": server.port, "sip": phone.stack.port}), flush=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.read)
        await box.drain()
        await phone.close()
        await server.stop()
    print(json.dumps({"box": box.active_calls}), flush=True)
    await asyncio.to_thread(box.store.close)


asyncio.run(serve())
