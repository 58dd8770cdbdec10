"""Brings a file over HTTP and goes on where an earlier attempt broke off, as a downloader for pooch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHUNK = 1 << 14  # bytes; a chunk that did not come whole is lost
TIMEOUT = 30  # s without a byte


def resuming(part: Path, size: int) -> Callable[[str, Any, Any], None]:
    """A downloader that gathers `size` bytes in `part` and hands them over when all have come.

    What came before the line broke stays in `part`, and the next attempt asks for the rest (a `Range` request, RFC
    9110).  A server that does not serve ranges sends all again, and `part` starts anew.  Whether the bytes are the
    right ones is pooch's to check: what is wrong goes, so two halves of different files never meet twice.
    """

    def download(url: str, output_file: Any, _pooch: Any) -> None:
        import requests

        have = part.stat().st_size if part.exists() else 0
        if have >= size:
            part.unlink()
            have = 0
        asked = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}
        with requests.get(url, headers=asked, stream=True, timeout=TIMEOUT) as answer:
            answer.raise_for_status()
            with part.open("ab" if have and answer.status_code == 206 else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    if file.tell() > size:
                        break  # it is not that file; pooch will say so
        came = part.stat().st_size
        if came < size:
            raise requests.ConnectionError(f"the connection ended after {came} of {size} bytes, which are kept")
        os.replace(part, output_file)

    return download
