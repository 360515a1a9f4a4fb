"""Answers to digest challenges, against the examples of the standards."""

import pytest

from latency_bench.sip.credentials import Credentials, CredentialsRefused
from latency_bench.sip.dialog import Outgoing
from latency_bench.sip.digest import DigestError, authorization, parse_challenge
from latency_bench.sip.message import Response, parse
from latency_bench.target import Target

RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    value = authorization(
        parse_challenge([RFC_7616.format(algorithm)]),
        username="Mufasa",
        password="Circle of Life",
        method="GET",
        uri="/dir/index.html",
        client_nonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert f'response="{response}"' in value
    assert "qop=auth, nc=00000001" in value
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in value


def test_the_example_without_qop_of_rfc_2617s_ancestor() -> None:
    # RFC 2069, section 2.4, with the correction of its errata.
    challenge = parse_challenge(
        [
            'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        ]
    )
    value = authorization(
        challenge,
        username="Mufasa",
        password="CircleOfLife",
        method="GET",
        uri="/dir/index.html",
        client_nonce="unused",
    )
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in value
    assert "cnonce" not in value


def test_the_stronger_of_two_is_taken() -> None:
    challenge = parse_challenge([RFC_7616.format("MD5"), RFC_7616.format("SHA-256")])
    assert challenge.algorithm == "SHA-256"


@pytest.mark.parametrize(
    "values",
    [
        [],
        ['Basic realm="r"'],
        ['Digest realm="r", nonce="n", algorithm=AKAv1-MD5'],
        ['Digest realm="r", nonce="n", qop="auth-int"'],
        ['Digest realm="r"'],
    ],
)
def test_what_cannot_be_answered_is_told(values: list[str]) -> None:
    with pytest.raises(DigestError, match="digest with MD5 or SHA-256"):
        parse_challenge(values)


def _challenge(stale: bool = False) -> Response:
    message = parse(
        'SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm="r", nonce="n"'
        f"{', stale=TRUE' if stale else ''}\r\n\r\n".encode()
    )
    assert isinstance(message, Response)
    return message


def _sent(*lines: str) -> Outgoing:
    return Outgoing("INVITE", "b", "sip:a@h", "\r\n".join(lines).encode())


def test_the_same_answer_is_not_given_twice_unless_it_came_too_late() -> None:
    credentials = Credentials(Target("sip", "sip:a@h", username="joe", password="pw"))
    credentials.challenged(_challenge(), _sent())
    assert len(credentials.lines) == 1 and "pw" not in credentials.lines[0]
    again = _sent(*credentials.lines)
    credentials.challenged(_challenge(stale=True), again)
    assert len(credentials.lines) == 1
    with pytest.raises(CredentialsRefused, match="does not take the password of 'joe'"):
        credentials.challenged(_challenge(), _sent(*credentials.lines))
