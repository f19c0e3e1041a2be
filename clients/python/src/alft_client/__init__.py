"""Rewards from `alft serve`.

- `client`: `Client`, one method for each route, from any thread; `aio`: the same, awaited
- `records`: `Question`, `Result` and `RunState`, the contents of requests and answers
- `errors`: the exceptions, all of them `AlftError`
- `trl`: a reward function for TRL's trainers; `verl`: reward functions for verl; `verl_groups`: verl's reward manager
- `groups`: finds the groups of samples in a trainer's rows; `collect`: holds samples until their group is whole
- `messages`: texts of prompts and completions
- `retry`, `transport`: waits between attempts; HTTP connections
"""

from .aio import AsyncClient
from .client import Client
from .errors import (
    AlftError,
    ApiError,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    PluginFailed,
    ProtocolError,
    SampleFailed,
    ServerFault,
    TimedOut,
    TornGroup,
    Unauthorized,
    Unavailable,
)
from .records import Failure, Question, Result, RunState

__all__ = [
    "AlftError",
    "ApiError",
    "AsyncClient",
    "Client",
    "ConnectionFailed",
    "Failure",
    "InvalidRequest",
    "NotFound",
    "PluginFailed",
    "ProtocolError",
    "Question",
    "Result",
    "RunState",
    "SampleFailed",
    "ServerFault",
    "TimedOut",
    "TornGroup",
    "Unauthorized",
    "Unavailable",
]
