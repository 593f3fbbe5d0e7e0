"""Pictures as data URIs: contact sheets composed on request, and single thumbnails."""

import base64
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from pipeline.inputs.pictures import Unreadable, small

CAPACITY = 48 * 2**20
"""Bytes of encoded sheets kept."""
NO_PICTURE = (128, 128, 128)
"""In the place of a thumbnail that is damaged or too large."""

Key = tuple[str, str, int]
"""Bundle, dictionary, feature."""
Kept = tuple[Key, int, tuple[int, int]]
"""With the side of a tile, and columns and rows: the same feature has sheets of several shapes."""
Fetch = Callable[[Sequence[int]], Mapping[int, bytes]]


class Sheets:
    """Contact sheets, each one picture of tiles in reading order, through a bounded cache.

    Safe to share between threads: the cache is locked, and pictures are decoded and encoded in a
    small pool (Pillow lets other threads run meanwhile).
    """

    def __init__(self, *, capacity: int = CAPACITY, workers: int = 4) -> None:
        self._kept: OrderedDict[Kept, str] = OrderedDict()
        self._size, self._capacity = 0, capacity
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="sheets")

    def get(
        self,
        wanted: Mapping[Key, Sequence[int]],
        fetch: Fetch,
        *,
        tile: int,
        tiles: tuple[int, int],
    ) -> list[str]:
        """A data URI for each entry of `wanted` (key -> example ids), in its order.

        Args:
            wanted: what each sheet shows.
            fetch: WebP bytes of the examples that it is given, called once for all that is missing.
            tile: the side of a tile in pixels.
            tiles: columns and rows of a sheet; places without an image stay clear.
        """
        with self._lock:
            ready = {key: found for key in wanted if (found := self._kept.get((key, tile, tiles)))}
            for key in ready:
                self._kept.move_to_end((key, tile, tiles))
        missing = [key for key in wanted if key not in ready]
        if missing:
            shown = {key: wanted[key][: tiles[0] * tiles[1]] for key in missing}
            pictures = fetch(sorted({i for ids in shown.values() for i in ids}))
            made = self._pool.map(
                lambda ids: _sheet([pictures.get(i) for i in ids], tile, tiles), shown.values()
            )
            for key, uri in zip(missing, made, strict=True):
                ready[key] = uri
                self._keep((key, tile, tiles), uri)
        return [ready[key] for key in wanted]

    def _keep(self, key: Kept, uri: str) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = uri
            self._size += len(uri)
            while self._size > self._capacity:
                _, old = self._kept.popitem(last=False)
                self._size -= len(old)


def data_uri(image: bytes, *, kind: str = "webp") -> str:
    """`image` as an address that an image element shows without a request."""
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")


def _sheet(pictures: Sequence[bytes | None], tile: int, tiles: tuple[int, int]) -> str:
    columns, rows = tiles
    full = len(pictures) >= columns * rows and None not in pictures
    sheet = Image.new("RGB" if full else "RGBA", (columns * tile, rows * tile))
    for place, webp in enumerate(pictures[: columns * rows]):
        if webp is not None:
            row, column = divmod(place, columns)
            sheet.paste(_tile(webp, tile), (column * tile, row * tile))
    buffer = io.BytesIO()
    if full:  # ten times as fast to write as WebP, a third larger
        sheet.save(buffer, "JPEG", quality=80)
        return data_uri(buffer.getvalue(), kind="jpeg")
    sheet.save(buffer, "WEBP", quality=78, method=0)
    return data_uri(buffer.getvalue())


def _tile(webp: bytes, tile: int) -> Image.Image:
    try:
        rgb = small(webp)
    except Unreadable:
        return Image.new("RGB", (tile, tile), NO_PICTURE)
    if rgb.size == (tile, tile):
        return rgb
    if rgb.size == (2 * tile, 2 * tile):
        return rgb.reduce(2)
    return rgb.resize((tile, tile), Image.Resampling.BILINEAR)
