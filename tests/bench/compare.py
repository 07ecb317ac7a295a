"""This project's networks and segmentation_models.pytorch's, trained for equal processor seconds.

    pip install segmentation-models-pytorch
    python tests/bench/compare.py hls india dubai --rows unet Unet-resnet34 --minutes 3 10
    python tests/bench/compare.py hls --rows unet jitter cutmix --seeds 0

The sets are folders in --data. Each has three folds, which share no ground (folds.py). A training
sees two folds, without validation, and the third measures its last weights. Each training runs in a
process of its own on one thread. It ends after --minutes of processor time, and its learning rate
falls with the share of this time that is used. So all rows cost the same, whatever a step of them
costs.

Results are added to --results, one line for each training. Trainings that are in it are not
repeated, so a stopped table continues. The confusion matrices of the folds are added: a figure of a
seed covers every pixel of the set once. The table has the mean over the seeds, and the range.

Rows:
    default                     train.py without any option
    unet, segformer-b0, ...     networks of this project (--model), with its default recipe
    Unet-resnet34, ...          those of segmentation_models.pytorch, from scratch, with the recipe
                                of this project: loss, class weights, indices, bfloat16,
                                channels_last, the setting of malloc, fused AdamW
    Unet-resnet34-usual, ...    the same with their usual recipe: cross-entropy, float32, AdamW, no
                                indices
    others                      `unet` with one change, see changes.py
"""

import argparse
import csv
import functools
import json
import math
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import changes  # noqa: E402
import folds  # noqa: E402

import train  # noqa: E402
import unet  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.training import pipeline  # noqa: E402
from data.training.dataset import Windows  # noqa: E402
from data.training.windows import all_windows  # noqa: E402
from unet import losses, metrics  # noqa: E402
from unet.evaluation import calibration  # noqa: E402
from unet.training import memory  # noqa: E402

CPU = torch.device("cpu")
MAPPED = 256  # side of the windows of predict.py if those of the training were smaller
# Images of s2-india that overlap, by phase correlation: their peaks are above 39 standard
# deviations of the correlation, those of all other pairs below 21.
OVERLAPS = "056 087,077 088,004 005,041 042,080 085,050 063 064,049 059 083,058 074"
PEERS = [
    f"{kind}-{encoder}"
    for kind in ("Unet", "UnetPlusPlus", "DeepLabV3Plus", "Segformer")
    for encoder in ("resnet18", "resnet34", "resnet50")
]
USUAL = "-usual"


class Set(NamedTuple):
    """A data set: its files, and the place of each image."""

    images: list[Path]
    masks: list[Path]
    classes: Path
    places: list[str]


def open_set(name: str, data: Path) -> Set:
    """Find the files of one of the three sets in the folder `data`."""
    if name == "hls":
        root = data / "hls-worldcover"
        images = sorted(root.glob("images/*.tif"))
        with open(root / "places.csv", newline="", encoding="utf-8") as file:
            places = {row["tile"]: row["place"] for row in csv.DictReader(file)}
        of_image = [places[image.stem] for image in images]
        return Set(images, [root / "masks"], data / "worldcover.csv", of_image)
    if name == "india":
        root = data / "s2-india"
        images = sorted(root.glob("images/*.tif"))
        groups = {one: group for group in OVERLAPS.split(",") for one in group.split()}
        of_image = [groups.get(image.stem, image.stem) for image in images]
        return Set(images, [root / "masks"], data / "s2-india.csv", of_image)
    images = sorted(data.glob("dubai-aerial/Tile */images/*.jpg"))
    of_image = [image.parents[1].name for image in images]
    masks = sorted({image.parents[1] / "masks" for image in images})
    return Set(images, masks, data / "dubai.csv", of_image)


@functools.cache
def options_of_fold(name: str, root: Path, fold: int, every: int, cache: Path) -> list[str]:
    """Return options of train.py: a fold that validates, and each `every`-th other image."""
    chosen = open_set(name, root)
    files = ["--images", *map(str, chosen.images), "--masks", *map(str, chosen.masks)]
    files += ["--classes", str(chosen.classes)]
    scenes = folds.scenes_of(files, cache)
    place = dict(zip(chosen.images, chosen.places))
    fold_of = folds.deal(folds.grounds(scenes, [place[scene.image_path] for scene in scenes]))
    held_out = [scene for scene, number in zip(scenes, fold_of) if number == fold]
    used = [scene for scene, number in zip(scenes, fold_of) if number != fold][::every] + held_out
    files = ["--images", *(str(scene.image_path) for scene in used)]
    files += ["--masks", *(str(scene.mask_path) for scene in used)]
    files += ["--classes", str(chosen.classes)]
    return [*files, "--validation", *(str(scene.image_path) for scene in held_out)]


# One training, in a process of its own.


def build(row: str, args: argparse.Namespace, channels: int, classes: int) -> torch.nn.Module:
    """Build the network of a row with random weights."""
    if row.removesuffix(USUAL) in PEERS:
        # A torchvision built for CUDA beside a torch without CUDA lacks its operators. They are
        # not needed here.
        operators = "torchvision._meta_registrations"
        sys.modules.setdefault(operators, types.ModuleType(operators))
        import segmentation_models_pytorch as smp

        kind, encoder = row.split("-")[:2]
        shape = {"in_channels": channels, "classes": classes}
        return getattr(smp, kind)(encoder, encoder_weights=None, **shape)
    chosen = {"base": args.base, "dropout": args.dropout, "head_dropout": 0.1}
    network = unet.describe(args.model, channels, classes, chosen)
    return unet.build(network["name"], channels, classes, **network["options"])


def options_of_row(row: str) -> list[str]:
    """Return the options of train.py of a row."""
    if row == "default":
        return []
    if row in unet.MODELS:
        return ["--model", row]
    of_unet = ["--model", "unet"]  # its windows and batches
    if row in changes.CHANGES:
        return of_unet + changes.CHANGES[row].options.split()
    if row.endswith(USUAL):
        return of_unet + "--loss cross_entropy --class-weights none --indices --lr 5e-4".split()
    return [*of_unet, "--lr", "1e-3"]


class Prepared(NamedTuple):
    """All that a training needs but its network."""

    args: argparse.Namespace  # the options of train.py
    change: changes.Change
    usual: bool
    data: pipeline.Data
    classes: int
    weight: torch.Tensor | None  # of the classes


def as_mapped(windows: Windows) -> Windows:
    """Return the scenes of windows in windows of the side that predict.py takes by default."""
    scenes = {item.scene for item in windows.items}
    longest = max(max(windows.scenes[n].grid.height, windows.scenes[n].grid.width) for n in scenes)
    whole = copy(windows)
    whole.size = max(windows.size, min(MAPPED, longest))
    items = all_windows(windows.scenes, whole.size)
    whole.items = [item for item in items if item.scene in scenes]
    return whole


def parse(key: dict, given: argparse.Namespace) -> argparse.Namespace:
    """Return the options of train.py of a training."""
    cache = given.results.parent / "cache"
    files = options_of_fold(key["set"], given.data, key["fold"], key["every"], cache)
    chosen = [*options_of_row(key["row"]), *key["settings"].split(), "--seed", str(key["seed"])]
    return train.parse([*files, *chosen])


def load(args: argparse.Namespace, given: argparse.Namespace) -> pipeline.Data:
    """Load the windows of a training, and those of its fold as predict.py takes them."""
    table, cache = ClassTable.load(args.classes), given.results.parent / "cache"
    data = pipeline.load(args, table, cache, lambda line: None, lambda line: None)
    return data._replace(validation=as_mapped(data.validation))


def prepare(row: str, args: argparse.Namespace, data: pipeline.Data) -> Prepared:
    """Add what a row changes."""
    weight = losses.class_weights(torch.from_numpy(data.counts.sum(0)), args.class_weights)
    change = changes.CHANGES.get(row, changes.Change())
    return Prepared(args, change, row.endswith(USUAL), data, data.counts.shape[1], weight)


def network(row: str, ready: Prepared) -> tuple[torch.nn.Module, torch.memory_format]:
    """Build the network of a row, in its layout."""
    torch.manual_seed(ready.args.seed)
    model = build(row, ready.args, ready.data.training.channels, ready.classes)
    layout = torch.contiguous_format if ready.usual else torch.channels_last
    return ready.change.build(model).to(memory_format=layout), layout


def loss_of(ready: Prepared) -> Callable:
    """Return the loss of a training."""
    return ready.change.loss or losses.LOSSES[ready.args.loss]


def train_once(key: dict, given: argparse.Namespace) -> dict:
    """Train and measure one network. Returns its line of the results."""
    torch.set_num_threads(1)
    args = parse(key, given)
    data = load(args, given)
    _, change, usual, _, classes, weight = ready = prepare(key["row"], args, data)
    order, training, validation = pipeline.loaders(args, data, False, 0, 1)
    if not usual:
        memory.keep_memory()
    model, layout = network(key["row"], ready)
    optimizer = torch.optim.AdamW(
        model.parameters(), args.lr, weight_decay=args.weight_decay, fused=not usual
    )
    began, steps, share = time.process_time(), 0, 0.0
    while share < 1:
        order.epoch += 1
        model.train()
        for images, targets, _ in training:
            share = (time.process_time() - began) / (60 * key["minutes"])
            if share >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = args.lr * change.rate(share)
            images, targets = change.batch(images, targets)
            with torch.autocast("cpu", torch.bfloat16, enabled=not usual):
                logits = model(images.contiguous(memory_format=layout))
                loss = loss_of(ready)(logits, targets, weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            change.after_step(model, steps)
            steps += 1
    seconds = time.process_time() - began
    model = change.finished(model)
    found = measure(change, model, validation, classes, layout, CPU, not usual)
    return key | {
        "windows": len(data.training),
        "steps": steps,
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak_mb": memory.peak_bytes(CPU) / 1e6,
        **found,
    }


@torch.no_grad()
def measure(change, model, loader, classes: int, layout, device, mixed: bool) -> dict:
    """Return the confusion matrix and the bins of the calibration over all windows."""
    model.eval()
    confusion = metrics.ConfusionMatrix(classes)
    bins = torch.zeros(3, calibration.BINS, dtype=torch.float64)
    for images, targets, _ in loader:
        images, targets = images.to(device, memory_format=layout), targets.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            probabilities = change.probabilities(model, images)
        confusion.update(probabilities.argmax(1), targets)
        bins += calibration.reliability(probabilities, targets)
    return {"confusion": confusion.matrix.tolist(), "bins": bins.tolist()}


# The table.


def figures(lines: Sequence[dict]) -> dict[str, float]:
    """Compute the figures of one seed from the lines of its folds."""
    matrix = sum(torch.tensor(line["confusion"]) for line in lines)
    bins = sum(torch.tensor(line["bins"], dtype=torch.float64) for line in lines)
    confusion = metrics.ConfusionMatrix(len(matrix), matrix)
    return {
        "macro Dice": confusion.macro_dice(),
        "mean IoU": confusion.mean_iou(),
        "accuracy": confusion.accuracy(),
        "ECE": calibration.expected_calibration_error(bins),
    }


def cell(values: Sequence[float]) -> str:
    """Write the mean of some values, and their range."""
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def table(lines: Sequence[dict]) -> list[str]:
    """Return the lines of a table of results: a row for each set, number of minutes and row."""
    names = ["macro Dice", "mean IoU", "accuracy", "ECE"]
    told = ["set", "minutes", "row", *names, "millions", "steps", "s", "MB", "seeds x folds"]
    printed = [f"| {' | '.join(told)} |", "|" + "---|" * len(told)]
    groups: dict[tuple, list[dict]] = {}
    for line in lines:
        row = f"{line['row']} {line['settings']}".strip()
        if line["every"] > 1:
            row += f", 1/{line['every']} of the images"
        key = line["set"], line["minutes"], row
        groups.setdefault(key, []).append(line)
    for (name, minutes, row), mine in sorted(groups.items(), key=lambda item: item[0][:2]):
        seeds: dict[int, list[dict]] = {}
        for line in mine:
            seeds.setdefault(line["seed"], []).append(line)
        most = max(map(len, seeds.values()))
        whole = [figures(one) for one in seeds.values() if len(one) == most]
        cells = [cell([one[name] for one in whole]) for name in names]
        cells += [f"{mine[0]['parameters'] / 1e6:.1f}"]
        for what in ("steps", "seconds", "peak_mb"):
            known = [line[what] for line in mine if not math.isnan(line[what])]
            cells.append(f"{statistics.mean(known):.0f}" if known else "")
        where = [name, f"{minutes:g}", row]
        printed.append(f"| {' | '.join([*where, *cells, f'{len(whole)} x {most}'])} |")
    return printed


def read(path: Path) -> list[dict]:
    """Read the results so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [{"every": 1} | json.loads(line) for line in lines]


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("sets", nargs="+", choices=("hls", "india", "dubai"), help="sets of images and masks")
    rows = ["default", *unet.MODELS, *PEERS, *(peer + USUAL for peer in PEERS), *changes.CHANGES]
    add("--rows", nargs="+", choices=rows, default=["default"], metavar="ROW", help=", ".join(rows))
    add("--minutes", type=float, nargs="+", default=[3], help="processor time of a training")
    add("--folds", type=int, nargs="+", default=[0, 1, 2], help="folds that are held out in turn")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a training for each")
    text = "train on each Nth image only, to see what fewer images need"
    add("--every", type=int, default=1, metavar="N", help=text)
    add("--settings", default="", help="options of train.py for all rows")
    add("--data", type=Path, default=ROOT.parent / "shared" / "realdata", help="folder of the sets")
    add("--results", type=Path, default=Path("runs/compare/results.jsonl"), help="file of results")
    add("--jobs", type=int, default=1, help="trainings at a time, each on one thread")
    add("--keys", action="store_true", help="list the trainings that are missing, and end")
    add("--one", help=argparse.SUPPRESS)  # the key of one training, as JSON
    args = parser.parse_args()
    if args.one:
        print(json.dumps(train_once(json.loads(args.one), args)))
        return
    args.results.parent.mkdir(parents=True, exist_ok=True)
    done, todo = read(args.results), []
    for seed in args.seeds:
        for minutes in args.minutes:
            for name in args.sets:
                for row in args.rows:
                    for fold in args.folds:
                        key = {"set": name, "row": row, "minutes": minutes, "seed": seed}
                        key |= {"fold": fold, "settings": args.settings, "every": args.every}
                        todo.append(key)
    missing = [key for key in todo if not any(key.items() <= line.items() for line in done)]
    if args.keys:
        print("\n".join(map(json.dumps, missing)))
        return

    def run(key: dict) -> None:
        command = [sys.executable, *sys.argv, "--one", json.dumps(key)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        with open(args.results, "a") as file:  # one write, so that jobs do not mix
            file.write(found.splitlines()[-1] + "\n")
        print(f"{key['set']}, {key['row']}, {key['minutes']:g} min, seed {key['seed']}", flush=True)

    with ThreadPoolExecutor(args.jobs) as threads:
        list(threads.map(run, missing))
    wanted = [line for line in read(args.results) if any(k.items() <= line.items() for k in todo)]
    print("\n".join(table(wanted)))


if __name__ == "__main__":
    main()
