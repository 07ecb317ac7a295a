"""Train a network to map land cover.

    python train.py                                                      synthetic scenes, to see that all works
    python train.py --images images/ --masks masks/ --classes esm        your own
    python train.py --images images/ --masks masks/ --classes esm --overfit 4      first thing on new data
    python train.py --resume runs/<date-time>                                      go on where a run stopped
    torchrun --nproc-per-node 2 train.py ...                                       two GPUs, or two processes

Images and masks are GeoTIFFs (or PNG, JPEG) in whatever CRS they come in; a mask on another grid is
put on its image's. A run leaves in runs/<date-time>/

    best.pt      checkpoint of the best epoch by validation macro Dice: all that predict.py needs
    last.pt      checkpoint of the last epoch, or of where Ctrl-C stopped it: what --resume needs
    log.csv      a row for each epoch; train.log has what was printed
    report.html  curves, confusion matrix, table of classes, samples

Read beside it: tests/test_train.py.
"""

import argparse
import csv
import math
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

import unet
from data import console
from data.classes import ClassTable
from data.console import duration, progress, within
from data.files import InputError, replacing
from data.output import preview
from data.training import pipeline
from data.training.dataset import Windows
from unet import checkpoint, losses, metrics
from unet.evaluation import report, scores
from unet.networks import weights
from unet.networks.finetune import transfer
from unet.training import device as hardware
from unet.training import passes, processes
from unet.training.optimizer import OPTIMIZERS, SCHEDULES, Optimizer
from unet.training.recompute import recompute
from unet.training.tensorboard import Board, BoardError

SAMPLES = 6  # validation windows shown in the report
# What may differ when a run goes on: none of it shapes the result, but for the length of the run.
CHANGEABLE = "epochs patience stop_after device workers compile recompute cache tensorboard finetune resume run".split()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options. Every one that shapes the result is kept in the checkpoint."""
    parser = console.Parser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    # No machine has more than the upper limits, and nothing overflows below them.
    some, any_number, chance = (
        within(int, 1, 2**24),
        within(int, 0, 2**31),
        within(float, 0, below=1),
    )
    pipeline.add_options(parser)

    add = parser.add_argument_group("network").add_argument
    add("--model", choices=list(unet.MODELS), default="unet", help="network")
    add(
        "--base", type=some, default=16, help="channels of the U-Net's first level; 64 in the paper"
    )
    add("--dropout", type=chance, default=0.0, help="of channels, in each block")
    add("--head-dropout", type=chance, default=0.1, help="before the last convolution")
    add(
        "--weights",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="published ones, .pth or .safetensors",
    )
    add(
        "--encoder-lr",
        type=within(float, above=0),
        help="learning rate of the encoder; none: that of the rest",
    )
    add(
        "--freeze-encoder",
        type=any_number,
        default=0,
        metavar="N",
        help="leave the encoder as it is for N epochs",
    )

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=some, default=100, help="at most")
    add("--batch", type=some, default=12, help="windows in a batch, over all processes")
    add(
        "--accumulate",
        type=some,
        default=1,
        metavar="N",
        help="batches whose mean gradient makes one step",
    )
    add(
        "--loss",
        choices=list(losses.LOSSES),
        default="dice_cross_entropy",
        help="what is minimised",
    )
    add("--gamma", type=within(float, 0, 100), default=2.0, help="of focal losses")
    add(
        "--class-weights",
        default="sqrt",
        help="none, inverse (to the pixels of each), its sqrt, or 1,4,2",
    )
    add("--optimizer", choices=list(OPTIMIZERS), default="adamw", help="optimizer")
    add("--lr", type=within(float, above=0), default=2e-3, help="learning rate")
    add("--weight-decay", type=within(float, 0), default=1e-4, help="weight decay")
    add("--schedule", choices=list(SCHEDULES), default="cosine", help="of the learning rate")
    add(
        "--patience",
        type=some,
        default=15,
        help="stop after so many epochs without a better macro Dice",
    )
    add(
        "--seed",
        type=any_number,
        default=0,
        help="of the split, the weights, the order, dropout and augmentation",
    )

    add = parser.add_argument_group("machine").add_argument
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add(
        "--precision",
        choices=hardware.PRECISIONS,
        default="auto",
        help="auto: mixed where the processor has it",
    )
    add("--workers", type=any_number, help="processes that make samples; none: 4 for a GPU, else 0")
    add(
        "--compile",
        action="store_true",
        help="let torch.compile fuse the network's operations first",
    )
    add(
        "--recompute",
        action="store_true",
        help="compute activations again instead of keeping them: less memory",
    )

    add = parser.add_argument_group("run").add_argument
    add(
        "--output",
        dest="run",
        type=Path,
        metavar="FOLDER",
        help="for the results; none: runs/<date-time>",
    )
    add(
        "--resume",
        type=Path,
        metavar="RUN",
        help="go on with a run: its folder, or a checkpoint in it",
    )
    add("--stop-after", type=some, metavar="EPOCH", help="leave after this epoch, to be resumed")
    add("--finetune", type=Path, metavar="CHECKPOINT", help="begin with the weights of another run")
    add(
        "--tensorboard",
        action="store_true",
        help="also write what TensorBoard shows, into the run's folder",
    )
    args = parser.parse_args(arguments)
    if args.resume:
        args = continued(parser, args.resume, arguments)
    if bool(args.images) != bool(args.masks):
        parser.error("give both --images and --masks, or neither")
    if args.compile and args.recompute:
        parser.error(
            "--recompute: torch.compile cannot follow it; leave out --compile or --recompute"
        )
    return args


def continued(
    parser: argparse.ArgumentParser, resume: Path, arguments: list[str] | None
) -> argparse.Namespace:
    """The options that the run began with, where the command line does not change what may be
    changed.
    """
    path = resume / "last.pt" if resume.is_dir() else resume
    state = checkpoint.load(path)
    settings = state["settings"]
    parser.set_defaults(
        **{
            name: value
            for name, value in settings.items()
            if name not in ("resume", "run", "stop_after")
        }
    )
    args = parser.parse_args(arguments)
    for name, value in settings.items():
        if name not in CHANGEABLE and not checkpoint.same(plain(getattr(args, name, value)), value):
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{option}: the run in {path.parent} began with {value}; begin another, by --finetune {path}"
            )
    if args.run:
        raise InputError(f"--output: --resume goes on in {path.parent}; leave --output out")
    if state["epoch"] >= args.epochs:
        raise InputError(
            f"--epochs {args.epochs}: the run in {path.parent} has {state['epoch']} already; give more"
        )
    args.resume, args.run = path, path.parent
    return args


def main(arguments: list[str] | None = None) -> Path:
    """Train as the options say; returns the folder of the run."""
    args = parse(arguments)
    run = args.run or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    if (run / "last.pt").exists() and not args.resume:
        raise InputError(
            f"{run}: holds a run already; name another folder by --output, or go on with it by --resume {run}"
        )
    log = run / "train.log"
    said = log.read_text(encoding="utf-8").splitlines() if args.resume and log.exists() else []

    def say(text: str) -> None:
        if processes.rank() > 0:
            return
        progress("")
        print(text, flush=True)
        said.append(text)
        if run.is_dir():  # it is made when all that can be checked has been checked
            with replacing(log) as temporary:
                temporary.write_text("\n".join(said) + "\n", encoding="utf-8")

    with console.Signals() as signals:
        train(args, run, say, signals)
    return run


def train(args: argparse.Namespace, run: Path, say: Callable, signals: console.Signals) -> None:
    """From the options to the files in `run`."""
    torch.manual_seed(args.seed)
    hardware.keep_memory()
    table = ClassTable.load(args.classes)
    device = hardware.pick_device(args.device)
    processes.start(device)
    precision = hardware.pick_precision(args.precision, device, training=True)
    rank, world = processes.rank(), processes.world()

    with processes.first_alone():
        data = pipeline.load(args, table, say, progress if rank == 0 else lambda text: None)
    workers = (4 if device.type == "cuda" else 0) if args.workers is None else args.workers
    sampler, training, validation = pipeline.loaders(
        args, data, workers, device.type == "cuda", rank, world
    )
    network = {
        "name": args.model,
        "in_channels": data.training.channels,
        "num_classes": len(table.names),
        "options": {
            name: getattr(args, name) for name in unet.options(args.model) if hasattr(args, name)
        },
    }
    model = make_model(args, network, data, device, precision)
    if args.finetune and not args.resume:
        inputs = data.checkpoint["bands"] + data.checkpoint["indices"]
        say(transfer(checkpoint.load(args.finetune), model, inputs, table.names))
    for path in [] if args.resume else args.weights:
        say(f"{path}: {weights.load_weights(model, path)}")
    learner = processes.synchronise(model, device, changing=args.freeze_encoder > 0)
    learner = torch.compile(learner) if args.compile else learner
    loss_function = make_loss(args, data.counts.sum(0), table, device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    groups = weights.groups(model, args.lr, args.encoder_lr, args.weight_decay)
    way = (args.optimizer, args.lr, args.weight_decay, args.schedule, args.epochs, args.accumulate)
    optimizer = Optimizer(groups, *way, scaler)

    # What a checkpoint keeps of the past, besides weights and optimizer.
    past = {
        "epoch": 0,
        "best": -math.inf,
        "best_epoch": 0,
        "history": [],
        "position": passes.start_of_epoch(),
    }
    torch.manual_seed(
        args.seed + rank
    )  # the processes' weights are equal by now, their dropout shall not be
    if args.resume:
        past = checkpoint.resume(args.resume, past, model, optimizer, data.checkpoint)
        say(f"resumed after epoch {past['epoch']} and {past['position']['batch']} batches")
    if rank == 0:
        run.mkdir(parents=True, exist_ok=args.run is not None)
    shown = data.validation.only(
        range(0, len(data.validation), -(-len(data.validation) // SAMPLES))
    )
    board = Board(run, past["epoch"]) if args.tensorboard and rank == 0 else None
    parameters = sum(p.numel() for p in model.parameters())
    where = f"{device}" if world == 1 else f"{world} processes on {device.type}"
    say(
        f"{args.model} of {parameters:,} parameters on {where} in {str(precision)[6:]}; results in {run}"
    )

    def save(*names: str) -> None:
        settings = {name: plain(value) for name, value in vars(args).items()}
        state = {
            "model": network,
            "weights": model.state_dict(),
            **data.checkpoint,
            "settings": settings,
            **past,
        }
        state |= optimizer.state_dict() | {"random": processes.random_states(device)}
        for name in names if rank == 0 else ():
            checkpoint.save(run / name, state)

    began, done = time.monotonic(), past["epoch"]

    def check(epoch: int, share: float = 1.0, loss: float | None = None) -> None:
        if number := processes.largest(signals.seen, device):
            save("last.pt")
            say(f"stopped in epoch {epoch}, and saved; to go on: train.py --resume {run}")
            raise console.Interrupted(number)
        if rank == 0:
            ahead = args.epochs - (epoch - 1 + share)
            left = (time.monotonic() - began) / (epoch - 1 + share - done) * ahead
            doing = "validation" if loss is None else f"loss {loss:.4f}"
            progress(
                f"epoch {epoch}/{args.epochs} {share:4.0%}  {doing}  time left {duration(left)}"
            )

    for epoch in range(done + 1, min(args.epochs, args.stop_after or args.epochs) + 1):
        sampler.epoch, lr, started = epoch, optimizer.lr, time.monotonic()
        here, position = partial(check, epoch), past["position"]
        windows = len(sampler) - position["windows"]
        learner.train()
        weights.freeze_encoder(model, epoch <= args.freeze_encoder)
        try:
            train_loss = passes.learn(
                learner, training, loss_function, optimizer, device, precision, position, here
            )
        except passes.NotFinite as error:
            raise not_finite(error, data.training, run) from None
        speed = windows / (time.monotonic() - started)
        val_loss, confusion = passes.evaluate(
            learner, validation, loss_function, len(table.names), device, precision, here
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
            "images_per_second": speed,
            "peak_memory_mb": hardware.peak_bytes(device) / 1e6,
        }
        optimizer.end_epoch(row["macro_dice"])
        better = row["macro_dice"] > past["best"]
        if better:
            past |= {"best": row["macro_dice"], "best_epoch": epoch}
        past |= {
            "epoch": epoch,
            "history": [*past["history"], row],
            "position": passes.start_of_epoch(),
        }
        past["metrics"] = {"confusion": confusion.matrix.cpu()}
        # The best first: a run that is killed between the two makes this epoch again.
        save(*["best.pt"] * better, "last.pt")
        if rank == 0:
            write_log(run / "log.csv", past["history"])
        if board:
            labels = passes.predict(model, DataLoader(shown, args.batch), device, precision).numpy()
            maps = preview.side_by_side(preview.samples(shown, labels, SAMPLES), table)
            board.epoch(row, confusion.matrix, maps)
        say(
            f"epoch {epoch:3}/{args.epochs}  loss {train_loss:.4f}  validation loss {val_loss:.4f}  macro Dice "
            f"{row['macro_dice']:.4f}  weighted Dice {row['weighted_dice']:.4f}  {row['seconds']:.1f} s"
            + ("  best" if better else "")
        )
        if epoch - past["best_epoch"] >= args.patience:
            say(f"no better macro Dice in {args.patience} epochs: stopped")
            break
    else:
        if epoch < args.epochs:
            say(f"stopped after epoch {epoch}; to go on: train.py --resume {run}")
    if rank == 0:
        finish(run, args, data, table, device, precision, say)
    processes.stop()


def make_model(
    args, network: dict, data: pipeline.Data, device: torch.device, precision: torch.dtype
):
    """The network on its device. Raises hardware.DeviceError where training it will not do or not
    fit.
    """

    def build() -> torch.nn.Module:
        model = unet.build(
            network["name"], network["in_channels"], network["num_classes"], **network["options"]
        )
        return recompute(model, unet.BLOCKS) if args.recompute else model

    size, channels = data.training.size, network["in_channels"]
    hardware.check_last_batch(build, len(data.training), args.batch, channels, size)
    hardware.check_memory(
        build, -(-args.batch // processes.world()), channels, size, device, precision
    )
    return build().to(device, memory_format=torch.channels_last)


def make_loss(
    args: argparse.Namespace, counts: np.ndarray, table: ClassTable, device: torch.device
) -> Callable:
    """(logits, target) -> loss, with the class weights and the gamma of the options."""
    if args.class_weights in losses.CLASS_WEIGHTS:
        weight = losses.class_weights(torch.from_numpy(counts), args.class_weights)
    else:
        names = ", ".join(losses.CLASS_WEIGHTS)
        weight = torch.tensor(
            table.numbers(
                args.class_weights, f"--class-weights {args.class_weights}: write {names}"
            )
        )
    options = {"weight": weight if weight is None else weight.to(device)}
    if "focal" in args.loss:
        options["gamma"] = args.gamma
    return partial(losses.LOSSES[args.loss], **options)


def not_finite(error: passes.NotFinite, windows: Windows, run: Path) -> InputError:
    """The error to raise, after the windows of the batch have been written into the run's folder."""
    places = [(windows.scene_of(n).image_path, windows.items[n][1]) for n in error.numbers]
    path = run / "not_finite.txt"
    if processes.rank() == 0:
        lines = sorted(
            f"{image}: row {window.row}, column {window.col}" for image, window in places
        )
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = ", ".join(sorted({str(image) for image, _ in places}))
    return InputError(f"{error} on {files} (windows in {path}); look at them, or try a lower --lr")


def finish(
    run, args, data: pipeline.Data, table: ClassTable, device, precision, say: Callable
) -> None:
    """Write the report of the best epoch, and say where everything is."""
    best = checkpoint.load(run / "best.pt")
    history = checkpoint.load(run / "last.pt")["history"]
    model = checkpoint.build_model(best).to(device, memory_format=torch.channels_last)
    loader = DataLoader(data.validation, args.batch)
    predictions = passes.predict(model, loader, device, precision).numpy()
    confusion = metrics.ConfusionMatrix(len(table.names), best["metrics"]["confusion"])
    first = data.validation.scene_of(0)
    images = map(str, [first.image_path, *first.later_dates])
    elsewhere = ["--checkpoint", str(run / "best.pt")] if run.parent != Path("runs") else []
    script = console.from_here(Path(__file__).with_name("predict.py"))
    command = shlex.join([console.python_command(), script, *images, *elsewhere])
    names, title = (
        table.names,
        f"{args.model}, {len(data.training.scenes)} scenes, {len(table.names)} classes",
    )
    page = scores.page(
        title,
        [(name, "#%02X%02X%02X" % color) for name, color in zip(names, table.colors)],
        window_matrices(data.validation, predictions, len(names)),
        {" + ".join(names[1:]) if len(names) < 5 else f"all but {names[0]}": range(1, len(names))},
        preview.samples(data.validation, predictions, SAMPLES),
        best["settings"],
    )
    page |= {
        "summary": [
            ("best epoch", f"{best['epoch']} of {len(history)}"),
            ("macro Dice", f"{best['best']:.4f}"),
            ("weighted Dice", f"{confusion.weighted_dice():.4f}"),
            ("mean IoU", f"{confusion.mean_iou():.4f}"),
            ("accuracy", f"{confusion.accuracy():.4f}"),
            ("time", duration(sum(row["seconds"] for row in history))),
            ("checkpoint", str(run / "best.pt")),
        ],
        "command": command,
        "history": history,
        "best_epoch": best["epoch"],
        "matrix": confusion.matrix,
    }
    with replacing(run / "report.html") as temporary:
        temporary.write_text(report.html(page), encoding="utf-8")
    say(
        f"\ncheckpoint  {run / 'best.pt'}  (epoch {best['epoch']}, validation macro Dice {best['best']:.4f})"
    )
    say(f"report      {run / 'report.html'}")
    say(f"next        {command}")


def plain(value):
    """An option's value as a checkpoint may keep it."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def write_log(path: Path, history: list[dict]) -> None:
    """log.csv, written whole each epoch, so that it never ends in half a row."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)


def window_matrices(
    windows: Windows, predictions: np.ndarray, num_classes: int
) -> list[metrics.ConfusionMatrix]:
    """A confusion matrix for each window, from its labels and the predicted ones (n, S, S)."""
    matrices = []
    for number in range(len(windows)):
        matrices.append(metrics.ConfusionMatrix(num_classes))
        matrices[-1].update(predictions[number], windows.target(number))
    return matrices


if __name__ == "__main__":
    with console.one_line_errors(
        "train.py",
        hardware.DeviceError,
        BoardError,
        checkpoint.CheckpointError,
        torch.OutOfMemoryError,
    ):
        main()
