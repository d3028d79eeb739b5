"""How an answer ended, in one word for the words of all servers."""

from __future__ import annotations

from pytest_kernelbench.policies.openai_bodies import ServerError

# OpenAI's word, and what others say in its place: TGI, Together, Mistral, Bedrock, and Gemini and Anthropic by proxies.
ENDS = {
    "stop": ("eos", "eos_token", "stop_sequence", "end_turn", "complete", "finish_reason_stop"),
    "length": ("max_tokens", "model_length", "max_output_tokens", "max_length", "model_context_window_exceeded"),
    "tool_calls": ("function_call", "tool_use", "tool_call"),
    "content_filter": (
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "guardrail_intervened",
        "content_filtered",
    ),
}
KNOWN = {other: word for word, others in ENDS.items() for other in (word, *others)}
# vLLM and SGLang; OpenRouter; Ollama, which has only loaded the model; DeepSeek; others.
BROKEN_OFF = frozenset(("abort", "error", "load", "insufficient_system_resource", "cancelled", "timeout"))


def end_of(said: object) -> str | None:
    """OpenAI's word for a ``finish_reason``; another one as it is. Raises ServerError for an answer broken off."""
    if not isinstance(said, str):
        return None
    word = said.partition(":")[0].strip().lower()
    if word in BROKEN_OFF:
        raise ServerError(f'an answer that it broke off ("{said}")')
    return KNOWN.get(word, said)
