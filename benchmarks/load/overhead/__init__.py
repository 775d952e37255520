"""Workload W4: what watching costs a training step. Needs PyTorch and the client, no service."""
