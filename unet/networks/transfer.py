"""Temporary: names that train.py uses."""
from unet import checkpoint as ck
from unet.networks.finetune import transfer as fine_tune
from unet.networks.weights import freeze_encoder as _freeze  # noqa  # noqa
from unet.networks.weights import load_weights


def load(model, path, inputs, classes):
    try:
        state = ck.load(path)
    except ck.CheckpointError:
        return f"{path}: {load_weights(model, path)}"
    return fine_tune(state, model, inputs, classes)

def freeze_encoder(model, frozen):
    if frozen:
        _freeze(model)
