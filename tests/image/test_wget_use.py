"""The image's wget as a program: what it prints, where it writes, how it ends."""

from pathlib import Path

import pytest

from tests.image.pod import KEYS, LINE, TOKEN, Pod, answer, headers

CODES = {
    "401 Unauthorized": 6,
    "403 Forbidden": 8,
    "404 Not Found": 8,
    "429 Too Many Requests": 8,
    "500 Internal Server Error": 8,
}


@pytest.mark.parametrize(("status", "code"), CODES.items())
def test_code_of_a_status(pod: Pod, status: str, code: int) -> None:
    """A refusal ends with GNU wget's codes and prints nothing on stdout, so that no page is taken for keys."""
    done = pod.wget(*LINE, answers=answer(b"a page", status))

    assert (code, b"") == (done.code, done.out)
    assert status in done.err


def test_missing_right_is_named(pod: Pod) -> None:
    """A 403 of the API server says which ClusterRole is missing."""
    done = pod.wget(*LINE, answers=answer(b"", "403 Forbidden"))

    assert "system:service-account-issuer-discovery" in done.err


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        pytest.param(answer()[:-4], 4, "ended too early", id="half-a-body"),
        pytest.param(b"", 7, "Not HTTP", id="hangs-up"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", 7, "Not HTTP", id="not-http"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", 4, "ended too early", id="half-a-chunk"
        ),
    ],
)
def test_broken_answers(pod: Pod, answers: bytes, code: int, said: str) -> None:
    """Half an answer never looks like a whole one."""
    done = pod.wget(*LINE, answers=answers)

    assert code == done.code
    assert said in done.err


def test_nobody_listens(pod: Pod) -> None:
    """A refused connection ends with 4."""
    done = pod.wget(*LINE, listening=False)

    assert 4 == done.code
    assert "Connection refused" in done.err


def test_host_that_cannot_be(pod: Pod) -> None:
    """A name that no host can have ends like one that none has."""
    done = pod.wget("-O-", f"https://{'a' * 64}.example/")

    assert 4 == done.code


def test_chunked_answer(pod: Pod) -> None:
    """An answer without a length is printed whole."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n1\r\n\n\r\n0\r\n\r\n"

    assert (0, b"{}\n") == (pod.wget(*LINE, answers=chunked).code, pod.wget(*LINE, answers=chunked).out)


@pytest.mark.parametrize("arguments", [["-qO-"], ["-q", "-O", "-"], ["--quiet", "--output-document=-"]])
def test_ways_to_write_it(pod: Pod, arguments: list[str]) -> None:
    """The spellings that people's fingers know work, and quiet is quiet."""
    done = pod.wget(*arguments, LINE[1])

    assert (0, KEYS, "") == (done.code, done.out, done.err)


def test_into_a_file(pod: Pod) -> None:
    """-O writes the body to a file; without it the file is called as the URL ends."""
    named, unnamed = pod.wget("-O", "keys.json", LINE[1]), pod.wget(LINE[1])

    assert (0, 0) == (named.code, unnamed.code)
    assert (b"", KEYS, KEYS) == (named.out, Path("keys.json").read_bytes(), Path("jwks").read_bytes())


def test_file_that_cannot_be_written(pod: Pod) -> None:
    """A file that cannot be written ends with 3."""
    done = pod.wget("-O", "no/such/folder", LINE[1])

    assert 3 == done.code
    assert "no/such/folder: No such file or directory" in done.err


def test_without_credentials(pod: Pod) -> None:
    """Where no token is mounted it says which file it looked for, and asks nobody."""
    done = pod.wget(*LINE, K8S_CREDENTIALS_DIR="/nowhere")

    assert (3, []) == (done.code, done.peer.asked_for)
    assert "/nowhere/token: No such file or directory" in done.err


def test_headers_of_ones_own(pod: Pod) -> None:
    """--header adds one, or replaces ours: a token of one's own is sent instead of the mounted one."""
    done = pod.wget("--header", "Accept: text/plain", "--header=authorization: Bearer mine", *LINE)

    assert {"Accept": "text/plain", "authorization": "Bearer mine"}.items() <= headers(done).items()
    assert not done.told


def test_server_response(pod: Pod) -> None:
    """-S prints the headers of the answer, with nothing in them that a terminal would obey."""
    done = pod.wget("-S", *LINE, answers=answer(headers="X-Odd: \x1b[2J\r\n"))

    assert "  X-Odd: ?[2J\n" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-check-certificate", LINE[1]],
        ["--post-data=x", LINE[1]],
        ["--header", "no colon", LINE[1]],
        ["--header", "A: b\r\nC: d", LINE[1]],
        ["--header", "A b: c", LINE[1]],
        ["-T", "0", LINE[1]],
        [],
    ],
)
def test_bad_use(pod: Pod, arguments: list[str]) -> None:
    """What it does not know, and what would switch the check off, ends with 2 before anything is asked."""
    done = pod.wget(*arguments)

    assert (2, []) == (done.code, done.peer.asked_for)


def test_token_that_is_none(pod: Pod) -> None:
    """A token file with a line break in it cannot put a header into the request."""
    (Path(pod.env["K8S_CREDENTIALS_DIR"]) / "token").write_text(f"{TOKEN}\r\nX-Evil: 1")
    done = pod.wget(*LINE)

    assert (3, []) == (done.code, done.peer.asked_for)
