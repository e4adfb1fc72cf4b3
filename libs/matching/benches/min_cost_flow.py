"""The same assignments by OR-tools' min-cost flow, where it is installed (pip install ortools).

Reads instances from stdin, one a line: columns, price, rows; a row is a list of [column, cost]. Prints for each the cost
and the milliseconds of the fastest of five runs: of building the problem's arrays nothing, of the solver all.
"""
import json
import sys
import time

import numpy as np
from ortools.graph.python import min_cost_flow


def solve(columns, price, rows):
    first = len(rows)
    sink = first + columns
    tails, heads, costs = [], [], []
    for row, edges in enumerate(rows):
        best = {}
        for column, cost in edges:
            best[column] = min(cost, best.get(column, cost))
        for column, cost in best.items():
            tails.append(row)
            heads.append(first + column)
            costs.append(cost)
        tails.append(row)
        heads.append(sink)
        costs.append(price)
    for column in range(columns):
        tails.append(first + column)
        heads.append(sink)
        costs.append(0)
    tails, heads, costs = (np.array(it) for it in (tails, heads, costs))
    ones = np.ones(len(tails), dtype=np.int64)
    nodes = np.arange(sink + 1)
    supplies = np.concatenate([np.ones(first), np.zeros(columns), [-first]]).astype(np.int64)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        flow = min_cost_flow.SimpleMinCostFlow()
        flow.add_arcs_with_capacity_and_unit_cost(tails, heads, ones, costs)
        flow.set_nodes_supplies(nodes, supplies)
        assert flow.solve() == flow.OPTIMAL
        times.append((time.perf_counter() - start) * 1000)
    return flow.optimal_cost(), min(times)


for line in sys.stdin:
    instance = json.loads(line)
    cost, milliseconds = solve(instance["columns"], instance["price"], instance["rows"])
    print(json.dumps({"cost": cost, "ms": milliseconds}), flush=True)
