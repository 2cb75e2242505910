"""Protobuf's wire format, read without protobuf: fields one after the other, nothing copied, nothing allocated because of a claim."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """(field number, wire type, value) of a message: a number, or a view of the bytes.

    Raises:
        ValueError: the bytes are no such message.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = varint(message, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise ValueError(f"a field has the number {number}")
        if wire == VARINT:
            value, at = varint(message, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = varint(message, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"field {number} has the wire type {wire}")
        if size > end - at:
            raise ValueError(f"field {number} claims {size:,} bytes where {end - at:,} are left")
        yield number, wire, message[at : at + size]
        at += size


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """The unsigned number that begins at a place, and the place behind it.

    Raises:
        ValueError: it does not end, or has more than 64 bits.
    """
    value = 0
    for index, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >= 1 << 64:
                raise ValueError("a number has more than 64 bits")
            return value, at + index + 1
    raise ValueError("a number does not end")


def varints(packed: memoryview) -> Iterator[int]:
    """The unsigned numbers that stand one after the other.

    Raises:
        ValueError: as ``varint``.
    """
    at = 0
    while at < len(packed):
        value, at = varint(packed, at)
        yield value


def signed(value: int) -> int:
    """A number of 64 bits as protobuf's int64."""
    return value - (1 << 64) if value >> 63 else value
