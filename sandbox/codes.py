"""Reading a QR code off a picture, as a phone's camera would, so that an invitation's picture
proves itself.

Only for pictures made by a program: upright, sharp, nothing torn off. Faults are not mended
(no Reed-Solomon): a picture that needs that is not one of ours. Source: ISO/IEC 18004.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError

_Grid = list[list[bool]]

_BLOCKS: dict[int, dict[str, tuple[tuple[int, int], ...]]] = {
    1: {"L": ((1, 19),), "M": ((1, 16),), "Q": ((1, 13),), "H": ((1, 9),)},
    2: {"L": ((1, 34),), "M": ((1, 28),), "Q": ((1, 22),), "H": ((1, 16),)},
    3: {"L": ((1, 55),), "M": ((1, 44),), "Q": ((2, 17),), "H": ((2, 13),)},
    4: {"L": ((1, 80),), "M": ((2, 32),), "Q": ((2, 24),), "H": ((4, 9),)},
    5: {"L": ((1, 108),), "M": ((2, 43),), "Q": ((2, 15), (2, 16)), "H": ((2, 11), (2, 12))},
    6: {"L": ((2, 68),), "M": ((4, 27),), "Q": ((4, 19),), "H": ((4, 15),)},
    7: {"L": ((2, 78),), "M": ((4, 31),), "Q": ((2, 14), (4, 15)), "H": ((4, 13), (1, 14))},
    8: {"L": ((2, 97),), "M": ((2, 38), (2, 39)), "Q": ((4, 18), (2, 19)), "H": ((4, 14), (2, 15))},
}
"""Version -> level -> (blocks, data bytes of each). Longer texts than version 8 holds are not
invitations."""

_CENTRES = {1: (), 2: (6, 18), 3: (6, 22), 4: (6, 26), 5: (6, 30), 6: (6, 34)} | {
    7: (6, 22, 38),
    8: (6, 24, 42),
}
"""Where the alignment patterns lie, rows and columns alike."""

_LEVELS = "MLHQ"


class NoCode(ValueError):
    """There is no QR code in this picture that can be read."""


def read(picture: bytes) -> str:
    """What the first QR code of a PNG, JPEG or GIF says. Errors: NoCode."""
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            image = opened.convert("L")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise NoCode(f"no picture: {type(error).__name__}") from error
    width, height = image.size
    pixels = image.tobytes()
    dark = [[pixels[y * width + x] < 128 for x in range(width)] for y in range(height)]
    for left, top, module in _corners(dark):
        grid = _grid(dark, left, top, module)
        if grid is not None:
            return _text(grid)
    raise NoCode("no QR code in the picture")


def _corners(dark: _Grid) -> Iterator[tuple[int, int, float]]:
    """(left, top, pixels of a module) of what may be a code's upper left corner.

    Its first row is seven dark modules; below their middle a finder is dark 1, light 1,
    dark 3, light 1, dark 1.
    """
    for y, row in enumerate(dark):
        x = 0
        while x < len(row):
            if not row[x]:
                x += 1
                continue
            end = x
            while end < len(row) and row[end]:
                end += 1
            module = (end - x) / 7
            if module >= 1 and (y == 0 or not dark[y - 1][x]) and _is_finder(dark, x, y, module):
                yield x, y, module
            x = end


def _is_finder(dark: _Grid, left: int, top: int, module: float) -> bool:
    wanted = ("1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111")
    return all(
        _at(dark, left, top, module, row, column) is (sign == "1")
        for row, line in enumerate(wanted)
        for column, sign in enumerate(line)
    )


def _at(dark: _Grid, left: int, top: int, module: float, row: int, column: int) -> bool | None:
    """Whether a module is dark; None beside the picture."""
    y, x = int(top + (row + 0.5) * module), int(left + (column + 0.5) * module)
    return dark[y][x] if y < len(dark) and x < len(dark[y]) else None


def _grid(dark: _Grid, left: int, top: int, module: float) -> _Grid | None:
    """The code's modules: of the size at which all three finders are there."""
    for version in _BLOCKS:
        size = 17 + 4 * version
        far = round((size - 7) * module)
        if not (
            _is_finder(dark, left + far, top, module) and _is_finder(dark, left, top + far, module)
        ):
            continue
        cells = [
            [_at(dark, left, top, module, row, column) for column in range(size)]
            for row in range(size)
        ]
        return [[cell is True for cell in line] for line in cells]
    return None


def _text(grid: _Grid) -> str:
    version = (len(grid) - 17) // 4
    # Level and mask beside the upper left finder, hidden under a fixed pattern.
    bits = "".join("1" if grid[8][column] else "0" for column in (0, 1, 2, 3, 4))
    told = int(bits, 2) ^ 0b10101
    level, mask = _LEVELS[told >> 3], told & 7
    codewords = list(_codewords(grid, version, mask))
    lengths = [length for count, length in _BLOCKS[version][level] for _ in range(count)]
    blocks: list[list[int]] = [[] for _ in lengths]
    taken = iter(codewords)
    for place in range(max(lengths)):
        for block, length in zip(blocks, lengths, strict=True):
            if place < length:
                block.append(next(taken))
    data = "".join(f"{byte:08b}" for block in blocks for byte in block)
    if data[:4] != "0100":
        raise NoCode("the code holds no plain bytes")
    count = int(data[4:12], 2)
    sent = bytes(int(data[12 + 8 * n : 20 + 8 * n], 2) for n in range(count))
    try:
        return sent.decode()
    except UnicodeDecodeError as error:
        raise NoCode("the code holds no text") from error


def _codewords(grid: _Grid, version: int, mask: int) -> Iterator[int]:
    """The bytes in the order they were laid: pairs of columns from the right, up and down."""
    size = len(grid)
    byte = bits = 0
    upward = True
    right = size - 1
    while right > 0:
        if right == 6:  # the timing pattern's column belongs to no pair
            right -= 1
        for step in range(size):
            row = size - 1 - step if upward else step
            for column in (right, right - 1):
                if _is_fixed(row, column, version, size):
                    continue
                byte = byte << 1 | (grid[row][column] ^ _masked(mask, row, column))
                bits += 1
                if bits == 8:
                    yield byte
                    byte = bits = 0
        upward = not upward
        right -= 2


def _is_fixed(row: int, column: int, version: int, size: int) -> bool:
    """Whether a module belongs to the pattern and not to what is said."""
    if row == 6 or column == 6:
        return True
    if (row < 9 and (column < 9 or column >= size - 8)) or (row >= size - 8 and column < 9):
        return True
    if version >= 7 and (
        (row < 6 and size - 11 <= column < size - 8) or (column < 6 and size - 11 <= row < size - 8)
    ):
        return True
    centres = _CENTRES[version]
    last = size - 7
    return any(
        abs(row - y) <= 2 and abs(column - x) <= 2
        for y in centres
        for x in centres
        if (y, x) not in ((6, 6), (6, last), (last, 6))
    )


def _masked(mask: int, row: int, column: int) -> bool:
    y, x = row, column
    return (
        (y + x) % 2 == 0,
        y % 2 == 0,
        x % 3 == 0,
        (y + x) % 3 == 0,
        (y // 2 + x // 3) % 2 == 0,
        y * x % 2 + y * x % 3 == 0,
        (y * x % 2 + y * x % 3) % 2 == 0,
        ((y + x) % 2 + y * x % 3) % 2 == 0,
    )[mask]
