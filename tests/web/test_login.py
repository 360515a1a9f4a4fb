"""Who may use the HTTP interface, asked over a real server and by a real browser."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, expect
from recorded_box import CALL_ID, RecordedBox, recorded_box

from agent.config import ServerConfig
from agent.web.login import Access
from agent.web.sessions import (
    ADDRESS_LIMIT,
    GUESS_LIMIT,
    GUESS_WINDOW_S,
    LIFETIME_S,
    SESSION_LIMIT,
    Guesses,
    Sessions,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "a token for this test alone"
LIMIT_S = 15
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[tuple[RecordedBox, httpx2.AsyncClient]]:
    async with recorded_box(folder, {"token": TOKEN}) as (box, url):
        async with httpx2.AsyncClient(base_url=url, timeout=LIMIT_S) as http:
            yield box, http


async def sign_in(http: httpx2.AsyncClient, token: Any = TOKEN, **headers: str) -> httpx2.Response:
    return await http.post("/api/login", json={"token": token}, headers={**OWN_PAGE, **headers})


async def test_a_session_begins_with_the_token_and_ends_with_signing_out(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        assert (await http.get("/api/records/calls")).status_code == 401
        assert (await http.get("/api/session")).json() == {
            "token_needed": True,
            "signed_in": False,
        }
        signed = await sign_in(http)
        cookie = signed.headers["Set-Cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and "secure" not in cookie
        assert (await http.get("/api/records/calls")).status_code == 200
        assert (await http.get("/api/session")).json()["signed_in"]
        kept = dict(http.cookies)
        assert (await http.post("/api/logout", headers=OWN_PAGE)).status_code == 200
        http.cookies.update(kept)  # whoever copied it has nothing any more
        assert (await http.get("/api/records/calls")).status_code == 401


async def test_behind_https_the_cookie_never_goes_without(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        signed = await sign_in(http, **{"X-Forwarded-Proto": "https"})
        assert "secure" in signed.headers["Set-Cookie"].lower()


async def test_the_token_itself_is_never_in_the_cookie(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        names = [(await sign_in(http)).headers["Set-Cookie"].split(";")[0] for _ in range(3)]
        assert len(set(names)) == 3
        assert not any(TOKEN in name for name in names)


OTHER_PAGES: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {},
)


async def test_another_page_changes_nothing_by_a_session(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        await sign_in(http)
        for headers in OTHER_PAGES:
            for path in ("/v1/calls", "/v1/calls/abc/say", "/api/offer", "/api/logout"):
                answer = await http.post(path, json={}, headers=headers)
                assert answer.status_code == 403, (path, headers)
            assert (await http.delete("/v1/calls/abc", headers=headers)).status_code == 403
        assert (await http.get("/api/records/calls")).status_code == 200, "still signed in"


async def test_the_boxs_own_page_changes_things_by_a_session(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        await sign_in(http)
        # 404: let in, and there is no such call.
        named = {"Origin": str(http.base_url).rstrip("/")}
        for headers in (OWN_PAGE, named, {**named, **OWN_PAGE}):
            answer = await http.post("/v1/calls/abc/say", json={"text": "a"}, headers=headers)
            assert answer.status_code == 404
        forged = {"Origin": "https://evil.example"}
        assert (await http.post("/v1/calls/abc/say", headers=forged)).status_code == 403


async def test_a_program_shows_the_token_and_needs_no_page(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        assert (await http.post("/v1/calls/abc/say", json={"text": "a"})).status_code == 404
        http.headers["Authorization"] = f"bearer {TOKEN}"
        assert (await http.get("/api/records/calls")).status_code == 200
        http.headers["Authorization"] = TOKEN
        assert (await http.get("/api/records/calls")).status_code == 401


async def test_a_wrong_token_is_not_covered_by_a_session(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        await sign_in(http)
        wrong = {"Authorization": "Bearer another"}
        assert (await http.get("/api/records/calls", headers=wrong)).status_code == 401


@pytest.mark.parametrize("door", ["login", "bearer"])
async def test_guessing_is_slowed_at_either_door(tmp_path: Path, door: str) -> None:
    async with guarded(tmp_path) as (_, http):
        for number in range(GUESS_LIMIT):
            if door == "login":
                answer = await sign_in(http, f"guess {number}")
            else:
                headers = {"Authorization": f"Bearer guess {number}"}
                answer = await http.get("/api/records/calls", headers=headers)
            assert answer.status_code == 401
        late = await sign_in(http)
        assert late.status_code == 429
        assert 0 < int(late.headers["Retry-After"]) <= GUESS_WINDOW_S
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert (await http.get("/api/records/calls", headers=right)).status_code == 429


async def test_asking_without_a_token_is_no_guess(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        for _ in range(2 * GUESS_LIMIT):
            assert (await http.get("/api/records/calls")).status_code == 401
        assert (await sign_in(http)).status_code == 200


async def test_a_body_that_is_no_login_is_told_what_one_is(tmp_path: Path) -> None:
    bodies = (b"", b"token", b'{"token": 7}', b'["token"]', b"{}", b"[" * 3000, b"\xff")
    async with guarded(tmp_path) as (_, http):
        for body in bodies:
            answer = await http.post("/api/login", content=body, headers=OWN_PAGE)
            assert answer.status_code == 400, body
            assert "token" in answer.json()["error"]


async def test_a_body_without_end_is_refused(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, http):
        answer = await http.post("/api/login", content=b" " * 5000, headers=OWN_PAGE)
        assert answer.status_code == 413
        answer = await http.post("/api/login", content=b'{"token": "\\ud800"}', headers=OWN_PAGE)
        assert answer.status_code == 401


async def test_a_box_on_loopback_without_a_token_needs_no_login(tmp_path: Path) -> None:
    async with recorded_box(tmp_path) as (_, url):
        async with httpx2.AsyncClient(base_url=url, timeout=LIMIT_S) as http:
            assert (await http.get("/api/records/calls")).status_code == 200
            assert (await http.get("/api/session")).json() == {
                "token_needed": False,
                "signed_in": False,
            }
            assert (await sign_in(http)).status_code == 409


async def test_neither_token_nor_session_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with guarded(tmp_path) as (_, http):
        session = dict((await sign_in(http)).cookies)
        await sign_in(http, "a guess of somebody")
        await http.get("/api/records/calls")
    (name,) = session.values()
    # The test's own client tells all it sends.
    ours = [r for r in caplog.records if not r.name.startswith(("httpx2", "httpcore2"))]
    assert ours
    for secret in (TOKEN, name, "a guess of somebody"):
        assert not [record for record in ours if secret in f"{record.getMessage()} {vars(record)}"]


# -- sessions and guesses, with time as an argument


async def test_a_session_lasts_so_long_and_no_longer() -> None:
    sessions = Sessions()
    name = sessions.begin(100.0)
    assert sessions.knows(name, 100.0 + LIFETIME_S - 1)
    assert not sessions.knows(name, 100.0 + LIFETIME_S)
    assert not sessions.knows("", 100.0)


async def test_the_oldest_session_gives_way() -> None:
    sessions = Sessions()
    names = [sessions.begin(float(number)) for number in range(SESSION_LIMIT + 1)]
    assert not sessions.knows(names[0], SESSION_LIMIT)
    assert all(sessions.knows(name, SESSION_LIMIT) for name in names[1:])


async def test_guesses_are_forgotten_after_a_while() -> None:
    guesses = Guesses()
    for at_s in range(GUESS_LIMIT):
        assert guesses.wait_s("192.0.2.1", at_s) == 0
        guesses.wrong("192.0.2.1", at_s)
    assert guesses.wait_s("192.0.2.1", GUESS_LIMIT) == GUESS_WINDOW_S - GUESS_LIMIT
    assert guesses.wait_s("192.0.2.2", GUESS_LIMIT) == 0
    assert guesses.wait_s("192.0.2.1", GUESS_WINDOW_S) == 0


async def test_a_whole_ipv6_network_guesses_as_one() -> None:
    guesses = Guesses()
    for number in range(GUESS_LIMIT):
        guesses.wrong(f"2001:db8:0:1::{number:x}", 0)
    assert guesses.wait_s("2001:db8:0:1:ffff::1", 1) > 0
    assert guesses.wait_s("2001:db8:0:2::1", 1) == 0
    for _ in range(GUESS_LIMIT):
        guesses.wrong("::ffff:192.0.2.7", 0)
    assert guesses.wait_s("192.0.2.7", 1) > 0
    assert guesses.wait_s("::ffff:192.0.2.8", 1) == 0


async def test_addresses_without_end_are_not_kept() -> None:
    guesses = Guesses()
    for number in range(ADDRESS_LIMIT + 5):
        guesses.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0)
    assert len(guesses._at_s) == ADDRESS_LIMIT


async def test_two_boxes_of_a_host_keep_their_sessions_apart() -> None:
    names = {Access(ServerConfig(port=port))._cookie for port in (7860, 7861)}
    assert len(names) == 2


# -- the page


async def test_whoever_asks_for_a_page_signs_in_first_and_comes_back_to_it(
    browser: Browser, tmp_path: Path
) -> None:
    async with recorded_box(tmp_path, {"token": TOKEN}) as (box, url):
        box.fill(2)
        context = await browser.new_context()
        page = await context.new_page()
        defects: list[str] = []
        page.on("pageerror", lambda error: defects.append(str(error)))
        await page.goto(f"{url}call.html?id={CALL_ID}")
        await expect(page.get_by_test_id("login-form")).to_be_visible()
        await page.get_by_test_id("token").fill("not this one")
        await page.get_by_test_id("sign-in").click()
        await expect(page.get_by_test_id("error")).to_contain_text("not the box's token")
        await expect(page.get_by_test_id("token")).to_be_focused()
        await expect(page.get_by_test_id("token")).to_have_value("")
        if folder := os.environ.get("OFFHOOK_SCREENSHOTS"):
            await page.screenshot(path=Path(folder) / "login.png")
        await page.get_by_test_id("token").fill(TOKEN)
        await page.get_by_test_id("sign-in").click()
        await expect(page.get_by_test_id("title")).to_contain_text("+15550142424")
        assert page.url.endswith(f"call.html?id={CALL_ID}")
        cookies = await context.cookies()
        assert [(c["httpOnly"], c["sameSite"]) for c in cookies] == [(True, "Strict")]
        assert await page.evaluate("document.cookie") == ""
        await page.get_by_test_id("sign-out").click()
        await expect(page.get_by_test_id("login-form")).to_be_visible()
        assert await context.cookies() == []
        await page.goto(f"{url}calls.html")
        await expect(page.get_by_test_id("login-form")).to_be_visible()
        assert not defects
        await context.close()


async def test_the_token_in_the_talk_pages_address_signs_in_to_the_other_pages(
    browser: Browser, tmp_path: Path
) -> None:
    async with recorded_box(tmp_path, {"token": TOKEN}) as (box, url):
        box.fill(2)
        page = await browser.new_page()
        await page.goto(f"{url}#token={TOKEN}")
        await page.get_by_role("link", name="Calls").click()
        await expect(page.get_by_test_id("calls").locator("tbody tr")).to_have_count(3)
        await page.close()


FOLLOWING = {
    "costs.html": "costs.html",
    "call.html?id=c0ffee0042ab": "call.html?id=c0ffee0042ab",
    "calls.html?since=2026-01-02T03%3A04&text=a+b": "calls.html?since=2026-01-02T03%3A04&text=a+b",
    "//evil.example": "calls.html",
    "https://evil.example/a.html": "calls.html",
    "javascript:alert(1)": "calls.html",
    "\\\\evil.example/a.html": "calls.html",
    "login.html?next=login.html": "calls.html",
    "": "calls.html",
}


async def test_signing_in_leads_to_a_page_of_this_box_alone(
    browser: Browser, tmp_path: Path
) -> None:
    async with recorded_box(tmp_path) as (_, url):
        page = await browser.new_page()
        await page.goto(f"{url}favicon.svg")
        led = await page.evaluate(
            """async (wanted) => {
                const { destination } = await import("/operator.js");
                return wanted.map((next) => destination(`?next=${encodeURIComponent(next)}`));
            }""",
            list(FOLLOWING),
        )
        assert led == list(FOLLOWING.values())
        await page.close()
