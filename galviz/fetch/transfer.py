"""Files of a record into a folder: in parts, so that at most one of them is asked for again after an interruption."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path

from urllib3.response import BaseHTTPResponse

from galviz.disk import free_at, held, room, size_in_words
from galviz.errors import FetchError
from galviz.fetch.partial import Partial, md5_of
from galviz.fetch.records import RemoteFile
from galviz.fetch.web import Clock, Patience, Setback
from galviz.progress import Progress

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class Meter:
    """Tells progress in bytes; the fraction is that of what this run has to fetch, so that the time left is right."""

    def __init__(self, progress: Progress, clock: Clock, total: int, files: int) -> None:
        self._progress, self._clock, self._total, self._files = progress, clock, total, files
        self._done = self._number = 0

    def file(self, remote: RemoteFile) -> None:
        """Turn to the next file."""
        self._number += 1
        of = f" ({self._number} of {self._files})" if self._files > 1 else ""
        self._remote, self._title = remote, f"{remote.name}{of}"
        self._begun, self._arrived = self._clock.monotonic(), 0

    def arrived(self, more: int, size: int) -> None:
        """Note `more` bytes of this file; now there are `size` of them."""
        self._done += more
        self._arrived += more
        seconds = self._clock.monotonic() - self._begun
        rate = f", {size_in_words(self._arrived / seconds)}/s" if seconds > 0 else ""
        self.say(f"{size_in_words(size)} of {size_in_words(self._remote.size)}{rate}")

    def checked(self, size: int) -> None:
        """Tell that the first `size` bytes of this file were read again."""
        self.say(f"checked {size_in_words(size)} that are there")
        self._begun = self._clock.monotonic()

    def say(self, words: str) -> None:
        """Tell of something else; whatever the listener raises ends the work."""
        self._progress(self._done / self._total if self._total else 1.0, f"{self._title}: {words}")


def download_files(patience: Patience, files: Sequence[RemoteFile], folder: Path, progress: Progress) -> list[Path]:
    """Fetch the files that are not in `folder` yet, one after the other, and return where all of them are.

    What has arrived is kept whatever happens, and the next run goes on with it. Raises FetchError when a file cannot be
    had or is not the one that its record describes, GalvizError when the disk is full, and what `progress` raises.
    """
    files, web = list(dict.fromkeys(files)), patience.web
    with held(folder) as alone:
        if not alone:
            raise FetchError(
                f"Another galviz fetches files to {folder}; wait until it is done, or name another folder."
            )
        partials = {
            file: Partial(folder, file, web.limits.chunk) for file in files if not (folder / file.name).exists()
        }
        needed = sum(file.size - partial.size for file, partial in partials.items())
        with room(folder, needed, left="what has arrived is kept"):
            if needed > free_at(folder):
                raise OSError(errno.ENOSPC, "No space left on device", str(folder))
            meter = Meter(progress, web.clock, needed, len(files))
            for file in sorted(files, key=partials.__contains__):
                meter.file(file)
                if file in partials:
                    _fetch(patience, partials[file], meter)
                else:
                    _check_there(folder / file.name, file, meter)
    return [folder / file.name for file in files]


def _check_there(path: Path, remote: RemoteFile, meter: Meter) -> None:
    """Raise FetchError unless a file that was there before is the published one."""
    same = path.is_file() and path.stat().st_size == remote.size
    if not same or md5_of(path, meter.checked) != remote.md5:
        raise FetchError(f"{path} is there and is not the published file; move it away or choose another folder.")


def _fetch(patience: Patience, partial: Partial, meter: Meter) -> None:
    patience.turn_to(partial.remote.name, meter.say)
    with partial:
        partial.read_again(meter.checked)
        while partial.size < partial.remote.size:
            patience.ready()
            try:
                _fetch_chunk(patience, partial, meter)
            except Setback as setback:
                patience.after(setback)
        partial.finish()


def _fetch_chunk(patience: Patience, partial: Partial, meter: Meter) -> None:
    """Ask for the next chunk and take what comes of it; raises Setback when that is less than was promised."""
    web, remote, since = patience.web, partial.remote, 0
    end = min(partial.size + web.limits.chunk, remote.size)
    headers = {"Range": f"bytes={partial.size}-{end - 1}"}
    if partial.size and partial.validator:
        headers["If-Range"] = partial.validator
    with web.get(remote.url, headers) as response:
        patience.heed(response)
        left = _promised(response, partial, end)
        for data in web.body(response, left):
            partial.append(data)
            left -= len(data)
            since += len(data)
            if since >= web.limits.least or left == 0:
                patience.renew()
            meter.arrived(len(data), partial.size)
    if left:
        raise Setback(f"the connection ended {left:,} bytes early")


def _promised(response: BaseHTTPResponse, partial: Partial, end: int) -> int:
    """How many bytes of an answer continue the file, after a look at what it says of itself.

    Raises FetchError, and throws away what has arrived where it cannot be continued.
    """
    remote, headers = partial.remote, response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError(f"The archive sends {remote.name} in another coding than was asked for; try again later.")
    version = headers.get("ETag", ""), headers.get("Last-Modified", "")
    if partial.size and partial.is_other(*version):
        partial.discard()
        raise FetchError(
            f"{remote.name} changed at the archive while it was fetched, and what had arrived was removed; run the "
            "command again to fetch it anew."
        )
    first, last, size = _extent(response, remote)
    if size != remote.size:
        raise FetchError(
            f"The archive has {size:,} bytes of {remote.name} where its record says {remote.size:,}; try again later."
        )
    if first == 0 < partial.size and response.status == 200:
        arrived = size_in_words(partial.size)
        partial.discard()
        raise FetchError(
            f"The archive sends {remote.name} only as a whole, so the {arrived} from before an interruption were "
            "removed; run the command again to fetch it anew."
        )
    if first != partial.size or last < first:
        raise FetchError(f"The archive sends another part of {remote.name} than was asked for; try again later.")
    if partial.size == 0:
        partial.begin(*version)
    return min(last + 1, end if response.status == 206 else size) - first


def _extent(response: BaseHTTPResponse, remote: RemoteFile) -> tuple[int, int, int]:
    """The first and the last byte that an answer has, and the size of the whole file, as far as the answer says."""
    if response.status == 200:
        length = response.headers.get("Content-Length", "")
        size = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else remote.size
        return 0, size - 1, size
    extent = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if extent is None:
        raise FetchError(f"The archive has no such part of {remote.name}, of {remote.size:,} bytes; try again later.")
    return int(extent[1]), int(extent[2]), remote.size if extent[3] == "*" else int(extent[3])
