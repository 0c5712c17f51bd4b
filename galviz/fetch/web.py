"""Requests to the archive: https to its own hosts only, and no more of them than it wants.

urllib3 is used without its conveniences: redirects are followed by hand and checked one by one, nothing is tried
again behind our back, and neither proxies nor passwords are taken from the environment or from files. The
certificates of the system are trusted, or those that SSL_CERT_FILE names.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError, SSLError
from urllib3.response import BaseHTTPResponse, HTTPResponse
from urllib3.util import Timeout, Url, parse_url

from galviz.errors import FetchError
from galviz.version import __version__

HOST = "zenodo.org"
_LOCAL = "127.0.0.1"
_REDIRECTS = 5
_PIECE = 1 << 20  # bytes taken from the network at once, at most
_HEADERS = {"User-Agent": f"galviz/{__version__}", "Accept-Encoding": "identity"}
_MOVED = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_PASSING = (408, 425, 500, 502, 504, *_BUSY)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Clock:
    """The time in seconds since 1970, a time that never goes back, and the way to wait."""

    date: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Limits:
    """How much is asked for at once, in bytes, and how long we are patient, in seconds.

    At least `least` bytes arrive within `patience`, else the archive trickles. After `tries` setbacks in a row
    without that many bytes between them we give up; of a wait longer than `longest` we only tell.
    """

    chunk: int = 64 << 20
    least: int = 1 << 20
    patience: float = 120.0
    tries: int = 6
    longest: float = 900.0
    connect: float = 20.0
    read: float = 30.0


class Setback(Exception):
    """A request that failed and may succeed when it is made again, after `wait` seconds where the archive said so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Connection(HTTPConnection):
    """A connection that is cut when the head of an answer takes longer than twice what is allowed between bytes."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        late = threading.Event()
        timer = threading.Timer(2 * float(self.timeout or 0), self._cut, [late])
        timer.start()
        try:
            response = super().getresponse()
        finally:
            timer.cancel()
        if late.is_set():
            response.close()
            raise TimeoutError("the answer did not begin in time")
        return response

    def _cut(self, late: threading.Event) -> None:
        late.set()
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _GuardedConnection(_Connection, HTTPSConnection):
    """The same by https."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _GuardedPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _GuardedConnection


@dataclass(frozen=True)
class Web:
    """The way to the archive; a `root` on this machine, for tests, is allowed in place of Zenodo, not beside it."""

    root: str = f"https://{HOST}"
    limits: Limits = Limits()
    clock: Clock = Clock()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[BaseHTTPResponse]:
        """The answer to a GET, its body not yet read; redirects are followed.

        Raises Setback when nothing answers, FetchError when the way leads elsewhere.
        """
        timeout = Timeout(connect=self.limits.connect, read=self.limits.read)
        with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
            pool.pool_classes_by_scheme = {"http": _Pool, "https": _GuardedPool}
            response = self._followed(pool, url, {**_HEADERS, **headers})
            try:
                yield response
            finally:
                response.close()

    def _followed(self, pool: urllib3.PoolManager, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        here = url
        for _ in range(_REDIRECTS + 1):
            host = self.check(here).host
            try:
                response = pool.request("GET", here, headers=headers, redirect=False, preload_content=False)
            except HTTPError as error:
                if isinstance(error, SSLError) and isinstance(error.args[0], ssl.SSLCertVerificationError):
                    raise FetchError(
                        f"The certificate of {host} is not to be trusted ({in_short(error)}); check the clock of this "
                        "machine and its certificates."
                    ) from error
                raise Setback(f"{host} does not answer ({in_short(error)})") from error
            if response.status not in _MOVED:
                return response
            response.close()
            here = _joined(here, response.headers.get("Location", ""))
        raise FetchError(f"{url} is redirected more than {_REDIRECTS} times; run the command again later.")

    def check(self, url: str) -> Url:
        """The parts of an address; raises FetchError unless it is one of the archive, by https."""
        try:
            parts = parse_url(url)
        except LocationParseError:
            raise FetchError(f"{url[:200]!r} is not an address; nothing is fetched from there.") from None
        root, host = parse_url(self.root), parts.host or ""
        if root.host == _LOCAL:
            allowed = parts[:4] == root[:4]
        else:
            ours = host == HOST or host.endswith(f".{HOST}")
            allowed = ours and parts.scheme == "https" and parts.auth is None and parts.port in (None, 443)
        if not allowed:
            raise FetchError(f"{url[:200]!r} is not an address of {HOST} with https; nothing is fetched from there.")
        return parts

    def body(self, response: BaseHTTPResponse, most: int) -> Iterator[bytes]:
        """The first `most` bytes of a body as they arrive; raises Setback when it breaks off or trickles."""
        begun, arrived = self.clock.monotonic(), 0
        while most > 0:
            try:
                data = response.read1(min(most, _PIECE), decode_content=False)
            except HTTPError as error:
                raise Setback(f"the connection broke ({in_short(error)})") from error
            if not data:
                return
            most -= len(data)
            yield data
            arrived += len(data)
            now = self.clock.monotonic()
            if arrived >= self.limits.least:
                begun, arrived = now, 0
            elif now - begun > self.limits.patience:
                raise Setback(f"only {arrived:,} bytes came in {now - begun:.0f} s")


ZENODO = Web()


def _joined(base: str, location: str) -> str:
    try:
        return urljoin(base, location)
    except ValueError:
        raise FetchError(f"{base} is redirected to {location[:200]!r}, which is not an address.") from None


def in_short(error: Exception) -> str:
    """The last words of an error, or of the error that it wraps."""
    wrapped = next((part for part in error.args if isinstance(part, Exception)), error)
    return " ".join(str(wrapped).rpartition(": ")[2].split()).strip(".")[:200] or type(wrapped).__name__


@dataclass
class Patience:
    """Waits before the next request as long as the archive wants, and counts setbacks in a row.

    `what` is being fetched; `say` hears of every second of waiting, and whatever it raises ends the wait.
    """

    web: Web
    what: str = ""
    say: Say = lambda words: None
    _setbacks: int = 0
    _not_before: float = float("-inf")  # on the monotonic clock
    _reason: str = ""

    def turn_to(self, what: str, say: Say) -> None:
        """Fetch something else from now on; a wait that the archive asked for stays."""
        self.what, self.say, self._setbacks = what, say, 0

    def ready(self) -> None:
        """Wait until the next request may be made; raises FetchError when that is too long."""
        clock, limit = self.web.clock, self.web.limits.longest
        if (left := self._not_before - clock.monotonic()) > limit:
            raise FetchError(
                f"{self._reason} and asks to wait {left:,.0f} s; what has arrived is kept, run the command again then."
            )
        while (left := self._not_before - clock.monotonic()) > 0:
            self.say(f"{self._reason}; going on in {left:.0f} s")
            clock.sleep(min(left, 1.0))

    def heed(self, response: BaseHTTPResponse) -> None:
        """Raise what an answer means other than 200, 206 and 416, and keep to the rate that it allows."""
        status, host = response.status, parse_url(self.web.root).host
        wait = _wait(response.headers, self.web.clock, used_up_only=status not in _BUSY)
        if status in _PASSING:
            raise Setback(f"{host} is busy" if status in _BUSY else f"{host} has an error ({status})", wait)
        if status in (401, 403):
            raise FetchError(f"{host} does not give {self.what} to everybody (status {status}); ask its authors.")
        if status in (404, 410):
            raise FetchError(f"{host} has no {self.what} (status {status}); look for it with a browser.")
        if status not in (200, 206, 416):
            raise FetchError(f"{host} answers with status {status} instead of {self.what}; try again later.")
        if wait:
            self._pause(wait, f"{host} allows no more requests now")

    def after(self, setback: Setback) -> None:
        """Note a setback; raises FetchError when there have been too many in a row."""
        self._setbacks += 1
        if self._setbacks >= self.web.limits.tries:
            raise FetchError(
                f"Fetching {self.what} failed {self._setbacks} times in a row, now since {setback}; what has arrived "
                "is kept, run the command again to go on."
            ) from setback
        backoff = min(2.0 ** (self._setbacks - 1), 60.0)
        self._pause(backoff if setback.wait is None else setback.wait, str(setback))

    def renew(self) -> None:
        """Begin to count anew, since something arrived."""
        self._setbacks = 0

    def _pause(self, seconds: float, reason: str) -> None:
        self._not_before, self._reason = self.web.clock.monotonic() + seconds, reason


def _wait(headers: Mapping[str, str], clock: Clock, *, used_up_only: bool) -> float | None:
    """The seconds to wait that an answer asks for: Retry-After, else until its rate limit begins anew.

    Zenodo sends these headers along with good answers too, where they count only when no request is left.
    """
    if used_up_only and headers.get("X-RateLimit-Remaining", "").strip() != "0":
        return None
    asked = headers.get("Retry-After", "").strip()
    seconds, date = _number(asked), _date(asked)
    if seconds is None and date is None:
        date = _number(headers.get("X-RateLimit-Reset", ""))
    return seconds if date is None else max(date - clock.date(), 0.0)


def _number(text: str) -> float | None:
    """A whole number of at most twelve digits."""
    return float(text) if re.fullmatch(r"[0-9]{1,12}", text.strip()) else None


def _date(text: str) -> float | None:
    """A date as HTTP writes it, in seconds since 1970."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
