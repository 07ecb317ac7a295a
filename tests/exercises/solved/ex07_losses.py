"""Answers to station 7."""

import torch
import torch.nn.functional as F


def tversky(logits, target, alpha, beta, ignore_index=255):
    valid = target != ignore_index  # (N, H, W)
    labels = torch.where(valid, target, 0)
    true = F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2)  # (N, K, H, W)
    p, counts = logits.softmax(dim=1), valid.unsqueeze(1).to(logits)
    pixels = (0, 2, 3)
    found = (counts * p * true).sum(pixels)  # (K,)
    alarms = (counts * p * (1 - true)).sum(pixels)
    missed = (counts * (1 - p) * true).sum(pixels)
    return (1 - found / (found + alpha * alarms + beta * missed)).mean()


def alpha_beta(wanted):
    return {"dice": (0.5, 0.5), "iou": (1, 1), "recall": (0.2, 0.8)}[wanted]
