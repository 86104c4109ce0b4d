"""What the fields of a command must be: a handler for each, as in the paper's 4.2 to 4.4."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Fields = tuple[bytes, ...]
Method = Callable[..., None]

_POSITION = re.compile(rb"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)/?")
_TIME = re.compile(rb"\d+(?:\.\d+)?")
_DIFFERENCE = re.compile(rb"(?=.{1,32}$)[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.DOTALL)
_INTEGER = re.compile(rb"\d{1,9}")
_END_OF_TIME = Decimal(253402300800)  # the year 10000


class ValidationError(Exception):
    """A field is not what its command wants there."""


def validate(handler: Callable[[Fields], None]) -> Callable[[Method], Method]:
    """Has handler look at the fields of a command before the method that it decorates does."""

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def wrapper(self: Any, *fields: bytes) -> None:
            handler(fields)
            method(self, *fields)

        return wrapper

    return decorate


def checkPosition(coordinates: bytes) -> None:
    """ISO 6709 decimal degrees: latitude, longitude."""
    match = _POSITION.fullmatch(coordinates)
    if match is None or len(coordinates) > 96:
        raise ValidationError(f"GPS FORMAT: {text(coordinates)} is not a pair of coordinates")
    latitude, longitude = (Decimal(text(degrees)) for degrees in match.groups())
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValidationError(f"GPS FORMAT: {text(coordinates)} are no coordinates on earth")


def posixTime(time: bytes) -> Decimal:
    """Reads a time exactly. A float would hold six decimal places of it, and could be NaN."""
    if _TIME.fullmatch(time) and len(time) <= 96:
        seconds = Decimal(text(time))
        if seconds < _END_OF_TIME:
            return seconds
    raise ValidationError(f"TIME: {text(time)} is not a valid POSIX time")


def validateIAMAT(fields: Fields) -> None:
    """client, coordinates, time"""
    if len(fields) != 3:
        raise ValidationError(f"LENGTH: {len(fields)} instead of three fields")
    if len(fields[0]) > 1024:
        raise ValidationError("CLIENT: longer than 1024 bytes")
    checkPosition(fields[1])
    posixTime(fields[2])


def validateWHATSAT(fields: Fields) -> None:
    """client, radius, bound"""
    if len(fields) != 3:
        raise ValidationError(f"LENGTH: {len(fields)} instead of three fields")
    for name, field, most in (("RADIUS", fields[1], 50), ("BOUND", fields[2], 20)):
        if not _INTEGER.fullmatch(field) or int(field) > most:
            raise ValidationError(f"{name}: {text(field)} is not an integer from 0 to {most}")


def validateAT(fields: Fields) -> None:
    """server, difference, client, coordinates, time, sender"""
    if len(fields) != 6:
        raise ValidationError(f"LENGTH: {len(fields)} instead of six fields")
    if not _DIFFERENCE.fullmatch(fields[1]) or math.isinf(float(fields[1])):
        raise ValidationError(f"DIFFERENCE: {text(fields[1])} is not a difference of times")
    validateIAMAT(fields[2:5])


def text(field: bytes) -> str:
    """A field for people: whatever is not ASCII is escaped."""
    return field.decode("ascii", "backslashreplace")
