"""The Hugging Face Hub: searching it, its repositories, the datasets on it."""
