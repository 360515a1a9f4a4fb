"""Who may use the HTTP interface: the token as a bearer's, or a session that began with it.

A browser shows the token once (``POST /api/login``) and gets a cookie that no script can read and
that no other site's page can have sent along. What such a cookie lets in must come from a page of
the box itself where it changes anything.
"""

import hmac
import json
import math
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from agent.config import ServerConfig
from agent.web.body import read_body
from agent.web.sessions import LIFETIME_S, Guesses, Sessions

BODY_LIMIT_BYTES = 4 * 1024
OPEN_PATHS = frozenset({"/api/login", "/api/logout", "/api/session"})
"""Asked for by browsers that are not signed in."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Those that change nothing (RFC 9110, 9.2.1)."""
SCHEME = "bearer "


class Access:
    """The token's keeper; lives on one event loop."""

    def __init__(self, config: ServerConfig, now_s: Callable[[], float] = time.monotonic) -> None:
        self._token = None if config.token is None else config.token.get_secret_value()
        # Cookies are shared by all ports of a host, and several boxes may run on one.
        self._cookie = f"offhook_{config.port}"
        self._now_s = now_s
        self._sessions = Sessions()
        self._guesses = Guesses()

    def refusal(self, request: Request) -> Response | None:
        """Why a request for something guarded is not served; None where it may be."""
        if self._token is None or request.url.path in OPEN_PATHS:
            return None
        shown = request.headers.get("Authorization")
        if shown is not None:
            return self._refused_token(request, shown[len(SCHEME) :] if _is_bearer(shown) else "")
        if not self._signed_in(request):
            return _error(401, "show the box's token: Authorization: Bearer TOKEN")
        if request.method not in SAFE_METHODS and not from_own_page(request):
            return _error(403, "a signed-in browser changes things from the box's own pages alone")
        return None

    def routes(self) -> APIRouter:
        """Signing in and out."""
        routes = APIRouter(prefix="/api")

        @routes.get("/session")
        async def session(request: Request) -> dict[str, bool]:
            return {
                "token_needed": self._token is not None,
                "signed_in": self._token is not None and self._signed_in(request),
            }

        @routes.post("/login")
        async def login(request: Request) -> Response:
            body = await read_body(request, BODY_LIMIT_BYTES)
            if body is None:
                return _error(413, f"the body is over {BODY_LIMIT_BYTES // 1024} KiB")
            token = _token_in(body)
            if token is None:
                return _error(400, 'the body must be JSON: {"token": "..."}')
            if self._token is None:
                return _error(409, "this box asks for no token; set OFFHOOK_TOKEN to have it")
            if not from_own_page(request):
                return _error(403, "sign in from the box's own page")
            if (refused := self._refused_token(request, token)) is not None:
                return refused
            return self._signed(request)

        @routes.post("/logout")
        async def logout(request: Request) -> Response:
            if not from_own_page(request):
                return _error(403, "sign out from the box's own page")
            self._sessions.end(request.cookies.get(self._cookie, ""))
            response = JSONResponse({"signed_in": False})
            response.delete_cookie(self._cookie, httponly=True, samesite="strict")
            return response

        return routes

    def _signed_in(self, request: Request) -> bool:
        return self._sessions.knows(request.cookies.get(self._cookie, ""), self._now_s())

    def _signed(self, request: Request) -> Response:
        response = JSONResponse({"signed_in": True})
        response.set_cookie(
            self._cookie,
            self._sessions.begin(self._now_s()),
            max_age=int(LIFETIME_S),
            httponly=True,
            samesite="strict",
            # Over plain HTTP a browser would not keep it.
            secure=request.url.scheme == "https",
        )
        return response

    def _refused_token(self, request: Request, token: str) -> Response | None:
        address = request.client.host if request.client else "unknown"
        wait_s = math.ceil(self._guesses.wait_s(address, self._now_s()))
        if wait_s > 0:
            said = f"too many wrong tokens from {address}; try again in {wait_s} s"
            return _error(429, said, {"Retry-After": str(wait_s)})
        # JSON may hold half a surrogate pair, which is no token, and no fault of ours.
        given = token.encode("utf-8", "surrogatepass")
        if hmac.compare_digest(given, (self._token or "").encode()):
            return None
        self._guesses.wrong(address, self._now_s())
        return _error(401, "that is not the box's token; OFFHOOK_TOKEN or [server] has it")


def from_own_page(request: Request) -> bool:
    """Whether a page of the box itself sent it, by what browsers let no page forge.

    Where neither header is there, no browser sent it that any of this protects.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("Host")


def _is_bearer(shown: str) -> bool:
    return shown[: len(SCHEME)].lower() == SCHEME


def _token_in(body: bytes) -> str | None:
    try:
        token = json.loads(body)["token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return token if isinstance(token, str) else None


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status, headers=headers)
