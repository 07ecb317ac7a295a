"""Train a network to map land cover.

    python train.py                                                     train on synthetic scenes
    python train.py --images images/ --masks masks/ --classes esm       train on your scenes
    python train.py --images images/ --masks masks/ --classes esm --overfit 4    check new data
    python train.py --resume runs/<date-time>                           continue a stopped run
    torchrun --nproc-per-node 2 train.py ...                            use two GPUs or processes

Images and masks are GeoTIFF, PNG or JPEG files in any coordinate reference system (CRS). A mask on
another grid is resampled to the grid of its image. A run writes to the folder runs/<date-time>/

    best.pt      checkpoint of the epoch that was best in validation (--monitor), for predict.py
    last.pt      checkpoint of the last epoch, or of the last step before Ctrl-C, for --resume
    log.csv      one row for each epoch
    train.log    all lines that were printed
    report.html  curves, confusion matrix, table of classes, samples, alignment (alignment.csv)
    samples.json pictures of the samples, for python -m unet.evaluation.compare
    split.csv    which windows of which images trained, validated, or were left out

Read beside it: tests/test_train.py.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

import unet
from data import terminal
from data.classes import ClassTable
from data.output import alignment, area_tables, jobs, samples
from data.training import pipeline, workers
from data.training.options import add_data_options
from unet import checkpoint, losses
from unet.evaluation import image_scores
from unet.evaluation.scores import epoch_line, epoch_row
from unet.networks import layers, transfer
from unet.training import memory, processes
from unet.training.device import autocast, pick_device, pick_precision, to_device
from unet.training.optimizer import OPTIMIZERS, SCHEDULES, end_epoch
from unet.training.options import add_training_options, network_of, require_known_to_network
from unet.training.passes import RunningLoss, evaluate, predict
from unet.training.resume import GONE, plain, resumed_options
from unet.training.run import Run
from unet.training.tensorboard import Board


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options. The checkpoint keeps every option that changes the result."""
    parser = terminal.Parser(__doc__, gone=GONE)
    add_data_options(parser)
    add_training_options(parser, terminal.within)
    args = parser.parse_args(arguments)
    if args.resume:
        args = resumed_options(parser, args.resume, arguments)
    else:
        if args.weights and not args.model:
            args.model = network_of(args.weights)
        require_known_to_network(args, parser)
        if args.encoder_lr is not None and not args.weights:
            parser.error("--encoder-lr: no part is pretrained without --weights")
    if bool(args.images) != bool(args.masks):
        parser.error("give both --images and --masks, or neither")
    if args.compile and args.recompute:
        parser.error("--recompute: torch.compile cannot follow it; leave out one of the two")
    return args


def main(arguments: list[str] | None = None) -> Path:
    """Train a network with the options of the command line. Returns the folder of the run."""
    args = parse(arguments)
    run = Run(args.output, args.resume, args.monitor)
    with run, workers.supervised(), processes.connected():
        train(args, run)
    return run.folder


def train(args: argparse.Namespace, run: Run) -> None:
    """Run the training: data, network, loss and optimizer, then the loop over the epochs."""
    torch.manual_seed(args.seed)
    device = pick_device(args.device)
    precision = pick_precision(args.precision, device, training=True)
    memory.keep_memory()
    processes.start(device)
    first = processes.rank() == 0
    progress = terminal.progress if first else lambda text: None

    def log(*lines: str) -> None:
        """Print lines, and add them to train.log."""
        if first:
            terminal.say(*lines)
            run.log(*lines)

    # Data: files -> scenes -> windows -> batches.
    table = ClassTable.load(args.classes)
    with processes.first_alone():
        data = pipeline.load(args, table, run.cache, log, progress, run.files)
    for line in alignment.lines(data.validation.scenes, table, args.align):
        log(line)
    rank_of = (processes.rank(), processes.world())
    order, training, validation = pipeline.loaders(args, data, device.type == "cuda", *rank_of)
    shown = data.validation.spread(samples.SHOWN)

    # Network, loss, optimizer.
    options = {"base": args.base, "dropout": args.dropout, "head_dropout": 0.1}
    network = unet.describe(args.model, data.training.channels, len(table.names), options)
    model = memory.build_to_fit(network, args, data.training, device, precision)
    inputs = data.checkpoint["bands"] + data.checkpoint["indices"]
    for path in [] if args.resume else args.weights:
        log(*transfer.load(model, path, inputs, table.names).split("\n"))
    frozen = args.encoder_lr == 0
    if frozen:
        layers.freeze_encoder(model)
    learner = processes.synchronise(model, device)
    if args.compile:
        learner = torch.compile(learner)  # type: ignore[assignment]  # a Module gives a Module
    counts = torch.from_numpy(data.counts.sum(0)).to(device)
    weight = losses.class_weights(counts, args.class_weights)
    loss_function = partial(losses.LOSSES[args.loss], weight=weight)
    groups = layers.groups(model, args.lr, args.encoder_lr, args.weight_decay)
    optimizer = OPTIMIZERS[args.optimizer](groups, fused=True)
    scheduler = SCHEDULES[args.schedule](optimizer, args.epochs, args.monitor)
    # float16 rounds small gradients to 0. So the loss is multiplied, and they are divided later.
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)

    # The state that checkpoints keep, and that --resume restores.
    torch.manual_seed(args.seed + processes.rank())  # each process draws its own dropout
    constants = {"model": network, **data.checkpoint, "settings": plain(vars(args))}
    parts = {"weights": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    run.begin(constants, parts, device)
    if args.resume:
        log(run.resume(args.resume, args.epochs, args.patience))
    board = Board(run.folder, run.epoch) if args.tensorboard and first else None
    parameters = sum(p.numel() for p in model.parameters())
    log(f"{args.model}, {parameters:,} parameters, {processes.world()} x {device}, {precision}")
    log(f"results in {run.folder}")

    def after_step(share: float = 1.0, doing: str = "validation") -> None:
        """Show the progress. After Ctrl-C or SIGTERM, save the run and stop."""
        if number := processes.largest(signals.seen, device):
            run.save("last.pt")
            command = terminal.command("train.py", "--resume", run.folder)
            log(f"stopped in epoch {run.epoch + 1}; to go on: {command}")
            raise terminal.Interrupted(number)
        progress(run.progress(share, args.epochs, doing))

    with terminal.Signals() as signals:
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
                    # Losses are read now and then, because the program waits for the device then.
                    if running.read():  # raises NotFinite
                        after_step(batch / len(training), f"loss {running.mean:.4f}")
            speed = running.windows_read / (time.monotonic() - began)

            measure = (len(table.names), device, precision)
            found = evaluate(learner, validation, loss_function, *measure, after_step)
            classes = (table.names, table.foreground)
            row = epoch_row(epoch, lr, running.mean, found.loss, found.confusion, *classes)
            end_epoch(scheduler, row[run.monitor.column])
            row |= {"seconds": time.monotonic() - began, "images_per_second": speed}
            row["peak_memory_mb"] = memory.peak_bytes(device) / 1e6
            best = run.end_epoch(row, found.metrics)
            # best.pt is saved first: a run killed before last.pt repeats the epoch when resumed.
            run.save(*["best.pt"] * best, "last.pt")
            if board:
                labels = predict(model, DataLoader(shown, args.batch), *measure).labels
                drawn = samples.of_windows(shown, labels.numpy(), samples.SHOWN)
                board.epoch(row, found.confusion.matrix, samples.side_by_side(drawn, table))
            log(epoch_line(row, args.epochs) + "  best" * best)
    if run.epoch < args.epochs:
        log(f"no better {run.monitor.text} in {args.patience} epochs: stopped")
    if first:
        finish(args, run, data.validation, table, device, precision, log)


def finish(args, run: Run, windows, table: ClassTable, device, precision, log) -> None:
    """Write the report of the best epoch, and print the paths of checkpoint and report."""
    best, path = run.load_best(), run.folder / "best.pt"
    model = to_device(checkpoint.build_model(best), device)
    measure = (len(table.names), device, precision, [1.0, checkpoint.temperature(best)])
    batch = max(1, args.batch * best["size"] ** 2 // windows.size**2)  # pixels as in training
    found = predict(model, DataLoader(windows, batch), *measure)
    extremes = samples.of_extreme_windows(windows, found.labels.numpy())
    gallery = samples.gallery(image_scores.described(extremes, table.names), table)
    gallery |= alignment.report(windows, table, args.align, run.folder / "alignment.csv")
    command = jobs.command(windows.scene_of(0).paths, path, args.offset)
    classes, groups = list(zip(table.names, table.colors)), area_tables.groups(table)
    run.write_report(best, classes, found, groups, gallery, command)
    log("", f"checkpoint  {path}  ({run.monitor.in_words(run.best_epoch, run.best)})")
    log(f"report      {run.folder / 'report.html'}")
    written = {file.name for file in [*run.files, *run.folder.glob("events.*")] if file.exists()}
    log(f"also        {', '.join(sorted(written - {'best.pt', 'report.html'}))} beside it")
    log(f"next        {command}")


if __name__ == "__main__":
    with processes.leaving(), terminal.one_line_errors("train.py", torch.OutOfMemoryError):
        main()
