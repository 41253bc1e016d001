"""Chromium without a screen, for tests of pages: chromedriver's own protocol, no library.

`browser(width)` gives a `Browser`, or skips the test by name where Chromium or chromedriver is not
installed.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_WAIT = 20.0
"""Seconds that Chromium may take to start on a busy machine."""


class Browser:
    """One page in one window."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, path: Path) -> None:
        _ask("POST", f"{self._session}/url", {"url": path.as_uri()})

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript function body."""
        return _ask("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def console(self) -> list[str]:
        """Return the messages of the console of severity warning or worse."""
        entries = _ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def prefer(self, scheme: str) -> None:
        """Ask for the page's ``light`` or ``dark`` colours."""
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        _ask(
            "POST",
            f"{self._session}/goog/cdp/execute",
            {"cmd": "Emulation.setEmulatedMedia", "params": media},
        )


@contextmanager
def browser(width: int, height: int = 900) -> Iterator[Browser]:
    chromium = next((found for found in map(shutil.which, _PROGRAMS) if found), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium and chromedriver")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as profile:
        server = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _until_ready(address)
            options = {
                "binary": chromium,
                "args": [*_SWITCHES, f"--user-data-dir={profile}"],
                "mobileEmulation": {
                    "deviceMetrics": {
                        "width": width,
                        "height": height,
                        "pixelRatio": 1.0,
                        "mobile": False,
                    }
                },
            }
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            made = _ask("POST", f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
            session = f"{address}/session/{made['sessionId']}"
            try:
                yield Browser(session)
            finally:
                _ask("DELETE", session)
        finally:
            server.terminate()
            server.wait()


def _until_ready(address: str) -> None:
    until = time.monotonic() + _WAIT
    while True:
        try:
            if _ask("GET", f"{address}/status")["ready"]:
                return
        except URLError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


def _ask(method: str, address: str, body: dict[str, Any] | None = None) -> Any:
    request = Request(
        address, method=method, data=None if body is None else json.dumps(body).encode()
    )
    with build_opener(ProxyHandler({})).open(request, timeout=_WAIT) as answer:
        return json.load(answer)["value"]
