"""The body of a request, up to a limit."""

from fastapi import Request


async def read_body(request: Request, limit_bytes: int) -> bytes | None:
    """The body, or None where it is over ``limit_bytes``; reads no more than that."""
    announced = request.headers.get("Content-Length", "0")
    if not announced.isdigit() or int(announced) > limit_bytes:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            return None
    return bytes(body)
