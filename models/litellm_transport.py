"""The litellm transport: every provider that is not reached directly, through langchain-litellm's ChatLiteLLM."""
