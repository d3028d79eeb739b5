"""Objects that end what they started: in a ``with`` statement, or by ``close``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

Own = TypeVar("Own", bound="Closing")


class Closing(ABC):
    """As a context manager the object itself, closed at the end."""

    @abstractmethod
    def close(self) -> None:
        """End what was started; a second call does nothing."""

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
