"""A stand-in for a worker: answers SIP with an echo, and `/api/status` over HTTP.

Its ports come from the environment, as a worker's do. SIGTERM drains: new calls get 503, and
the process ends with its last call, or after `OFFHOOK_CALLS__DRAIN_S`.
"""

import asyncio
import json
import os
import signal

from edge_peer import SipPeer

DRAIN_POLL_S = 0.05


async def main() -> None:
    port = int(os.environ["OFFHOOK_SIP__PORT"])
    peer = await SipPeer.open("127.0.0.1", ("127.0.0.1", 9), "agent", port)
    peer.agent = "worker"
    max_calls = int(os.environ.get("OFFHOOK_CALLS__MAX_CALLS", "1000"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = {
            "active_calls": len(peer.calls), "answered": peer.answered, "ended": peer.ended,
            "max_calls": max_calls,
        }  # fmt: skip
        body = json.dumps(status).encode()
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    http = int(os.environ["OFFHOOK_SERVER__PORT"])
    server = await asyncio.start_server(answer, "127.0.0.1", http)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    async with server:
        await stopping.wait()
        peer.refuse = 503
        limit_s = float(os.environ.get("OFFHOOK_CALLS__DRAIN_S", "5"))
        async with asyncio.timeout(limit_s):
            while peer.calls:
                await asyncio.sleep(DRAIN_POLL_S)
    peer.close()


if __name__ == "__main__":
    asyncio.run(main())
