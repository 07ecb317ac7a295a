"""Answers to station 9."""

import random


def step(model, optimizer, loss_function, batches):
    windows = sum(len(images) for images, _ in batches)
    total = 0.0
    optimizer.zero_grad()
    for images, targets in batches:
        loss = loss_function(model(images), targets) * len(images) / windows
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total


def leaks(boxes, validation):
    found = []
    for number, (place, row, col, size) in enumerate(boxes):
        if not validation[number]:
            continue
        for held_out, (other, top, left, side) in zip(validation, boxes):
            apart = top > row + size or row > top + side or left > col + size or col > left + side
            if not held_out and other == place and not apart:
                found.append(number)
                break
    return found


def split(boxes, share, seed):
    places = sorted({place for place, *_ in boxes})
    random.Random(seed).shuffle(places)
    held_out, windows = set(), 0
    for place in places:
        count = sum(one == place for one, *_ in boxes)
        if windows + count / 2 <= share * len(boxes):
            held_out.add(place)
            windows += count
    return [place in held_out for place, *_ in boxes]
