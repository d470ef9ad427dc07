"""What the other records of a prompt say of its completions: leave-one-out Bradley-Terry, by least squares."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, UInts, owners_of

__all__ = ["leave_one_out_strengths"]

#: Prior weight of "no difference", in comparisons: a single comparison elsewhere counts half.
RIDGE = 1.0
#: A "prompt" with more distinct completions is no prompt (an empty one, a fixed instruction).
MAX_NODES = 48
#: Cells of the matrices that are worked on at a time.
CELLS = 1 << 18


def leave_one_out_strengths(
    offsets: Ints, prompt_keys: UInts, completion_keys: UInts, ratings: Floats, used: Bools, trust: Floats | None = None
) -> tuple[Floats, Bools]:
    """Strength of each completion by the other records of its prompt; flat, in units of `ratings`; and where that is known.

    The completions of a prompt are the nodes of a graph, and each record adds edges between its own, with the difference of
    their ratings. Strengths s minimise sum over edges of trust * (s_i - s_j - difference)^2 + RIDGE * sum of s^2, without the
    record's own edges, so that no label is evidence for itself.

    Args:
        ratings: flat, centred within the record; NaN where absent.
        used: flat, the completions that count.
        trust: shape (n,), 0..1: how much each record's edges count; 1 if None.
    Source: Jiang, Lim, Yao & Ye, "Statistical ranking and combinatorial Hodge theory" (2011), least squares on a graph, made
        leave-one-record-out.
    """
    n = len(offsets) - 1
    owner = owners_of(offsets)
    strength, known = np.zeros(len(owner)), np.zeros(len(owner), bool)
    trust = np.ones(n) if trust is None else trust
    prompts, group = np.unique(prompt_keys, return_inverse=True)
    rows_of = np.bincount(group, minlength=len(prompts))
    alive = used & (prompt_keys[owner] != 0) & (rows_of[group][owner] >= 2)
    items = np.flatnonzero(alive)
    if not len(items):
        return strength, known
    # Nodes: distinct completions of a prompt, numbered from 0 within it.
    order = np.lexsort((completion_keys[items], group[owner[items]]))
    items = items[order]
    item_group, item_key = group[owner[items]], completion_keys[items]
    new_group = np.append(True, item_group[1:] != item_group[:-1])
    new_node = new_group | np.append(True, item_key[1:] != item_key[:-1])
    node = np.cumsum(new_node) - 1
    group_number = np.cumsum(new_group) - 1
    first_node = node[new_group]
    local = np.empty(len(owner), np.int64)
    local[items] = node - first_node[group_number]
    nodes = np.diff(np.append(first_node, node[-1] + 1))
    number = np.full(len(prompts), -1)
    number[item_group] = group_number
    shared = np.bincount(node)[node] >= 2
    seen_elsewhere = np.zeros(len(owner), bool)
    seen_elsewhere[items] = shared
    for size in np.unique(nodes[(nodes >= 2) & (nodes <= MAX_NODES)]):
        groups = np.flatnonzero(nodes == size)
        step = max(1, CELLS // int(size * size))
        for start in range(0, len(groups), step):
            chunk = groups[start : start + step]
            position = np.full(len(nodes) + 1, -1)
            position[chunk] = np.arange(len(chunk))
            rows = np.flatnonzero((number[group] >= 0) & (position[number[group]] >= 0))
            graph = position[number[group[rows]]]
            _solve(offsets, rows, graph, local, alive, ratings, trust[rows], int(size), len(chunk), strength, known)
    known &= seen_elsewhere
    # One completion seen elsewhere says nothing about a comparison.
    enough = np.bincount(owner[known], minlength=n) >= 2
    known &= enough[owner]
    return np.where(known, strength, 0.0), known


def _solve(
    offsets: Ints,
    rows: Ints,
    graph: Ints,
    local: Ints,
    alive: Bools,
    ratings: Floats,
    trust: Floats,
    size: int,
    graphs: int,
    strength: Floats,
    known: Bools,
) -> None:
    """Solves the graphs of one size, for each of `rows` without its own edges; writes into `strength` and `known`.

    A record of k completions changes k rows of its graph's matrix: of the inverse of the whole graph's, a matrix of k by k is
    all that its own solution takes, however many nodes there are.

    Source: the inverse of a matrix that changes in few rows, Woodbury, "Inverting Modified Matrices" (1950).
    """
    width = int((offsets[rows + 1] - offsets[rows]).max())
    step = max(1, CELLS // (width * width))
    parts = [slice(start, start + step) for start in range(0, len(rows), step)]

    def own(part: slice) -> tuple[Ints, Bools, Ints, Floats, Floats]:
        """The items, which of them count, their nodes, and what the records add to their graph: matrices, right sides."""
        items = offsets[rows[part]][:, None] + np.arange(width)
        inside = items < offsets[rows[part] + 1][:, None]
        items = np.where(inside, items, 0)
        inside &= alive[items]
        value = np.where(inside, np.nan_to_num(ratings[items]), 0.0)
        count = inside.sum(axis=1)
        # A record of k completions adds all pairs, each of weight 2 / k: a ranking of many is not many independent comparisons.
        weight = np.where(count >= 2, 2.0 * trust[part] / np.maximum(count, 1), 0.0)
        matrix = -(weight[:, None, None] * (inside[:, :, None] & inside[:, None, :]))
        matrix[:, np.arange(width), np.arange(width)] += (weight * count)[:, None] * inside
        mean = value.sum(axis=1) / np.maximum(count, 1)
        side = np.where(inside, (weight * count)[:, None] * (value - mean[:, None]), 0.0)
        return items, inside, np.where(inside, local[items], 0), matrix, side

    whole, sides = np.zeros(graphs * size * size), np.zeros(graphs * size)
    for part in parts:
        _, _, node, matrix, side = own(part)
        at = graph[part][:, None] * size + node
        whole += np.bincount((at[:, :, None] * size + node[:, None, :]).ravel(), matrix.ravel(), len(whole))
        sides += np.bincount(at.ravel(), side.ravel(), len(sides))
    inverse = np.linalg.inv(whole.reshape(graphs, size, size) + RIDGE * np.eye(size))
    together = np.einsum("gij,gj->gi", inverse, sides.reshape(graphs, size))
    for part in parts:
        items, inside, node, matrix, side = own(part)
        of = graph[part]
        local_inverse = inverse[of[:, None, None], node[:, :, None], node[:, None, :]]
        without = together[of[:, None], node] - np.einsum("nij,nj->ni", local_inverse, side)
        left = np.eye(width) - local_inverse @ matrix
        solved = np.linalg.solve(left, without[:, :, None])[:, :, 0]
        strength[items[inside]], known[items[inside]] = solved[inside], True
