"""The list of workers that the edge reads."""

from pathlib import Path

from telephony.edge.dispatcher import Destination, list_text, write_list

WORKERS = (Destination("127.0.0.1", 5070), Destination("::1", 5072, takes_calls=False))


def test_workers_are_probed_and_leaving_ones_get_no_new_call() -> None:
    assert list_text(WORKERS) == "1 sip:127.0.0.1:5070 8 0\n1 sip:[::1]:5072 4 0\n"


def test_trunks_and_comments_of_the_operator_stay(tmp_path: Path) -> None:
    path = tmp_path / "dispatcher.list"
    path.write_text("# mine\n1 sip:127.0.0.1:9 8 0\n\n2 sip:sip.example.com 0 10\n12 sip:x 0 0\n")
    write_list(path, WORKERS[:1])
    kept = "# mine\n\n2 sip:sip.example.com 0 10\n12 sip:x 0 0\n"
    assert path.read_text() == kept + "1 sip:127.0.0.1:5070 8 0\n"
    write_list(path, ())
    assert path.read_text() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["dispatcher.list"]


def test_a_missing_list_is_made(tmp_path: Path) -> None:
    write_list(tmp_path / "dispatcher.list", WORKERS[:1])
    assert (tmp_path / "dispatcher.list").read_text() == "1 sip:127.0.0.1:5070 8 0\n"
