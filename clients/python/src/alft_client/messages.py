"""Texts of prompts and completions, which trainers give as texts or as lists of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

# A text, or messages `{"role": …, "content": …}`.
Conversation: TypeAlias = str | Sequence[Mapping[str, Any]]


def prompt_text(prompt: Conversation) -> str:
    """Returns the text that plugins see as the prompt: the last message of the user, or else the last one."""
    if isinstance(prompt, str):
        return prompt
    texts = [(message.get("role"), content_text(message.get("content"))) for message in prompt]
    of_user = [text for role, text in texts if role == "user"]
    return (of_user or [text for _, text in texts] or [""])[-1]


def completion_text(completion: Conversation) -> str:
    """Returns the text of a completion: that of the assistant, without what tools said in between."""
    if isinstance(completion, str):
        return completion
    texts = [content_text(message.get("content")) for message in completion if message.get("role") == "assistant"]
    return "\n".join(text for text in texts if text)


def content_text(content: Any) -> str:
    """Returns the text of a message's content: a text, or a list of parts, of which images and the like have none."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))


def plain_messages(prompt: Conversation) -> list[dict[str, str]] | None:
    """Returns the messages as role and text, which plugins see in the metadata; None for a text."""
    if isinstance(prompt, str):
        return None
    return [{"role": str(message.get("role")), "content": content_text(message.get("content"))} for message in prompt]
