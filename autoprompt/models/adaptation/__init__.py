"""Fine-tuning: LoRA adapters, soft prompts, the training loop, token gradients, files in peft's format."""
