"""Train a network to map land cover.

    python train.py                                                     synthetic scenes
    python train.py --images images/ --masks masks/ --classes esm       your own
    python train.py --images images/ --masks masks/ --classes esm --overfit 4     first on new data
    python train.py --resume runs/<date-time>                           continue a run that stopped
    torchrun --nproc-per-node 2 train.py ...                            two GPUs, or two processes

Images and masks are GeoTIFFs (or PNG, JPEG) in any CRS. A mask on another grid is resampled to the
grid of its image. A run leaves in runs/<date-time>/

    best.pt      checkpoint of the epoch with the best validation macro Dice, for predict.py
    last.pt      checkpoint of the last epoch, or of the step where Ctrl-C came, for --resume
    log.csv      one row for each epoch; train.log keeps what was printed
    report.html  curves, confusion matrix, table of classes, samples

Read beside it: tests/test_train.py.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

import unet
from data import bands, scaling, terminal
from data.classes import ClassTable
from data.output import samples
from data.terminal import within
from data.training import augment, pipeline
from unet import checkpoint, losses
from unet.networks import layers, transfer
from unet.training import memory, processes
from unet.training.device import PRECISIONS, autocast, pick_device, pick_precision
from unet.training.optimizer import OPTIMIZERS, SCHEDULES, end_epoch
from unet.training.passes import RunningLoss, evaluate, predict
from unet.training.resume import GONE, plain, resumed_options
from unet.training.run import Run, epoch_row
from unet.training.tensorboard import Board

SAMPLES = 6  # validation windows that the report shows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options. Every option that shapes the result is kept in the checkpoint."""
    parser = terminal.Parser(__doc__, gone=GONE)
    # No machine reaches the upper limits, and no number below them overflows.
    count, number, share = within(int, 1, 2**24), within(int, 0, 2**31), within(float, 0, below=1)

    add = parser.add_argument_group("data").add_argument
    add("--images", nargs="+", metavar="PATH", help="images or folders; none: synthetic scenes")
    add("--masks", nargs="+", metavar="PATH", help="masks or folders, paired with images by name")
    add("--classes", default="esm", help="class table: esm, catalonia, deepglobe or a CSV file")
    add("--bands", nargs="+", metavar="NAME", help="names of the bands, instead of the files' own")
    add("--indices", nargs="*", choices=[*bands.INDICES], help="added bands; none: all possible")
    add("--stack-dates", action="store_true", help="stack the bands of images that share a mask")
    add("--nodata", type=float, help="value of pixels without data, instead of the files' own")
    add("--scaling", choices=scaling.METHODS, default="minmax", help="scaling of the bands")
    add("--align", choices=("nearest", "mode"), default="nearest", help="resampling of masks")
    add("--size", type=count, help="side of a window; none: the image up to 512 pixels, else 256")
    add("--skip-only", nargs="+", default=[], metavar="CLASS", help="skip windows of only these")
    add("--oversample", type=share, default=0, metavar="T", help="draw classes rarer than T more")
    add("--validation", type=within(float, above=0, below=1), default=0.2, help="share held out")
    add("--augment", nargs="*", choices=augment.STEPS, default=["flip", "turn"], help="of windows")
    add("--overfit", type=number, default=0, metavar="N", help="train and validate on N windows")

    add = parser.add_argument_group("network").add_argument
    add("--model", choices=[*unet.MODELS], default="unet", help="network")
    add("--base", type=count, default=16, help="channels of the first level; 64 in the paper")
    add("--dropout", type=share, default=0.0, help="probability in each block")
    add("--weights", nargs="+", default=[], metavar="FILE", help="published weights, or a best.pt")
    add("--encoder-lr", type=within(float, 0), help="learning rate of the encoder; 0 freezes it")

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=count, default=100, help="largest number of epochs")
    add("--batch", type=count, default=12, help="windows in a batch, over all processes")
    add("--accumulate", type=count, default=1, metavar="N", help="batches of one optimizer step")
    add("--loss", choices=[*losses.LOSSES], default="dice_cross_entropy", help="loss function")
    add("--class-weights", default="sqrt", help="none, inverse, sqrt (of inverse), or 1,4,2")
    add("--optimizer", choices=[*OPTIMIZERS], default="adamw", help="optimizer")
    add("--lr", type=within(float, above=0), default=2e-3, help="learning rate")
    add("--weight-decay", type=within(float, 0), default=1e-4, help="weight decay")
    add("--schedule", choices=[*SCHEDULES], default="cosine", help="of the learning rate")
    add("--patience", type=count, default=15, help="epochs without a better macro Dice to stop")
    add("--seed", type=number, default=0, help="of split, weights, order, dropout, augmentation")

    add = parser.add_argument_group("machine").add_argument
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--precision", choices=PRECISIONS, default="auto", help="auto: mixed if fast")
    add("--workers", type=number, help="processes that load windows; none: 4 for a GPU, else 0")
    add("--compile", action="store_true", help="torch.compile the network")
    add("--recompute", action="store_true", help="recompute activations, to save memory")

    add = parser.add_argument_group("run").add_argument
    add("--output", type=Path, metavar="FOLDER", help="of the run; none: runs/<date-time>")
    add("--resume", type=Path, metavar="RUN", help="continue a run: its folder, or its last.pt")
    add("--tensorboard", action="store_true", help="also write the log for TensorBoard")

    args = parser.parse_args(arguments)
    if args.resume:
        args = resumed_options(parser, args.resume, arguments)
    if bool(args.images) != bool(args.masks):
        parser.error("give both --images and --masks, or neither")
    if args.compile and args.recompute:
        parser.error("--recompute: torch.compile cannot follow it; leave out one of the two")
    return args


def main(arguments: list[str] | None = None) -> Path:
    """Train as the options say. Returns the folder of the run."""
    args = parse(arguments)
    run = Run(args.output, args.resume)
    with terminal.Signals() as signals:
        train(args, run, signals)
    return run.folder


def train(args: argparse.Namespace, run: Run, signals: terminal.Signals) -> None:
    """Run the training from the options to the files in the run's folder."""
    torch.manual_seed(args.seed)
    device = pick_device(args.device)
    precision = pick_precision(args.precision, device, training=True)
    memory.keep_memory()
    processes.start(device)
    first = processes.rank() == 0

    def say(text: str) -> None:
        if first:
            terminal.say(text)
            run.log(text)

    def progress(text: str) -> None:
        if first:
            terminal.progress(text)

    # Data: files -> scenes -> windows -> batches.
    table = ClassTable.load(args.classes)
    classes = len(table.names)
    with processes.first_alone():
        data = pipeline.load(args, table, run.cache, say, progress)
    rank_of = (processes.rank(), processes.world())
    order, training, validation = pipeline.loaders(args, data, device.type == "cuda", *rank_of)
    shown = data.validation.spread(SAMPLES)

    # Network, loss, optimizer.
    options = {"base": args.base, "dropout": args.dropout, "head_dropout": 0.1}
    network = unet.describe(args.model, data.training.channels, classes, options)
    model = memory.build_to_fit(network, args, data.training, device, precision)
    inputs = data.checkpoint["bands"] + data.checkpoint["indices"]
    for path in [] if args.resume else args.weights:
        say(transfer.load(model, path, inputs, table.names))
    frozen = args.encoder_lr == 0
    if frozen:
        layers.freeze_encoder(model)
    learner = processes.synchronise(model, device)
    learner = torch.compile(learner) if args.compile else learner
    counts = torch.from_numpy(data.counts.sum(0)).to(device)
    weight = losses.class_weights(counts, args.class_weights)
    loss_function = partial(losses.LOSSES[args.loss], weight=weight)
    groups = layers.groups(model, args.lr, args.encoder_lr, args.weight_decay)
    optimizer = OPTIMIZERS[args.optimizer](groups, fused=True)
    scheduler = SCHEDULES[args.schedule](optimizer, args.epochs)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)

    # What a checkpoint keeps, and where an earlier one left off.
    torch.manual_seed(args.seed + processes.rank())  # equal weights by now, but other dropout
    constants = {"model": network, **data.checkpoint, "settings": plain(vars(args))}
    parts = {"weights": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    run.begin(constants, parts, device)
    if args.resume:
        say(run.resume(args.resume, args.epochs, args.patience))
    board = Board(run.folder, run.epoch) if args.tensorboard and first else None
    parameters = sum(p.numel() for p in model.parameters())
    say(f"{args.model}, {parameters:,} parameters, {processes.world()} x {device}, {precision}")
    say(f"results in {run.folder}")

    def between_steps(share: float = 1.0, doing: str = "validation") -> None:
        """Show the progress. After Ctrl-C or SIGTERM, save and leave."""
        if number := processes.largest(signals.seen, device):
            run.save("last.pt")
            say(f"stopped in epoch {run.epoch + 1}; to go on: train.py --resume {run.folder}")
            raise terminal.Interrupted(number)
        progress(run.progress(share, args.epochs, doing))

    while not run.has_ended(args.epochs, args.patience):
        epoch, lr, began = run.epoch + 1, optimizer.param_groups[0]["lr"], time.monotonic()
        order.epoch = epoch
        learner.train()
        if frozen:
            layers.freeze_encoder(model)
        running = RunningLoss(run.position, training, device, run.folder)
        for batch, (images, targets, numbers) in enumerate(training, start=running.first_batch):
            images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
            targets = targets.to(device, non_blocking=True)  # (N, S, S)
            with autocast(device, precision):
                logits = learner(images)  # (N, C, S, S) -> (N, K, S, S)
                loss = loss_function(logits, targets)
            scaler.scale(loss / args.accumulate).backward()
            running.add(batch, loss, numbers)
            if batch % args.accumulate == 0 or batch == len(training):
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
                if running.read():  # raises NotFinite
                    between_steps(batch / len(training), f"loss {running.mean:.4f}")
        speed = running.windows_read / (time.monotonic() - began)

        measure = (classes, device, precision)
        val_loss, confusion = evaluate(learner, validation, loss_function, *measure, between_steps)
        end_epoch(scheduler, confusion.macro_dice())
        row = epoch_row(epoch, lr, running.mean, val_loss, confusion, table.names)
        row |= {"seconds": time.monotonic() - began, "images_per_second": speed}
        row["peak_memory_mb"] = memory.peak_bytes(device) / 1e6
        best = run.end_epoch(row, confusion)
        # best.pt first: a run that is killed between the two repeats the epoch.
        run.save(*["best.pt"] * best, "last.pt")
        if board:
            labels, _ = predict(model, DataLoader(shown, args.batch), *measure)
            drawn = samples.of_windows(shown, labels.numpy(), SAMPLES)
            board.epoch(row, confusion.matrix, samples.side_by_side(drawn, table))
        say(run.line(row, args.epochs) + "  best" * best)
    if run.epoch < args.epochs:
        say(f"no better macro Dice in {args.patience} epochs: stopped")
    if first:
        finish(args, run, data.validation, table, device, precision, say)
    processes.stop()


def finish(args, run: Run, windows, table: ClassTable, device, precision, say) -> None:
    """Write the report of the best epoch, and print where everything is."""
    best = checkpoint.load(run.folder / "best.pt")
    model = checkpoint.build_model(best).to(device, memory_format=torch.channels_last)
    loader = DataLoader(windows, args.batch)
    labels, matrices = predict(model, loader, len(table.names), device, precision)
    gallery = samples.gallery(samples.of_windows(windows, labels.numpy(), SAMPLES), table)
    path = run.folder / "best.pt"
    images = windows.scene_of(0).paths
    command = terminal.command("predict.py", *images, "--checkpoint", path)
    run.write_report(best, list(zip(table.names, table.colors)), matrices, gallery, command)
    say(f"\ncheckpoint  {path}  (epoch {run.best_epoch}, validation macro Dice {run.best:.4f})")
    say(f"report      {run.folder / 'report.html'}")
    say(f"next        {command}")


if __name__ == "__main__":
    with terminal.one_line_errors("train.py", torch.OutOfMemoryError):
        main()
