"""The page of `python -m unet.evaluation.compare`: scores, settings, curves and samples of runs.

Read beside it: tests/unet/evaluation/test_compare.py.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data.files import printable
from unet.evaluation import samples_file
from unet.evaluation.markup import escape, fixed, head, page, row, samples
from unet.evaluation.run_charts import bars, run_curves, run_key
from unet.training.resume import same

NO_RESULT = {"output", "resume", "tensorboard"}  # settings that say nothing about the result
# Settings that decide on which pixels and labels a run is validated.
VALIDATED = set("content size skip_only keep_share validation split places overfit seed".split())
LARGEST = 1e12  # a loss beyond it is a gap in its curve
LONGEST = 160  # letters of a setting that are shown
SCORES = ["macro_dice", "weighted_dice", "mean_iou", "accuracy"]
COLUMNS = ["run", "highest", "mean", "last", "epochs", "best epoch"]
COLUMNS += ["macro Dice", "weighted Dice", "mean IoU", "accuracy", "parameters", "seconds"]
GROUP_COLUMNS = ["runs", "seeds", "highest macro Dice", "mean over the epochs", "mean IoU"]


class Compared(NamedTuple):
    """What the page shows of a run.

    Attributes:
        name: the name of the run's folder, or its path where two names are equal.
        settings: the options of train.py, and "content", the hash of pixels and labels.
        history: the rows of log.csv.
        best: the row of the epoch of best.pt.
        parameters: number of parameters of the network.
        gallery: "samples" and "legend", see unet/evaluation/samples_file.py; None if none are kept.
    """

    name: str
    settings: dict
    history: list[dict]
    best: dict
    parameters: int
    gallery: dict | None

    def epochs(self, key: str, most: float = 1) -> list[float]:
        """Return a column of the history; NaN for a value that is missing or absurd."""
        return [_number(epoch, key, most) for epoch in self.history]

    def macro_dice(self) -> tuple[float, float, float]:
        """Return the highest, the mean and the last macro Dice of the epochs, without NaN."""
        values = self.epochs("macro_dice")
        known = [value for value in values if not math.isnan(value)] or [math.nan]
        return max(known), sum(known) / len(known), values[-1]

    def iou(self) -> dict[str, float]:
        """Return the IoU of each class in the best epoch, by name."""
        keys = [key for key in self.best if key.startswith("iou_")]
        return {key.removeprefix("iou_"): _number(self.best, key) for key in keys}


def _number(epoch: Mapping, key: str, most: float = 1) -> float:
    """Return a value of a row, or NaN unless it lies between 0 and `most`."""
    value = epoch.get(key, math.nan)
    return float(value) if 0 <= value <= most else math.nan


def rank(run: Compared) -> float:
    """Return the highest macro Dice of a run, and -1 if it has none."""
    highest = run.macro_dice()[0]
    return -1 if math.isnan(highest) else highest


def html(runs: Sequence[Compared]) -> str:
    """Make the page that compares two or more runs."""
    differing, names = _differing(runs), [run.name for run in runs]
    first = max(runs, key=rank)
    return page(
        f"Comparison of {len(runs)} runs",
        [("highest macro Dice", f"{first.macro_dice()[0]:.4f}, {first.name}")],
        _scores(runs, VALIDATED & differing.keys()),
        _groups(runs),
        _settings(names, differing, len({key for run in runs for key in run.settings})),
        _curves(runs, differing),
        _classes(runs),
        _samples(runs),
    )


def _scores(runs: Sequence[Compared], doubts: set[str]) -> str:
    """Make the table of the scores of the runs. `doubts`: differing settings of the validation."""
    rows = ""
    for run in runs:
        epochs = [str(len(run.history)), str(run.best["epoch"])]
        scores = [fixed(_number(run.best, key), 4) for key in SCORES]
        seconds = sum(value for value in run.epochs("seconds", LARGEST) if not math.isnan(value))
        costs = [f"{run.parameters:,}", f"{seconds:,.0f}"]
        dice = [fixed(value, 4) for value in run.macro_dice()]
        rows += row(escape(run.name), [*dice, *epochs, *scores, *costs])
    doubt = ""
    if doubts:
        doubt = f"""<p><strong>The runs differ in {escape(", ".join(sorted(doubts)))}.</strong> So
they may have been validated on other pixels or labels, and a small difference may come from that.
</p>"""
    top = '<tr class="over"><td></td><th colspan="3">macro Dice over the epochs</th>'
    top += '<td colspan="2"></td><th colspan="4">at the best epoch</th><td colspan="2"></td></tr>'
    table = f"<table>{head(COLUMNS).replace('<thead>', '<thead>' + top)}{rows}</table>"
    return f"""<h2>Scores</h2>{doubt}<div class="scroll">{table}</div>
<p><small>All scores are of the validation. The best epoch is that of best.pt, so its scores are a
little too high. Seconds are those of all epochs.</small></p>"""


def _groups(runs: Sequence[Compared]) -> str:
    """Make the table of runs that differ only in the seed; nothing if there are none."""
    groups: dict[str, list[Compared]] = {}
    for run in runs:
        equal = {k: v for k, v in run.settings.items() if k not in NO_RESULT | {"seed"}}
        groups.setdefault(repr(sorted(equal.items())), []).append(run)
    if len(groups) == len(runs):
        return ""
    rows = ""
    for group in groups.values():
        highest, means, _ = zip(*(run.macro_dice() for run in group))
        columns = highest, means, [_number(run.best, "mean_iou") for run in group]
        seeds = ", ".join(str(run.settings.get("seed")) for run in group)
        name = ", ".join(run.name for run in group)
        rows += row(escape(name), [escape(seeds), *map(_mean_and_range, columns)])
    return f"""<h2>Runs that differ only in the seed</h2><div class="scroll"><table>
{head(GROUP_COLUMNS)}{rows}</table></div>
<p><small>Mean over the runs, and their range.</small></p>"""


def _mean_and_range(values: Sequence[float]) -> str:
    """Format the mean of values and, of several, their range."""
    mean = fixed(sum(values) / len(values), 4)
    several = f" ({fixed(min(values), 4)} to {fixed(max(values), 4)})"
    return mean + several * (len(values) > 1)


def _differing(runs: Sequence[Compared]) -> dict[str, list]:
    """Return the settings that differ: {name: value of each run}; a missing one is a dash."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: [run.settings.get(name, "\N{EN DASH}") for run in runs] for name in names}
    return {
        name: list(given)
        for name, given in values.items()
        if name not in NO_RESULT and not all(same(value, given[0]) for value in given)
    }


def _settings(names: Sequence[str], differing: Mapping[str, list], count: int) -> str:
    """Make the table of the settings that differ, of `count` in all."""
    rows = ""
    for setting, values in differing.items():
        rows += row(escape(setting), [escape(_short(value)) for value in values])
    hidden = f"{count - len(differing)} other settings are equal, or do not change the result."
    table = f'<div class="scroll differ"><table>{head(["setting", *map(escape, names)])}{rows}'
    table = table + "</table></div>" if rows else "<p>No setting differs.</p>"
    hash_note = " content is a hash of all pixels and labels." if "content" in differing else ""
    return f"<h2>Settings that differ</h2>{table}<p><small>{hidden}{hash_note}</small></p>"


def _short(value: object) -> str:
    """Format a setting. A list has commas, and a long text is cut."""
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _legend(runs: Sequence[Compared]) -> str:
    """Make the legend of the runs."""
    entries = "".join(f"<li>{run_key(n)}{escape(run.name)}</li>" for n, run in enumerate(runs))
    return f'<ul class="legend">{entries}</ul>'


def _curves(runs: Sequence[Compared], differing: Mapping) -> str:
    """Make the section of the curves of all runs."""
    charts, gaps = "", ""
    plots = {"macro_dice": ("Macro Dice of the validation", 1.0)}
    plots["val_loss"] = "Loss of the validation", LARGEST
    for key, (title, most) in plots.items():
        lines = [run.epochs(key, most) for run in runs]
        charts += run_curves(lines, title)
        empty = [run.name for run, ys in zip(runs, lines) if all(map(math.isnan, ys))]
        gaps += f" {escape(title)}: no number in {escape(', '.join(empty))}." if empty else ""
    if differing.keys() & {"loss", "class_weights"}:
        gaps += " Losses of different functions or weights cannot be compared in height."
    note = f"<p><small>{gaps}</small></p>" if gaps else ""
    return f'<h2>Curves</h2>{_legend(runs)}<div class="pair">{charts}</div>{note}'


def _classes(runs: Sequence[Compared]) -> str:
    """Make the bars of the classes that all runs have, and name the others."""
    ious = [run.iou() for run in runs]
    common = [name for name in ious[0] if all(name in iou for iou in ious)]
    others = dict.fromkeys(name for iou in ious for name in iou if name not in common)
    told = f"<p>Not in all runs: {escape(', '.join(others))}.</p>" if others else ""
    if not common:
        return f"<h2>Classes</h2>{told}<p>The runs have no class in common.</p>"
    groups = {printable(name): [iou[name] for iou in ious] for name in common}
    dice = {name: [2 * iou / (1 + iou) for iou in values] for name, values in groups.items()}
    charts = bars(groups, "IoU") + bars(dice, "Dice")
    return f"""<h2>Classes</h2>{_legend(runs)}{told}<div class="pair">{charts}</div>
<p><small>In the best epoch of each run. &ndash; is a class that neither occurs nor is predicted.
Dice is 2 IoU / (1 + IoU).</small></p>"""


def _samples(runs: Sequence[Compared]) -> str:
    """Make the section of the samples that all runs with samples have in common."""
    shown = {run.name: run.gallery for run in runs if run.gallery}
    without = ", ".join(run.name for run in runs if not run.gallery)
    told = f"<p>Without samples, because samples.json is missing: {escape(without)}.</p>"
    told = told if without else ""
    of_run = [{_key(sample): sample for sample in kept["samples"]} for kept in shown.values()]
    common = [key for key in (of_run[0] if of_run else []) if all(key in one for one in of_run)]
    if len(shown) < 2 or not common:
        none = "<p>The reports of the runs show other windows: no sample is common.</p>"
        return f"<h2>Samples</h2>{told}{none * (len(shown) > 1)}"
    names = list(shown)
    drawn = [_side_by_side(names, [samples_of[key] for samples_of in of_run]) for key in common]
    legend = dict.fromkeys(entry for kept in shown.values() for entry in kept["legend"])
    entries = [(name, color) for name, color in legend if not name.startswith("error map")]
    return samples(drawn, entries) + told


def _key(sample: Mapping) -> tuple:
    """Return what equal samples have in common: image name, row, column and size."""
    return sample["title"], samples_file.size(sample["pictures"]["image"])


def _side_by_side(names: Sequence[str], found: Sequence[Mapping]) -> dict:
    """Join a sample of several runs: image, truth, and the prediction of each run.

    Images or truths that differ between the runs, such as of masks that were resampled in another
    way, are all shown, each with the names of its runs.
    """
    pictures: dict[str, bytes] = {}
    for caption in ("image", "truth"):
        owners: dict[bytes, list[str]] = {}
        for name, sample in zip(names, found):
            owners.setdefault(sample["pictures"][caption], []).append(name)
        for picture, its_names in owners.items():
            of = f" of {', '.join(its_names)}" if len(owners) > 1 else ""
            pictures[caption + of] = picture
    for name, sample in zip(names, found):
        errors = [caption for caption in sample["pictures"] if caption.startswith("errors; ")]
        figure = "".join(f", {caption.removeprefix('errors; ')}" for caption in errors[:1])
        pictures[f"{name}{figure}"] = sample["pictures"]["prediction"]
    return {"title": found[0]["title"], "pictures": pictures}
