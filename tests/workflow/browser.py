"""Headless Chromium, driven by the WebDriver protocol (JSON over HTTP) of Debian's chromedriver."""

import base64
import json
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1500,1000",
)
# Requests go to this machine, whatever proxy the environment names.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def missing() -> str:
    """Why there is no browser, empty where there is one."""
    lacking = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    return f"{' and '.join(lacking)} not installed (Debian: chromium-driver)" if lacking else ""


class Browser:
    """A browser with one page: `with Browser(tmp_path) as browser`."""

    def __init__(self, folder: Path) -> None:
        """Start one that keeps its profile in an empty folder."""
        self.profile = folder / "profile"
        self.driver = subprocess.Popen(
            [shutil.which("chromedriver"), "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"HOME": str(folder)},
        )
        port = next(
            found[1]
            for line in self.driver.stdout
            if (found := re.search(r"started successfully on port (\d+)", line))
        )
        self.address = f"http://127.0.0.1:{port}/session"
        chrome = {"args": [*OPTIONS, f"--user-data-dir={self.profile}"]}
        chrome["binary"] = shutil.which("chromium")
        wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        try:
            session = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self.driver.kill()
            raise
        self.address += f"/{session['sessionId']}"

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()

    def _call(self, method: str, path: str, body: dict | None = None) -> Any:
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.address + path, data, method=method)
        try:
            with OPENER.open(request, timeout=300) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None

    def open(self, path: Path) -> None:
        """Show a file."""
        self._call("POST", "/url", {"url": path.resolve().as_uri()})

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns, or what its promise becomes."""
        return self._call("POST", "/execute/sync", {"script": script, "args": arguments})

    def enter(self, selector: str | None) -> None:
        """Go into a frame of the page, or back to the page."""
        found = None
        if selector is not None:
            how = {"using": "css selector", "value": selector}
            found = self._call("POST", "/element", how)
        self._call("POST", "/frame", {"id": found})

    def console(self) -> list[dict]:
        """What was written to the console since the last time: `level` and `message`."""
        return self._call("POST", "/se/log", {"type": "browser"})

    def resize(self, width: int, height: int) -> None:
        """Make the window so large."""
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def screenshot(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self._call("GET", "/screenshot"))
