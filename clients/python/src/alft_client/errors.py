"""The exceptions of this package. Each says what is wrong, where, and what to do; none has the token in its text."""

from __future__ import annotations


class AlftError(Exception):
    """Any error of this package."""


class ConnectionFailed(AlftError):
    """No connection to the server, or it broke before the answer was complete."""


class TimedOut(AlftError):
    """The server did not answer in time."""


class ProtocolError(AlftError):
    """The answer is not one of `alft serve`."""


class TornGroup(AlftError):
    """A trainer gave a part of a group: its distribution of answers cannot be known."""


class SampleFailed(AlftError):
    """A plugin gave no value for a sample, and the caller has no place for a missing reward."""


class ApiError(AlftError):
    """The server refused a request, with its problem detail."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.request_id = request_id
        # Seconds, if the server named a time.
        self.retry_after = retry_after
        text = f"alft answered {status} {title}".rstrip()
        if detail:
            text += f": {detail}"
        if self.remedy:
            text += f"; {self.remedy}"
        if request_id:
            text += f" (request {request_id})"
        super().__init__(text)

    def __reduce__(self) -> tuple[type[ApiError], tuple[int, str, str | None, str | None, float | None]]:
        # Ray and multiprocessing pickle exceptions, by default with the message as the only argument.
        return type(self), (self.status, self.title, self.detail, self.request_id, self.retry_after)

    @property
    def remedy(self) -> str | None:
        """What the caller can do where the server cannot know it."""
        return None


class InvalidRequest(ApiError):
    """The request is malformed, too large or means nothing: 400, 409, 413, 415 and 422."""


class Unauthorized(ApiError):
    """The token is missing or wrong: 401 and 403."""

    @property
    def remedy(self) -> str | None:
        return "pass the server's token as `token=` or in ALFT_TOKEN"


class NotFound(ApiError):
    """The run or route is not known: 404 and 405."""


class Unavailable(ApiError):
    """The server has no room now, and had none at any attempt: 429 and 503."""


class PluginFailed(ApiError):
    """A plugin failed on something that the answer needs: 502 with a problem detail. It would fail again."""


class ServerFault(ApiError):
    """The server or a proxy failed, or a deadline passed there: any other 5xx, and 408."""


def for_status(status: int, has_detail: bool) -> type[ApiError]:
    """Returns the class of errors with a status. A 502 without a problem detail is a proxy's."""
    if status in (401, 403):
        return Unauthorized
    if status in (404, 405):
        return NotFound
    if status in (429, 503):
        return Unavailable
    if status == 502 and has_detail:
        return PluginFailed
    return ServerFault if status >= 500 or status == 408 else InvalidRequest
