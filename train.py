"""Train a network to map land cover.

    python train.py                                                      synthetic scenes, to see that all works
    python train.py --images images/ --masks masks/ --classes esm        your own
    python train.py --images images/ --masks masks/ --classes esm --overfit 4      first thing on new data

Images and masks are GeoTIFFs (or PNG, JPEG) in whatever CRS they come in; a mask on another grid is
put on its image's. A run leaves in runs/<date-time>/

    best.pt      checkpoint of the best epoch by validation macro Dice: all that predict.py needs
    last.pt      checkpoint of the last epoch
    log.csv      a row for each epoch; train.log has what was printed
    report.html  curves, confusion matrix, table of classes, samples

Read beside it: tests/test_train.py.
"""

import argparse
import csv
import math
import shlex
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

import reproject
import unet
from data import InputError, bands, picture, pipeline, scenes
from data.augment import Augment
from data.classes import IGNORE, ClassTable
from data.console import Parser, duration, from_here, one_line_errors, progress, python_command, within
from data.dataset import EpochSampler, Windows, repeat_factors
from data.geotiff import replacing
from data.grid import Grid
from data.scaling import METHODS
from unet import checkpoint, losses, metrics, report
from unet.device import DeviceError, autocast, check_memory, check_normalisation, pick_device, pick_precision

SAMPLES = 6  # validation windows shown in the report


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options. Every one that shapes the result is kept in the checkpoint."""
    parser = Parser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    # No machine has more than the upper limits, and nothing overflows below them.
    some, any_number, chance = within(int, 1, 2**24), within(int, 0, 2**31), within(float, 0, below=1)
    add = parser.add_argument_group("data").add_argument
    add("--images", nargs="+", metavar="PATH", help="image files or folders; none: synthetic scenes")
    add("--masks", nargs="+", metavar="PATH", help="mask files or folders, matched to the images by name")
    add("--classes", default="esm", help="class table: esm, catalonia, deepglobe or a CSV file")
    add("--bands", nargs="+", metavar="NAME", help="names of the images' bands, instead of the files' own")
    add("--indices", nargs="*", choices=list(bands.INDICES), help="indices to add; none: all possible")
    add("--stack-dates", action="store_true", help="images that share a mask become one, of dates x bands")
    add("--nodata", type=float, help="value of pixels without data, instead of the files' own")
    add("--scaling", choices=METHODS, default="minmax", help="range over the training set, or of each image")
    add("--align", choices=("nearest", "mode"), default="nearest", help="how a mask gets on its image's grid")
    add("--size", type=some, help="side of the windows; none: the images' own up to 512, else 256")
    add("--skip-only", nargs="+", default=[], metavar="CLASS", help="leave out windows of these classes alone")
    add("--oversample", type=chance, default=0, metavar="T", help="draw windows of classes in under T of all more")
    held_out = within(float, above=0, below=1)
    add("--validation", type=held_out, default=0.2, metavar="SHARE", help="share of the windows held out")
    add("--cache", type=Path, default=Path("runs/cache"), help="folder for prepared scenes")
    add("--overfit", type=any_number, default=0, metavar="N", help="train and validate on the same N windows")

    add = parser.add_argument_group("network").add_argument
    add("--model", choices=list(unet.MODELS), default="unet", help="network")
    add("--base", type=some, default=32, help="channels of the first level; 64 in the paper")
    add("--dropout", type=chance, default=0.0, help="of channels, in each block")
    add("--head-dropout", type=chance, default=0.1, help="before the last convolution")

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=some, default=100, help="at most")
    add("--batch", type=some, default=6, help="windows a step")
    add("--loss", choices=list(losses.LOSSES), default="cross_entropy", help="what is minimised")
    add("--class-weights", default="none", help="none, inverse (to the number of pixels), or numbers like 1,4,2")
    add("--optimizer", choices=("adamw", "adam"), default="adamw", help="optimizer")
    add("--lr", type=within(float, above=0), default=5e-4, help="learning rate")
    add("--weight-decay", type=within(float, 0), default=1e-4, help="weight decay")
    add("--schedule", choices=("cosine", "plateau", "constant"), default="cosine", help="of the learning rate")
    add("--patience", type=some, default=15, help="stop after so many epochs without a better macro Dice")
    add("--seed", type=any_number, default=0, help="of the split, the weights, the order, dropout and augmentation")

    add = parser.add_argument_group("augmentation").add_argument
    steps = {"flip": "a flip", "turn": "quarter turns", "crop": "a crop", "jitter": "colour jitter"}
    for name, what in steps.items():
        add(f"--{name}", type=float, default=getattr(Augment, name), metavar="P", help=f"probability of {what}")
    add("--crop-min", type=float, default=Augment.crop_min, help="shortest side, share of the window")
    add("--strength", type=float, default=Augment.strength, help="of colour jitter, in gain")

    add = parser.add_argument_group("machine").add_argument
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto", help="auto: mixed on a GPU")
    add("--workers", type=any_number, help="processes that make samples; none: 4 for a GPU, else 0")
    add("--run", type=Path, help="folder for the results; none: runs/<date-time>")
    args = parser.parse_args(arguments)
    if bool(args.images) != bool(args.masks):
        parser.error("give both --images and --masks, or neither")
    return args


def class_weights(text: str, counts: np.ndarray, table: ClassTable) -> torch.Tensor | None:
    """The weights that --class-weights asks for: none, inverse, or one number a class."""
    if text in ("none", "inverse"):
        return losses.class_weights(torch.from_numpy(counts), text)
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        values = []
    if len(values) != len(table.names) or min(values) < 0 or not 0 < sum(values) < math.inf:
        raise InputError(
            f"--class-weights {text}: write none, inverse, or {len(table.names)} numbers such as 1,4,2.5 for "
            f"{', '.join(table.names)}"
        )
    return torch.tensor(values)


def train_epoch(model, loader, loss_function, optimizer, scaler, device, precision, tell) -> float:
    """One pass over the training windows; returns the mean loss over them.

    Raises InputError, naming the images, where the loss is not finite.
    """
    model.train()
    total = count = 0
    for step, (images, targets, numbers) in enumerate(loader, start=1):
        images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        with autocast(device, precision):
            loss = loss_function(model(images), targets)
        value = loss.item()
        if not math.isfinite(value):
            files = sorted({str(loader.dataset.scene_of(number).image_path) for number in numbers.tolist()})
            raise InputError(f"the loss became {value} on {', '.join(files)}; look at them, or try a lower --lr")
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        total, count = total + value * len(images), count + len(images)
        tell(step / len(loader), total / count)
    return total / count


def show_progress(epoch: int, epochs: int, began: float, share: float, loss: float) -> None:
    """Where the training is: `share` of `epoch`, and the time that is left by what has passed since `began`."""
    done = epoch - 1 + share
    left = (time.monotonic() - began) / done * (epochs - done)
    progress(f"epoch {epoch}/{epochs} {share:4.0%}  loss {loss:.4f}  time left {duration(left)}")


@torch.no_grad()
def evaluate(model, loader, loss_function, device, precision, num_classes: int):
    """(mean loss, one confusion matrix over all windows, predictions (n, S, S) uint8)."""
    model.eval()
    confusion, predictions, total = metrics.ConfusionMatrix(num_classes), [], 0.0
    for images, targets, _ in loader:
        images, targets = images.to(device), targets.to(device)
        with autocast(device, precision):
            logits = model(images)
            total += loss_function(logits, targets).item() * len(images)
        labels = logits.argmax(1)
        confusion.update(labels, targets)
        predictions.append(labels.to("cpu", torch.uint8))
    return total / len(loader.dataset), confusion, torch.cat(predictions).numpy()


def main(arguments: list[str] | None = None) -> Path:
    """Train as the options say; returns the folder of the run."""
    args = parse(arguments)
    run = args.run or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    if (run / "last.pt").exists():
        raise InputError(f"{run}: holds a run already; name another folder by --run")
    said = []

    def say(text: str) -> None:
        progress("")
        print(text, flush=True)
        said.append(text)
        if run.is_dir():  # it is made when all that can be checked has been checked
            with replacing(run / "train.log") as temporary:
                temporary.write_text("\n".join(said) + "\n", encoding="utf-8")

    train(args, run, say)
    return run


def train(args: argparse.Namespace, run: Path, say: Callable) -> None:
    """From the options to the files in `run`."""
    began = time.monotonic()
    torch.manual_seed(args.seed)
    table = ClassTable.load(args.classes)

    def align(mask: scenes.Mask, grid: Grid) -> Iterator[np.ndarray]:
        return reproject.strips(mask.read, mask.grid, grid, args.align, IGNORE, np.uint8)

    device = pick_device(args.device)
    precision = pick_precision(args.precision, device)
    data = pipeline.load(args, table, align, say, progress)

    factors = repeat_factors(data.counts, args.oversample) if args.oversample else None
    sampler = EpochSampler(len(data.training), args.seed, factors)
    workers = (4 if device.type == "cuda" else 0) if args.workers is None else args.workers
    loading = {"batch_size": args.batch, "num_workers": workers, "persistent_workers": workers > 0}
    loading["pin_memory"] = device.type == "cuda"
    loading["generator"] = torch.Generator()  # its own, so that loading draws nothing from dropout's random numbers
    training_loader = DataLoader(data.training, sampler=sampler, **loading)
    validation_loader = DataLoader(data.validation, **loading)

    network = {
        "name": args.model,
        "in_channels": data.training.channels,
        "num_classes": len(table.names),
        "options": {"base": args.base, "dropout": args.dropout, "head_dropout": args.head_dropout},
    }

    def build() -> torch.nn.Module:
        return unet.build(args.model, network["in_channels"], network["num_classes"], **network["options"])

    check_normalisation(len(data.training), args.batch, data.training.size)
    check_memory(build, args.batch, network["in_channels"], data.training.size, device, precision)
    model = build().to(device)
    weight = class_weights(args.class_weights, data.counts.sum(0), table)
    weight = weight if weight is None else weight.to(device)

    def loss_function(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return losses.LOSSES[args.loss](logits, targets, weight)

    optimizer_class = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[args.optimizer]
    optimizer = optimizer_class(model.parameters(), args.lr, weight_decay=args.weight_decay)
    schedulers = torch.optim.lr_scheduler
    scheduler = {
        "cosine": lambda: schedulers.CosineAnnealingLR(optimizer, args.epochs),
        "plateau": lambda: schedulers.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=3),
        "constant": lambda: schedulers.ConstantLR(optimizer, 1.0),
    }[args.schedule]()
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    parameters = sum(p.numel() for p in model.parameters())
    run.mkdir(parents=True, exist_ok=args.run is not None)
    say(f"{args.model} of {parameters:,} parameters on {device} in {str(precision)[6:]}; results in {run}")

    history, best, best_epoch = [], -math.inf, 0
    loop_began = time.monotonic()
    for epoch in range(1, args.epochs + 1):
        started = time.monotonic()
        sampler.epoch = epoch
        lr = optimizer.param_groups[0]["lr"]
        tell = partial(show_progress, epoch, args.epochs, loop_began)
        train_loss = train_epoch(model, training_loader, loss_function, optimizer, scaler, device, precision, tell)
        val_loss, confusion, predictions = evaluate(
            model, validation_loader, loss_function, device, precision, len(table.names)
        )
        row = {
            "epoch": epoch,
            "lr": lr,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "macro_dice": confusion.macro_dice(),
            "weighted_dice": confusion.weighted_dice(),
            "mean_iou": confusion.mean_iou(),
            "accuracy": confusion.accuracy(),
            "foreground_accuracy": confusion.foreground_accuracy(),
            **{f"iou_{name}": value for name, value in zip(table.names, confusion.iou().tolist())},
            "seconds": time.monotonic() - started,
        }
        history.append(row)
        write_log(run / "log.csv", history)
        scheduler.step(*([row["macro_dice"]] if args.schedule == "plateau" else []))
        better = row["macro_dice"] > best
        if better:
            best, best_epoch, best_confusion, best_predictions = (
                row["macro_dice"],
                epoch,
                confusion,
                predictions,
            )
        state = {
            "model": network,
            "weights": model.state_dict(),
            **data.checkpoint,
            "settings": {name: plain(value) for name, value in vars(args).items()},
            "epoch": epoch,
            "best": best,
            "metrics": {"confusion": confusion.matrix.cpu()},
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "random": {"torch": torch.get_rng_state()},
        }
        checkpoint.save(run / "last.pt", state)
        if better:
            checkpoint.save(run / "best.pt", state)
        say(
            f"epoch {epoch:3}/{args.epochs}  loss {train_loss:.4f}  validation loss {val_loss:.4f}  macro Dice "
            f"{row['macro_dice']:.4f}  weighted Dice {row['weighted_dice']:.4f}  {row['seconds']:.1f} s"
            + ("  best" if better else "")
        )
        if epoch - best_epoch >= args.patience:
            say(f"no better macro Dice in {args.patience} epochs: stopped")
            break

    first = data.validation.scene_of(0)
    elsewhere = ["--checkpoint", str(run / "best.pt")] if run.parent != Path("runs") else []
    script = from_here(Path(__file__).with_name("predict.py"))
    command = shlex.join([python_command(), script, *map(str, [first.image_path, *first.later_dates]), *elsewhere])
    page = {
        "title": f"{args.model}, {len(data.training.scenes)} scenes, {len(table.names)} classes",
        "summary": [
            ("best epoch", f"{best_epoch} of {len(history)}"),
            ("macro Dice", f"{best:.4f}"),
            ("weighted Dice", f"{best_confusion.weighted_dice():.4f}"),
            ("mean IoU", f"{best_confusion.mean_iou():.4f}"),
            ("accuracy", f"{best_confusion.accuracy():.4f}"),
            ("time", duration(time.monotonic() - began)),
            ("checkpoint", str(run / "best.pt")),
        ],
        "command": command,
        "history": history,
        "best_epoch": best_epoch,
        "classes": [(name, "#%02X%02X%02X" % color) for name, color in zip(table.names, table.colors)],
        "matrix": best_confusion.matrix.cpu(),
        "shares": report_shares(data.validation, best_predictions, table),
        "samples": picture.samples(data.validation, best_predictions, SAMPLES),
        "settings": state["settings"],
    }
    with replacing(run / "report.html") as temporary:
        temporary.write_text(report.html(page), encoding="utf-8")
    say(f"\ncheckpoint  {run / 'best.pt'}  (epoch {best_epoch}, validation macro Dice {best:.4f})")
    say(f"report      {run / 'report.html'}")
    say(f"next        {command}")


def plain(value):
    """An option's value as a checkpoint may keep it."""
    return str(value) if isinstance(value, Path) else value


def write_log(path: Path, history: list[dict]) -> None:
    """log.csv, written whole each epoch, so that it never ends in half a row."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)


def report_shares(windows: Windows, predictions: np.ndarray, table: ClassTable) -> dict | None:
    """True and predicted share of all classes but the first, window by window, over labelled pixels.

    None where there is nothing to compare: a single class, or a single window.
    """
    if len(table.names) == 1 or len(windows) == 1:
        return None
    pairs = []
    for number, (_, window) in enumerate(windows.items):
        truth = windows.scene_of(number).read_labels(window)
        labelled, predicted = truth != IGNORE, predictions[number, : window.height, : window.width]
        pairs.append((float((truth[labelled] > 0).mean()), float((predicted[labelled] > 0).mean())))
    error, rank = metrics.share_error(*zip(*pairs)), metrics.spearman(*zip(*pairs))
    return {
        "name": " + ".join(table.names[1:]) if len(table.names) < 5 else f"all but {table.names[0]}",
        "pairs": pairs,
        "text": f"Spearman {rank:.3f}; mean absolute error {error.mean:.2%} (95 % interval {error.low:.2%} to "
        f"{error.high:.2%}) over {len(pairs)} windows",
    }


if __name__ == "__main__":
    with one_line_errors("train.py", DeviceError, torch.OutOfMemoryError):
        main()
