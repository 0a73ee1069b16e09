"""Readers and writers of checkpoints: Hugging Face directories (safetensors) and GGUF files."""
