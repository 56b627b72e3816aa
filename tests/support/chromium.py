"""A page in headless Chromium, over its DevTools protocol on a pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

OVERFLOW = """
(() => {
  const width = document.documentElement.clientWidth, wide = [];
  if (document.documentElement.scrollWidth > width) wide.push('the page');
  for (const each of document.querySelectorAll('body *')) {
    if (each.closest('.scrolls') && !each.matches('.scrolls')) continue;
    const box = each.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1))
      wide.push(each.tagName + ' ' + (each.textContent || '').trim().slice(0, 40));
  }
  return wide;
})()
"""
"""What is wider than the window and does not scroll by itself."""

CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((c, k) => c * top[3] + under[k] * (1 - top[3]));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map(
      (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  const page = rgba(getComputedStyle(document.body).backgroundColor).slice(0, 3);
  const bad = [], seen = {};
  for (const each of document.querySelectorAll('body *')) {
    const own = [...each.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || each.tagName === 'title') continue;
    const style = getComputedStyle(each), svg = each.namespaceURI.endsWith('svg');
    let back = page;
    if (svg) {  // a text over a mark: the mark that is drawn there
      const box = each.getBoundingClientRect();
      const middle = [box.x + box.width / 2, box.y + box.height / 2];
      for (const mark of each.ownerSVGElement.querySelectorAll('path')) {
        const m = mark.getBoundingClientRect(), fill = getComputedStyle(mark);
        if (fill.fill === 'none' || m.left > middle[0] || m.right < middle[0]
            || m.top > middle[1] || m.bottom < middle[1]) continue;
        const colour = rgba(fill.fill); colour[3] *= +fill.opacity; back = over(colour, back);
      }
    }
    const front = rgba(svg ? style.fill : style.color); front[3] *= +style.opacity;
    const found = ratio(over(front, back), back), key = style.color + style.fill + back;
    if (found < 4.5 && !seen[key])
      bad.push(each.tagName + ' ' + each.textContent.trim().slice(0, 30) + ' ' + found.toFixed(2));
    seen[key] = true;
  }
  return bad;
})()
"""
"""Texts with less than 4.5 : 1 to what lies behind them (WCAG 2.2, 1.4.3, level AA)."""


def found() -> str | None:
    """The browser, where there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """A tab that is told what to do."""

    def __init__(self, send, receive):
        self._send, self._receive, self._last = send, receive, 0
        self.errors: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = None
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self(f"{domain}.enable")

    _session = None

    def __call__(self, method, **parameters):
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._send(message)
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def open(self, path: Path, *, width: int, dark: bool = False, media: str = "screen") -> float:
        """Open a page; the seconds until it is loaded and drawn."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
             mobile=False)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media=media, features=[scheme])
        begin = time.monotonic()
        self("Page.navigate", url=path.absolute().as_uri())
        while self.run("document.readyState") != "complete":
            time.sleep(0.02)
        self.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))")
        return time.monotonic() - begin

    def run(self, script: str):
        """The value of a script in the page."""
        said = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def shoot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        shot = self("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _note(self, event):
        if event.get("method") == "Log.entryAdded":
            entry = event["params"]["entry"]
            if entry["level"] == "error":
                self.errors.append(entry["text"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(event["params"]))
        if event.get("method") == "Runtime.consoleAPICalled":
            self.errors.append(str(event["params"]["args"]))


@contextmanager
def tab(folder: Path):
    """A tab of a browser that keeps its files in ``folder``, and is gone afterwards."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = [found(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
               "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
               f"--user-data-dir={folder}"]  # fmt: skip

    def only_the_pipe():
        low, high = os.dup(theirs_in), os.dup(theirs_out)
        os.dup2(low, 3)
        os.dup2(high, 4)

    browser = subprocess.Popen(
        command, preexec_fn=only_the_pipe, close_fds=False, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    buffer = bytearray()

    def send(message):
        os.write(ours_out, json.dumps(message).encode() + b"\0")

    def receive():
        while b"\0" not in buffer:
            part = os.read(ours_in, 1 << 20)
            assert part, "the browser ended"
            buffer.extend(part)
        text, _, rest = bytes(buffer).partition(b"\0")
        buffer[:] = rest
        return json.loads(text)

    try:
        yield Tab(send, receive)
    finally:
        browser.terminate()
        browser.wait(20)
        os.close(ours_in)
        os.close(ours_out)
